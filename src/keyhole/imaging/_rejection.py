"""Which of the values above one output pixel are outliers.

All functions look at a block of columns: ``(n, m)``, one column per output pixel. Only the few per cent of
columns whose extremes fail the limit are looked at again, in double precision and to convergence; the rest is
done with a few passes over whole planes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._order_statistics import masked_median, pick, sorted_median

__all__ = ["Columns", "RejectMethod", "Rejection", "find_outliers"]

RejectMethod = Literal["none", "minmax", "sigclip", "varclip"]

_MAX_PASSES: Final = 100
_SCREEN_VALUES: Final = 1 << 16
_MOST_SIGMA: Final = 1e6
_SCREEN_MARGIN: Final = 1e-3
"""Relative safety of the single-precision test that decides which columns need the exact one."""


@dataclass(frozen=True)
class Rejection:
    """How to reject: the method with its limits, in sigma or in numbers of values."""

    method: RejectMethod
    lsigma: float
    hsigma: float
    nlow: int
    nhigh: int
    mclip: bool
    max_iters: int | None

    def by_variance(self, columns: Columns) -> bool:
        """Whether the variance of each value is the measure of outliers, not the scatter."""
        return self.method == "varclip" and columns.variance is not None


@dataclass(frozen=True)
class Columns:
    """A block of columns. What is not accepted is zero in all three planes.

    Attributes
    ----------
    values, variance : (n, m) float32
    bits : (n, m) uint16 or None
    accepted : (n, m) bool, or None when everything takes part
    count : (m,) number of accepted values, at least 1
    allowed : (m,) float32, or None
        What clipping allows besides the noise.
    centre : (m,) float32, or None
        Median of the accepted values, where it is known.
    share : (n, m) float32, or None
        Weight of each value over that of its image; nothing where it is not accepted.
    """

    values: NDArray[np.float32]
    variance: NDArray[np.float32] | None
    bits: NDArray[np.uint16] | None
    accepted: NDArray[np.bool_] | None
    count: NDArray[np.intp]
    allowed: NDArray[np.float32] | None = None
    centre: NDArray[np.float32] | None = None
    share: NDArray[np.float32] | None = None

    @property
    def number(self) -> NDArray[np.intp] | int:
        """The count, as one number where it is the same everywhere."""
        least = int(self.count.min(initial=len(self.values)))
        return least if least == len(self.values) else self.count

    def take(self, index: NDArray[np.intp], accepted: NDArray[np.bool_]) -> Columns:
        """The columns at `index` with a new choice of accepted values."""
        return Columns(
            values=_at(self.values, index) * accepted,
            variance=None if self.variance is None else _at(self.variance, index) * accepted,
            bits=None if self.bits is None else _at(self.bits, index) * accepted,
            accepted=accepted,
            count=np.count_nonzero(accepted, axis=0),
            share=None if self.share is None else _at(self.share, index) * accepted,
        )

    def accepted_at(self, index: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Accepted values of the columns at `index`, as an array of its own."""
        if self.accepted is None:
            return np.ones((len(self.values), len(index)), dtype=bool)
        return self.accepted.take(index, axis=1)


