"""Noise of apertures measured where the sky is empty, to be held against the predicted one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.imaging._filters import summed_in_twos
from keyhole.imaging._masked import zero_except
from keyhole.imaging.covariance import cut_circle_factor
from keyhole.imaging.medians import fair_sample, median

__all__ = ["EmptyApertures", "adopted_factors", "empty_apertures"]

_FEWEST: Final = 10
"""Independent apertures that tell a scatter."""
_MOST: Final = 6_000
"""Circles of one radius, about: more cost time and tell the scatter hardly better."""
_APART: Final = 1.25
"""Distance of circles in units of their radius: there is half as much to be learned again from circles at any place."""
_WIDE: Final = 7.0
"""Pixels; the edge of such a circle may be that of bins of 2 x 2 pixels."""
_PLACES: Final = 4
"""Places of the centres of circles along a side of a pixel."""
_CUTS: Final = 16
"""Strips of a pixel in which the edge of a circle is taken as straight."""
_COMPLETE: Final = 0.9
"""Part of an aperture that must be empty; the sum of the rest is scaled to the whole."""
_CENTRAL: Final = 15.865
"""Percentile of a normal distribution one standard deviation below its mean."""
_RELATIVE_ERROR: Final = 0.92
"""Relative error of the width between the central percentiles times the root of the number of values."""
_SIGNIFICANT: Final = 3.0


class EmptyApertures(NamedTuple):
    """Scatter of sums over empty circles; arrays with one entry per radius.

    Attributes
    ----------
    factor : float64
        Over the root of the summed variance of the pixels, each by the square of its share; NaN where fewer
        than ten circles find room side by side.
    number : intp
        Independent circles: those that were looked at, or that find room side by side if these are fewer.
    """

    factor: NDArray[np.float64]
    number: NDArray[np.intp]

    @property
    def error(self) -> NDArray[np.float64]:
        """Relative error of the factors."""
        return np.asarray(_RELATIVE_ERROR / np.sqrt(np.maximum(self.number, 1)))


def empty_apertures(
    data: NDArray[Any], variance: NDArray[Any], empty: NDArray[np.bool_], radii: Sequence[float]
) -> EmptyApertures:
    """Measure the noise of apertures in the parts of an image without objects.

    The circles lie on a grid one and a quarter of their radius apart, or further where there are thousands of them,
    each at another place of the pixel, and overlap a little: nearer ones would tell hardly more. The width of the
    distribution of their sums is that between its central 68 per cent, blind to single outliers.

    Parameters
    ----------
    data, variance : (ny, nx)
        Image and the variance of each pixel by itself.
    empty : (ny, nx) bool
        True on usable pixels without objects.
    radii : sequence of float
        Pixels.

    Returns
    -------
    EmptyApertures
    """
    factors, numbers = np.full(len(radii), np.nan), np.zeros(len(radii), np.intp)
    rows, columns = np.flatnonzero(empty.any(axis=1)), np.flatnonzero(empty.any(axis=0))
    if not rows.size:
        return EmptyApertures(factors, numbers)
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = empty[box]
    clean = np.subtract(data[box], np.float32(median(fair_sample(inside, data[box])[0])), dtype=np.float32)
    noise = np.array(variance[box], np.float32)
    missing = (~inside).view(np.uint8)
    fine = _Field(zero_except(clean, inside), zero_except(noise, inside), missing, 1)
    coarse = fine.in_bins() if any(radius >= _WIDE for radius in radii) else fine
    for k, radius in enumerate(radii):
        # Of a wide circle bins of 2 x 2 pixels tell the light: only those at its edge are cut in another way.
        field, scale = (coarse, 2) if radius >= _WIDE else (fine, 1)
        factors[k], numbers[k] = _scatter(field, radius / scale)
    return EmptyApertures(factors, numbers)


class _Field(NamedTuple):
    """An image without objects: values and variances, 0 in gaps; how many pixels of each are missing, of how many."""

    clean: NDArray[np.float32]
    variance: NDArray[np.float32]
    missing: NDArray[np.uint8]
    pixels: int

    def in_bins(self) -> _Field:
        """The same in bins of 2 x 2 pixels."""
        even = np.s_[: self.clean.shape[0] // 2 * 2, : self.clean.shape[1] // 2 * 2]
        clean, variance, missing = (summed_in_twos(plane[even]) for plane in (self.clean, self.variance, self.missing))
        return _Field(clean, variance, missing.astype(np.uint8), 4 * self.pixels)


def _scatter(field: _Field, radius: float) -> tuple[float, int]:
    """Scatter of sums over circles in units of the expected one, and the number of independent circles."""
    size = np.count_nonzero(field.missing < field.pixels)
    step = max(radius * _APART, 1.0, math.sqrt(size / _MOST))
    circles = _Circles.of(field, radius, step)
    if not circles.row.size:
        return math.nan, 0
    area = math.pi * radius**2
    # Most circles lie in squares without a gap: only for the others the gaps are added up.
    gaps = circles.squares(field.missing)
    whole: NDArray[np.bool_] = np.asarray(~gaps.any(axis=1))
    some = np.flatnonzero(~whole)
    missing = np.einsum("np,np->n", gaps[some].astype(np.float32), circles.shares[circles.place[some]])
    whole[some] = missing <= (1 - _COMPLETE) * area * field.pixels
    number = int(np.count_nonzero(whole) * min(step**2 / area, 1.0))
    if number < _FEWEST:
        return math.nan, number
    circles = circles.of_these(whole)
    shares = circles.shares[circles.place]
    total, variance = (np.einsum("np,np->n", circles.squares(of), shares) for of in (field.clean, field.variance))
    # The noise of a pixel counts with the square of its share, of which the prediction takes the mean over all places.
    ordered = np.sort(total / (np.sqrt(variance) * cut_circle_factor(radius)))
    ranks = np.array([_CENTRAL, 100 - _CENTRAL]) / 100 * (ordered.size - 1)
    low, high = np.interp(ranks, np.arange(ordered.size), ordered)
    return float(high - low) / 2, number


class _Circles(NamedTuple):
    """Circles about places in an image, and squares of pixels that hold them.

    Attributes
    ----------
    row, column : (n,) int
        Corners of the squares.
    place : (n,) int
        At which place of its pixel the centre of each circle lies, a row of the shares.
    shares : (places, side ** 2) float32
        Part of each pixel of a square that is in the circle.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    place: NDArray[np.intp]
    shares: NDArray[np.float32]

    @classmethod
    def of(cls, field: _Field, radius: float, step: float) -> _Circles:
        """Circles a step apart, centred on pixels that are not missing, all of them inside the image."""
        ny, nx = field.missing.shape
        reach = math.ceil(radius)
        # A step that is no whole number takes the centres through all places of a pixel.
        step += 0.03 if step == round(step) else 0.0
        y, x = (np.arange(reach, n - 1 - reach, step) + 0.5 for n in (ny, nx))
        row, column = y.astype(np.intp), x.astype(np.intp)
        down, across = (((v - np.floor(v)) * _PLACES).astype(np.intp) for v in (y, x))
        on_row, on_column = np.nonzero(field.missing[row[:, np.newaxis], column] < field.pixels)
        place = down[on_row] * _PLACES + across[on_column]
        return cls(row[on_row] - reach, column[on_column] - reach, place, _shares(radius, reach))

    def of_these(self, chosen: NDArray[np.bool_]) -> _Circles:
        """Those that are chosen."""
        return _Circles(self.row[chosen], self.column[chosen], self.place[chosen], self.shares)

    def squares(self, plane: NDArray[Any]) -> NDArray[Any]:
        """What the squares hold, (n, side ** 2)."""
        side = math.isqrt(self.shares.shape[1])
        found = np.lib.stride_tricks.sliding_window_view(plane, (side, side))[self.row, self.column]
        return found.reshape(len(found), -1)


