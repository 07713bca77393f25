"""Pixels of a flat that differ from their neighbours: medians are taken only where their bounds leave a doubt."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import local_median, median_at, places
from keyhole.imaging._patches import Index
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.noise import robust_sigma

__all__ = ["FEWEST_NEIGHBOURS", "StandingOut", "standing_out"]

FEWEST_NEIGHBOURS: Final = 3
"""Neighbours that a pixel is held against, at least."""
_SAMPLE: Final = 5000
"""Pixels that tell their scatter to 1.2 per cent."""
_SURELY: Final = 0.8
"""Part of the tolerance below which that scatter does not matter."""
_MANY: Final = 200_000
"""Pixels for which it is worth while."""
_DOUBTS: Final = 0.04
"""Part of the pixels from which on medians of all are faster."""
_ROUNDING: Final = 1e-4
_BLOCK: Final = 1 << 15

Float32 = NDArray[np.float32]
Bools = NDArray[np.bool_]


class StandingOut(NamedTuple):
    """Which pixels stand out, (ny, nx) bool, and the limit: a part of the median of their neighbours."""

    pixels: Bools
    limit: float


def standing_out(response: Float32, good: Bools, *, radius: int, nsigma: float, tolerance: float) -> StandingOut:
    """Good pixels that differ from the median of their good neighbours by more than the limit.

    That is the larger of `tolerance` and `nsigma` times the robust scatter of the differences, all of them parts of
    the median. A median lies between the smallest and the largest neighbour: where these are within the tolerance
    it is not taken. Where a sample leaves any doubt which limit is the larger, or many pixels remain, all are.

    Parameters
    ----------
    response : (ny, nx) float32
        Finite and positive where good.
    good : (ny, nx) bool
        At least one.
    radius : int
        The neighbours are the square of side ``2 * radius + 1``.
    nsigma, tolerance : float
    """
    if good.size >= _MANY:
        chosen = np.flatnonzero(good)
        y, x = np.divmod(chosen[:: max(chosen.size // _SAMPLE, 1) | 1], good.shape[1])
        sample = _fraction_at(response, good, y, x, radius)
        # Each pixel that stands out leaves a doubt about all around it.
        share = np.count_nonzero(np.abs(sample - 1) > tolerance) / sample.size
        few = share * (2 * radius + 1) ** 2 < _DOUBTS
        if few and nsigma * robust_sigma(sample) < _SURELY * tolerance:
            y, x = places(_doubtful(response, good, radius, tolerance))
            if y.size < _DOUBTS * good.size:
                pixels = np.zeros(good.shape, np.bool_)
                pixels[y, x] = np.abs(_fraction_at(response, good, y, x, radius) - 1) > tolerance
                return StandingOut(pixels, tolerance)
    around, count = local_median(response, good, radius=radius)
    fraction = np.ones_like(response)
    np.divide(response, around, out=fraction, where=good & (count >= FEWEST_NEIGHBOURS))
    limit = max(nsigma * robust_sigma(fraction[good]), tolerance)
    return StandingOut(good & (np.abs(fraction - 1) > limit), limit)


def _fraction_at(response: Float32, good: Bools, y: Index, x: Index, radius: int) -> Float32:
    """Parts of the median of their neighbours that given pixels have, 1 with too few neighbours."""
    around, count = median_at(response, good, y, x, radius=radius)
    enough = count >= FEWEST_NEIGHBOURS
    return np.divide(response[y, x], around, out=np.ones_like(around), where=enough)


def _doubtful(response: Float32, good: Bools, radius: int, tolerance: float) -> Bools:
    """Good pixels that may differ from a value between the extremes of the square around them by the tolerance."""
    ny = len(response)
    high, low = np.float32(1 + tolerance - _ROUNDING), np.float32(1 - tolerance + _ROUNDING)
    doubtful = np.empty(good.shape, np.bool_)
    for rows in row_blocks(good.shape, _BLOCK):
        near = slice(max(rows.start - radius, 0), min(rows.stop + radius, ny))
        inner = slice(rows.start - near.start, rows.stop - near.start)
        least = np.where(good[near], response[near], np.float32(np.inf))
        most = np.where(good[near], response[near], np.float32(-np.inf))
        here = response[rows]
        out = np.greater(here, _extreme(least, np.minimum, radius)[inner] * high, out=doubtful[rows])
        out |= here < _extreme(most, np.maximum, radius)[inner] * low
        out &= good[rows]
    return doubtful


def _extreme(plane: Float32, extreme: np.ufunc, radius: int) -> Float32:
    """Smallest or largest value in the square around each pixel; changes the plane."""
    for axis in (0, 1):
        done = 0
        # Twice as far with every pass, as in `near`.
        while done < radius:
            step = min(max(done, 1), radius - done)
            source, target = (np.moveaxis(part, axis, 0) for part in (plane.copy(), plane))
            extreme(target[step:], source[:-step], out=target[step:])
            extreme(target[:-step], source[step:], out=target[:-step])
            done += step
    return plane
