from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.simulate.array import Flaw, build_array, tile_pattern
from keyhole.simulate.options import NightOptions

SHAPE = (1022, 1024)
EVERYTHING = NightOptions()


@pytest.fixture(scope="module")
def array():
    return build_array(SHAPE, seed=3, options=EVERYTHING)


def test_bad_pixels_are_as_dense_and_clustered_as_on_the_real_array(array):
    bad = (array.flaws != Flaw.NONE) & (array.flaws != Flaw.WARM)
    # The real map: 512 pixels in 127 groups; groups may fall upon each other.
    assert 490 <= bad.sum() <= 512
    assert 120 <= ndimage.label(bad, np.ones((3, 3)))[1] <= 127


def test_response_has_the_promised_scatter_and_median(array):
    good = array.flaws == Flaw.NONE
    assert np.median(array.response) == pytest.approx(1.0, abs=1e-4)
    local = array.response - ndimage.uniform_filter(array.response, 15)
    assert 0.009 < local[good].std() < 0.013
    smooth = ndimage.uniform_filter(array.response, 51)
    assert 0.02 < np.ptp(smooth) < 0.07


def test_lit_pixels_set_the_level_of_the_response():
    lit = np.zeros((100, 100), bool)
    lit[20:40, 30:80] = True
    array = build_array((100, 100), seed=1, options=NightOptions(without=["bad-pixels"]), lit=lit)
    assert np.median(array.response[lit]) == pytest.approx(1.0, abs=1e-6)


def test_dead_pixels_are_blind_and_hot_ones_bright(array):
    assert array.response[array.flaws == Flaw.DEAD].max() < 0.11
    assert array.dark_rate[array.flaws == Flaw.HOT].min() >= 7.9
    assert np.median(array.dark_rate) == pytest.approx(0.15, rel=0.02)


def test_the_offset_pattern_repeats_within_a_quadrant(array):
    offset = array.offset
    # Tiles are 16 x 4 pixels, and rows alternate with period 2.
    assert np.array_equal(offset[0:400, 0:400], offset[4:404, 16:416])
    assert np.mean(offset) == pytest.approx(65.0, abs=2.0)
    assert not np.array_equal(offset[0:400, 0:400], offset[0:400, 512:912])


def test_saturation_is_never_below_the_nominal_well(array):
    assert array.well_factor.min() >= 1.0


def test_effects_that_are_off_leave_a_perfect_array():
    off = NightOptions(without=["response", "bad-pixels", "pattern", "pedestal", "dark-current"])
    array = build_array((64, 64), seed=1, options=off)
    assert np.all(array.response == 1) and not array.flaws.any()
    assert not array.offset.any() and not array.dark_rate.any()


def test_tile_pattern_fills_shapes_that_are_no_multiple_of_the_tile():
    pattern = tile_pattern((13, 37), np.random.default_rng(1), 2.0)
    assert pattern.shape == (13, 37) and np.isfinite(pattern).all()
