"""Filters of images, each against the slow function that it replaces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.imaging._filters import doubled, maximum_in_box, moved, spline_coefficients, summed_in_twos


@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (1, 9)])
def test_squares_of_two_are_summed_and_an_odd_end_stands_alone(shape):
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    even = np.pad(image, [(0, n % 2) for n in shape])
    plain = even.reshape(even.shape[0] // 2, 2, -1, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(summed_in_twos(image), plain, rtol=1e-5, atol=1e-6)
    counts = (image > 0).view(np.uint8)
    assert summed_in_twos(counts).sum() == counts.sum()


@pytest.mark.parametrize("shape", [(10, 12), (9, 11), (2, 1)])
def test_doubled_image_is_linear_between_the_middles(shape):
    small = [-(-n // 2) for n in shape]
    image = np.random.default_rng(2).normal(size=small).astype(np.float32)
    at = [np.clip((np.arange(n) - 0.5) / 2, 0, m - 1) for n, m in zip(shape, small, strict=True)]
    plain = ndimage.map_coordinates(image.astype(np.float64), np.meshgrid(*at, indexing="ij"), order=1)
    np.testing.assert_allclose(doubled(image, shape), plain, atol=1e-6)


def test_doubled_slope_is_a_slope():
    image = np.tile(np.arange(0.5, 20, 2, dtype=np.float32), (4, 1))
    np.testing.assert_allclose(doubled(image, (8, 20))[:, 1:-1], np.tile(np.arange(1, 19), (8, 1)), rtol=1e-6)


@pytest.mark.parametrize("reach", [0, 1, 2, 3, 7, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("shape", [(30, 41), (150, 700), (1, 9), (9, 1)])
def test_maximum_in_a_box_is_that_of_scipy(reach, dtype, shape):
    image = np.random.default_rng(3).integers(0, 1000, shape).astype(dtype)
    before = image.copy()
    plain = ndimage.maximum_filter(image, 2 * reach + 1, mode="constant")
    np.testing.assert_array_equal(maximum_in_box(image, reach), plain)
    np.testing.assert_array_equal(image, before)


def test_spline_coefficients_are_those_of_scipy():
    image = np.random.default_rng(4).normal(size=(40, 31))
    np.testing.assert_allclose(spline_coefficients(image), ndimage.spline_filter(image, 3), atol=1e-6)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.3, -0.5), (-0.49, 0.2), (1.2, -1.7)])
def test_moved_image_is_that_of_scipy(dx, dy):
    image = np.random.default_rng(5).normal(size=(40, 31))
    plain = ndimage.shift(image, (dy, dx), order=3)[4:-4, 4:-4]
    np.testing.assert_allclose(moved(spline_coefficients(image), dx, dy, 4), plain, atol=1e-5)
