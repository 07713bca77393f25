"""Cross correlation of diffuse frames with known shifts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.errors import AlgorithmError
from keyhole.imaging.correlate import cross_correlate


def nebula(shape, dx, dy):
    """A smooth field without separate sources, moved by (dx, dy)."""
    j, i = np.mgrid[: shape[0], : shape[1]].astype(float)
    rng = np.random.default_rng(4)
    image = np.zeros(shape)
    for x, y, width, height in zip(
        rng.uniform(0, shape[1], 25),
        rng.uniform(0, shape[0], 25),
        rng.uniform(3, 6, 25),
        rng.uniform(20, 60, 25),
        strict=True,
    ):
        image += height * np.exp(-((i - x - dx) ** 2 + (j - y - dy) ** 2) / (2 * width**2))
    return image


def test_shift_of_a_diffuse_field_is_found_through_the_masks():
    rng = np.random.default_rng(9)
    shape, shift = (80, 160), (7.4, -3.3)
    reference = nebula(shape, 0, 0) + rng.normal(0, 10, shape)
    image = nebula(shape, *shift) + rng.normal(0, 10, shape) + 500.0
    masks = np.zeros((2, *shape), np.uint16)
    masks[:, :10] = masks[:, -10:] = 64
    for plane, mask in zip((reference, image), masks, strict=True):
        mask[rng.random(shape) < 0.02] = 1
        plane[mask > 0] = 1e5
    copies = reference.copy(), image.copy()
    found = cross_correlate(reference, image, (masks[0], masks[1]), expected=(5.0, -1.0), search_radius=10)
    assert (found.dx, found.dy) == pytest.approx(shift, abs=0.4)
    assert 0.3 < found.coefficient < 1
    np.testing.assert_array_equal(copies, (reference, image))


def test_smooth_frames_without_noise_give_a_tenth_of_a_pixel():
    shape = (60, 90)
    masks = (np.zeros(shape, np.uint16), np.zeros(shape, np.uint16))
    found = cross_correlate(nebula(shape, 0, 0), nebula(shape, 1.3, 0.6), masks, expected=(0, 0), search_radius=8)
    assert (found.dx, found.dy) == pytest.approx((1.3, 0.6), abs=0.1)
    assert found.coefficient == pytest.approx(1.0, abs=0.02)


def test_coefficient_is_that_of_the_overlapping_usable_pixels():
    rng = np.random.default_rng(1)
    shape = (30, 40)
    reference = ndimage.gaussian_filter(rng.normal(size=shape), 1.0) * 10
    image = np.roll(reference, (2, -3), (0, 1)) + rng.normal(0, 0.3, shape)
    masks = (rng.random((2, *shape)) < 0.1).astype(np.uint16)
    found = cross_correlate(reference, image, (masks[0], masks[1]), expected=(0, 0), search_radius=6)
    a, b = reference[:-2, 3:], image[2:, :-3]
    both = (masks[0][:-2, 3:] == 0) & (masks[1][2:, :-3] == 0)
    assert found.coefficient == pytest.approx(np.corrcoef(a[both], b[both])[0, 1], abs=1e-9)


def test_frames_without_common_structure_have_no_shift():
    rng = np.random.default_rng(5)
    reference, image = rng.normal(size=(2, 60, 80))
    empty = np.zeros((60, 80), np.uint16)
    assert cross_correlate(reference, image, (empty, empty), expected=(0, 0), search_radius=10) is None
    dark = np.full((60, 80), 64, np.uint16)
    assert cross_correlate(reference, reference, (empty, dark), expected=(0, 0), search_radius=10) is None
    assert cross_correlate(reference, reference, (empty, empty), expected=(500, 0), search_radius=10) is None


def test_wrong_input_of_the_correlation_is_named():
    plane = np.zeros((5, 5))
    with pytest.raises(AlgorithmError, match="does not fit"):
        cross_correlate(plane, plane, (np.zeros((4, 5), np.uint16),) * 2, expected=(0, 0), search_radius=3)
    with pytest.raises(AlgorithmError, match="2 pixels"):
        cross_correlate(plane, plane, (np.zeros((5, 5), np.uint16),) * 2, expected=(0, 0), search_radius=1)
