"""Statistics of neighbours against plain ways to the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.imaging._neighbours import local_median, median_at, near, near_places, outnumbered_near


@pytest.mark.parametrize("radius", [1, 2, 7])
def test_median_at_some_places_is_the_local_median_there(radius: int) -> None:
    rng = np.random.default_rng(radius)
    data = rng.normal(size=(14, 19)).astype(np.float32)
    usable = rng.random(data.shape) < 0.5
    everywhere, counts = local_median(data, usable, radius=radius)
    rows, columns = np.nonzero(rng.random(data.shape) < 0.3)
    value, count = median_at(data, usable, rows, columns, radius=radius)
    np.testing.assert_array_equal(count, counts[rows, columns])
    np.testing.assert_allclose(value, np.where(count > 0, everywhere[rows, columns], 1))


def test_median_without_neighbours_is_one_and_nowhere_is_nothing() -> None:
    data, one = np.full((5, 5), 7, np.float32), np.array([2])
    value, count = median_at(data, np.zeros((5, 5), bool), one, one, radius=2)
    assert (value.tolist(), count.tolist()) == ([1], [0])
    value, count = median_at(data, np.ones((5, 5), bool), one[:0], one[:0], radius=2)
    assert value.shape == count.shape == (0,)


@pytest.mark.parametrize("radius", [0, 1, 3, 20])
def test_near_is_a_dilation(radius: int) -> None:
    region = np.random.default_rng(radius).random((12, 17)) < 0.1
    before = region.copy()
    square = np.ones((2 * radius + 1,) * 2)
    np.testing.assert_array_equal(near(region, radius), ndimage.binary_dilation(region, square))
    np.testing.assert_array_equal(region, before)


@pytest.mark.parametrize("radius", [1, 3, 15])
@pytest.mark.parametrize("shape", [(7, 9), (40, 50), (90, 130)])
def test_outnumbered_is_a_comparison_of_two_counts(radius: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(radius)
    square = np.ones((2 * radius + 1,) * 2)
    for half in (0.5, 0.1):
        few = rng.random(shape) < 0.4
        many = ~few & (rng.random(shape) < 0.9)
        many[:, int(half * shape[1]) :] = False
        counts = [ndimage.convolve(region.astype(int), square, mode="constant") for region in (few, many)]
        np.testing.assert_array_equal(outnumbered_near(few, many, radius), counts[0] < counts[1])


def test_nothing_outnumbers_where_there_is_nothing() -> None:
    nothing = np.zeros((8, 9), bool)
    assert not outnumbered_near(nothing, nothing, 3).any()
    assert not outnumbered_near(~nothing, nothing, 3).any()


@pytest.mark.parametrize("number", [0, 1, 30, 3000])
@pytest.mark.parametrize("radius", [1, 3])
def test_what_is_near_a_few_places_is_found_as_near_does(number, radius):
    rng = np.random.default_rng(number + radius)
    region = np.zeros((300, 260), bool)
    region.ravel()[rng.integers(0, region.size, number)] = True
    region[[0, -1, 0], [0, -1, -1]] = number > 1
    found = near_places(np.flatnonzero(region), region.shape, radius)
    np.testing.assert_array_equal(found, np.flatnonzero(near(region, radius)))
