"""Smoothing without scipy.ndimage, against it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.imaging._smooth import gaussian, local_mean, running_sum


@pytest.mark.parametrize("shape", [(3, 5), (40, 7), (50, 700)])
@pytest.mark.parametrize("sigma", [0.1, 0.75, 1.6, 5.4])
def test_gaussian_is_that_of_ndimage(shape, sigma):
    image = np.random.default_rng(1).normal(0, 10, shape).astype(np.float32)
    np.testing.assert_allclose(
        gaussian(image, sigma), ndimage.gaussian_filter(image, sigma, mode="constant"), atol=1e-5 * np.abs(image).max()
    )


def test_a_running_sum_of_whole_width_is_a_uniform_filter_and_its_ends_count_in_part():
    image = np.random.default_rng(2).normal(0, 10, (20, 31)).astype(np.float32)
    np.testing.assert_allclose(
        running_sum(image, 5), 25 * ndimage.uniform_filter(image.astype(float), 5, mode="constant"), atol=1e-3
    )
    ones = np.ones((30, 30), np.float32)
    assert running_sum(ones, 5.25)[15, 15] == pytest.approx(5.25**2, rel=1e-6)


@pytest.mark.parametrize("box", [5, 21, 41])
def test_a_local_mean_follows_a_background_as_the_running_mean_does(box):
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:130, :170]
    background = 100 + 0.2 * x + 20 * np.sin(y / 60)
    image = (background + rng.normal(0, 5, background.shape)).astype(np.float32)
    used = rng.random(image.shape) > 0.2
    used[60:75, 30:50] = False
    both = [np.where(used, image, 0).astype(float), used.astype(float)]
    for _ in range(2):
        both = [ndimage.uniform_filter(plane, box, mode="constant") for plane in both]
    known = both[1] > 0.05
    plain = both[0][known] / both[1][known]
    found = local_mean(image, used, box)[known]
    # Both are noisy; they differ by less than the noise of either.
    assert np.std(found - plain) < 5 / box
    assert np.abs(np.mean(found - plain)) < 0.1
    nothing = np.zeros_like(used)
    assert not local_mean(image, nothing, box).any()
