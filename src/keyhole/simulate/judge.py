"""The separate verdicts on a reduced image: place, light, background, sources, saturation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.simulate.measure import (
    aperture_fluxes,
    centroids,
    circle_sum,
    common_shift,
    detect,
    empty_aperture_noise,
    nearest,
    robust_width,
)
from keyhole.simulate.product import Product
from keyhole.simulate.stars import MOFFAT_BETA, enclosed_fraction, moffat_alpha, paint_stars
from keyhole.simulate.streams import stream
from keyhole.simulate.true_stars import TrueStars
from keyhole.simulate.truth import APERTURE_FWHM, contamination

__all__ = [
    "Background",
    "Detections",
    "Photometry",
    "PositionErrors",
    "Saturation",
    "Scene",
    "background",
    "detections",
    "locate",
    "photometry",
    "position_errors",
    "saturation",
    "star_table",
]

_FLOATS = NDArray[np.float64]
_BOOLS = NDArray[np.bool_]

_BRIGHT = 30.0  # S/N from which stars judge flux and position
_VERY_BRIGHT = 100.0  # S/N from which they judge the width
_FOUND = 5.0  # S/N from which a star should be found
_SEARCH = 4.0  # arcsec, for the common shift against the WCS
_WIDE_SEARCH = 60.0  # arcsec, if that fails
_VOTERS = 60  # brightest stars and sources that look for the shift
_EMPTY = 0.05  # a pixel is empty if the stars leave less than this many sigma in it
_LEAST_EMPTY = 100
_FLAG_REACH = 3.0  # pixels
_CORE_FWHM = 0.8  # radius of the circle that, with the large one, tells the width


class Scene(NamedTuple):
    """An image with the true stars put on it.

    Attributes
    ----------
    product : Product
    variance : ndarray of float32, shape (ny, nx)
        Of the file, or the scatter of the image if the file has none.
    stars : TrueStars
    places : ndarray of float64, shape (n, 2)
        Where the stars should be after one common shift, pixels.
    inside : ndarray of bool, shape (n,)
        Stars on usable pixels.
    sources : ndarray of float64, shape (m, 3)
        Own detection: x, y, height.
    model : ndarray of float32, shape (ny, nx)
        Light of the true stars.
    """

    product: Product
    variance: NDArray[np.float32]
    stars: TrueStars
    places: _FLOATS
    inside: _BOOLS
    sources: _FLOATS
    model: NDArray[np.float32]


class Background(NamedTuple):
    """Median in sigma, sigma in electrons, scatter over sqrt(VAR) for pixels and for circles."""

    level: float
    sigma: float
    noise_ratio: float
    aperture_noise_ratio: float


class Photometry(NamedTuple):
    """Light of every star.

    Attributes
    ----------
    expected, flux, error, snr, ratio, pull : ndarray of float64, shape (n,)
        True light, measured light corrected to the whole star, its error, true light over error, measured
        over true, (measured - true) / error.
    measured : ndarray of bool, shape (n,)
        Isolated stars in the linear range whose circle is complete.
    judged : ndarray of bool, shape (n,)
        Those with S/N > 30.
    fwhm_ratio : float
    """

    expected: _FLOATS
    flux: _FLOATS
    error: _FLOATS
    snr: _FLOATS
    ratio: _FLOATS
    pull: _FLOATS
    measured: _BOOLS
    judged: _BOOLS
    fwhm_ratio: float


class PositionErrors(NamedTuple):
    """Common shift, rms and largest distance after it (arcsec), rms on the array (pixels), and each
    star's.
    """

    offset: float
    rms: float
    worst: float
    rms_pixel: float
    each: _FLOATS


class Detections(NamedTuple):
    """Share of the detectable stars that were found, their number, finder, and sources that are no stars."""

    share: float
    stars: int
    by: str
    false: int


class Saturation(NamedTuple):
    """True saturated stars on the image, flagged ones, ones whose light is still there."""

    stars: int
    flagged: int
    kept: int


def locate(product: Product, stars: TrueStars) -> Scene:
    """Find the true stars on the image: by its WCS, or by their pattern if that fails.

    Raises
    ------
    DataError
        They are not there.
    """
    variance = product.variance
    if variance is None:
        scatter = robust_width(product.data[product.usable].astype(np.float64))
        variance = np.full_like(product.data, max(np.nan_to_num(scatter), 1e-6) ** 2)
    sigma = np.sqrt(np.where(product.usable, variance, 1.0)).astype(np.float32)
    sources = detect(product.data, sigma, product.usable, fwhm=stars.mean_fwhm)
    places = _places(product, stars, sources)
    model = paint_stars(
        places,
        stars.electrons,
        fwhm=stars.mean_fwhm * stars.pixel_scale,
        pixel_scale=stars.pixel_scale,
        box=(slice(0, product.data.shape[0]), slice(0, product.data.shape[1])),
    )
    return Scene(product, variance, stars, places, _on(product.usable, places), sources, model)


def background(scene: Scene) -> Background:
    """Judge the pixels without stars."""
    sigma = np.sqrt(scene.variance)
    empty = scene.product.usable & (scene.model < _EMPTY * np.where(scene.product.usable, sigma, 1))
    if empty.sum() < _LEAST_EMPTY:
        return Background(*[math.nan] * 4)
    residual = scene.product.data - scene.model
    values = residual[empty].astype(np.float64)
    scatter = robust_width(values)
    rng = stream(scene.stars.seed, "empty apertures")
    radius = APERTURE_FWHM * scene.stars.mean_fwhm
    in_circles = empty_aperture_noise(residual, scene.variance, empty, radius=radius, rng=rng)
    known = scene.product.variance is not None
    return Background(
        level=float(np.median(values) / scatter),
        sigma=scatter,
        noise_ratio=robust_width(values / sigma[empty]) if known else math.nan,
        aperture_noise_ratio=in_circles if known else math.nan,
    )


def photometry(scene: Scene) -> Photometry:
    """Judge the light of the stars."""
    stars = scene.stars
    fwhm = stars.mean_fwhm
    radius = APERTURE_FWHM * fwhm
    data, usable = scene.product.data, scene.product.usable
    centres = centroids(data, usable, scene.places, fwhm=fwhm)
    # Faint stars are measured where they should be; their own centroid would follow the noise upwards.
    sums = aperture_fluxes(data, scene.variance, usable, scene.places, radius=radius, fwhm=fwhm, model=scene.model)
    inside = np.array([enclosed_fraction(radius, width) for width in stars.fwhm])
    foreign = contamination(scene.places, stars.electrons, radius=radius, fwhm=fwhm)
    flux, error = (sums.flux - foreign) / inside, sums.error / inside
    snr = np.divide(stars.electrons, error, out=np.zeros_like(error), where=error > 0)
    measured = stars.isolated & stars.linear & sums.complete & scene.inside
    judged = measured & (snr > _BRIGHT)
    very_bright = measured & (snr > _VERY_BRIGHT) & np.isfinite(centres[:, 0])
    core = aperture_fluxes(
        data, scene.variance, usable, centres, radius=_CORE_FWHM * fwhm, fwhm=fwhm, model=scene.model
    )
    shares = (core.flux / sums.flux)[very_bright]
    width = _width_ratio(shares, stars.fwhm[very_bright], fwhm=fwhm, scale=stars.pixel_scale)
    return Photometry(
        expected=stars.electrons,
        flux=flux,
        error=error,
        snr=snr,
        ratio=flux / stars.electrons,
        pull=np.divide(flux - stars.electrons, error, out=np.full_like(flux, np.nan), where=error > 0),
        measured=measured,
        judged=judged,
        fwhm_ratio=width,
    )


def position_errors(scene: Scene, light: Photometry) -> PositionErrors:
    """Judge the places of the bright isolated stars."""
    stars, product = scene.stars, scene.product
    centres = centroids(product.data, product.usable, scene.places, fwhm=stars.mean_fwhm)
    used = light.judged & np.isfinite(centres[:, 0])
    on_array = centres - stars.first
    rms_pixel = _spread(on_array[used])
    if product.wcs is None:
        each = on_array * stars.pixel_scale
        offset = math.nan
    else:
        sky = product.to_sky(np.nan_to_num(centres))
        east = (sky[:, 0] - stars.ra + 180) % 360 - 180
        each = np.column_stack([east * np.cos(np.radians(stars.dec)), sky[:, 1] - stars.dec]) * 3600
        each[~np.isfinite(centres[:, 0])] = np.nan
        offset = float(np.hypot(*each[used].mean(axis=0))) if used.any() else math.nan
    if not used.any():
        return PositionErrors(math.nan, math.nan, math.nan, math.nan, each)
    rest = each - each[used].mean(axis=0)
    return PositionErrors(offset, _spread(each[used]), float(np.hypot(*rest[used].T).max()), rms_pixel, rest)


def detections(scene: Scene) -> Detections:
    """Judge whether the stars are found, and nothing else."""
    stars = scene.stars
    catalogue = scene.product.catalogue
    found = scene.sources[:, :2] if catalogue is None else catalogue
    # Light of a star over its noise under optimal weights: noise pixels = 1 / integral of the squared
    # profile.
    alpha = moffat_alpha(stars.mean_fwhm)
    area = np.pi * alpha**2 * (2 * MOFFAT_BETA - 1) / (MOFFAT_BETA - 1) ** 2
    detectable = scene.inside & (stars.electrons > _FOUND * np.sqrt(_at(scene.variance, scene.places) * area))
    near = nearest(scene.places, found) < max(stars.mean_fwhm, 2.0)
    return Detections(
        share=float(near[detectable].mean()) if detectable.any() else math.nan,
        stars=int(detectable.sum()),
        by="own detection" if catalogue is None else "OBJCAT",
        false=int((nearest(found, scene.places) > 2 * stars.mean_fwhm).sum()),
    )


def saturation(scene: Scene) -> Saturation:
    """Judge what became of the saturated stars."""
    product, stars = scene.product, scene.stars
    on_image = stars.saturated & _on(np.isfinite(product.data), scene.places)
    flagged = kept = 0
    y, x = np.ogrid[: product.data.shape[0], : product.data.shape[1]]
    for number in np.flatnonzero(on_image):
        near = np.hypot(x - scene.places[number, 0], y - scene.places[number, 1]) <= _FLAG_REACH
        flagged += bool((product.saturated | product.nonlinear)[near].any())
        light = product.data[near & product.usable].sum(dtype=np.float64)
        kept += bool(light > 0.3 * scene.model[near].sum(dtype=np.float64))
    return Saturation(int(on_image.sum()), flagged, kept)


def star_table(scene: Scene, light: Photometry, errors: PositionErrors) -> tuple[dict[str, Any], ...]:
    """List every star that falls on the image."""
    stars = scene.stars
    return tuple(
        {
            "id": int(stars.numbers[k]),
            "mag": float(stars.mag[k]),
            "x": float(scene.places[k, 0]),
            "y": float(scene.places[k, 1]),
            "expected": float(light.expected[k]),
            "flux": float(light.flux[k]),
            "error": float(light.error[k]),
            "ratio": float(light.ratio[k]),
            "distance": float(np.hypot(*errors.each[k])),
            "isolated": bool(stars.isolated[k]),
            "judged": bool(light.judged[k]),
        }
        for k in np.flatnonzero(scene.inside)
    )


def _places(product: Product, stars: TrueStars, sources: _FLOATS) -> _FLOATS:
    ways = [] if product.wcs is None else [(product.to_pixel(stars.ra, stars.dec), _SEARCH)]
    ways += [(places, _WIDE_SEARCH) for places, _ in ways] + [(stars.first, _WIDE_SEARCH)]
    bright = np.argsort(-stars.electrons)
    for places, search in ways:
        reach = search / stars.pixel_scale
        ny, nx = product.data.shape
        near = (places > -reach).all(1) & (places[:, 0] < nx + reach) & (places[:, 1] < ny + reach)
        voters = [k for k in bright if near[k]][:_VOTERS]
        shift, votes = common_shift(
            places[voters], sources[:_VOTERS, :2], search=reach, tolerance=0.5 * stars.mean_fwhm
        )
        usable = int(_on(product.usable, places[voters] + shift).sum())
        if votes >= max(min(3, len(stars.numbers)), 0.25 * usable):
            return places + shift
    raise DataError(f"{product.name} does not show the stars of the truth; give the truth.ecsv of its own night.")


def _on(good: _BOOLS, places: _FLOATS) -> _BOOLS:
    """Say which places fall on good pixels."""
    return _at(good.astype(np.float32), places) > 0


def _at(image: NDArray[np.float32], places: _FLOATS) -> _FLOATS:
    """Give the values of the pixels at the places; 0 outside."""
    ny, nx = image.shape
    x, y = np.rint(np.nan_to_num(places, nan=-1e6, posinf=-1e6, neginf=-1e6)).astype(int).T
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    return np.where(inside, image[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)], 0.0).astype(np.float64)


def _spread(errors: _FLOATS) -> float:
    """Give the rms distance from the mean."""
    if not len(errors):
        return math.nan
    return float(np.sqrt(np.square(errors - errors.mean(axis=0)).sum(axis=1).mean()))


def _width_ratio(shares: _FLOATS, widths: _FLOATS, *, fwhm: float, scale: float) -> float:
    """Give the stars' width over the true one from the share of light in a small circle."""
    if not len(shares):
        return math.nan
    trial = np.linspace(0.5, 2.5, 401)
    small, large = _CORE_FWHM * fwhm, APERTURE_FWHM * fwhm
    pixels = _pixel_effect(small, large, fwhm=fwhm, scale=scale)
    ratios = []
    for share, width in zip(shares, widths, strict=True):
        # In a circle 1 / t as large a star looks like one t times as wide.
        curve = enclosed_fraction(small / trial, width) / enclosed_fraction(large / trial, width)
        ratios.append(np.interp(share / pixels, curve[::-1], trial[::-1]))
    return float(np.median(ratios))


def _pixel_effect(small: float, large: float, *, fwhm: float, scale: float) -> float:
    """Give the factor by which integration over pixels changes the share of light in a small circle."""
    half = math.ceil(large) + 2
    box = (slice(0, 2 * half + 1),) * 2
    centre = np.array([[half, half]], np.float64)
    star = paint_stars(centre, np.ones(1), fwhm=fwhm * scale, pixel_scale=scale, box=box)
    share = circle_sum(star, centre, small) / circle_sum(star, centre, large)
    return float(share[0] * enclosed_fraction(large, fwhm) / enclosed_fraction(small, fwhm))
