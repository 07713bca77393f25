"""Images binned on a grid, and back: what is smooth on the scale of a star needs no pixel-sized samples."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._filters import summed_in_twos
from keyhole.imaging._masked import Chosen, zero_except

__all__ = ["NARROWEST", "bin_factor", "bin_sums", "binned", "kept_sums", "number_in_twos", "unbinned"]

_FEW: Final = 0.05
"""Part of the pixels up to which the hidden ones are looked at one by one."""
_SAMPLING: Final = 2.5
"""Bins across the width of a star: enough for any filter of the width of a star."""

NARROWEST: Final = 1.5 * _SAMPLING
"""Width of stars, pixels, from which on bins are wider than a pixel."""


def bin_factor(fwhm: float) -> int:
    """Give the pixels on the side of a bin for stars of this width (pixels): 1 below 3.75 pixels, `NARROWEST`."""
    return max(int(fwhm / _SAMPLING + 0.5), 1)


def binned(
    image: NDArray[np.float32], weight: NDArray[np.float32], factor: int, lead: tuple[int, int] = (0, 0)
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean and sum of weights in bins of ``factor x factor`` pixels.

    Parameters
    ----------
    image, weight : float32 arrays (ny, nx)
        Finite everywhere; weight 0 where there is no data.
    factor : int
    lead : (int, int)
        Empty rows and columns before the image, so that bins of several images fall on one grid.

    Returns
    -------
    mean, weight : float32 arrays, one pixel per bin
        Bins at the end may be incomplete; the mean is 0 where the weight is 0. Changes its input: no.
    """
    total = bin_sums(image * weight, factor, lead)
    weights = bin_sums(weight, factor, lead)
    return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0), weights


def bin_sums(
    values: NDArray[np.float32] | NDArray[np.uint8] | NDArray[np.bool_], factor: int, lead: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    """Sums in bins of ``factor x factor`` pixels; of a mask the number of True pixels. See `binned`."""
    ny, nx = (-(-(before + size) // factor) for before, size in zip(lead, values.shape, strict=True))
    kind: Any = np.float32
    if values.dtype == bool:
        # The largest number in a bin.
        kind, values = np.uint8 if factor**2 < 256 else np.float32, values.view(np.uint8)
    # Strided adds are several times faster than a reduction over two short axes.
    rows = _sums(values, factor, lead[0], np.empty((ny, values.shape[1]), kind))
    sums = _sums(rows.T, factor, lead[1], np.empty((ny, nx), kind).T).T
    return sums.astype(np.float32, copy=False)


def _sums(rows: NDArray[Any], factor: int, lead: int, out: NDArray[Any]) -> NDArray[Any]:
    """Sums over bins of rows, written into `out`."""
    for phase in range(factor):
        part, first = _every(rows, factor, lead, phase)
        last = first + len(part)
        if phase == 0:
            out[:first], out[first:last], out[last:] = 0, part, 0
        else:
            out[first:last] += part
    return out


def _every(rows: NDArray[Any], factor: int, lead: int, phase: int) -> tuple[NDArray[Any], int]:
    """The rows that come at one place in their bins, and the first of these bins."""
    first = -(-max(lead - phase, 0) // factor)
    return rows[first * factor + phase - lead :: factor], first


def unbinned(
    mask: NDArray[np.bool_], factor: int, shape: tuple[int, int], lead: tuple[int, int] = (0, 0)
) -> NDArray[np.bool_]:
    """Give every pixel of an image of `shape` the value of its bin; see `binned`."""
    (ny, nx), (top, left) = shape, (before % factor for before in lead)
    rows = mask[lead[0] // factor : (lead[0] + ny - 1) // factor + 1]
    part = rows[:, lead[1] // factor : (lead[1] + nx - 1) // factor + 1]
    # Rows are repeated as they are, once the columns have been.
    wide = np.repeat(part, factor, axis=1)[:, left : left + nx]
    return np.repeat(wide, factor, axis=0)[top : top + ny]


def number_in_twos(hidden: Chosen) -> NDArray[np.float32]:
    """Count the pixels that are not hidden in squares of 2 x 2 pixels, as `summed_in_twos` would.

    Where few are hidden only these are looked at.
    """
    few = hidden.places
    if few.size > _FEW * hidden.mask.size:
        return summed_in_twos((~hidden.mask).view(np.uint8))
    return _number_without(few, hidden.mask.shape)


def kept_sums(
    image: NDArray[np.float32], kept: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sum and number of the pixels in bins that are kept; values that are not finite are not.

    Equal to the `bin_sums` of the image with 0 where it is not kept, and of `kept`. In squares of 2 x 2 all pixels are
    added, and those squares again that hold something else, if they are few.

    Parameters
    ----------
    image : float32 array (ny, nx)
    kept : bool array (ny, nx)
    factor : int

    Returns
    -------
    sums, number : float32 arrays, one pixel per bin
        Changes its input: no.
    """
    few = np.flatnonzero(~kept)
    if factor == 2 and few.size <= _FEW * kept.size:
        with np.errstate(invalid="ignore", over="ignore"):
            sums = summed_in_twos(image)
            sums.reshape(-1)[_squares_of(few, image.shape)] = _sums_without(few, image, kept)
        if np.isfinite(sums).all():
            return sums, _number_without(few, image.shape)
    kept = kept & np.isfinite(image)
    return bin_sums(zero_except(image.copy(), kept), factor), bin_sums(kept, factor)


def _squares_of(places: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Flat places of the squares of 2 x 2 pixels in which pixels lie."""
    nx = shape[1]
    return places // nx // 2 * -(-nx // 2) + places % nx // 2


def _sums_without(places: NDArray[np.intp], image: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Sums of the kept pixels in the squares of some pixels, added in the order of `summed_in_twos`."""
    ny, nx = image.shape
    first, left = places // nx // 2 * 2, places % nx // 2 * 2

    def part(down: int, right: int) -> NDArray[np.float32]:
        y, x = np.minimum(first + down, ny - 1), np.minimum(left + right, nx - 1)
        there = kept[y, x] & (y == first + down) & (x == left + right)
        return np.where(there, image[y, x], np.float32(0))

    return (part(0, 0) + part(1, 0)) + (part(0, 1) + part(1, 1))


def _number_without(few: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Number of pixels in squares of 2 x 2 pixels but for a few."""
    ny, nx = shape
    wide, high = np.full(-(-nx // 2), 2, np.float32), np.full(-(-ny // 2), 2, np.float32)
    wide[nx // 2 :], high[ny // 2 :] = 1, 1
    number = high[:, np.newaxis] * wide
    np.subtract.at(number.reshape(-1), _squares_of(few, shape), np.float32(1))
    return number
