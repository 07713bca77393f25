"""A smooth model for the pixels that no frame can give."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import _skyfill
from keyhole.imaging._skyfill import fill_uncovered

NOISE = 14.0


def sky(shape):
    y, x = np.indices(shape) / np.array(shape)[:, None, None]
    return (4000 + 120 * x - 80 * y + 60 * x * y - 50 * (x - 0.4) ** 2).astype(np.float32)


def filled(uncovered, *, seed=1):
    true = sky(uncovered.shape)
    image = (true + np.random.default_rng(seed).normal(0, NOISE, true.shape)).astype(np.float32)
    given = np.where(uncovered, np.float32(1e4), image)
    variance = np.full(true.shape, NOISE**2, np.float32)
    fill_uncovered(given, variance, ~uncovered, np.ones(true.shape, bool))
    assert np.array_equal(given[~uncovered], image[~uncovered])
    assert (variance[~uncovered] == NOISE**2).all()
    return (given - true)[uncovered], variance[uncovered]


def test_single_pixels_are_filled_with_what_is_around_them_also_at_the_borders():
    uncovered = np.random.default_rng(3).random((203, 311)) < 0.02
    uncovered[0, ::9] = uncovered[-1, 4] = uncovered[50, 0] = uncovered[0, 0] = True
    error, variance = filled(uncovered)
    assert abs(error.mean()) < 0.02 * NOISE
    assert error.std() < 0.15 * NOISE
    assert variance.max() < 0.2 * NOISE**2


def test_a_large_hole_is_filled_with_the_surface_through_what_surrounds_it():
    uncovered = np.zeros((203, 311), bool)
    uncovered[60:130, 100:200] = True
    error, _ = filled(uncovered)
    assert np.abs(error).max() < 0.5 * NOISE


def test_pixels_far_from_all_covered_ones_get_the_level_of_these():
    true = sky((230, 240))
    image = (true + np.random.default_rng(4).normal(0, NOISE, true.shape)).astype(np.float32)
    covered, lit = np.zeros((2, *true.shape), bool)
    covered[120:, 130:] = True
    lit[0, :3] = lit[covered] = True
    variance = np.full(true.shape, NOISE**2, np.float32)
    fill_uncovered(image, variance, covered, lit)
    known = true[covered]
    assert known.min() - NOISE < image[0, :3].min() <= image[0, :3].max() < known.max() + NOISE
    assert (variance[0, :3] > 0).all()
    assert variance[0, :3].max() < 0.2 * NOISE**2


@pytest.mark.parametrize("surrounded", [0.0, 2.0])
def test_single_pixels_are_filled_as_well_without_a_surface_as_with_one(surrounded, monkeypatch):
    uncovered = np.random.default_rng(3).random((203, 311)) < 0.02
    monkeypatch.setattr(_skyfill, "_SURROUNDED", surrounded)
    error, _ = filled(uncovered)
    assert error.std() < 0.15 * NOISE


def test_bins_far_off_do_not_spread_into_the_model():
    uncovered = np.random.default_rng(3).random((200, 200)) < 0.02
    true = sky(uncovered.shape)
    image = (true + np.random.default_rng(2).normal(0, NOISE, true.shape)).astype(np.float32)
    image[100, 100] = 1e6
    uncovered[100, 100] = False
    fill_uncovered(image, np.full(true.shape, NOISE**2, np.float32), ~uncovered, np.ones(true.shape, bool))
    assert np.abs((image - true)[uncovered]).max() < 3 * NOISE


def test_a_few_single_pixels_get_the_median_of_those_around_and_its_noise():
    uncovered = np.random.default_rng(3).random((203, 311)) < 0.003
    uncovered[0, 0] = uncovered[100:104, 100:104] = True
    rng = np.random.default_rng(5)
    image = (sky(uncovered.shape) + rng.normal(0, NOISE, uncovered.shape)).astype(np.float32)
    image[rng.random(image.shape) < 0.01] = 1e5
    before, variance = image.copy(), np.full(image.shape, NOISE**2, np.float32)
    rest = _skyfill._without_single(image, variance, ~uncovered, np.flatnonzero(uncovered))
    # A corner has neighbours to one side, and a square few that are covered.
    assert {0, 101 * 311 + 101, 102 * 311 + 102} <= set(rest.tolist())
    single = uncovered.copy()
    single.reshape(-1)[rest] = False
    assert single.sum() > 0.8 * uncovered.sum()
    for y, x in np.argwhere(single):
        about = np.s_[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6]
        assert image[y, x] == pytest.approx(np.median(before[about][~uncovered[about]]), rel=1e-6)
    error = (image - sky(image.shape))[single]
    assert error.std() < 0.15 * NOISE
    assert error.var() < variance[single].max() < 0.2 * NOISE**2
    np.testing.assert_array_equal(image[~single], before[~single])


def test_a_hole_is_filled_with_what_is_near_it():
    uncovered = np.zeros((400, 600), bool)
    uncovered[200:230, 300:330] = True
    true = sky(uncovered.shape)
    image = (true + np.random.default_rng(1).normal(0, NOISE, true.shape)).astype(np.float32)
    other = image.copy()
    other[:100] += 500
    variances = np.full(true.shape, NOISE**2, np.float32)
    for plane in (image, other):
        fill_uncovered(plane, variances, ~uncovered, np.ones(true.shape, bool))
    assert np.abs((image - true)[uncovered]).max() < 0.6 * NOISE
    np.testing.assert_array_equal(image[uncovered], other[uncovered])


def test_a_single_pixel_beside_a_large_hole_is_left_to_the_model():
    # Its neighbours are there, but those further off lie to one side of it.
    for edge, is_single in ((53, False), (60, True)):
        uncovered = np.zeros((100, 100), bool)
        uncovered[50, 50] = uncovered[:, edge:] = True
        image, variance = sky(uncovered.shape), np.full(uncovered.shape, NOISE**2, np.float32)
        rest = _skyfill._without_single(image, variance, ~uncovered, np.array([50 * 100 + 50]))
        assert (rest.size == 0) == is_single
