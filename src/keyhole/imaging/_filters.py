"""Small filters of whole images: enlarging, sums and maxima over boxes.

They replace functions of `scipy.ndimage`, whose import alone takes longer than what a run needs of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["doubled", "maximum_in_box", "summed_in_twos"]


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
    near, far = image * np.float32(0.75), image * np.float32(0.25)
    tall = np.empty((ny, image.shape[1]), np.float32)
    for first, before in ((0, True), (1, False)):
        target = tall[first::2]
        _between(near, far, target, before=before)
    near, far = tall * np.float32(0.75), tall * np.float32(0.25)
    out = np.empty((ny, nx), np.float32)
    for first, before in ((0, True), (1, False)):
        _between(near.T, far.T, out[:, first::2].T, before=before)
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
    for axis in (0, 1):
        source = np.moveaxis(image, axis, 0)
        width = 2 * reach + 1
        # Row k of `wide` is the largest of rows k ... k + covered - 1 of the image with its margins.
        wide = np.zeros((source.shape[0] + 2 * reach, source.shape[1]), image.dtype)
        wide[reach : reach + len(source)] = source
        covered = 1
        while covered < width:
            step = min(covered, width - covered)
            wide = np.maximum(wide[: len(wide) - step], wide[step:])
            covered += step
        image = np.moveaxis(wide, 0, axis)
    return np.ascontiguousarray(image)
