"""Noise of apertures measured where the sky is empty, to be held against the predicted one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.imaging._filters import summed_in_twos
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
    clean = np.where(inside, data[box] - np.float32(median(fair_sample(inside, data[box])[0])), 0).astype(np.float32)
    fine = _Field.of(clean, np.where(inside, variance[box], 0).astype(np.float32), (~inside).astype(np.float32))
    coarse = fine.in_bins() if any(radius >= _WIDE for radius in radii) else fine
    for k, radius in enumerate(radii):
        # Of a wide circle bins of 2 x 2 pixels tell the light: only those at its edge are cut in another way.
        field, scale = (coarse, 2) if radius >= _WIDE else (fine, 1)
        factors[k], numbers[k] = _scatter(field, radius / scale)
    return EmptyApertures(factors, numbers)


class _Field(NamedTuple):
    """An image without objects: values and variances, 0 in gaps; what is missing of each pixel, and its running sums.

    ``sums`` is added up along both axes, in sixteenths of a pixel.
    """

    clean: NDArray[np.float32]
    variance: NDArray[np.float32]
    missing: NDArray[np.float32]
    sums: NDArray[np.int32]

    @classmethod
    def of(cls, clean: NDArray[np.float32], variance: NDArray[np.float32], missing: NDArray[np.float32]) -> _Field:
        sums = np.zeros((missing.shape[0] + 1, missing.shape[1] + 1), np.int32)
        np.cumsum(np.cumsum(16 * missing, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
        return cls(clean, variance, missing, sums)

    def in_bins(self) -> _Field:
        """The same in bins of 2 x 2 pixels."""
        even = np.s_[: self.clean.shape[0] // 2 * 2, : self.clean.shape[1] // 2 * 2]
        clean, variance, missing = (summed_in_twos(plane[even]) for plane in (self.clean, self.variance, self.missing))
        return _Field.of(clean, variance, missing * np.float32(0.25))


def _scatter(field: _Field, radius: float) -> tuple[float, int]:
    """Scatter of sums over circles in units of the expected one, and the number of independent circles."""
    import sep  # 0.1 s

    size = np.count_nonzero(field.missing < 1)
    step = max(radius * _APART, 1.0, math.sqrt(size / _MOST))
    x, y = _grid(field.missing < 1, radius, step)
    if not x.size:
        return math.nan, 0
    area = math.pi * radius**2
    # Most circles lie in squares without a gap: only for the others the gaps are added up.
    whole = _in_square(field.sums, x, y, radius) == 0
    some = np.flatnonzero(~whole)
    missing, _, _ = sep.sum_circle(field.missing, x[some], y[some], radius, subpix=0)
    whole[some] = missing <= (1 - _COMPLETE) * area
    number = int(np.count_nonzero(whole) * min(step**2 / area, 1.0))
    if number < _FEWEST:
        return math.nan, number
    total, error, _ = sep.sum_circle(field.clean, x[whole], y[whole], radius, var=field.variance, subpix=0)
    ordered = np.sort(total / (error * cut_circle_factor(radius)))
    ranks = np.array([_CENTRAL, 100 - _CENTRAL]) / 100 * (ordered.size - 1)
    low, high = np.interp(ranks, np.arange(ordered.size), ordered)
    return float(high - low) / 2, number


def _grid(inside: NDArray[np.bool_], radius: float, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of circles on empty pixels, not nearer to the border of the box than their radius."""
    ny, nx = inside.shape
    # A step that is no whole number takes the centres through all places of a pixel.
    step += 0.03 if step == round(step) else 0.0
    y, x = (
        axis.ravel()
        for axis in np.meshgrid(*(np.arange(radius, n - 1 - radius, step) for n in (ny, nx)), indexing="ij")
    )
    on = inside[np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)] if x.size else np.zeros(0, bool)
    return x[on], y[on]


def _in_square(
    sums: NDArray[np.int32], x: NDArray[np.float64], y: NDArray[np.float64], radius: float
) -> NDArray[np.int32]:
    """Number of pixels counted in `sums`, added up along both axes, in the squares around circles."""
    ny, nx = sums.shape[0] - 1, sums.shape[1] - 1
    low_x, high_x = (np.rint(edge).astype(np.intp) for edge in (x - radius, x + radius + 1))
    low_y, high_y = (np.rint(edge).astype(np.intp) for edge in (y - radius, y + radius + 1))
    low_x, high_x, low_y, high_y = low_x.clip(0, nx), high_x.clip(0, nx), low_y.clip(0, ny), high_y.clip(0, ny)
    return np.asarray(sums[high_y, high_x] - sums[low_y, high_x] - sums[high_y, low_x] + sums[low_y, low_x])


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
