"""Small filters of whole images: enlarging, sums and maxima over boxes.

They replace functions of `scipy.ndimage`, whose import alone takes longer than what a run needs of it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["doubled", "maximum_in_box", "moved", "spline_coefficients", "summed_in_twos"]

_POLE: Final = math.sqrt(3) - 2
_BLOCK: Final = 1 << 15
"""Pixels that are computed together in the cache."""
_SPLINE_REACH: Final = 12
"""Pixels at which a part in ten million of a pixel is felt in the coefficients."""


def summed_in_twos(image: NDArray[Any]) -> NDArray[np.float32]:
    """Sums over squares of 2 x 2 pixels; an odd row or column at the end is a square by itself.

    Parameters
    ----------
    image : (ny, nx) float32 or uint8. Changes its input: no.

    Returns
    -------
    (ceil(ny / 2), ceil(nx / 2)) float32
    """
    ny, nx = image.shape
    rows = np.empty((-(-ny // 2), nx), np.float32)
    np.add(image[: ny // 2 * 2 : 2], image[1::2], out=rows[: ny // 2], dtype=np.float32)
    rows[ny // 2 :] = image[ny // 2 * 2 :]
    sums = np.empty((len(rows), -(-nx // 2)), np.float32)
    np.add(rows[:, : nx // 2 * 2 : 2], rows[:, 1::2], out=sums[:, : nx // 2])
    sums[:, nx // 2 :] = rows[:, nx // 2 * 2 :]
    return sums


def doubled(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Enlarge an image twofold along both axes, linearly between the middles of its pixels.

    Parameters
    ----------
    image : (my, mx) float32
    shape : (ny, nx)
        Of the result: ``2 * my`` and ``2 * mx``, or one less.

    Returns
    -------
    (ny, nx) float32
        Beyond the middles of the outermost pixels nothing changes.
    """
    ny, nx = shape
    # Columns first: it is rows that are written fast, and in the end there are twice as many of either.
    near, far = image * np.float32(0.75), image * np.float32(0.25)
    wide = np.empty((len(image), nx), np.float32)
    for first, before in ((0, True), (1, False)):
        _between(near.T, far.T, wide[:, first::2].T, before=before)
    far = wide * np.float32(0.25)
    wide *= np.float32(0.75)
    out = np.empty((ny, nx), np.float32)
    for first, before in ((0, True), (1, False)):
        _between(wide, far, out[first::2], before=before)
    return out


def _between(near: NDArray[Any], far: NDArray[Any], out: NDArray[Any], *, before: bool) -> None:
    """Rows, and a part of those before or after them; at the end there are none but themselves."""
    n = len(out)
    if before:
        np.add(near[1:n], far[: n - 1], out=out[1:])
        np.add(near[:1], far[:1], out=out[:1])
    else:
        inner = min(n, len(near) - 1)
        np.add(near[:inner], far[1 : inner + 1], out=out[:inner])
        np.add(near[inner:n], far[inner:n], out=out[inner:])


def maximum_in_box(image: NDArray[Any], reach: int) -> NDArray[Any]:
    """Largest value in the square of side ``2 * reach + 1`` around each pixel; 0 beyond the edges.

    Equal to ``scipy.ndimage.maximum_filter(image, 2 * reach + 1, mode="constant")`` for values that are not negative:
    maxima over 1, 2, 4, ... rows, and two of these that overlap.

    Parameters
    ----------
    image : (ny, nx), not negative. Changes its input: no.
    reach : int
        Pixels.
    """
    ny, nx = image.shape
    out = np.empty_like(image, order="C")
    # Rows with margins follow each other in one line, of which both a row and a column further are a shift.
    pitch = nx + 2 * reach
    step = max(_BLOCK // pitch, 2 * reach, 1)
    for start in range(0, ny, step):
        stop = min(start + step, ny)
        first, last = max(start - reach, 0), min(stop + reach, ny)
        # One row more than is needed, so that the shifted line still holds whole rows.
        wide = np.zeros((stop - start + 2 * reach + 1, pitch), image.dtype)
        wide[first - start + reach : last - start + reach, reach : reach + nx] = image[first:last]
        line = _largest(_largest(wide.reshape(-1), 2 * reach + 1, pitch), 2 * reach + 1, 1)
        out[start:stop] = line[: (stop - start) * pitch].reshape(-1, pitch)[:, :nx]
    return out


def _largest(line: NDArray[Any], number: int, stride: int) -> NDArray[Any]:
    """Largest of so many values at equal distances, from each place on; shorter than the line by their way."""
    covered = 1
    while covered < number:
        step = min(covered, number - covered)
        line = np.maximum(line[: line.size - step * stride], line[step * stride :])
        covered += step
    return line


def spline_coefficients(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the cubic B-splines that pass through the pixels of an image, mirrored at its borders.

    Equal to ``scipy.ndimage.spline_filter(image, 3)`` but for rounding; meant for images of some hundred pixels.

    Parameters
    ----------
    image : (ny, nx) float64, at least 13 pixels on a side. Changes its input: no.
    """
    # The inverse of the splines' filter [1 4 1] / 6 falls by `_POLE` from pixel to pixel. Not by matrices: products of
    # small ones wake all cores, and keep them waiting.
    for _ in range(2):
        padded = np.pad(image, ((_SPLINE_REACH, _SPLINE_REACH), (0, 0)), mode="reflect")
        total = padded[_SPLINE_REACH : _SPLINE_REACH + len(image)] * (6 * _POLE / (_POLE**2 - 1))
        both = np.empty_like(total)
        for k in range(1, _SPLINE_REACH + 1):
            low, high = _SPLINE_REACH - k, _SPLINE_REACH + k
            np.add(padded[low : low + len(image)], padded[high : high + len(image)], out=both)
            both *= 6 * _POLE ** (k + 1) / (_POLE**2 - 1)
            total += both
        image = total.T
    return np.ascontiguousarray(image)


def moved(coefficients: NDArray[np.float64], dx: float, dy: float, margin: int) -> NDArray[np.float64]:
    """Move an image by a part of a pixel with cubic splines.

    Equal to ``scipy.ndimage.shift(image, (dy, dx), order=3)`` without the margin on all sides.

    Parameters
    ----------
    coefficients : (ny, nx) float64
        Of `spline_coefficients`.
    dx, dy : float
        Pixels.
    margin : int
        Pixels that are left out on each side, at least 2 more than the image is moved.
    """
    for offset in (dy, dx):
        whole = int(np.floor(-offset))
        u = -offset - whole
        weights = np.array([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]) / 6
        first, size = margin + whole - 1, len(coefficients) - 2 * margin
        total = weights[0] * coefficients[first : first + size]
        for k in (1, 2, 3):
            total += weights[k] * coefficients[first + k : first + k + size]
        coefficients = total.T
    return np.ascontiguousarray(coefficients)
