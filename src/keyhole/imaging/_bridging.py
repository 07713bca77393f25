"""Values for single bad pixels from the good ones on both sides: what an interpolation kernel needs of them.

Leaving a bad pixel out of a kernel and sharing its weight among the others is right where the image is flat; on
the flank of a star it moves the light. A value from opposite neighbours keeps the slope, and with two on each side
the curvature too (cubic Lagrange interpolation at the middle: ``(-1, 4, 4, -1) / 6``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import places

__all__ = ["REACH", "TIED", "Bridged", "Bridges", "bridge", "few_bad"]

REACH: Final = 2
"""Pixels to either side that a bridged value needs."""
_FEW: Final = 0.05
"""Part of the pixels up to which the bad ones are looked at one by one."""
TIED: Final = 2.0
"""Variance of a bridged value in a weighted sum with its neighbours, in units of theirs.

By itself it has 0.47 of their variance (0.94 in one direction alone), but it is tied to them: in sums with the
weights of a cubic kernel that gives 1.6 to 2.8.
"""


class Bridged(NamedTuple):
    """Result of `bridge`.

    Attributes
    ----------
    data : (ny, nx) float32
        Bridged values in place of bad ones, 0 where there is none.
    known : (ny, nx) bool
        Good or bridged.
    """

    data: NDArray[np.float32]
    known: NDArray[np.bool_]


def bridge(data: NDArray[np.float32], good: NDArray[np.bool_]) -> Bridged:
    """Give bad pixels between two good ones, left and right or above and below, the value between them.

    Parameters
    ----------
    data : (ny, nx) float32
        Finite where good.
    good : (ny, nx) bool

    Returns
    -------
    Bridged
        Where both directions are possible their mean. Changes its input: no.
    """
    bridges = Bridges(good)
    return Bridged(bridges.fill(data), bridges.known)


def few_bad(good: NDArray[np.bool_]) -> bool:
    """Whether the bad pixels are so few that they are looked at one by one."""
    return bool(good.size - np.count_nonzero(good) < _FEW * good.size)


class Bridges:
    """The bad pixels between good ones, for any number of planes with the same bad pixels; see `bridge`.

    Attributes
    ----------
    good, known : (ny, nx) bool
        Good; good or bridged.
    at : flat indices
        The bridged pixels, ascending.
    few : flat indices or None
        The bad pixels, if they are few.
    """

    def __init__(self, good: NDArray[np.bool_]) -> None:
        self.good = good
        # Places in the flattened plane: the pixel, the two beside it, the two beyond these.
        bad = np.flatnonzero(~good)
        self.few = bad if bad.size < _FEW * good.size else None
        along = [_pairs(good, axis, self.few) for axis in (1, 0)]
        self._pairs = np.concatenate([pairs for pairs, _ in along], axis=1)
        self._curved = np.concatenate([curved for _, curved in along])
        self.at, self._place, self._number = np.unique(self._pairs[0], return_inverse=True, return_counts=True)
        self.known = good.copy()
        self.known.ravel()[self.at] = True

    def fill(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Give a plane, finite where good, with the bridged values in place of bad ones; 0 where there is none."""
        return self.mend(np.where(self.good, plane, np.float32(0)).astype(np.float32, copy=False))

    def mend(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Do the same in place, in a plane without gaps in memory."""
        flat = plane.reshape(-1)
        if self.few is None:
            np.copyto(plane, 0, where=~self.good)
        else:
            flat[self.few] = 0
        if self.at.size:
            flat[self.at] = self.between(lambda places: flat[places])
        return plane

    def between(self, values: Callable[[NDArray[np.intp]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Values of the bridged pixels, of a plane that is looked up at flat indices."""
        _, left, right, far_left, far_right = values(self._pairs)
        middle = 0.5 * (left + right)
        middle += np.where(self._curved, (2 * middle - far_left - far_right) / 6, np.float32(0))
        return (np.bincount(self._place, middle, len(self.at)) / self._number).astype(np.float32)


def _pairs(
    good: NDArray[np.bool_], axis: int, few: NDArray[np.intp] | None
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Places, (5, k), of bad pixels between good ones, of those beside and beyond, and if these count."""
    place = _between(good, axis, few)
    length, step = (good.shape[1], 1) if axis == 1 else (good.shape[0], good.shape[1])
    along = place % length if axis == 1 else place // step
    before, after = along >= REACH, along < length - REACH
    far = place - REACH * step * before - step * ~before, place + REACH * step * after + step * ~after
    flat = good.ravel()
    curved = before & after & flat[far[0]] & flat[far[1]]
    return np.stack([place, place - step, place + step, *far]), curved


def _between(good: NDArray[np.bool_], axis: int, few: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Places of the bad pixels with good ones on both sides; `few`: the bad ones, if they are looked at one by one."""
    ny, nx = good.shape
    if few is not None:
        along, length, step = (few % nx, nx, 1) if axis == 1 else (few // nx, ny, nx)
        place = few[(along > 0) & (along < length - 1)]
        flat = good.ravel()
        return np.asarray(place[flat[place - step] & flat[place + step]])
    if axis == 1:
        y, x = places(good[:, :-2] & good[:, 2:] & ~good[:, 1:-1])
        return np.asarray(y * nx + x + 1)
    return np.asarray(np.flatnonzero(good[:-2] & good[2:] & ~good[1:-1]) + nx)
