"""The image of a point source, measured on stars."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import psf
from keyhole.imaging.psf import StarImage, empirical_psf, moffat_psf

SHAPE = (120, 200)
FWHM = 4.0


def gaussian(x, y, flux, widths=(FWHM, FWHM)):
    grid_y, grid_x = np.indices(SHAPE)
    sx, sy = (width / 2.3548 for width in widths)
    return flux * np.exp(-((grid_x - x) ** 2 / sx**2 + (grid_y - y) ** 2 / sy**2) / 2) / (2 * np.pi * sx * sy)


def image_of(x, y, light):
    """The star as it would be known if its fit were perfect."""
    rows, columns = np.indices(SHAPE)
    return StarImage(
        slice(0, SHAPE[0]),
        slice(0, SHAPE[1]),
        np.hypot(columns - x, rows - y),
        light,
        float(light.sum()),
        1.0,
        dx=0.0,
        dy=0.0,
        width=1.0,
        bright=True,
        good=True,
    )


def measured(places, stars, noise=1.0, extra=None):
    rng = np.random.default_rng(4)
    residual = rng.normal(0, noise, SHAPE).astype(np.float32)
    if extra is not None:
        residual += extra.astype(np.float32)
    return empirical_psf(
        residual,
        np.full(SHAPE, noise**2, np.float32),
        np.zeros(SHAPE, np.int32),
        names=np.arange(1, len(places) + 1),
        places=np.array(places, float),
        images=[image_of(x, y, star) for (x, y), star in zip(places, stars, strict=True)],
        start=moffat_psf(FWHM),
    )


def test_moffat_growth_is_that_of_the_formula():
    psf = moffat_psf(6.0)
    alpha = 6.0 / (2 * np.sqrt(2**0.4 - 1))
    radii = np.array([5.0, 9.0, 20.0])
    share = 1 - (1 + (radii / alpha) ** 2) ** -1.5
    share /= 1 - (1 + (psf.half / alpha) ** 2) ** -1.5
    assert psf.growth(radii) == pytest.approx(share, abs=0.006)
    assert psf.image.sum() == pytest.approx(1.0)
    assert psf.growth(np.array([1000.0])) == pytest.approx([1.0])


def test_profile_of_the_stars_replaces_the_usual_one():
    places = [(40.3, 50.6), (90.0, 60.2), (150.7, 40.4), (120.1, 90.9)]
    widths = (FWHM * 1.2, FWHM / 1.2)
    psf = measured(places, [gaussian(x, y, 1e5, widths) for x, y in places])
    grid = np.arange(-psf.half, psf.half + 1)
    truth = np.exp(-4 * np.log(2) * (grid**2 / widths[0] ** 2 + grid[:, None] ** 2 / widths[1] ** 2))
    truth /= truth.sum()
    assert np.abs(psf.image - truth).max() < 0.02 * truth.max()
    # Elongated stars have an elongated image.
    assert psf.image[psf.half, psf.half + 3] > 2 * psf.image[psf.half + 3, psf.half]


def test_neighbour_of_one_star_is_not_part_of_the_image():
    places = [(40.3, 50.6), (90.0, 60.2), (150.7, 40.4), (120.1, 90.9)]
    clean = measured(places, [gaussian(x, y, 1e5) for x, y in places])
    beside = gaussian(40.3 + 2.5 * FWHM, 50.6, 2e4)
    spoilt = measured(places, [gaussian(x, y, 1e5) for x, y in places], extra=beside)
    assert np.abs(spoilt.image - clean.image).max() < 0.01 * clean.image.max()


def test_faint_stars_leave_the_usual_wings():
    faint = measured([(100.0, 60.0)], [gaussian(100.0, 60.0, 300.0)])
    usual = moffat_psf(FWHM)
    far = np.array([4 * FWHM])
    assert faint.growth(far) == pytest.approx(usual.growth(far), abs=0.03)


def test_without_stars_the_start_remains():
    start = moffat_psf(FWHM)
    plane = np.zeros(SHAPE, np.float32)
    owner = np.zeros(SHAPE, np.int32)
    none = empirical_psf(
        plane, plane + 1, owner, names=np.zeros(0, int), places=np.zeros((0, 2)), images=[], start=start
    )
    outside = empirical_psf(
        plane,
        plane + 1,
        owner,
        names=np.array([1]),
        places=np.array([[-50.0, 5.0]]),
        images=[image_of(-50.0, 5.0, gaussian(5.0, 5.0, 100.0))],
        start=start,
    )
    assert none is start and outside is start


def test_image_reaches_as_far_as_the_star_shows():
    psf = moffat_psf(FWHM)
    assert psf.reach(1.0) < psf.reach(100.0) < psf.reach(1e6) <= psf.half
    assert psf.at(0.3, -0.4, 8).shape == (17, 17)
    assert psf.at(0.0, 0.0, 8) == pytest.approx(psf.image[psf.half - 8 : psf.half + 9, psf.half - 8 : psf.half + 9])


def test_pixels_of_other_stars_and_beyond_the_image_are_not_known_around_a_star():
    data, owner = np.ones((30, 40), np.float32), np.zeros((30, 40), np.int32)
    owner[10:14, 3:6] = 5
    owner[10:14, 6:8], data[10:14, 6:8] = 2, 1e6
    found = psf._centred(data, owner, 5, (4.0, 12.0), 5)
    assert found is not None
    values, seen = found
    expected = np.ones((11, 11), bool)
    expected[:, 0] = False
    expected[3:7, 7:9] = False
    np.testing.assert_array_equal(seen, expected)
    assert np.abs(values).max() < 2
    # Its own middle is that of another star.
    assert psf._centred(data, owner, 5, (6.0, 12.0), 5) is None
