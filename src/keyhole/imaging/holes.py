"""Lit pixels for which no exposure has a good value: filled from around, with an error that says so."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import places, square_offsets
from keyhole.imaging._patches import Index, values_around
from keyhole.imaging.bits import BAD, COSMIC_RAY, MASK_DTYPE, NO_DATA, UNILLUMINATED, usable

__all__ = ["Filled", "fill_holes"]

_REACHES: Final = (1, 2, 4)
_FEWEST: Final = 3  # good pixels from which a value and its scatter are taken

Float32 = NDArray[np.float32]


class Filled(NamedTuple):
    """Result of `fill_holes`.

    Attributes
    ----------
    data : (ny, nx) float32
    variance : (ny, nx) float32 or None
    number : int
        Pixels filled.
    """

    data: Float32
    variance: Float32 | None
    number: int


def fill_holes(data: Float32, variance: Float32 | None, mask: NDArray[np.uint16]) -> Filled:
    """Give pixels flagged as bad or hit the mean of the good pixels around them, weighted by inverse squared distance.

    Their variance is the mean variance of those pixels plus the scatter of their values: large beside a star.
    Flags stay. Where fewer than three good pixels lie within four pixels, nothing is changed.

    Parameters
    ----------
    data, variance : (ny, nx) float32
    mask : (ny, nx) uint16

    Returns
    -------
    Filled
        Changes its input: no.
    """
    good = usable(mask)
    hole = ((mask & MASK_DTYPE(BAD | COSMIC_RAY)) != 0) & ((mask & MASK_DTYPE(NO_DATA | UNILLUMINATED)) == 0)
    y, x = places(hole)
    filled, noise, number = data.copy(), None if variance is None else variance.copy(), 0
    for reach in _REACHES:
        if not y.size:
            break
        mean, spread, enough = _around(_Planes(data, variance, good), y, x, reach)
        filled[y[enough], x[enough]] = mean[enough]
        if noise is not None:
            noise[y[enough], x[enough]] = spread[enough]
        number += int(np.count_nonzero(enough))
        y, x = y[~enough], x[~enough]
    return Filled(filled, noise, number)


class _Planes(NamedTuple):
    data: Float32
    variance: Float32 | None
    good: NDArray[np.bool_]


def _around(planes: _Planes, y: Index, x: Index, reach: int) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    """Weighted mean of the good pixels in a square, its variance, and whether there are enough of them."""
    data, variance, good = planes
    offsets = square_offsets(reach)
    values = values_around(data, good, y, x, offsets)
    known = ~np.isnan(values)
    values[~known] = 0
    weight = known / np.sum(np.square(offsets), axis=1, keepdims=True)
    weight /= np.maximum(weight.sum(axis=0), 1e-9)
    mean = (weight * values).sum(axis=0)
    spread = (weight * (values - mean) ** 2).sum(axis=0)
    if variance is not None:
        spread += (weight * np.nan_to_num(values_around(variance, good, y, x, offsets))).sum(axis=0)
    enough = np.count_nonzero(known, axis=0) >= _FEWEST
    return mean.astype(np.float32), spread.astype(np.float32), enough
