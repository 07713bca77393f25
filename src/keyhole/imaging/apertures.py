"""Noise of apertures measured where the sky is empty, to be held against the predicted one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.imaging.covariance import cut_circle_factor

__all__ = ["EmptyApertures", "adopted_factors", "empty_apertures"]

_FEWEST: Final = 10
"""Independent apertures that tell a scatter."""
_MOST: Final = 6_000
"""Circles of one radius, about: more cost time and tell the scatter hardly better."""
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

    The circles lie on a grid half their radius apart, or further where there are thousands of them, each at
    another place of the pixel, and may overlap; the width of the distribution of their sums is that between its
    central 68 per cent, blind to single outliers.

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
    import sep  # 0.1 s

    factors, numbers = np.full(len(radii), np.nan), np.zeros(len(radii), np.intp)
    rows, columns = np.flatnonzero(empty.any(axis=1)), np.flatnonzero(empty.any(axis=0))
    if not rows.size:
        return EmptyApertures(factors, numbers)
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = empty[box]
    level = np.median(data[box][inside])
    clean = np.where(inside, data[box] - level, 0).astype(np.float32)
    noise = np.where(inside, variance[box], 0).astype(np.float32)
    taken = (~inside).astype(np.float32)
    sums = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(~inside, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    least_step = max(1.0, math.sqrt(np.count_nonzero(inside) / _MOST))
    for k, radius in enumerate(radii):
        step = max(radius / 2, least_step)
        x, y = _grid(inside, radius, step)
        if not x.size:
            continue
        area = math.pi * radius**2
        # Most circles lie in squares without a gap: only for the others the gaps are added up.
        whole = _in_square(sums, x, y, radius) == 0
        some = np.flatnonzero(~whole)
        missing, _, _ = sep.sum_circle(taken, x[some], y[some], radius, subpix=0)
        whole[some] = missing <= (1 - _COMPLETE) * area
        numbers[k] = int(np.count_nonzero(whole) * min(step**2 / area, 1.0))
        if numbers[k] < _FEWEST:
            continue
        total, error, _ = sep.sum_circle(clean, x[whole], y[whole], radius, var=noise, subpix=0)
        low, high = np.percentile(total / (error * cut_circle_factor(radius)), [_CENTRAL, 100 - _CENTRAL])
        factors[k] = (high - low) / 2
    return EmptyApertures(factors, numbers)


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
