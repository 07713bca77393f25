"""Regions of masks, against scipy.ndimage and loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.imaging._neighbours import near
from keyhole.imaging._regions import connected, disc, grown, peaks_among


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (37, 53)])
def test_connected_regions_are_those_of_ndimage(share, shape):
    mask = np.random.default_rng(3).random(shape) < share
    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    found = connected(mask)
    assert found.number == number
    np.testing.assert_array_equal(found.pixels, np.flatnonzero(mask))
    pairs = set(zip(labels.ravel()[found.pixels].tolist(), found.names.tolist(), strict=True))
    assert len(pairs) == number


def test_a_long_spiral_is_one_region():
    mask = np.zeros((41, 41), np.bool_)
    for k in range(0, 20, 4):
        mask[k, k : 41 - k] = mask[k : 41 - k, 40 - k] = mask[40 - k, k + 2 : 41 - k] = True
        mask[k + 4 : 41 - k, k + 2] = True
    assert connected(mask).number == ndimage.label(mask, structure=np.ones((3, 3)))[1]


@pytest.mark.parametrize("radius", [0.4, 1.0, 2.25, 4.0, 7.3])
def test_growth_by_a_disc_is_the_distance_to_the_next_pixel(radius):
    mask = np.random.default_rng(4).random((45, 60)) < 0.01
    np.testing.assert_array_equal(grown(mask, radius), ndimage.distance_transform_edt(~mask) <= radius)
    assert not grown(np.zeros_like(mask), radius).any()


@pytest.mark.parametrize("size", [1, 3, 9])
def test_growth_by_a_box_is_a_maximum_filter(size):
    mask = np.random.default_rng(5).random((30, 44)) < 0.02
    np.testing.assert_array_equal(near(mask, size // 2), ndimage.maximum_filter(mask, size))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_peaks_are_the_brightest_of_their_box(size):
    image = np.random.default_rng(6).normal(0, 1, (25, 31)).astype(np.float32)
    chosen = np.flatnonzero(image > 0.3)
    wanted = (image > 0.3) & (ndimage.maximum_filter(image, size) == image)
    np.testing.assert_array_equal(np.sort(peaks_among(image, chosen, size)), np.flatnonzero(wanted))


def test_a_disc_holds_the_pixels_within_its_radius():
    for square in (0, 1, 2, 24, 25, 26):
        whole = disc(square)
        reach = whole.shape[0] // 2
        for (y, x), inside in np.ndenumerate(whole):
            assert inside == ((y - reach) ** 2 + (x - reach) ** 2 <= square)
        assert whole[reach, 0]
