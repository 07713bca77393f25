"""Pixels of a flat that differ from their neighbours: medians are taken only where their bounds leave a doubt."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._filters import maximum_in_box
from keyhole.imaging._masked import zero_except
from keyhole.imaging._neighbours import local_median, median_at, places
from keyhole.imaging._patches import Index
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
_DOUBTS: Final = 0.15
"""Part of the pixels from which on medians of all are faster."""
_ROUNDING: Final = 1e-4
"""Far above the rounding of float32."""

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
            y, x = places(_may_differ(response, good, radius, tolerance))
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


def _may_differ(response: NDArray[np.float32], good: NDArray[np.bool_], radius: int, limit: float) -> NDArray[np.bool_]:
    """Good pixels that differ by more than a part from their largest or smallest neighbour.

    Only these can differ so much from the median of the neighbours, which lies between both.
    """
    values = zero_except(response.copy(), good)
    highest = maximum_in_box(values, radius)
    inverse = np.divide(np.float32(1), values, out=np.zeros_like(values), where=good)
    lowest = maximum_in_box(inverse, radius)
    above = values * lowest > (1 + limit) * (1 - _ROUNDING)
    return np.asarray(good & (above | (values < (1 - limit) * (1 + _ROUNDING) * highest)))