def _shares(radius: float, reach: int) -> NDArray[np.float32]:
    """Part of the pixels of a square that is in a circle whose centre is at several places of the middle pixel.

    Parameters
    ----------
    radius : float
        Pixels.
    reach : int
        Pixels on each side of the middle one.

    Returns
    -------
    (places of y and x, pixels of y and x) float32
        To a thousandth.
    """
    pixels, side = np.arange(-reach, reach + 1), 2 * reach + 1
    centres = (np.arange(_PLACES) + 0.5) / _PLACES - 0.5
    within = (np.arange(_CUTS) + 0.5) / _CUTS - 0.5
    # Columns cut into strips, and how far the circle reaches in the middle of each.
    x = pixels[:, np.newaxis] + within - centres[:, np.newaxis, np.newaxis]
    half = np.sqrt(np.maximum(radius**2 - x**2, 0))
    low = pixels - 0.5 - centres[:, np.newaxis]
    low = low[:, :, np.newaxis, np.newaxis, np.newaxis]
    part = (np.minimum(low + 1, half) - np.maximum(low, -half)).clip(0).mean(axis=-1)
    # Rows and columns of places first, then those of pixels.
    return np.ascontiguousarray(part.transpose(0, 2, 1, 3), np.float32).reshape(_PLACES**2, side**2)


def adopted_factors(predicted: ArrayLike, measured: EmptyApertures) -> NDArray[np.float64]:
    """The predicted factors, raised to the measured ones where these are significantly larger.

    Parameters
    ----------
    predicted : float64 array, one per radius
    measured : EmptyApertures

    Returns
    -------
    float64 array
        The measured factor where it exceeds the prediction by more than three times its error.
    """
    known = np.asarray(predicted, dtype=np.float64)
    larger = measured.factor > known * (1 + _SIGNIFICANT * measured.error)
    return np.asarray(np.where(larger, measured.factor, known))
