"""What clipping leaves to stars: light of the median within reach, nothing elsewhere."""

from __future__ import annotations

import numpy as np
from sky_scene import moffat

from keyhole.imaging.bits import NO_DATA, UNILLUMINATED
from keyhole.imaging.combine import Middle, combine
from keyhole.imaging.starlight import starlight

SHAPE = (60, 80)


def images(fwhms, *, flux=2e5, sigma=10.0, seed=4):
    rng = np.random.default_rng(seed)
    data = [(moffat(SHAPE, 40.2, 30.3, flux, f) + rng.normal(0, sigma, SHAPE)).astype(np.float32) for f in fwhms]
    return data, [np.full(SHAPE, sigma**2, np.float32)] * len(fwhms)


def middle_of(data, variance, masks=None):
    found = combine(data, variance, masks, operation="median", reject_method="none")
    return Middle(found.data, found.variance, found.mask)


def test_starlight_is_the_maximum_of_the_median_within_reach() -> None:
    data, variance = images([4.0] * 9)
    light = starlight(middle_of(data, variance), reach=5)
    median = np.median(data, axis=0)
    assert light[30, 40] == np.float32(median.max() - np.median(median))
    assert light[30, 45] == light[30, 40] > light[30, 47] > 0
    assert (light[:8, :8] == 0).mean() > 0.6


def test_hit_in_one_image_is_no_starlight() -> None:
    data, variance = images([4.0] * 5, flux=1.0)
    data[2][20, 20] = 1e5
    assert starlight(middle_of(data, variance), reach=3)[20, 20] < 100


def test_dark_and_empty_images_have_none() -> None:
    data, variance = images([4.0] * 3)
    masks = [np.full(SHAPE, UNILLUMINATED | NO_DATA, np.uint16)] * 3
    assert not starlight(middle_of(data, variance, masks), reach=3).any()
    assert starlight(middle_of(data, None), reach=3).shape == SHAPE


def test_stars_are_not_clipped_when_the_seeing_triples_but_outliers_are() -> None:
    data, variance = images([3.0, 5.0, 5.5, 6.0, 5.0, 9.0, 5.2])
    trail = np.s_[10:13, :]
    data[3] = data[3].copy()
    data[3][trail] += 120
    clip = {"operation": "mean", "reject_method": "varclip", "lsigma": 4, "hsigma": 4}
    out = combine(data, variance, None, **clip, allowed=lambda middle: 3 * starlight(middle, reach=6))
    star = np.s_[18:43, 28:53]
    assert out.unused[star].sum() <= 1
    assert out.data[trail].mean() < 6
    assert combine(data, variance, None, **clip).unused[star].sum() > 50
