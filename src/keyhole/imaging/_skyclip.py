"""Clipping of a value in many lists of frames at once, where their medians differ too little to be known one by one.

A value is too bright in a list if its median lies below the value less the limit: if more than half of its members do.
So the members are counted, and no list is sorted; what counting leaves in doubt is for the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._masked import number_true, zero_except
from keyhole.imaging._order_statistics import pick, sort_planes
from keyhole.imaging._products import per_pixel

__all__ = ["SAFE", "Clipped", "Lists", "clip_odd"]

SAFE: Final = 0.999
"""Part of the limits within which rounding cannot decide."""

_FEW: Final = 64
"""Columns of which a list is sorted sooner than its members are counted once more."""

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class Lists(NamedTuple):
    """Some lists of frames.

    Attributes
    ----------
    union : (frames,) int
        The frames of all of them together.
    choice : (lists, frames) bool
        Which of these each list has.
    changes : list of pairs of lists of int
        Which of them join each list, and which leave it, after the list before.
    runs : list of lists of slices
        The members of each list, as they follow each other in the union.
    """

    union: NDArray[np.intp]
    choice: Bool
    changes: list[tuple[list[int], list[int]]]
    runs: list[list[slice]]

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Lists:
        """The lists as they are given."""
        union = np.array(sorted(set().union(*lists)), dtype=np.intp)
        choice = np.array([np.isin(union, list(members)) for members in lists])
        before = np.concatenate([np.zeros_like(choice[:1]), choice[:-1]])
        changes = [
            (np.flatnonzero(now & ~then).tolist(), np.flatnonzero(then & ~now).tolist())
            for now, then in zip(choice, before, strict=True)
        ]
        return cls(union, choice, changes, [_runs(one) for one in choice])

    def counts(self, mask: Bool, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """How many of the members of each list are True in each column, as small unsigned integers.

        Equal to the product ``choice @ mask`` of integers.

        Parameters
        ----------
        mask : (frames, columns) bool
        out : (lists, columns) uint8, or uint16 from 256 frames on, optional
            Where to write them.
        """
        return self.sums(mask.view(np.uint8) if len(mask) < 256 else mask.astype(np.uint16), out)

    def sums(self, values: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Sum over the members of each list in each column.

        Equal to the product ``choice @ values``; neighbouring lists differ by a few members.

        Parameters
        ----------
        values : (frames, columns) array
        out : (lists, columns) array of the same kind, optional
            Where to write them.
        """
        if out is None:
            out = np.empty((len(self.choice), values.shape[1]), values.dtype)
        last = np.zeros(values.shape[1], values.dtype)
        for (joining, leaving), row in zip(self.changes, out, strict=True):
            if not joining and not leaving:
                row[...] = last
            for i in joining:
                last = np.add(last, values[i], out=row)
            for i in leaving:
                last = np.subtract(last, values[i], out=row)
            last = row
        return out

    def below(self, values: Float32, limits: Float32) -> NDArray[Any]:
        """How many of the members of each list are below its limit in each column.

        Parameters
        ----------
        values : (frames, columns) float32
            NaN is not below anything.
        limits : (lists, columns) float32
        """
        number = np.uint8 if len(values) < 256 else np.uint16
        counts, room = np.empty(limits.shape, number), np.empty(values.shape, np.bool_)
        for runs, limit, row in zip(self.runs, limits, counts, strict=True):
            first = 0
            for run in runs:
                last = first + run.stop - run.start
                np.less(values[run], limit, out=room[first:last])
                first = last
            np.add.reduce(room[:first].view(np.uint8), axis=0, dtype=number, out=row)
        return counts


def _runs(choice: Bool) -> list[slice]:
    """Where neighbours are True."""
    edges = np.diff(np.pad(choice, 1).astype(np.int8))
    begin, end = (np.flatnonzero(edges == step).tolist() for step in (1, -1))
    return [slice(first, last) for first, last in zip(begin, end, strict=True)]


class Clipped(NamedTuple):
    """Clipped means of each list, (lists, d), their variances and the number of values in them.

    `unsure` tells where they are not decided.
    """

    data: Float32
    variance: Float32
    number: NDArray[Any]
    unsure: Bool


def clip_odd(values: Float32, noise: Float32, lists: Lists, *, lsigma: float, hsigma: float) -> Clipped:
    """Clipped means of some columns, as far as counting decides.

    Parameters
    ----------
    values, noise : (frames, d) float32
        Values of the frames of all lists, +inf where there is none, and their variances.
    lists : Lists
    lsigma, hsigma : float
        Limits below and above the median, in units of the noise; widened as `keyhole.imaging._skymean` tells.
    """
    good, chosen = values < np.inf, lists.choice.astype(np.float32)
    members, count = lists.counts(good), number_true(good)
    middle, lowest, highest = _medians(values, count, lists)
    steps = values - middle
    # Nothing is neither above nor below a limit.
    steps.reshape(-1)[np.flatnonzero(~good)] = np.nan
    sigma = np.sqrt(np.maximum(noise, 0))
    narrow = _widening(np.clip(count, 1, int(lists.choice.sum(axis=1).max()))) * np.float32(SAFE)
    limit = sigma * (np.float32(hsigma) * narrow)
    bright = steps > np.add(limit, lowest - middle, out=limit)
    np.multiply(sigma, np.float32(-lsigma) * narrow, out=limit)
    dark = steps < np.add(limit, highest - middle, out=limit)
    perhaps = bright | dark
    used = good & ~perhaps
    sums = _Sums(
        lists.counts(used),
        per_pixel(chosen, zero_except(steps.copy(), used)),
        per_pixel(chosen, zero_except(noise.copy(), used)),
        np.zeros(members.shape, dtype=bool),
    )
    odd = _Odd(steps, noise, members, np.where(bright, np.float32(hsigma), np.float32(-lsigma)) * sigma, bright & dark)
    _vote_in_rounds(odd, perhaps, lists, sums)
    divisor = np.maximum(sums.number, 1).astype(np.float32)
    # Where nothing is left, the plain way knows what to take.
    unsure = sums.unsure | ((sums.number == 0) & (members > 0))
    data = sums.total / divisor + middle * (sums.number > 0)
    return Clipped(data, sums.noise / (divisor * divisor), sums.number, unsure)