def _at(plane: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
    """The columns at ascending positions; no copy if that is all of them."""
    return plane if len(index) == plane.shape[1] else plane.take(index, axis=1)


def find_outliers(
    columns: Columns, rows: Sequence[NDArray[np.float32]], rule: Rejection
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Columns that may lose values, and what stays accepted in them.

    Parameters
    ----------
    columns : Columns
    rows : n arrays (m,)
        The accepted values of each column sorted, then +inf.
    rule : Rejection

    Returns
    -------
    index : (p,) positions of the columns
    accepted : (n, p) bool
        At least one value per column: where all would be rejected, none is.
    """
    if rule.method == "minmax":
        return _drop_extremes(columns, rows, rule)
    by_variance = rule.by_variance(columns)
    centre = sorted_median(rows, columns.count) if columns.centre is None else columns.centre
    suspect = (
        _beyond_own_sigma(columns, centre, rule) if by_variance else _beyond_scatter(rows, columns.count, centre, rule)
    )
    index = np.flatnonzero(suspect & (columns.count > 1))
    values = _at(columns.values, index).astype(np.float64)
    first = centre[index].astype(np.float64)
    accepted = columns.accepted_at(index)
    allowed = np.zeros(index.shape) if columns.allowed is None else columns.allowed[index].astype(np.float64)
    known = {"first": first, "allowed": allowed}
    if by_variance and columns.variance is not None:
        sigma = np.sqrt(np.maximum(_at(columns.variance, index), 0), dtype=np.float64)
        clipped = _clip(values, accepted, lambda _v, _a, active: _at(sigma, active), rule, **known)
    else:
        clipped = _clip(values, accepted, lambda v, a, _active: _scatter(v, a), rule, **known)
    return index, clipped


def _drop_extremes(
    columns: Columns, rows: Sequence[NDArray[np.float32]], rule: Rejection
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Drop a number of lowest and highest values in proportion to how many take part."""
    n, m = columns.values.shape
    index = np.arange(m)
    drop_low = (columns.count * rule.nlow / n + 0.001).astype(np.intp)
    drop_high = (columns.count * rule.nhigh / n + 0.001).astype(np.intp)
    last = columns.count - 1 - drop_high
    accepted = columns.accepted_at(index) & (columns.values >= pick(rows, drop_low))
    accepted &= columns.values <= pick(rows, last)
    tied = np.flatnonzero(np.count_nonzero(accepted, axis=0) != last + 1 - drop_low)
    if tied.size:
        # Equal values at a limit: the number to drop decides, in the order of the frames.
        shown = np.where(columns.accepted_at(tied), columns.values[:, tied], np.inf)
        rank = np.argsort(np.argsort(shown, axis=0, kind="stable"), axis=0)
        accepted[:, tied] = (rank >= drop_low[tied]) & (rank <= last[tied])
    return index, accepted


def _beyond_scatter(
    rows: Sequence[NDArray[np.float32]],
    count: NDArray[np.intp],
    centre: NDArray[np.float32],
    rule: Rejection,
) -> NDArray[np.bool_]:
    """Columns whose extremes may lie beyond the limit in units of the column's own scatter."""
    highest = pick(rows, count - 1)
    all_take_part = highest is rows[-1]
    total = np.zeros_like(centre)
    squares = np.zeros_like(centre)
    step = np.empty_like(centre)
    for row in rows:
        if all_take_part:
            np.subtract(row, centre, out=step)
        else:
            # The +inf behind the accepted values count as the highest one; taken out again below.
            np.minimum(row, highest, out=step)
            step -= centre
        total += step
        step *= step
        squares += step
    above = highest - centre
    number: NDArray[Any] | float = float(len(rows))
    if not all_take_part:
        spare = (len(rows) - count).astype(np.float32)
        total -= spare * above
        squares -= spare * above**2
        number = count.astype(np.float32)
    variance = squares / number - (total / number) ** 2
    limit = np.sqrt(np.maximum(variance, 0)) * (1 - _SCREEN_MARGIN)
    return np.asarray((above > rule.hsigma * limit) | (centre - rows[0] > rule.lsigma * limit))


def _beyond_own_sigma(columns: Columns, centre: NDArray[np.float32], rule: Rejection) -> NDArray[np.bool_]:
    """Columns with a value beyond the limit in units of that value's own sigma."""
    n, m = columns.values.shape
    suspect = np.zeros(centre.shape, dtype=bool)
    variance, accepted = columns.variance, columns.accepted
    # Some planes at once: many short ones cost less that way, and long ones stay in the cache.
    step = max(1, _SCREEN_VALUES // m)
    # Squares of the smaller limit let through more than the exact test does, never less.
    factor = np.float32((min(rule.hsigma, rule.lsigma, _MOST_SIGMA) * (1 - _SCREEN_MARGIN)) ** 2)
    for first in range(0, n, step):
        some = slice(first, first + step)
        offset = columns.values[some] - centre
        offset *= offset
        beyond = offset > (0 if variance is None else factor * variance[some])
        if accepted is not None:
            beyond &= accepted[some]
        suspect |= beyond.any(axis=0)
    return suspect


def _scatter(values: NDArray[np.float64], accepted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Population standard deviation of the accepted values of each column about their mean."""
    offset = (values - _mean(values, accepted)) * accepted
    return np.asarray(np.sqrt((offset**2).sum(axis=0) / np.count_nonzero(accepted, axis=0)))


def _mean(values: NDArray[np.float64], accepted: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray((values * accepted).sum(axis=0) / np.count_nonzero(accepted, axis=0))


def _clip(
    values: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    sigma_of: Callable[[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]], NDArray[np.float64]],
    rule: Rejection,
    *,
    first: NDArray[np.float64],
    allowed: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Reject beyond the limits about `first`, the median, until nothing changes.

    Only the columns that changed are looked at again.
    """
    accepted = accepted.copy()
    active = np.arange(values.shape[1])
    for step in range(min(rule.max_iters or _MAX_PASSES, _MAX_PASSES)):
        if not active.size:
            break
        v, a = _at(values, active), _at(accepted, active)
        centre = first if step == 0 else masked_median(v, a) if rule.mclip else _mean(v, a)
        sigma = sigma_of(v, a, active)
        more = allowed[active]
        keep = a & (v >= centre - rule.lsigma * sigma - more) & (v <= centre + rule.hsigma * sigma + more)
        left = np.count_nonzero(keep, axis=0)
        changed = (left > 0) & (left < np.count_nonzero(a, axis=0))
        active = active[changed]
        accepted[:, active] = keep[:, changed]
    return accepted
