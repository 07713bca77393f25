"""Clipped means of many lists at once, against those of each list by itself."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._skymean import clipped_means, combine_members
from keyhole.imaging._skypool import CombineRule, SharedVariance, make_pool

N, SHAPE = 14, (30, 110)
LISTS = {
    "windows": [[j for j in range(N) if j != i and abs(i - j) < 6] for i in range(N)],
    "all others": [[j for j in range(N) if j != i] for i in range(N)],
    "two of a kind": [[1, 4], [4, 1, 7], [2], [1, 4]],
}


def planes(seed=1):
    rng = np.random.default_rng(seed)
    shape = rng.uniform(500, 900, SHAPE).astype(np.float32)
    factors = rng.uniform(0.8, 1.3, N).astype(np.float32)
    frames = [
        (2000 + rng.normal(0, 1, SHAPE) * np.sqrt(shape * factor)).astype(np.float32) for factor in factors.tolist()
    ]
    for frame in frames:
        frame[rng.random(SHAPE) < 0.02] += 300
        frame[rng.random(SHAPE) < 0.01] -= 150
    usables = [rng.random(SHAPE) > 0.1 for _ in frames]
    for usable in usables:
        usable[3, 20:30] = False
    return frames, usables, SharedVariance(shape, factors)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("rule", [CombineRule(), CombineRule(lsigma=2.0, hsigma=3.5)])
def test_means_with_a_common_variance_are_those_of_one_list_at_a_time(kind, rule):
    frames, usables, noise = planes()
    pool = make_pool(frames, noise, usables, None, scale=True, zero=False)
    whole = [noise.plane * factor for factor in noise.factors]
    plain_pool = make_pool(frames, whole, usables, None, scale=True, zero=False)
    lost = 0
    for members, column in zip(LISTS[kind], clipped_means(pool, LISTS[kind], rule), strict=True):
        plain = combine_members(plain_pool, members, rule)
        np.testing.assert_array_equal(column.count, plain.count)
        np.testing.assert_allclose(column.data, plain.data, rtol=3e-7)
        np.testing.assert_allclose(column.variance, plain.variance, rtol=1e-5)
        lost += int((np.isfinite(pool.planes[members]).sum(axis=0) - plain.count).sum())
    assert lost > 10


def test_a_pool_of_nearly_all_pixels_carries_the_dark_ones_along():
    frames, usables, noise = planes()
    pool = make_pool(frames, noise, usables, None, scale=False, zero=False)
    assert pool.taken.all()
    assert not pool.lit[3, 20:30].any()
    few = [usable & (np.indices(SHAPE)[1] < 40) | (np.indices(SHAPE)[0] == 9) for usable in usables]
    small = make_pool(frames, noise, few, None, scale=False, zero=False)
    assert small.planes.shape == (N, np.count_nonzero(np.logical_or.reduce(few)))
    wanted = [np.where(usable, frame, np.inf)[small.taken] for frame, usable in zip(frames, few, strict=True)]
    np.testing.assert_array_equal(small.planes, wanted)


@pytest.mark.parametrize("number", [255, 256, 290])
def test_lists_of_more_frames_than_a_byte_counts_have_the_means_of_one_list_at_a_time(number):
    rng = np.random.default_rng(12)
    shape = (6, 20)
    frames = [rng.normal(2000, 20, shape).astype(np.float32) for _ in range(number)]
    frames[3][0] += 400
    for frame in frames[: number // 2 + 1]:
        frame[1:3, ::3] += rng.choice([70, 500])
    noise = SharedVariance(np.full(shape, 400, np.float32), np.ones(number, np.float32))
    pool = make_pool(frames, noise, [np.ones(shape, bool)] * number, None, scale=False, zero=False)
    lists = [list(range(number)), list(range(1, number)), list(range(number - 1))]
    for members, column in zip(lists, clipped_means(pool, lists, CombineRule()), strict=True):
        plain = combine_members(pool, members, CombineRule())
        assert plain.count.max() > 250
        np.testing.assert_array_equal(column.count, plain.count)
        np.testing.assert_allclose(column.data, plain.data, rtol=1e-6)
        np.testing.assert_allclose(column.variance, plain.variance, rtol=1e-4)


@pytest.mark.parametrize("loud", [[5], [0, *range(5, N)]])
def test_frames_of_far_more_noise_leave_nothing_behind_in_the_lists_without_them(loud):
    rng = np.random.default_rng(13)
    shape = (6, 20)
    frames = [rng.normal(2000, 20, shape).astype(np.float32) for _ in range(N)]
    factors = np.ones(N, np.float32)
    factors[loud] = 3e8
    noise = SharedVariance(np.full(shape, 400, np.float32), factors)
    pool = make_pool(frames, noise, [np.ones(shape, bool)] * N, None, scale=False, zero=False)
    lists = [[j for j in range(N) if j != i and abs(i - j) < 4] for i in range(N)]
    for members, column in zip(lists, clipped_means(pool, lists, CombineRule()), strict=True):
        np.testing.assert_allclose(column.variance, combine_members(pool, members, CombineRule()).variance, rtol=1e-5)
