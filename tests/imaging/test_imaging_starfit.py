"""The light of all stars, each fitted to what the others leave."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging.psf import moffat_psf
from keyhole.imaging.starfit import StarFit, ring_medians

SHAPE = (120, 200)
FWHM = 4.0
PSF = moffat_psf(FWHM)
NOISE = 2.0


def star(x, y, flux, fwhm=FWHM):
    grid_y, grid_x = np.indices(SHAPE)
    alpha = fwhm / (2 * np.sqrt(2**0.4 - 1))
    return flux * 1.5 / (np.pi * alpha**2) * (1 + ((grid_x - x) ** 2 + (grid_y - y) ** 2) / alpha**2) ** -2.5


def fitted(image, places, heights, hidden=None):
    fit = StarFit(
        image.astype(np.float32),
        np.full(SHAPE, NOISE**2, np.float32),
        np.zeros(SHAPE, bool) if hidden is None else hidden,
        PSF,
    )
    fit.add(np.array(places, float), np.array(heights, float))
    fit.run(3)
    return fit


def test_light_of_overlapping_stars_is_told_apart():
    places, fluxes = [(60.2, 60.4), (67.0, 60.0), (140.0, 50.5)], [40000.0, 3000.0, 500.0]
    rng = np.random.default_rng(2)
    image = rng.normal(0, NOISE, SHAPE) + sum(star(x, y, f) for (x, y), f in zip(places, fluxes, strict=True))
    fit = fitted(image, places, [2000, 160, 30])
    for found, flux in zip(fit.images, fluxes, strict=True):
        assert found is not None and found.good
        assert found.flux == pytest.approx(flux, abs=4 * found.error + 0.01 * flux)
        assert found.snr == pytest.approx(found.flux / found.error)
    assert fit.residual.std() < 1.3 * NOISE


def test_bright_star_beside_its_place_and_wider_than_usual_is_still_taken_away():
    image = star(100.3, 60.2, 50000.0, fwhm=1.06 * FWHM)
    fit = fitted(image, [(100.0, 60.0)], [2500])
    (found,) = fit.images
    assert found is not None and found.good and found.bright
    assert (found.dx, found.dy) == pytest.approx((0.3, 0.2), abs=0.05)
    assert np.abs(fit.residual).max() < 0.03 * image.max()


def test_what_is_no_star_is_called_so():
    image = star(60.0, 60.0, 30000.0, fwhm=3 * FWHM)
    (wide,) = fitted(image, [(60.0, 60.0)], [200]).images
    assert wide is not None and not wide.good
    (hole,) = fitted(-image, [(60.0, 60.0)], [200]).images
    assert hole is None
    (nothing,) = fitted(image, [(60.0, 60.0)], [0.0]).images
    assert nothing is None
    (outside,) = fitted(image, [(-40.0, 60.0)], [100.0]).images
    assert outside is None


def test_star_without_core_is_fitted_by_its_wings():
    image = star(100.0, 60.0, 50000.0)
    hidden = image > 0.2 * image.max()
    (found,) = fitted(np.where(hidden, 0, image), [(100.0, 60.0)], [2500], hidden).images
    assert found is not None and not found.good
    assert found.flux == pytest.approx(50000.0, rel=0.05)


def test_removed_stars_give_their_light_back():
    image = star(60.0, 60.0, 30000.0) + star(120.0, 60.0, 800.0)
    fit = fitted(image, [(60.0, 60.0), (120.0, 60.0)], [1500, 40])
    assert fit.residual[60, 120] < 0.1 * image[60, 120]
    fit.remove(np.array([1]))
    assert len(fit.images) == 1
    assert fit.residual[60, 120] == pytest.approx(image[60, 120], rel=0.05)


def test_later_stars_alone_are_fitted_and_moved_to_their_places():
    image = star(60.0, 60.0, 30000.0) + star(120.4, 60.3, 3000.0)
    fit = fitted(image, [(60.0, 60.0)], [1500])
    before = fit.images[0]
    fit.add(np.array([[121.0, 60.0]]), np.array([150.0]), reach=8)
    fit.run(1, first=1)
    assert fit.images[0] is before
    assert fit.images[1] is not None and fit.images[1].light.shape == (17, 17)
    assert fit.wide_light(1, 1.5 * FWHM) == pytest.approx([0.88], abs=0.05)
    (moved,) = fit.offsets(1)
    assert moved == pytest.approx((-0.6, 0.3), abs=0.15)


def test_ring_medians_are_those_of_plain_loops():
    rng = np.random.default_rng(8)
    ring = rng.integers(0, 7, (20, 30))
    ring[ring == 4] = 5
    values, seen = rng.normal(size=ring.shape), rng.random(ring.shape) < 0.7
    middle, number = ring_medians(ring, values, seen)
    for k in range(7):
        own = values[(ring == k) & seen]
        assert number[k] == own.size
        assert middle[k] == pytest.approx(np.median(own) if own.size else 0.0)
    middle, number = ring_medians(ring, values, np.zeros(ring.shape, bool))
    assert not middle.any() and not number.any()
