"""Values around a few chosen pixels, and their medians: what few pixels need is not computed for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import Offsets, square_offsets

__all__ = ["RING", "median_known", "ring_median", "values_around"]

RING: Offsets = square_offsets(1)
"""The eight neighbours of a pixel; the opposite of each has its place from the other end."""

Index = NDArray[np.intp]


def values_around(
    plane: NDArray[Any], usable: NDArray[np.bool_] | None, y: Index, x: Index, offsets: Offsets
) -> NDArray[np.float32]:
    """Values at given offsets from given pixels.

    Parameters
    ----------
    plane : (ny, nx)
    usable : (ny, nx) bool, optional
        False: the value is not known.
    y, x : (c,) int
        The pixels.
    offsets : k pairs (dy, dx)

    Returns
    -------
    (k, c) float32
        NaN where a value is not known or beyond the plane.
    """
    ny, nx = plane.shape
    steps = np.asarray(offsets, np.intp)
    yy, xx = y + steps[:, :1], x + steps[:, 1:]
    known = (yy >= 0) & (yy < ny) & (xx >= 0) & (xx < nx)
    # Negative places count from the end, others beyond it do not exist.
    place = (np.minimum(yy, ny - 1), np.minimum(xx, nx - 1))
    if usable is not None:
        known &= usable[place]
    return np.where(known, plane[place], np.float32(np.nan)).astype(np.float32, copy=False)


def ring_median(plane: NDArray[Any], usable: NDArray[np.bool_] | None, y: Index, x: Index) -> NDArray[np.float32]:
    """Median of the neighbours of given pixels, in opposite pairs only: a slope must not show, even at an edge.

    Returns
    -------
    (c,) float32
        NaN where no two opposite neighbours are known.
    """
    values = values_around(plane, usable, y, x, RING)
    return median_known(np.where(np.isnan(values[::-1]), np.float32(np.nan), values), otherwise=np.nan)


def median_known(values: NDArray[np.float32], *, otherwise: float = 0.0) -> NDArray[np.float32]:
    """Median along the first axis of the values that are not NaN; `otherwise` where there is none."""
    columns = np.sort(values, axis=0)  # NaN sort to the end
    count = np.count_nonzero(~np.isnan(columns), axis=0)
    known = np.maximum(count, 1)
    lower = np.take_along_axis(columns, ((known - 1) // 2)[np.newaxis], axis=0)[0]
    upper = np.take_along_axis(columns, (known // 2)[np.newaxis], axis=0)[0]
    return np.where(count > 0, 0.5 * (lower + upper), np.float32(otherwise)).astype(np.float32)