def _medians(values: Float32, count: NDArray[np.int16], lists: Lists) -> tuple[Float32, Float32, Float32]:
    """Median of each column of all lists together (0: it is empty), and between what the medians of the lists lie."""
    order = sort_planes(values.copy())
    # The median of k of c values is not among the (k - 1) / 2 lowest or highest of these.
    fewest = np.maximum(count - (len(values) - int(lists.choice.sum(axis=1).min())), 1)
    least = (fewest - 1) >> 1
    middle, lowest = pick(order, np.maximum(count - 1, 0) >> 1), pick(order, least)
    highest = pick(order, np.maximum(count - 1 - least, 0))
    nothing = np.float32(0)
    some = count > 0
    return np.where(some, middle, nothing), np.where(some, lowest, nothing), np.where(some, highest, nothing)


def _widening(number: NDArray[Any]) -> Float32:
    return np.asarray(np.sqrt(1 + np.float32(2) / number.astype(np.float32)))


class _Sums(NamedTuple):
    """Of the values of each list, (lists, d): number, sum, sum of the variances, and what is not decided."""

    number: NDArray[Any]
    total: Float32
    noise: Float32
    unsure: Bool


class _Odd(NamedTuple):
    """Values less the middle of their column, (frames, d), NaN where there is none, and their variances.

    `members` is the number of values of each list, (lists, d); `limits` are those above the median without the
    widening, or, where a value may be too dark, those below with a minus; `both` tells where it may be either.
    """

    steps: Float32
    noise: Float32
    members: NDArray[Any]
    limits: Float32
    both: Bool

    def at(self, columns: NDArray[np.intp]) -> _Odd:
        """Some columns."""
        return _Odd(*(np.take(plane, columns, axis=1) for plane in self))


def _vote_in_rounds(odd: _Odd, perhaps: Bool, lists: Lists, sums: _Sums) -> None:
    """Vote on the values, (frames, d), that are outliers perhaps (changed), and add those that are kept to the sums."""
    number = np.add.reduce(perhaps.view(np.uint8), axis=0, dtype=np.int16)
    _vote(odd, perhaps, lists, sums)
    number -= number > 0
    at = np.flatnonzero(number)
    # One value of each column at a time: nearly all have one, few have more.
    while at.size >= _FEW:
        asked, some = perhaps[:, at], _Sums(*(np.take(plane, at, axis=1) for plane in sums))
        _vote(odd.at(at), asked, lists, some)
        perhaps[:, at] = asked
        for plane, part in zip(sums, some, strict=True):
            plane[:, at] = part
        number[at] -= 1
        at = np.flatnonzero(number)
    # A round costs as much for a few columns as for many.
    sums.unsure[:, at] = True


def _vote(odd: _Odd, perhaps: Bool, lists: Lists, sums: _Sums) -> None:
    """Let the members of each list decide on one value of each column, and add it to the sums where it is kept.

    A value that was asked about is no longer `perhaps` an outlier. Undecided are values that may be too bright or too
    dark, and those that exactly half of the members call an outlier.
    """
    frames = perhaps.argmax(axis=0)
    place = frames, np.arange(frames.size)
    there, value, limit = perhaps[place], odd.steps[place], odd.limits[place]
    perhaps[place] = False
    # Too dark is too bright with the other sign.
    sign = np.where(np.signbit(limit), np.float32(-1), np.float32(1))
    limits = np.take(_widening(np.maximum(np.arange(len(perhaps) + 1), 1)), odd.members)
    limits *= np.abs(limit, out=limit)
    beyond = lists.below(odd.steps * sign, np.subtract(value * sign, limits, out=limits))
    kept = beyond <= (odd.members - 1) >> 1
    decided = beyond > odd.members >> 1
    decided |= kept
    decided &= ~odd.both[place]
    of_list = np.take(lists.choice, frames, axis=1)
    of_list &= there
    kept &= decided
    kept &= of_list
    np.logical_or(sums.unsure, of_list & ~decided, out=sums.unsure)
    np.add(sums.number, kept, out=sums.number)
    # Where nothing is asked the value may be none.
    value[~there] = 0
    np.add(sums.total, kept * value, out=sums.total)
    np.add(sums.noise, kept * odd.noise[place], out=sums.noise)
