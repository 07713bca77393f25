"""Regions of a mask: connected pixels, growth by discs and boxes, peaks.

Small replacements of functions of `scipy.ndimage`, whose import alone takes longer than what most frames need of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Regions", "connected", "disc", "grown", "peaks_among"]

_MOST_ROUNDS: Final = 10_000

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Index = NDArray[np.intp]


class Regions(NamedTuple):
    """Connected regions of a mask.

    Attributes
    ----------
    pixels : (k,) intp array
        True pixels in the flattened mask, ascending.
    names : (k,) intp array
        Region of each of these pixels, from 0 on.
    number : int
        Number of regions.
    """

    pixels: Index
    names: Index
    number: int


def connected(mask: Bool) -> Regions:
    """Divide the True pixels into regions that touch by sides or corners.

    The same regions as ``scipy.ndimage.label(mask, structure=np.ones((3, 3)))``, in another order.

    Parameters
    ----------
    mask : (ny, nx) bool
    """
    pixels = np.flatnonzero(mask)
    if not pixels.size:
        return Regions(pixels, pixels, 0)
    rows = pixels // mask.shape[1]
    # Neighbours in a row are joined to runs first: there are far fewer of these than pixels.
    begins = np.ones(pixels.size, dtype=bool)
    begins[1:] = (np.diff(pixels) > 1) | (np.diff(rows) > 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], pixels.size) - 1
    left, right = pixels[first], pixels[last]
    upper, lower = _touching(left, right, rows[first], mask.shape[1])
    roots = _joined(first.size, upper, lower)
    found, run_names = np.unique(roots, return_inverse=True)
    return Regions(pixels, np.repeat(run_names, last - first + 1), found.size)


def _touching(left: Index, right: Index, rows: Index, width: int) -> tuple[Index, Index]:
    """Pairs of runs in neighbouring rows that touch, also by corners."""
    # Runs below one reach from its left end less one to its right end plus one, but stay in their row.
    start, stop = (rows + 1) * width, (rows + 2) * width
    low = np.searchsorted(right, np.maximum(left + width - 1, start))
    high = np.searchsorted(left, np.minimum(right + width + 2, stop))
    number = np.maximum(high - low, 0)
    upper = np.repeat(np.arange(left.size), number)
    ahead = np.arange(upper.size) - np.repeat(np.cumsum(number) - number, number)
    return upper, np.repeat(low, number) + ahead


def _joined(number: int, first: Index, second: Index) -> Index:
    """The lowest node that each of some nodes is connected with, by pairs."""
    roots = np.arange(number)
    for _ in range(_MOST_ROUNDS):
        low = np.minimum(roots[first], roots[second])
        high = np.maximum(roots[first], roots[second])
        apart = low < high
        if not apart.any():
            break
        first, second, low, high = first[apart], second[apart], low[apart], high[apart]
        np.minimum.at(roots, high, low)
        while True:
            further = roots[roots]
            if np.array_equal(further, roots):
                break
            roots = further
    return roots


def grown(mask: Bool, radius: float) -> Bool:
    """True where a True pixel is no further away than the radius.

    Equal to ``scipy.ndimage.distance_transform_edt(~mask) <= radius`` if any pixel is True.

    Parameters
    ----------
    mask : (ny, nx) bool
    radius : float
        Pixels.
    """
    reach = int(radius)
    half = [int((radius * radius - dy * dy) ** 0.5) for dy in range(reach + 1)]
    out = np.zeros_like(mask)
    wide, width = mask.copy(), 0
    # From the narrow ends of the disc to its middle, a row of it after the other.
    for dy in range(reach, -1, -1):
        for step in range(width + 1, half[dy] + 1):
            wide[:, step:] |= mask[:, :-step]
            wide[:, :-step] |= mask[:, step:]
        width = half[dy]
        if dy == 0:
            out |= wide
        else:
            out[dy:] |= wide[:-dy]
            out[:-dy] |= wide[dy:]
    return out


def peaks_among(image: Float32, pixels: Index, size: int) -> Index:
    """Those of some pixels of which none in the box of an odd `size` about them is brighter.

    Parameters
    ----------
    image : (ny, nx) float32
    pixels : (k,) intp
        Places in the flattened image.
    size : int
    """
    reach, (ny, nx) = size // 2, image.shape
    flat = image.reshape(-1)
    y, x = np.divmod(pixels, nx)
    offsets = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1) if (dy, dx) != (0, 0)]
    kept = np.arange(pixels.size)
    # The nearest neighbours leave few to be compared with the others. Instead of those beyond the border, others of the
    # box are looked at twice.
    for dy, dx in sorted(offsets, key=lambda offset: offset[0] ** 2 + offset[1] ** 2):
        row, column = np.clip(y[kept] + dy, 0, ny - 1), np.clip(x[kept] + dx, 0, nx - 1)
        kept = kept[flat[row * nx + column] <= flat[pixels[kept]]]
    return pixels[kept]


@lru_cache(maxsize=256)
def disc(square: int) -> Bool:
    """True where the square of the distance from the centre is at most so many pixels."""
    reach = int(square**0.5)
    while (reach + 1) ** 2 <= square:
        reach += 1
    span = np.arange(-reach, reach + 1) ** 2
    whole = span[:, None] + span <= square
    whole.flags.writeable = False
    return np.asarray(whole)
