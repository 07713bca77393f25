"""Images binned on a grid, and back: what is smooth on the scale of a star needs no pixel-sized samples."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_factor", "binned", "unbinned"]

_SAMPLING: Final = 2.5
"""Bins across the width of a star: enough for any filter of the width of a star."""


def bin_factor(fwhm: float) -> int:
    """Give the pixels on the side of a bin for stars of this width (pixels): 1 below 3.75 pixels."""
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
    total = _bin_sums(image * weight, factor, lead)
    weights = _bin_sums(weight, factor, lead)
    return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0), weights


def _bin_sums(values: NDArray[np.float32], factor: int, lead: tuple[int, int]) -> NDArray[np.float32]:
    # Strided adds are several times faster than a reduction over two short axes.
    rows = _sum_rows(values, factor, lead[0])
    return np.ascontiguousarray(_sum_rows(rows.T, factor, lead[1]).T)


def _sum_rows(values: NDArray[np.float32], factor: int, lead: int) -> NDArray[np.float32]:
    number = -(-(lead + values.shape[0]) // factor)
    sums = np.zeros((number, values.shape[1]), np.float32)
    for phase in range(factor):
        first = -(-max(lead - phase, 0) // factor)
        part = values[first * factor + phase - lead :: factor]
        sums[first : first + len(part)] += part
    return sums


def unbinned(
    mask: NDArray[np.bool_], factor: int, shape: tuple[int, int], lead: tuple[int, int] = (0, 0)
) -> NDArray[np.bool_]:
    """Give every pixel of an image of `shape` the value of its bin; see `binned`."""
    rows = (np.arange(shape[0]) + lead[0]) // factor
    columns = (np.arange(shape[1]) + lead[1]) // factor
    return mask[rows][:, columns]
