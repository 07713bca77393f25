"""The image of a point source, measured on the stars of a frame.

An empirical image of the stars tells what a bright star adds to its neighbours (Stetson 1987, PASP 99, 191), so
that faint stars beside it can be found and measured, and how much light an aperture of some radius misses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._filters import moved, spline_coefficients
from keyhole.imaging.medians import median, median_image

__all__ = ["PointSpread", "StarImage", "empirical_psf", "moffat_psf"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_REACH: Final = 8.0
"""Radius of the image of a star, in units of the seeing."""
_LEAST_REACH: Final = 1.5
"""The same for the faintest ones."""
_INVISIBLE: Final = 0.05
"""Part of the noise of a pixel that the light of a star must exceed to be followed."""
_MAX_HALF: Final = 60
"""Pixels."""
_BETA: Final = 2.5
"""Exponent of the Moffat profile that stands in where the stars tell little."""
_PRIOR: Final = 0.2
"""Part by which real profiles differ from it."""
_MARGIN: Final = 4
"""Pixels that a spline needs around those it moves."""
_SPLINE_PAD: Final = 10
"""Pixels by which an image is continued, so that its borders are not mirrored."""
_MANY: Final = 3
"""Stars from which on the image of a star is more than its mean profile: the lumps of one may be its neighbours."""
_TAPER: Final = (2.5, 4.0)
_TAPER_OF_FEW: Final = (0.8, 1.2)
"""Radii, in units of the seeing, between which the image passes into the mean profile."""


@dataclass(frozen=True)
class PointSpread:
    """Image of a point source.

    Attributes
    ----------
    image : (2 h + 1, 2 h + 1) float64
        Light in each pixel for a source on the centre of the middle one; 1 together, 0 beyond the radius h.
    fwhm : float
        Pixels.
    """

    image: Float64
    fwhm: float

    @property
    def half(self) -> int:
        """Radius of the image, pixels."""
        return int(self.image.shape[0]) // 2

    def growth(self, radii: Float64) -> Float64:
        """Light within circles of the given radii, pixels; 1 beyond the image."""
        import sep

        centre = np.full(np.shape(radii), float(self.half))
        within = np.clip(radii, 0.5, self.half)
        total, _, _ = sep.sum_circle(self.image, centre, centre, within, subpix=0)
        return np.asarray(np.where(np.asarray(radii) < self.half, total, 1.0), np.float64)

    def at(self, dx: float, dy: float, half: int) -> Float64:
        """Image of a source that much beside the centre of the middle pixel (pixels), (2 half + 1, 2 half + 1)."""
        outer = self.half - half
        cut = slice(outer, outer + 2 * (half + _MARGIN) + 1)
        return moved(self._splines[cut, cut], dx, dy, _MARGIN)

    @cached_property
    def _splines(self) -> Float64:
        """Spline coefficients of the image with a margin of nothing."""
        return spline_coefficients(np.pad(self.image, _MARGIN))

    def reach(self, contrast: float) -> int:
        """Radius, pixels, where a star whose height is so many times the noise of a pixel vanishes in it."""
        middle = self.image[self.half, self.half :]
        seen = np.flatnonzero(middle * contrast > _INVISIBLE * middle[0])
        least = min(math.ceil(_LEAST_REACH * self.fwhm), self.half)
        return max(least, int(seen[-1]) if seen.size else 0)


class StarImage(NamedTuple):
    """Light of one star.

    Attributes
    ----------
    rows, columns : slice
        Its pixels in the frame.
    radius, light : (ny, nx) float64
        Distance of these from it, pixels, and its light in each.
    flux, error : float
        All its light.
    dx, dy : float
        How far it is off the place that was given, pixels.
    width : float
        Its width over that of the usual image, 1 where it was not measured.
    bright : bool
        Whether place and width were fitted, too.
    good : bool
        Whether it is whole and looks like a star.
    """

    rows: slice
    columns: slice
    radius: Float64
    light: Float64
    flux: float
    error: float
    dx: float
    dy: float
    width: float
    bright: bool
    good: bool

    @property
    def snr(self) -> float:
        """Light over its error."""
        return self.flux / self.error


def moffat_psf(fwhm: float) -> PointSpread:
    """A round Moffat profile with exponent 2.5 and the given width in pixels."""
    half = int(np.clip(math.ceil(_REACH * fwhm), 3, _MAX_HALF))
    return PointSpread(_normalised(_moffat(_radii(half), fwhm)), fwhm)


def empirical_psf(
    residual: Float32,
    variance: Float32,
    owner: NDArray[np.integer[Any]],
    *,
    names: NDArray[np.integer[Any]],
    places: Float64,
    images: Sequence[StarImage | None],
    start: PointSpread,
) -> PointSpread:
    """Measure the image of a point source on the stars of a frame.

    The stars are moved to the centre of a pixel and averaged with weights by their light; neighbours are clipped.
    Further out the mean profile stands for all directions, and where it is noisy it is drawn towards a Moffat
    profile, by the share that its own error has in that and the usual deviation of real profiles, a fifth.

    Parameters
    ----------
    residual, variance : (ny, nx) float32
        Without background and without all stars, as far as their light is known.
    owner : (ny, nx) int
        Name of the source to which a pixel belongs, 0 between them, negative on pixels that take no part.
    names : (n,) int
        Names of the stars to be used.
    places : (n, 2) float64
        Their positions (x, y), pixels.
    images : sequence of StarImage or None
        Their light, which was taken away; a star without is not used.
    start : PointSpread
        What is known of it; gives width and size.

    Returns
    -------
    PointSpread
        `start` without stars.
    """
    half, fwhm = start.half, start.fwhm
    stamps, weights, alone = [], [], residual.copy()
    for (x, y), name, image in zip(places.tolist(), names.tolist(), images, strict=True):
        if image is None:
            continue
        box = image.rows, image.columns
        alone[box] += image.light
        found = _centred(alone, owner, name, (x + image.dx, y + image.dy), half)
        alone[box] = residual[box]
        if found is None:
            continue
        values, seen = found
        noise = float(variance[round(y), round(x)])
        stamps.append(values / image.flux)
        weights.append(seen * (image.flux**2 / max(noise, 1e-30)))
    if not stamps:
        return start
    mean, sure = _clipped_mean(np.array(stamps), np.array(weights))
    radius = _radii(half)
    profile = _profile(mean, sure, radius, start)
    low, high = (limit * fwhm for limit in (_TAPER if len(stamps) >= _MANY else _TAPER_OF_FEW))
    share = np.clip((high - radius) / (high - low), 0.0, 1.0) * (sure > 0)
    return PointSpread(_normalised(profile + share * (mean - profile)), fwhm)


def _radii(half: int) -> Float64:
    offset = np.arange(-half, half + 1.0)
    return np.asarray(np.hypot(offset[:, np.newaxis], offset))


def _moffat(radius: Float64, fwhm: float) -> Float64:
    alpha = fwhm / (2 * math.sqrt(2 ** (1 / _BETA) - 1))
    return np.asarray((1 + (radius / alpha) ** 2) ** -_BETA)


def _normalised(image: Float64) -> Float64:
    half = image.shape[0] // 2
    inside = np.where(_radii(half) <= half, image, 0.0)
    return np.asarray(inside / inside.sum())


def _centred(
    data: Float32, owner: NDArray[np.integer[Any]], name: int, place: tuple[float, float], half: int
) -> tuple[Float64, Bool] | None:
    """Pixels around a star, moved so that it stands on the middle one; which of them are known and not of others."""
    x, y = place
    column, row = round(x), round(y)
    ny, nx = data.shape
    if not (0 <= column < nx and 0 <= row < ny):
        return None
    rows, columns = np.arange(row - half, row + half + 1), np.arange(column - half, column + half + 1)
    there = ((rows >= 0) & (rows < ny))[:, np.newaxis] & ((columns >= 0) & (columns < nx))
    index = np.ix_(rows.clip(0, ny - 1), columns.clip(0, nx - 1))
    near = owner[index]
    seen = there & ((near == 0) | (near == name))
    if not seen[half - 1 : half + 2, half - 1 : half + 2].all():
        return None
    values = np.where(seen, data[index], 0).astype(np.float64)
    splines = spline_coefficients(np.pad(values, _SPLINE_PAD, mode="edge"))
    return moved(splines, column - x, row - y, _SPLINE_PAD), seen


def _clipped_mean(stamps: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Weighted mean without what stands out of the median, and its inverse variance."""
    if len(stamps) >= _MANY:
        middle = median_image(stamps)
        error = 1 / np.sqrt(np.maximum(weights, 1e-30))
        weights = weights * (np.abs(stamps - middle) <= 4 * error + 0.2 * np.abs(middle))
    total = weights.sum(axis=0)
    return np.divide((weights * stamps).sum(axis=0), total, out=np.zeros_like(total), where=total > 0), total


def _profile(mean: Float64, sure: Float64, radius: Float64, start: PointSpread) -> Float64:
    """Mean profile around the centre, drawn towards the usual one where it is noisy, for every pixel."""
    prior = _moffat(radius, start.fwhm)
    core = (radius <= start.fwhm) & (sure > 0)
    prior *= (mean[core] * prior[core]).sum() / (prior[core] ** 2).sum()
    ring = np.rint(radius).astype(np.intp)
    # Deviations from the usual profile vary slowly with the radius, the profile itself does not.
    ratio = np.ones(ring.max() + 1)
    for k in range(len(ratio)):
        own = (ring == k) & (sure > 0)
        if not own.any():
            continue
        relative = mean[own] / prior[own]
        error = float(np.sqrt(np.mean(1 / sure[own])) / prior[own].mean() / np.sqrt(own.sum()))
        ratio[k] = 1 + (median(relative) - 1) * _PRIOR**2 / (_PRIOR**2 + error**2)
    return np.asarray(prior * np.interp(radius, np.arange(len(ratio)), ratio))
