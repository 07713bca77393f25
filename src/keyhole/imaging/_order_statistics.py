"""Order statistics of many short columns at once: sorting, medians, and how noisy a median is.

A stack of ``n`` planes is sorted pixel by pixel with a sorting network: a fixed list of "put these two planes
in order" steps, each a minimum and a maximum of whole planes. That runs at the speed of the memory, where
sorting a cube along its short axis does not. Values that do not take part are +inf, so that they sort to the
end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "balanced_median",
    "lower_median_efficiency",
    "masked_median",
    "median_efficiency",
    "pick",
    "sort_planes",
    "sorted_median",
]

_NETWORK_LIMIT: Final = 64
"""Above this many planes the library sort wins over the network."""
_STRIP: Final = 8
"""Planes that are turned into columns at once: more would write to more memory lines than the cache holds."""

# n times the variance of the median (and of the lower median) of n unit normal deviates, n = 1 .. 20, by
# numerical integration of the densities of the order statistics; beyond, expansions in 1/n fitted to the same
# integrals (error below 2e-4), which tend to pi/2.
_MEDIAN_TABLE: Final = (
    *(1.0, 1.0, 1.34601, 1.1928, 1.43417, 1.28846, 1.47313, 1.34545, 1.49491, 1.38326),
    *(1.50879, 1.41019, 1.51839, 1.43035, 1.52542, 1.446, 1.53079, 1.45851, 1.53503, 1.46874),
)
_LOWER_MEDIAN_TABLE: Final = (
    *(1.0, 1.36338, 1.34601, 1.44182, 1.43417, 1.47728, 1.47313, 1.49749, 1.49491, 1.51054),
    *(1.50879, 1.51965, 1.51839, 1.52638, 1.52542, 1.53154, 1.53079, 1.53563, 1.53503, 1.53895),
)
_MEDIAN_ODD: Final = (-0.42953, -0.05713)
_MEDIAN_EVEN: Final = (-1.42272, 2.43246)
_LOWER_MEDIAN_EVEN: Final = (-0.42880, 0.46361)


@lru_cache(maxsize=256)
def _comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Batcher's merge-exchange network for `n` entries (Knuth, TAOCP vol. 3, 5.2.2, algorithm M)."""
    steps: list[tuple[int, int]] = []
    top = 1 << max(n - 1, 0).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            steps.extend((i, i + d) for i in range(n - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(steps)


def sort_planes(planes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Sort every column of a stack of flattened planes, ascending.

    Equal to ``list(np.sort(planes, axis=0))``.

    Parameters
    ----------
    planes : (n, m) float array without NaN
        **Changed**: it is the working space.

    Returns
    -------
    list of n arrays (m,)
        The smallest value of each column first.
    """
    n = len(planes)
    if n > _NETWORK_LIMIT:
        columns = np.empty(planes.shape[::-1], planes.dtype)
        for first in range(0, n, _STRIP):
            columns[:, first : first + _STRIP] = planes[first : first + _STRIP].T
        columns.sort(axis=1)
        for first in range(0, n, _STRIP):
            planes[first : first + _STRIP] = columns[:, first : first + _STRIP].T
        return list(planes)
    rows = list(planes)
    spare = np.empty_like(rows[0])
    for low, high in _comparators(n):
        np.minimum(rows[low], rows[high], out=spare)
        np.maximum(rows[low], rows[high], out=rows[high])
        rows[low], spare = spare, rows[low]
    return rows


@lru_cache(maxsize=256)
def _selection(n: int, ranks: tuple[int, ...]) -> tuple[tuple[int, int, bool, bool], ...]:
    """The steps of the network that some ranks depend on, and which of the two planes of each are wanted."""
    wanted, steps = set(ranks), []
    for low, high in reversed(_comparators(n)):
        lower, upper = low in wanted, high in wanted
        if lower or upper:
            steps.append((low, high, lower, upper))
            wanted |= {low, high}
    return tuple(reversed(steps))


def _ranked(planes: NDArray[np.float32], ranks: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """The planes of some ranks of every column; changes `planes`, in which they are."""
    if len(planes) > _NETWORK_LIMIT:
        rows = sort_planes(planes)
    else:
        rows = list(planes)
        spare = np.empty_like(rows[0])
        for low, high, lower, upper in _selection(len(planes), ranks):
            if lower and upper:
                np.minimum(rows[low], rows[high], out=spare)
                np.maximum(rows[low], rows[high], out=rows[high])
                rows[low], spare = spare, rows[low]
            elif lower:
                np.minimum(rows[low], rows[high], out=rows[low])
            else:
                np.maximum(rows[low], rows[high], out=rows[high])
    return [rows[rank] for rank in ranks]


def balanced_median(planes: NDArray[np.float32], count: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Median of the finite entries of each column.

    With infinities of both signs in place of what is missing the median has the same rank in all columns, and only
    what that rank depends on needs to be put in order.

    Parameters
    ----------
    planes : (n, m) float array without NaN
        What is missing is infinite, as often +inf as -inf or once more. **Changed**: it is the working space.
    count : (m,) int
        Number of the finite entries.

    Returns
    -------
    (m,) float array
        0 where there is none. It may lie in `planes`.
    """
    n = len(planes)
    # The two in the middle where the count is even; where it is odd it is that which is there for all n.
    ranks = ((n - 1) // 2, n // 2) if n % 2 == 0 else (max(n // 2 - 1, 0), n // 2)
    odd = (count & 1).astype(np.bool_)
    if odd.all():
        return _ranked(planes, (ranks[n % 2],))[0]
    lower, upper = _ranked(planes, ranks)
    if odd.any():
        one, other = (lower, upper) if n % 2 == 0 else (upper, lower)
        np.copyto(other, one, where=odd)
    empty = count == 0
    if empty.any():
        lower[empty] = upper[empty] = 0
    np.add(lower, upper, out=lower)
    lower *= planes.dtype.type(0.5)
    return lower


def pick(rows: Sequence[NDArray[np.float32]], index: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Take from each column the row with that column's index.

    Equal to ``np.take_along_axis(np.array(rows), index[None], axis=0)[0]``.
    """
    first, last = int(index.min()), int(index.max())
    if first == last:
        return rows[first]
    taken = rows[first].copy()
    # Small numbers are compared faster.
    index = index.astype(np.uint8) if last < 256 else index
    for j in range(first + 1, last + 1):
        np.copyto(taken, rows[j], where=index == j)
    return taken


def sorted_median(rows: Sequence[NDArray[np.float32]], count: NDArray[np.intp]) -> NDArray[np.float32]:
    """Median of the first `count` (>= 1) entries of each sorted column."""
    lower = pick(rows, (count - 1) >> 1)
    upper = pick(rows, count >> 1)
    return np.asarray((lower + upper) * rows[0].dtype.type(0.5))


def masked_median(values: NDArray[np.float64], accepted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median of the accepted entries of each column; at least one must be accepted. Nothing is changed."""
    # Sorting along the last axis needs no strides.
    columns = np.ascontiguousarray(np.where(accepted, values, np.inf).T)
    columns.sort(axis=1)
    count = np.count_nonzero(accepted, axis=0)
    position = np.arange(len(columns))
    return np.asarray(0.5 * (columns[position, (count - 1) // 2] + columns[position, count // 2]))


def median_efficiency(count: NDArray[np.intp]) -> NDArray[np.float64]:
    """Variance of the median of `count` normal values, in units of the variance of their mean: 1 to pi/2."""
    return _efficiency(count, _MEDIAN_TABLE, _MEDIAN_EVEN)


def lower_median_efficiency(count: NDArray[np.intp]) -> NDArray[np.float64]:
    """The same for the lower median: the smaller of the two middle values when `count` is even."""
    return _efficiency(count, _LOWER_MEDIAN_TABLE, _LOWER_MEDIAN_EVEN)


def _efficiency(count: NDArray[np.intp], small: tuple[float, ...], even: tuple[float, float]) -> NDArray[np.float64]:
    count = np.asarray(count)
    numbers = np.arange(1, max(int(count.max(initial=1)), len(small)) + 1)
    first, second = np.where(numbers % 2 == 1, np.reshape(_MEDIAN_ODD, (2, 1)), np.reshape(even, (2, 1)))
    table = 0.5 * np.pi * (1 + first / numbers + second / numbers**2)
    table[: len(small)] = small
    return np.asarray(table[np.maximum(count, 1) - 1])
