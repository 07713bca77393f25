"""Values for single bad pixels from the good ones on both sides: what an interpolation kernel needs of them.

Leaving a bad pixel out of a kernel and sharing its weight among the others is right where the image is flat; on
the flank of a star it moves the light. A value from opposite neighbours keeps the slope, and with two on each side
the curvature too (cubic Lagrange interpolation at the middle: ``(-1, 4, 4, -1) / 6``).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "TIED", "Bridged", "bridge"]

REACH: Final = 2
"""Pixels to either side that a bridged value needs."""
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
    filled = np.where(good, data, np.float32(0))
    total, number = np.zeros(data.shape, np.float32), np.zeros(data.shape, np.uint8)
    planes: tuple[NDArray[Any], ...] = (filled, good, total, number)
    for values, usable, sums, count in (planes, tuple(plane.T for plane in planes)):
        y, x = np.nonzero(usable[:, :-2] & usable[:, 2:] & ~usable[:, 1:-1])
        x = x + 1
        middle = 0.5 * (values[y, x - 1] + values[y, x + 1])
        left, right = np.maximum(x - 2, 0), np.minimum(x + 2, values.shape[1] - 1)
        curved = (left == x - 2) & (right == x + 2) & usable[y, left] & usable[y, right]
        middle[curved] += ((2 * middle - values[y, left] - values[y, right]) / 6)[curved]
        sums[y, x] += middle
        count[y, x] += 1
    known = number > 0
    filled[known] = total[known] / number[known]
    return Bridged(filled, good | known)
