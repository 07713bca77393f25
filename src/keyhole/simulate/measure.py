"""Measuring stars and background on an image, independently of the reduction."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import sep
from numpy.typing import NDArray

from keyhole.simulate.statistics import robust_width

__all__ = [
    "Apertures",
    "EmptyApertures",
    "aperture_fluxes",
    "centroids",
    "circle_sum",
    "common_shift",
    "detect",
    "empty_aperture_noise",
    "nearest",
]

_FLOATS = NDArray[np.float64]
_BOOLS = NDArray[np.bool_]

_ANNULUS = (4.5, 7.5)  # local background: radii in units of the seeing
_LEAST_ANNULUS = 50  # pixels
_DETECTION = 4.5  # sigma
_KERNEL_REACH = 1.5  # radius of the kernel in units of the width
_CUT_PIXELS = 0.30
"""Part, over the radius, by which cut pixels lower the variance of a sum: a pixel of which a share w is taken adds
w**2 of its variance, not w.  Mean over all places of the centre.
"""
_EMPTY_APERTURES = 4000
_FEWEST_APERTURES = 10
_MOST_MISSING = 0.1  # of the area


class EmptyApertures(NamedTuple):
    """Noise of empty apertures over that of their pixels together, and how many of them are independent."""

    ratio: float
    number: float


class Apertures(NamedTuple):
    """Light in apertures.

    Attributes
    ----------
    flux : ndarray of float64, shape (n,)
        Electrons above the local background.
    error : ndarray of float64, shape (n,)
        From the variance of the pixels and of the background.
    complete : ndarray of bool, shape (n,)
        All pixels of the aperture are usable, and the background was found.
    """

    flux: _FLOATS
    error: _FLOATS
    complete: _BOOLS


def detect(data: NDArray[np.float32], sigma: NDArray[np.float32], usable: _BOOLS, *, fwhm: float) -> _FLOATS:
    """Find point sources as peaks of the image under a Gaussian that is lowered to volume zero (Stetson 1987).

    The lowered kernel ignores background and slopes, so that the wings of bright stars hide nothing and make up
    nothing.

    Parameters
    ----------
    data, sigma : ndarray of float32, shape (ny, nx)
        Image and its noise.
    usable : ndarray of bool, shape (ny, nx)
        Pixels that count.
    fwhm : float
        Width of the stars, pixels.

    Returns
    -------
    ndarray of float64, shape (n, 3)
        x, y (first pixel is 0) and height of each, brightest first.
    """
    from scipy.ndimage import maximum_filter
    from scipy.signal import oaconvolve

    half = math.ceil(_KERNEL_REACH * fwhm)
    grid = np.arange(-half, half + 1)
    square = grid[:, None] ** 2 + grid**2
    disc = square <= (_KERNEL_REACH * fwhm) ** 2
    kernel = np.where(disc, np.exp(-4 * np.log(2) * square / fwhm**2), 0.0)
    kernel[disc] -= kernel[disc].mean()
    clean = np.where(usable, data, 0).astype(np.float64)
    noise = np.where(usable, sigma, 0).astype(np.float64) ** 2
    height = oaconvolve(clean, kernel, mode="same") / (kernel**2).sum()
    spread = np.sqrt(np.maximum(oaconvolve(noise, kernel**2, mode="same"), 0.0)) / (kernel**2).sum()
    highest = height == maximum_filter(height, footprint=square <= fwhm**2)
    rows, columns = np.nonzero(highest & usable & (spread > 0) & (height > _DETECTION * spread))
    order = np.argsort(-height[rows, columns])
    found = np.column_stack([columns, rows, height[rows, columns]]).astype(np.float64)[order]
    centres = centroids(data, usable, found[:, :2], fwhm=fwhm)
    better = np.isfinite(centres).all(axis=1)
    found[better, :2] = centres[better]
    return found


def common_shift(expected: _FLOATS, found: _FLOATS, *, search: float, tolerance: float) -> tuple[_FLOATS, int]:
    """Find the shift that brings most expected places onto found ones.

    Parameters
    ----------
    expected, found : ndarray of float64, shape (n, 2) and (m, 2)
        Pixels.
    search : float
        Largest shift considered along each axis.
    tolerance : float
        Distance at which two places are the same.

    Returns
    -------
    shift : ndarray of float64, shape (2,)
        To be added to `expected`.
    votes : int
        Pairs that agree with it.
    """
    differences = (found[None, :, :] - expected[:, None, :]).reshape(-1, 2)
    near = differences[np.max(np.abs(differences), axis=1, initial=0.0) <= search]
    if not len(near):
        return np.zeros(2), 0
    agree = np.hypot(near[:, None, 0] - near[None, :, 0], near[:, None, 1] - near[None, :, 1]) <= tolerance
    # With equal votes the smaller shift is the likelier one.
    votes = agree.sum(axis=1)
    best = int(np.lexsort((np.hypot(*near.T), -votes))[0])
    return np.median(near[agree[best]], axis=0), int(votes[best])


def centroids(data: NDArray[np.float32], usable: _BOOLS, places: _FLOATS, *, fwhm: float) -> _FLOATS:
    """Give the Gaussian-weighted centre of the light near each place.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
    usable : ndarray of bool, shape (ny, nx)
    places : ndarray of float64, shape (n, 2)
        Pixels; each centre is sought within one width of it.
    fwhm : float
        Width of the stars, pixels.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        NaN where the search ran away.
    """
    clean = np.where(usable, data, 0).astype(np.float32)
    ny, nx = data.shape
    inside = (places[:, 0] >= 0) & (places[:, 0] <= nx - 1) & (places[:, 1] >= 0) & (places[:, 1] <= ny - 1)
    centres = np.full_like(places, np.nan)
    if inside.any():
        start = np.ascontiguousarray(places[inside])
        x, y, _ = sep.winpos(clean, start[:, 0].copy(), start[:, 1].copy(), fwhm / 2.3548, mask=~usable)
        found = np.column_stack([x, y])
        found[np.hypot(*(found - start).T) > fwhm] = np.nan
        centres[inside] = found
    return centres


def circle_sum(image: NDArray[np.float32], places: _FLOATS, radius: float) -> _FLOATS:
    """Sum an image in circles with exact overlap; places (n, 2) in pixels."""
    total, _, _ = sep.sum_circle(image, places[:, 0].copy(), places[:, 1].copy(), radius, subpix=0)
    return np.asarray(total, np.float64)


def aperture_fluxes(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    usable: _BOOLS,
    places: _FLOATS,
    *,
    radius: float,
    fwhm: float,
    model: NDArray[np.float32],
    noise_factors: tuple[float, float] = (1.0, 1.0),
    curved: bool = False,
) -> Apertures:
    """Sum the light in circles, with exact overlap, above the median of a ring.

    Parameters
    ----------
    data, variance : ndarray of float32, shape (ny, nx)
    usable : ndarray of bool, shape (ny, nx)
    places : ndarray of float64, shape (n, 2)
        Centres, pixels.
    radius, fwhm : float
        Of the circle and of the stars, pixels.
    model : ndarray of float32, shape (ny, nx)
        Light of all stars as far as it is known; it is taken out of the rings.
    noise_factors : tuple of float
        Noise of the circle, and of the ring, over that of their pixels together.
    curved : bool
        Continue slope and curvature of the background from the ring into the circle, at the cost of noise.

    Returns
    -------
    Apertures
    """
    clean = np.where(usable, data, 0).astype(np.float32)
    noise = np.where(usable, variance, 0).astype(np.float32)
    lost = (~usable).astype(np.float32)
    x, y = places[:, 0], places[:, 1]
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, -1e6), np.where(known, y, -1e6)
    if not len(places):
        return Apertures(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    total, error, _ = sep.sum_circle(clean, x, y, radius, var=noise, subpix=0)
    missing, _, flag = sep.sum_circle(lost, x, y, radius, subpix=0)
    area = np.pi * radius**2
    bend = radius if curved else None
    level, level_error = _ring_levels(data - model, variance, usable, places, known=known, fwhm=fwhm, bend=bend)
    complete = known & (missing == 0) & ((flag & sep.APER_TRUNC) == 0) & np.isfinite(level)
    in_circle, in_ring = noise_factors
    cut = np.sqrt(max(1.0 - _CUT_PIXELS / radius, 0.0))
    errors = np.hypot(in_circle * cut * error, in_ring * area * level_error)
    return Apertures(np.where(known, total - level * area, np.nan), errors, complete)


def empty_aperture_noise(
    residual: NDArray[np.float32],
    variance: NDArray[np.float32],
    empty: _BOOLS,
    *,
    radius: float,
    rng: np.random.Generator,
) -> EmptyApertures:
    """Give the scatter of sums in empty apertures in units of what the variance promises.

    Parameters
    ----------
    residual, variance : ndarray of float32, shape (ny, nx)
    empty : ndarray of bool, shape (ny, nx)
        Pixels without stars.
    radius : float
        Pixels.
    rng : numpy.random.Generator
        Places the apertures.

    Returns
    -------
    EmptyApertures
        The ratio is NaN if there is room for fewer than ten.
    """
    rows, columns = np.nonzero(empty)
    if not len(rows):
        return EmptyApertures(math.nan, 0.0)
    pick = rng.integers(0, len(rows), _EMPTY_APERTURES)
    x, y = columns[pick].astype(np.float64), rows[pick].astype(np.float64)
    # Whole pixels about a pixel: the sum of their variances is exact, as it is not for cut ones.
    missing, _, flag = sep.sum_circle((~empty).astype(np.float32), x, y, radius, subpix=1)
    clean = np.where(empty, residual, 0).astype(np.float32)
    noise = np.where(empty, variance, 0).astype(np.float32)
    total, error, _ = sep.sum_circle(clean, x, y, radius, var=noise, subpix=1)
    area = np.pi * radius**2
    # A few unusable pixels are made up for.
    good = (missing < _MOST_MISSING * area) & ((flag & sep.APER_TRUNC) == 0) & (error > 0)
    if good.sum() < _FEWEST_APERTURES:
        return EmptyApertures(math.nan, 0.0)
    # They overlap: so many would cover the same pixels side by side.
    independent = min(len(rows) * good.mean() / area, float(good.sum()))
    return EmptyApertures(robust_width(total[good] / error[good]), float(independent))


def nearest(places: _FLOATS, others: _FLOATS) -> _FLOATS:
    """Give the distance of each place from the nearest of the others; infinite if there is none."""
    if not len(others):
        return np.full(len(places), np.inf)
    gaps = np.hypot(places[:, None, 0] - others[None, :, 0], places[:, None, 1] - others[None, :, 1])
    return np.asarray(np.where(np.isfinite(gaps), gaps, np.inf).min(axis=1), np.float64)


def _ring_levels(
    residual: NDArray[np.float32],
    variance: NDArray[np.float32],
    usable: _BOOLS,
    places: _FLOATS,
    *,
    known: _BOOLS,
    fwhm: float,
    bend: float | None,
) -> tuple[_FLOATS, _FLOATS]:
    """Give the background in circles (of radius `bend` if it is curved) and its error."""
    inner, outer = (factor * fwhm for factor in _ANNULUS)
    levels, errors = np.full(len(places), np.nan), np.zeros(len(places))
    ny, nx = residual.shape
    for number in np.flatnonzero(known):
        x, y = places[number]
        rows = _around(y, outer, ny)
        columns = _around(x, outer, nx)
        grid_y, grid_x = np.ogrid[rows, columns]
        distance = np.hypot(grid_x - x, grid_y - y)
        ring = (distance >= inner) & (distance <= outer) & usable[rows, columns]
        if ring.sum() >= _LEAST_ANNULUS:
            values = residual[rows, columns][ring].astype(np.float64)
            noise = float(variance[rows, columns][ring].mean())
            if bend is None:
                levels[number] = np.median(values)
                # Error of a median: that of a mean times sqrt(pi / 2).
                errors[number] = np.sqrt(np.pi / 2 * noise / ring.sum())
            else:
                dy, dx = (np.broadcast_to(axis, ring.shape)[ring] for axis in (grid_y - y, grid_x - x))
                levels[number], errors[number] = _bent_level(dx, dy, values, noise, bend)
    return levels, errors


def _bent_level(dx: _FLOATS, dy: _FLOATS, values: _FLOATS, noise: float, radius: float) -> tuple[float, float]:
    """Mean over a circle of the paraboloid through a ring, without outliers, and its error."""
    terms = np.column_stack([np.ones_like(dx), dx, dy, dx**2 + dy**2, dx**2 - dy**2, dx * dy])
    # The mean of x**2 + y**2 over a circle is half of its radius squared; the odd terms vanish.
    wanted = np.array([1.0, 0.0, 0.0, radius**2 / 2, 0.0, 0.0])
    kept = np.ones(len(values), bool)
    for _ in range(3):
        solution = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        kept = np.abs(values - terms @ solution) < 4.0 * np.sqrt(noise)
        if kept.sum() < _LEAST_ANNULUS:
            return float("nan"), 0.0
    covariance = np.linalg.pinv(terms[kept].T @ terms[kept])
    return float(wanted @ solution), float(np.sqrt(noise * (wanted @ covariance @ wanted)))


def _around(centre: float, reach: float, size: int) -> slice:
    """Give the pixels of an axis within a reach of a place; none if the place is far outside."""
    low, high = math.floor(centre - reach), math.ceil(centre + reach) + 1
    return slice(min(max(low, 0), size), min(max(high, 0), size))
