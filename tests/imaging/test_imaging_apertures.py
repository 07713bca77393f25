"""Noise of empty apertures, on noise whose correlation is known."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from scipy import ndimage

from keyhole.imaging import apertures
from keyhole.imaging.apertures import EmptyApertures, adopted_factors, empty_apertures

SHAPE = (300, 500)


def test_independent_pixels_measure_one():
    data = np.random.default_rng(2).normal(7, 3, SHAPE).astype(np.float32)
    found = empty_apertures(data, np.full(SHAPE, 9.0, np.float32), np.ones(SHAPE, bool), (1.5, 3.0, 6.0))
    np.testing.assert_allclose(found.factor, 1.0, atol=3 * found.error.max())
    assert (np.diff(found.number) < 0).all()
    assert found.number[1] == pytest.approx(300 * 500 / (np.pi * 3.0**2), rel=0.1)
    # Of small circles there would be many more than are worth their time.
    assert 5000 < found.number[0] < 7000


def test_smoothed_noise_is_larger_in_wide_apertures():
    white = np.random.default_rng(3).normal(0, 1, SHAPE)
    kernel = np.array([[0.25, 0.25], [0.25, 0.25]])
    data = ndimage.convolve(white, kernel, mode="wrap").astype(np.float32)
    found = empty_apertures(data, np.full(SHAPE, 0.25, np.float32), np.ones(SHAPE, bool), (1.0, 8.0))
    # A wide aperture has the noise of the white pixels: twice that of the smoothed ones.
    assert found.factor[1] == pytest.approx(1.93, abs=0.12)
    assert found.factor[0] < found.factor[1]


def test_objects_and_unusable_pixels_take_no_part():
    data = np.random.default_rng(4).normal(0, 1, SHAPE).astype(np.float32)
    empty = np.ones(SHAPE, bool)
    empty[100:150, 100:300] = False
    data[~empty] = 1e5
    found = empty_apertures(data, np.ones(SHAPE, np.float32), empty, (4.0,))
    assert found.factor[0] == pytest.approx(1.0, abs=0.12)


def test_a_tenth_of_a_circle_may_be_missing_as_if_all_circles_were_looked_at():
    rng = np.random.default_rng(5)
    shape, radius = (120, 160), 5.0
    empty = rng.random(shape) > 0.01
    empty[40:60, 30:90] = False
    data = rng.normal(0, 1, shape).astype(np.float32)
    found = empty_apertures(data, np.ones(shape, np.float32), empty, (radius,))
    # The grid of centres, and the part of each circle that is empty, by sampling it finely.
    places = np.arange(radius, max(shape) - 1 - radius, radius / 2)
    fine = (np.arange(-30, 31) / 30 * radius)[:, None]
    inside = fine**2 + fine.T**2 <= radius**2
    whole = 0
    for y in places[places < shape[0] - 1 - radius]:
        for x in places[places < shape[1] - 1 - radius]:
            covered = empty[np.rint(y + fine).astype(int), np.rint(x + fine.T).astype(int)][inside]
            whole += empty[round(y), round(x)] and covered.mean() >= 0.9
    assert found.number[0] == pytest.approx(whole * (radius / 2) ** 2 / (np.pi * radius**2), rel=0.05)


@pytest.mark.parametrize("radius", [1.0, 2.5, 6.0])
def test_circles_are_those_of_a_program_with_exact_edges_at_all_places_of_a_pixel(radius):
    data = np.random.default_rng(6).normal(50, 5, (60, 80)).astype(np.float32)
    field = apertures._Field(data, data, np.zeros(data.shape, np.uint8), 1)
    circles = apertures._Circles.of(field, radius, 1.1)
    sums = (circles.squares(data) * circles.shares[circles.place]).sum(axis=1)
    place = np.divmod(circles.place, apertures._PLACES)
    assert len(np.unique(circles.place)) == apertures._PLACES**2
    down, across = ((part + 0.5) / apertures._PLACES - 0.5 for part in place)
    reach = int(np.ceil(radius))
    exact, _, _ = sep.sum_circle(data, circles.column + reach + across, circles.row + reach + down, radius, subpix=0)
    np.testing.assert_allclose(sums, exact, rtol=3e-3)


def test_circles_stand_a_step_apart_in_rows_and_in_columns():
    y, x = np.indices((60, 80)).astype(np.float32)
    field = apertures._Field(y, y, np.zeros(y.shape, np.uint8), 1)
    circles = apertures._Circles.of(field, 3.0, 1.1)
    shares = circles.shares[circles.place]
    centres = [(circles.squares(axis) * shares).sum(axis=1) / shares.sum(axis=1) for axis in (y, x)]
    steps = [np.diff(np.unique(np.round(axis, 2))) for axis in centres]
    for axis in steps:
        # To a quarter of a pixel.
        assert axis.min() > 0.7
        assert axis.mean() == pytest.approx(1.1, abs=0.02)


def test_a_tenth_of_a_wide_circle_may_be_missing_and_no_more():
    rng = np.random.default_rng(5)
    planes = rng.normal(0, 1, SHAPE).astype(np.float32), np.ones(SHAPE, np.float32)
    numbers = [empty_apertures(*planes, rng.random(SHAPE) > share, (12.0,)).number[0] for share in (0, 0.06, 0.16)]
    assert numbers[1] > 0.7 * numbers[0] > 0
    assert numbers[2] == 0


def test_wide_circles_in_bins_measure_what_those_of_pixels_do(monkeypatch):
    ratios = []
    for seed in range(12):
        data = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, SHAPE), 0.7).astype(np.float32)
        empty = np.ones(SHAPE, bool)
        empty[90:110, 30:60] = False
        planes = data, np.full(SHAPE, data.var(), np.float32), empty
        bins = empty_apertures(*planes, (8.0,))
        with monkeypatch.context() as patch:
            patch.setattr(apertures, "_WIDE", np.inf)
            pixels = empty_apertures(*planes, (8.0,))
        assert bins.number[0] == pytest.approx(pixels.number[0], rel=0.05)
        ratios.append(bins.factor[0] / pixels.factor[0])
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)


def test_no_room_is_no_number():
    empty = np.zeros(SHAPE, bool)
    assert np.isnan(empty_apertures(np.zeros(SHAPE), np.ones(SHAPE), empty, (2.0,)).factor).all()
    empty[10:22, 10:22] = True
    found = empty_apertures(np.zeros(SHAPE), np.ones(SHAPE), empty, (1.0, 30.0))
    assert np.isnan(found.factor[1])


def test_only_a_significant_excess_replaces_the_prediction():
    measured = EmptyApertures(np.array([1.3, 1.3, 0.8, np.nan]), np.array([1000, 12, 1000, 0]))
    np.testing.assert_allclose(adopted_factors([1.1, 1.1, 1.1, 1.1], measured), [1.3, 1.1, 1.1, 1.1])
