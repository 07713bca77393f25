from __future__ import annotations

import numpy as np
import pytest

from keyhole.simulate.stars import enclosed_fraction, moffat_alpha, paint_stars, peak_fraction

BOX = (slice(0, 201), slice(0, 203))


def painted(x=100.3, y=99.6, fwhm=0.6, flux=1000.0, box=BOX):
    return paint_stars(np.array([[x, y]]), np.array([flux]), fwhm=fwhm, pixel_scale=0.1517, box=box).astype(np.float64)


def test_a_star_keeps_its_light():
    # What is outside of the painted square of 24 arcsec is known.
    assert painted().sum() == pytest.approx(1000.0, rel=1e-4)


def test_a_star_has_its_place_and_width():
    image = painted()
    y, x = np.mgrid[:201, :203]
    near = np.hypot(x - 100.3, y - 99.6) < 30
    assert np.average(x[near], weights=image[near]) == pytest.approx(100.3, abs=2e-3)
    assert np.average(y[near], weights=image[near]) == pytest.approx(99.6, abs=2e-3)
    half_light = image[np.hypot(x - 100.3, y - 99.6) < 6.0].sum()
    assert half_light == pytest.approx(1000.0 * enclosed_fraction(6.0, 0.6 / 0.1517), rel=0.01)


def test_pixels_hold_the_integral_of_the_profile():
    fwhm, alpha = 3.0, moffat_alpha(3.0)
    fine = (np.arange(1001) / 1000 - 0.5) + 0.0
    xx, yy = np.meshgrid(fine, fine)
    profile = 2.0 / (np.pi * alpha**2) * (1 + (xx**2 + yy**2) / alpha**2) ** -3
    assert peak_fraction(fwhm) == pytest.approx(profile.mean(), rel=1e-3)
    star = painted(100.0, 100.0, fwhm=fwhm * 0.1517, flux=1.0)
    assert star[100, 100] == pytest.approx(peak_fraction(fwhm), rel=1e-4)


def test_full_width_is_at_half_maximum():
    alpha = moffat_alpha(4.0)
    assert (1 + (2.0 / alpha) ** 2) ** -3 == pytest.approx(0.5)


def test_a_part_of_the_array_is_painted_as_in_the_whole():
    part = (slice(80, 120), slice(90, 130))
    assert np.array_equal(painted(box=part), painted()[part])


def test_stars_outside_leave_nothing_and_do_no_harm():
    assert not painted(x=-500.0).any()
    assert painted(x=-3.0, y=50.0).sum() > 0
