"""Values that the members of many lists vote on, against each list sorted by itself."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._skyclip import Lists, clip_odd
from keyhole.imaging._skymean import clipped_means, combine_members
from keyhole.imaging._skypool import CombineRule, SharedVariance, make_pool

N, SIZE = 16, 1200
WINDOWS = [[j for j in range(N) if j != i and abs(i - j) < 7] for i in range(N)]


def columns(seed=2):
    rng = np.random.default_rng(seed)
    noise = (rng.uniform(400, 600, SIZE) * rng.uniform(0.8, 1.2, (N, 1))).astype(np.float32)
    values = (3000 + rng.normal(0, 1, (N, SIZE)) * np.sqrt(noise)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] += 90
    values[rng.random(values.shape) < 0.05] -= 80
    # In the last columns so many values are odd that no median is known beforehand.
    values[:, -200:] += rng.choice([0, 60, 400], (N, 200)).astype(np.float32)
    values[rng.random(values.shape) < 0.15] = np.inf
    values[:, :5] = np.inf
    return values, noise


def plain(values, noise, lsigma, hsigma):
    """The clipped mean of one column of one list, in double precision."""
    good = np.isfinite(values)
    if not good.any():
        return 0.0, 0.0, 0
    kept, spread = values[good].astype(float), noise[good].astype(float)
    order = np.sort(kept)
    lower, upper = order[(order.size - 1) // 2], order[order.size // 2]
    # The typical noise is that of all members, also of those without a value.
    apart = order.size == 2 or upper - lower > 2**0.5 * hsigma * np.sqrt(noise.mean())
    centre = lower if apart else 0.5 * (lower + upper)
    limit = np.sqrt(spread) * np.sqrt(1 + 2 / order.size)
    near = (kept - centre <= hsigma * limit) & (kept - centre >= -lsigma * limit)
    if not near.any():
        return centre, float(noise[0]), 1
    return kept[near].mean(), spread[near].sum() / near.sum() ** 2, int(near.sum())


@pytest.mark.parametrize(("lsigma", "hsigma"), [(3.0, 3.0), (2.0, 3.5)])
def test_what_a_vote_decides_is_what_the_sorted_list_says(lsigma, hsigma):
    values, noise = columns()
    before = values.copy()
    lists = Lists.of(WINDOWS)
    found = clip_odd(values, noise, lists, lsigma=lsigma, hsigma=hsigma)
    np.testing.assert_array_equal(values, before)
    clipped = 0
    for k, members in enumerate(WINDOWS):
        for c in np.flatnonzero(~found.unsure[k]).tolist():
            mean, variance, number = plain(values[members, c], noise[members, c], lsigma, hsigma)
            assert found.number[k, c] == number
            if number:
                assert found.data[k, c] == pytest.approx(mean, rel=3e-7)
                assert found.variance[k, c] == pytest.approx(variance, rel=1e-5)
            clipped += int(np.isfinite(values[members, c]).sum()) - number
    assert clipped > 500
    assert found.unsure[:, :-200].mean() < 0.35


def test_values_without_noise_are_too_dark_or_too_bright_as_soon_as_they_differ():
    values, noise = columns()
    values = np.round(values / 100) * np.float32(100)
    noise[:] = 0
    lists = Lists.of(WINDOWS)
    found = clip_odd(values, noise, lists, lsigma=3, hsigma=3)
    lost = 0
    for k, members in enumerate(WINDOWS):
        for c in np.flatnonzero(~found.unsure[k]).tolist():
            mean, _, number = plain(values[members, c], noise[members, c], 3, 3)
            assert (found.number[k, c], found.data[k, c]) == (number, pytest.approx(mean))
            lost += number > 0
    assert lost > 1000


@pytest.mark.parametrize("frames", [20, 300])
def test_members_are_counted_list_by_list(frames):
    rng = np.random.default_rng(5)
    mask = rng.random((frames, 40)) < 0.6
    lists = Lists.of([list(range(i, frames - 10 + i)) for i in range(10)] + [[3], [frames - 1, 0]])
    np.testing.assert_array_equal(lists.union, np.arange(frames))
    np.testing.assert_array_equal(lists.counts(mask), lists.choice.astype(int) @ mask.astype(int))


@pytest.mark.parametrize("frames", [20, 300])
def test_members_below_a_limit_are_counted_list_by_list(frames):
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, (frames, 30)).astype(np.float32)
    values[rng.random(values.shape) < 0.05] = np.nan
    lists = Lists.of([list(range(frames)), list(range(0, frames, 2)), [frames - 1, 0]])
    limits = rng.normal(0, 1, (3, 30)).astype(np.float32)
    limits[:, :3] = 9
    expected = [(values[chosen] < limit).sum(axis=0) for chosen, limit in zip(lists.choice, limits, strict=True)]
    np.testing.assert_array_equal(lists.below(values, limits), expected)


def test_a_spent_pool_knows_the_pixels_that_a_list_could_not_give():
    shape = (40, 250)
    rng = np.random.default_rng(8)
    frames = [rng.normal(2000, 20, shape).astype(np.float32) for _ in range(N)]
    usables = [rng.random(shape) > 0.3 for _ in frames]
    for usable in usables[:13]:
        usable[7:9, 20:60] = False
    noise = SharedVariance(np.full(shape, 400, np.float32), np.ones(N, np.float32))
    fresh, spent = (make_pool(frames, noise, usables, None, scale=True, zero=False) for _ in range(2))
    # All in one go, or the pool must not be spent.
    lists, rule = WINDOWS[3:9], CombineRule()
    found = list(clipped_means(spent, lists, rule, spend=True))
    assert spent.spent
    for column, wanted in zip(found, clipped_means(fresh, lists, rule), strict=True):
        np.testing.assert_array_equal(column.data, wanted.data)
        np.testing.assert_array_equal(column.variance, wanted.variance)
        missing = np.flatnonzero(column.count == 0)
        assert missing.size
        others = combine_members(spent, range(N), rule, missing)
        np.testing.assert_array_equal(others.data, combine_members(fresh, range(N), rule, missing).data)
    assert not fresh.spent


def test_lists_that_are_combined_one_after_the_other_leave_the_pool_as_it_is():
    rng = np.random.default_rng(9)
    frames = [rng.normal(2000, 20, (20, 30)).astype(np.float32) for _ in range(N)]
    usables = [np.ones((20, 30), np.bool_) for _ in frames]
    pool = make_pool(frames, None, usables, None, scale=False, zero=False)
    before = pool.planes.copy()
    assert len(list(clipped_means(pool, [[0, 1], [12, 13, 14]], CombineRule(), spend=True))) == 2
    assert not pool.spent
    np.testing.assert_array_equal(pool.planes, before)


def test_more_lists_than_frames_leave_the_pool_as_it_is():
    rng = np.random.default_rng(10)
    shape = (9, 50)
    frames = [rng.normal(2000, 20, shape).astype(np.float32) for _ in range(3)]
    noise = SharedVariance(np.full(shape, 400, np.float32), np.ones(3, np.float32))
    pool = make_pool(frames, noise, [np.ones(shape, bool)] * 3, None, scale=True, zero=False)
    lists, rule = [[0, 1], [1, 2], [0, 2], [0, 1, 2]], CombineRule()
    found = list(clipped_means(pool, lists, rule, spend=True))
    assert not pool.spent
    for column, members in zip(found, lists, strict=True):
        np.testing.assert_allclose(column.data, combine_members(pool, members, rule).data, rtol=3e-7)
