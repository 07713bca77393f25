"""Pixels without a good value: bridged inside a kernel, or filled in a stack."""

from __future__ import annotations

import numpy as np
import pytest
from sky_scene import moffat

from keyhole.imaging._bridging import bridge
from keyhole.imaging.bits import BAD, COSMIC_RAY, NO_DATA, UNILLUMINATED
from keyhole.imaging.holes import fill_holes
from keyhole.imaging.resample import resample

SHAPE = (40, 50)


def test_bridge_continues_a_cubic_exactly_and_a_slope_beside_the_edge() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    surface = (3 + x - 2 * y + 0.1 * x**2 - 0.002 * x**3 + 0.003 * y**3).astype(np.float32)
    good = np.ones(SHAPE, bool)
    for place in ((20, 20), (10, 30), (11, 30), (1, 25)):
        good[place] = False
    filled, known = bridge(np.where(good, surface, 1e6), good)
    assert known.all()
    for place in ((20, 20), (10, 30), (11, 30)):
        assert filled[place] == pytest.approx(surface[place], rel=1e-4)
    assert filled[1, 25] == pytest.approx(surface[1, 25], abs=0.5)


def test_bridge_leaves_corners_and_wide_gaps_open() -> None:
    good = np.ones(SHAPE, bool)
    good[0, 0] = False
    good[10:13, 10:13] = False
    filled, known = bridge(np.full(SHAPE, 5, np.float32), good)
    assert np.argwhere(~known).tolist() == [[0, 0], *[[y, x] for y in (10, 11, 12) for x in (10, 11, 12)]]
    assert (filled[~known] == 0).all()
    assert (filled[known] == 5).all()


@pytest.mark.parametrize("place", [(20, 25), (19, 24), (22, 25), (20, 22)])
def test_hit_on_a_star_changes_its_flux_by_less_than_two_per_cent(place) -> None:
    star = moffat(SHAPE, 25.2, 20.4, 1e5, 4.0).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint16)
    mask[place] = COSMIC_RAY
    hit = star.copy()
    hit[place] += 1e5
    moved = {"shift": (0.45, -0.4)}
    clean, out = resample(star, **moved), resample(hit, None, mask, **moved)
    inner = np.s_[4:-4, 4:-4]
    used = np.zeros(SHAPE, bool)
    used[inner] = out.mask[inner] == 0
    assert (~used[inner]).sum() <= 4
    lost = (out.data - clean.data)[used].sum()
    assert abs(lost) < 0.02 * 1e5


def test_share_of_the_kernel_that_may_be_lost_is_a_choice() -> None:
    data, mask = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.uint16)
    mask[20, 25] = BAD
    inner = np.s_[4:-4, 4:-4]
    numbers = [
        int((resample(data, None, mask, shift=(0.5, 0.5), max_lost=m).mask[inner] != 0).sum())
        for m in (0.001, 0.1, 0.3)
    ]
    assert numbers == [16, 4, 0]


def test_variance_beside_a_bridged_pixel_is_that_of_the_noise() -> None:
    rng = np.random.default_rng(3)
    shape = (400, 400)
    mask = np.zeros(shape, np.uint16)
    mask[5:-5:9, 5:-5:9] = BAD
    noise = rng.normal(0, 1, shape).astype(np.float32)
    out = resample(noise, np.ones(shape, np.float32), mask, shift=(0.5, 0.5))
    # Places whose kernel holds a bad pixel with more than a tenth of its weight.
    touched = sum(np.roll(mask == BAD, (-j, -i), axis=(0, 1)).astype(int) for j in (0, 1) for i in (0, 1))
    beside = (out.mask == 0) & (touched > 0)
    assert beside.sum() > 5000
    assert np.std(out.data[beside]) == pytest.approx(np.sqrt(out.variance[beside].mean()), rel=0.08)


def test_hole_is_filled_from_around_with_a_larger_variance_and_keeps_its_flag() -> None:
    rng = np.random.default_rng(2)
    data = (moffat(SHAPE, 25, 20, 1e5, 5.0) + rng.normal(0, 3, SHAPE)).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint16)
    mask[20, 27], mask[5, 5:7] = COSMIC_RAY, BAD
    true = data.copy()
    data[mask > 0] = 1e6
    before = data.copy()
    filled = fill_holes(data, np.full(SHAPE, 9, np.float32), mask)
    assert filled.number == 3
    assert np.abs(filled.data - true)[5, 5:7].max() < 9
    assert abs(filled.data[20, 27] - true[20, 27]) < np.sqrt(filled.variance[20, 27])
    assert filled.variance[20, 27] > 1e4 > filled.variance[5, 5] > 9
    assert (filled.variance[mask == 0] == 9).all()
    np.testing.assert_array_equal(data, before)


def test_what_is_unlit_or_has_no_neighbour_is_not_filled() -> None:
    mask = np.full(SHAPE, BAD, np.uint16)
    mask[:, 30:] = BAD | UNILLUMINATED
    mask[20, 32] = mask[20, 33] = 0
    assert fill_holes(np.ones(SHAPE, np.float32), None, mask).number == 0
    mask = np.full(SHAPE, NO_DATA, np.uint16)
    filled = fill_holes(np.ones(SHAPE, np.float32), None, mask)
    assert filled.number == 0
    assert filled.variance is None
