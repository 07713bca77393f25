"""The verdict on the light of the stars, in circles on the pixels and in the file's own catalogue."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.judge.scene import Scene
from keyhole.simulate.measure import aperture_fluxes, centroids, circle_sum
from keyhole.simulate.stars import enclosed_fraction, paint_stars
from keyhole.simulate.truth import APERTURE_FWHM, contamination

__all__ = ["BRIGHT", "Catalogued", "Circle", "Photometry", "catalogued", "photometry"]

_FLOATS = NDArray[np.float64]
_BOOLS = NDArray[np.bool_]

BRIGHT = 30.0
"""S/N from which stars judge flux and position."""

_VERY_BRIGHT = 100.0  # S/N from which they judge the width
_CORE_FWHM = 0.8  # radius of the circle that, with the large one, tells the width
_SMALL_FWHM = 1.0  # radius of the circle in which faint stars are measured
_MOST_FOREIGN = 0.1  # of the star's own light in that circle
_WIDE = 9.0  # pixels: the ring of the background is at least so wide


class Circle(NamedTuple):
    """Light of every star in circles of one radius; arrays of shape (n,).

    Attributes
    ----------
    ratio, error : ndarray of float64
        Measured over true light, and its error from VAR and the file's correlation factor.
    clean : ndarray of bool
        Stars in the linear range, alone in the circle, whose circle is complete.
    """

    ratio: _FLOATS
    error: _FLOATS
    clean: _BOOLS

    @property
    def snr(self) -> _FLOATS:
        """True light over its error."""
        return np.divide(1.0, self.error, out=np.zeros_like(self.error), where=self.error > 0)

    @property
    def pull(self) -> _FLOATS:
        """(Measured - true) / error."""
        return (self.ratio - 1.0) * self.snr


class Photometry(NamedTuple):
    """Light of every star.

    Attributes
    ----------
    expected : ndarray of float64, shape (n,)
        True light in the mean of the frames that see the star, electrons.
    wide, small : Circle
        In circles of 2.5 times and once the seeing.
    clear_ratio : ndarray of float64, shape (n,)
        Measured light over that at transparency 1: one number for the whole image if all has one zero point.
    judged : ndarray of bool, shape (n,)
        Clean stars with S/N > 30 in the wide circle.
    fwhm_ratio : float
    """

    expected: _FLOATS
    wide: Circle
    small: Circle
    clear_ratio: _FLOATS
    judged: _BOOLS
    fwhm_ratio: float


class Catalogued(NamedTuple):
    """Stars in the file's own catalogue; arrays of shape (n,), NaN where it does not list the star.

    Attributes
    ----------
    ratio, error : ndarray of float64
        FLUX_AUTO and FLUXERR_AUTO over the true light, both divided by `aperture`.
    aperture : float
        Median share of the light of bright stars that the catalogue's apertures hold.
    flagged : ndarray of bool, shape (n,)
        Whether the catalogue says that something is doubtful about the star: neighbours, an edge, saturation.
    """

    ratio: _FLOATS
    error: _FLOATS
    aperture: float
    flagged: _BOOLS


def photometry(scene: Scene) -> Photometry:
    """Judge the light of the stars."""
    stars = scene.stars
    fwhm = stars.mean_fwhm
    alone = stars.isolated & stars.linear & scene.inside
    wide = _circle(scene, APERTURE_FWHM * fwhm, alone)
    radius = _SMALL_FWHM * fwhm
    foreign = contamination(scene.places, stars.electrons, radius=radius, fwhm=fwhm)
    own = stars.electrons * enclosed_fraction(radius, fwhm)
    small = _circle(scene, radius, stars.linear & scene.inside & (foreign < _MOST_FOREIGN * own))
    return Photometry(
        expected=stars.electrons,
        wide=wide,
        small=small,
        clear_ratio=np.divide(
            wide.ratio * stars.electrons, stars.clear, out=np.full_like(wide.ratio, np.nan), where=stars.clear > 0
        ),
        judged=wide.clean & (wide.snr > BRIGHT),
        fwhm_ratio=_fwhm_ratio(scene, wide.clean & (wide.snr > _VERY_BRIGHT)),
    )


def catalogued(scene: Scene, light: Photometry) -> Catalogued | None:
    """Judge fluxes and errors of the file's own catalogue; None if it has none.

    Its apertures miss some light of every star; what they hold of the bright ones is taken as known.
    """
    table, stars = scene.product.catalogue, scene.stars
    if table is None or not len(table) or not len(stars.numbers) or not np.isfinite(table[:, 2]).any():
        return None
    gaps = np.hypot(*(scene.places[:, None, :] - table[None, :, :2]).transpose(2, 0, 1))
    nearest = gaps.argmin(axis=1)
    mutual = gaps.argmin(axis=0)[nearest] == np.arange(len(nearest))
    matched = mutual & (gaps.min(axis=1) < max(stars.mean_fwhm / 2, 2.0))
    flux, error = (np.where(matched, table[nearest, k] / stars.electrons, np.nan) for k in (2, 3))
    bright = matched & light.judged
    aperture = float(np.median(flux[bright])) if bright.any() else math.nan
    flagged = matched & (np.nan_to_num(table[nearest, 4]) > 0)
    return Catalogued(flux / aperture, error / aperture, aperture, flagged)


def _circle(scene: Scene, radius: float, alone: _BOOLS) -> Circle:
    """Compare the light in circles with what a perfect stack has in them."""
    if not len(scene.places):
        return Circle(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    stars, product = scene.stars, scene.product
    # The model is taken out first: what is left is the error, of neighbours and edges too.
    residual = product.data - scene.model
    nothing = np.zeros_like(scene.model)
    sums = aperture_fluxes(
        residual,
        scene.variance,
        product.usable,
        scene.places,
        radius=radius,
        fwhm=stars.mean_fwhm,
        model=nothing,
        noise_factors=(product.noise_factor(radius), product.noise_factor(_WIDE)),
        # Not the fault of the reduction, and not to be counted as light of the stars.
        curved=stars.nebulous,
    )
    there = np.where(scene.places > -radius, scene.places, -radius)
    total = circle_sum(scene.model, there, radius)
    foreign = contamination(scene.places, stars.electrons, radius=radius, fwhm=stars.mean_fwhm)
    own = np.maximum(total - foreign, 1e-9)
    return Circle(1.0 + sums.flux / own, sums.error / own, alone & sums.complete)


def _fwhm_ratio(scene: Scene, chosen: _BOOLS) -> float:
    """Give the width of bright stars over the true one from the share of light in a small circle."""
    if not chosen.any():
        return math.nan
    stars, product = scene.stars, scene.product
    fwhm = stars.mean_fwhm
    small, large = _CORE_FWHM * fwhm, APERTURE_FWHM * fwhm
    places = centroids(product.data, product.usable, scene.places, fwhm=fwhm)
    known = chosen & np.isfinite(places[:, 0])
    core, total = (
        aperture_fluxes(
            product.data, scene.variance, product.usable, places, radius=radius, fwhm=fwhm, model=scene.model
        ).flux
        for radius in (small, large)
    )
    shares = (core / total)[known]
    trial = np.linspace(0.5, 2.5, 401)
    pixels = _pixel_effect(small, large, fwhm=fwhm, scale=stars.pixel_scale)
    ratios = []
    for share, width in zip(shares, stars.fwhm[known], strict=True):
        # In a circle 1 / t as large a star looks like one t times as wide.
        curve = enclosed_fraction(small / trial, width) / enclosed_fraction(large / trial, width)
        ratios.append(np.interp(share / pixels, curve[::-1], trial[::-1]))
    return float(np.median(ratios)) if ratios else math.nan


def _pixel_effect(small: float, large: float, *, fwhm: float, scale: float) -> float:
    """Give the factor by which integration over pixels changes the share of light in a small circle."""
    half = math.ceil(large) + 2
    box = (slice(0, 2 * half + 1),) * 2
    centre = np.array([[half, half]], np.float64)
    star = paint_stars(centre, np.ones(1), fwhm=fwhm * scale, pixel_scale=scale, box=box)
    share = circle_sum(star, centre, small) / circle_sum(star, centre, large)
    return float(share[0] * enclosed_fraction(large, fwhm) / enclosed_fraction(small, fwhm))
