"""Bad pixels: those that are noisy from dark to dark, and what a map of bad pixels means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging import bits
from keyhole.imaging._order_statistics import sort_planes
from keyhole.imaging.medians import median

__all__ = ["FEWEST_DARKS", "Section", "bad_in_map", "noisy_pixels", "place_map", "without_surroundings"]

_BLOCK_VALUES: Final = 1 << 20
_LEVEL_SAMPLE: Final = 25_000

# How far the second highest of n unit normal deviates lies above the second lowest in one case of a million,
# n = 5 .. 20: with f and F the normal density and distribution, the root w of
#     10**-6 = integral of n (n-1) F(x) (1-F(x))**(n-2) f(x) P(x, w) dx,
# P the probability that two or more of n - 2 deviates that lie above x lie above x + w (H. A. David, Order
# Statistics, chapter 2).
_QUASI_RANGE: Final = (
    *(4.791, 4.991, 5.142, 5.262, 5.363, 5.449, 5.524, 5.591),
    *(5.651, 5.705, 5.755, 5.801, 5.843, 5.883, 5.920, 5.955),
)
FEWEST_DARKS: Final = 5
"""With fewer darks noise cannot be told from a cosmic ray."""

_MOST_DARKS: Final = FEWEST_DARKS + len(_QUASI_RANGE) - 1


Section = tuple[int, int, int, int]
"""Part of a detector: x1, x2, y1, y2, counted from 0, the upper ends left out."""


def noisy_pixels(
    data: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    mask: Sequence[NDArray[np.uint16]] | NDArray[np.uint16] | None,
    *,
    variance: float,
) -> NDArray[np.bool_]:
    """Pixels that scatter from dark to dark as an ordinary pixel never does.

    The distance from the second lowest to the second highest value of a pixel is held against the distance
    that one ordinary pixel in a million exceeds. A single cosmic ray is no noise; a pixel that jumps between
    levels (random telegraph noise) is, as soon as two darks show each of them.

    Parameters
    ----------
    data : n planes (ny, nx) float32
        Darks of one exposure time, electrons. The level of a whole dark does not matter.
    mask : n planes (ny, nx) uint16, optional
        A pixel that is unusable in any dark is not judged.
    variance : float
        Of an ordinary pixel in one dark, electrons squared.

    Returns
    -------
    (ny, nx) bool
        No pixel with fewer than `FEWEST_DARKS` darks. Of more than 20 darks, 20 evenly spread ones are looked
        at.

    Raises
    ------
    AlgorithmError
        A variance that is not positive.
    """
    if not (np.isfinite(variance) and variance > 0):
        raise AlgorithmError(f"Noise cannot be judged against a variance of {variance} electrons squared.")
    found = np.zeros(np.shape(data[0]), dtype=bool)
    if len(data) < FEWEST_DARKS:
        return found
    chosen = np.linspace(0, len(data) - 1, min(len(data), _MOST_DARKS)).round().astype(int)
    # A sample gives the level of a whole dark to a hundredth of the noise of a pixel.
    step = (found.size // _LEVEL_SAMPLE) | 1
    levels = [np.float32(median(np.asarray(data[i]).ravel()[::step])) for i in chosen]
    limit = np.float32(_QUASI_RANGE[len(chosen) - FEWEST_DARKS] * variance**0.5)
    step = max(1, _BLOCK_VALUES // (len(chosen) * found.shape[1]))
    for first in range(0, found.shape[0], step):
        rows = slice(first, first + step)
        values = [(data[i][rows] - level).ravel() for i, level in zip(chosen, levels, strict=True)]
        # Only where the extremes are so far apart can the second ones be.
        wide = np.flatnonzero(_range(values) > limit)
        ordered = sort_planes(np.stack([plane[wide] for plane in values]))
        found[rows].ravel()[wide] = ordered[-2] - ordered[1] > limit
    if mask is not None and found.any():
        found &= bits.usable(bits.any_of(mask))
    return found


def _range(planes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Highest less lowest value of each pixel."""
    low, high = planes[0].copy(), planes[0].copy()
    for plane in planes[1:]:
        np.minimum(low, plane, out=low)
        np.maximum(high, plane, out=high)
    high -= low
    return high


def bad_in_map(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels a map calls bad: any value but 0, and but 64 alone, which marks what the keyhole hides.

    Parameters
    ----------
    values : (ny, nx) numbers of any type
        1 for bad, or quality bits.

    Returns
    -------
    (ny, nx) bool

    Raises
    ------
    AlgorithmError
        Values that are no numbers, or all pixels bad.
    """
    if values.dtype.kind == "f":
        missing = np.count_nonzero(~np.isfinite(values))
        if missing:
            raise AlgorithmError(f"{missing} of {values.size} values are no numbers, where 0 is good and 1 is bad")
    bad = (values != 0) & (values != bits.UNILLUMINATED)
    if bad.all():
        raise AlgorithmError(f"all {bad.size} pixels are bad in it, where 0 is good and 1 is bad")
    return np.asarray(bad)


def without_surroundings(bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bad pixels without those that a mask calls bad for want of light.

    A mask that calls more than half of the array bad was made of flats by fixed limits: most of its "bad" pixels
    are what the keyhole hides. These are taken to be all groups (neighbours share a side) of more than a
    twentieth of the array, a hundred times the largest flaw of a real one.

    Returns
    -------
    (ny, nx) bool
        `bad` itself where it needs no change.
    """
    if 2 * np.count_nonzero(bad) <= bad.size:
        return bad
    from scipy import ndimage  # slow to load and rarely needed

    labels, _ = ndimage.label(bad)
    sizes = np.bincount(labels.ravel())
    flaws = sizes <= bad.size // 20
    flaws[0] = False
    return np.asarray(flaws[labels])


def place_map(bad: NDArray[np.bool_], own: Section, wanted: Section) -> NDArray[np.bool_]:
    """Cut a map to a part of the detector; where it does not reach, pixels are good.

    Parameters
    ----------
    bad : (ny, nx) bool
    own, wanted : Section
        What of the detector the map shows, and what of it is asked for.

    Returns
    -------
    bool array of the shape of `wanted`

    Raises
    ------
    AlgorithmError
        The map is of another shape than its part, or has no pixel in common with what is wanted.
    """
    ax, bx, ay, by = own
    if bad.shape != (by - ay, bx - ax):
        raise AlgorithmError(f"it is {_size(bad.shape)} where its section {_words(own)} is {_size((by - ay, bx - ax))}")
    x1, x2, y1, y2 = wanted
    rows, columns = slice(max(ay, y1), min(by, y2)), slice(max(ax, x1), min(bx, x2))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise AlgorithmError(f"it shows {_words(own)} of the detector, where {_words(wanted)} is wanted")
    out = np.zeros((y2 - y1, x2 - x1), dtype=bool)
    out[_moved(rows, y1), _moved(columns, x1)] = bad[_moved(rows, ay), _moved(columns, ax)]
    return out


def _moved(part: slice, origin: int) -> slice:
    return slice(part.start - origin, part.stop - origin)


def _words(section: Section) -> str:
    x1, x2, y1, y2 = section
    return f"[{x1 + 1}:{x2},{y1 + 1}:{y2}]"


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
