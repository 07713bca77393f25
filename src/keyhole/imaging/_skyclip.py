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

_FEW: Final = 256
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
    """

    union: NDArray[np.intp]
    choice: Bool
    changes: list[tuple[list[int], list[int]]]

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
        return cls(union, choice, changes)

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
    order = sort_planes(values.copy())
    # The median of k of c values is not among the (k - 1) / 2 lowest or highest of these.
    sizes = lists.choice.sum(axis=1)
    fewest = np.maximum(count - (len(values) - int(sizes.min())), 1)
    least = (fewest - 1) >> 1
    middle = pick(order, np.maximum(count - 1, 0) >> 1)
    middle[count == 0] = 0
    lowest, highest = (pick(order, index) - middle for index in (least, np.maximum(count - 1 - least, 0)))
    steps = zero_except(values - middle, good)
    narrow, wide = (
        _widening(np.clip(count, 1, int(sizes.max()))) * np.float32(SAFE),
        _widening(fewest) / np.float32(SAFE),
    )
    sigma = np.sqrt(np.maximum(noise, 0))
    high, low = np.float32(hsigma) * sigma, np.float32(-lsigma) * sigma
    above, below = steps - highest, steps - lowest
    bright, dark = below > high * narrow, above < low * narrow
    perhaps = good & (bright | dark)
    used = good & ~perhaps
    perhaps &= ~((above > high * wide) | (below < low * wide))
    sums = _Sums(
        lists.counts(used),
        per_pixel(chosen, zero_except(steps.copy(), used)),
        per_pixel(chosen, zero_except(noise.copy(), used)),
        np.zeros(members.shape, dtype=bool),
    )
    _vote_in_rounds(_Values(steps, noise, good, np.where(bright, high, -low), bright, dark), perhaps, lists, sums)
    divisor = np.maximum(sums.number, 1).astype(np.float32)
    # Where nothing is left, the plain way knows what to take.
    unsure = sums.unsure | ((sums.number == 0) & (members > 0))
    data = sums.total / divisor + middle * (sums.number > 0)
    return Clipped(data, sums.noise / (divisor * divisor), sums.number, unsure)


def _widening(number: NDArray[Any]) -> Float32:
    return np.asarray(np.sqrt(1 + np.float32(2) / number.astype(np.float32)))


class _Sums(NamedTuple):
    """Of the values of each list, (lists, d): number, sum, sum of the variances, and what is not decided."""

    number: NDArray[Any]
    total: Float32
    noise: Float32
    unsure: Bool


class _Values(NamedTuple):
    """Values less the middle of their column, (frames, d), their variances, and which of them are there.

    `limits` are those without the widening; `bright` and `dark` tell which may be too bright, and too dark.
    """

    steps: Float32
    noise: Float32
    good: Bool
    limits: Float32
    bright: Bool
    dark: Bool


def _vote_in_rounds(values: _Values, perhaps: Bool, lists: Lists, sums: _Sums) -> None:
    """Vote on the values, (frames, d), that are outliers perhaps (changed), and add those that are kept to the sums."""
    steps, noise, good, limits, bright, dark = values
    # One value of each column at a time: nearly all have one, few have more.
    number = np.add.reduce(perhaps.view(np.uint8), axis=0, dtype=np.int16)
    at, whole = np.arange(number.size), True
    while at.size >= _FEW and number.any():
        frames = perhaps.argmax(axis=0) if whole else perhaps[:, at].argmax(axis=0)
        place = frames, at
        there = perhaps[place]
        asked = _Asked(frames, steps[place], limits[place], noise[place], bright[place], dark[place], there)
        if whole:
            _vote(steps.copy(), good, asked, lists, sums)
        else:
            some = _Sums(*(np.take(plane, at, axis=1) for plane in sums))
            _vote(np.take(steps, at, axis=1), np.take(good, at, axis=1), asked, lists, some)
            for plane, part in zip(sums, some, strict=True):
                plane[:, at] = part
        perhaps[place] = False
        number[at] -= there
        at, whole = np.flatnonzero(number), False
    # A round costs as much for a few columns as for many.
    sums.unsure[:, number > 0] = True


class _Asked(NamedTuple):
    """One value in each of some columns: its frame, itself, its limit without the widening, its variance.

    `bright` and `dark` tell whether it may be too bright, and too dark; `there` whether there is a question at all.
    """

    frames: NDArray[np.intp]
    values: Float32
    limits: Float32
    noise: Float32
    bright: Bool
    dark: Bool
    there: Bool


def _vote(others: Float32, good: Bool, asked: _Asked, lists: Lists, sums: _Sums) -> None:
    """Let the members of each list decide on one value of each column, and add it to the sums where it is kept.

    `others` are the values of these columns, which are changed.

    Undecided are values that may be too bright or too dark, those that exactly half of the members call an outlier, and
    those on which the limit decides, which depends on the number of members.
    """
    number = lists.counts(good)
    sign = np.where(asked.bright, np.float32(1), np.float32(-1))
    point = asked.values * sign
    others *= sign
    furthest = point - asked.limits * _widening(np.maximum(number.min(axis=0), 1)) / np.float32(SAFE)
    nearest = point - asked.limits * _widening(np.maximum(number.max(axis=0), 1)) * np.float32(SAFE)
    surely, perhaps = others < furthest, others < nearest
    surely &= good
    perhaps &= good
    kept = lists.counts(perhaps) <= (number - 1) >> 1
    decided = lists.counts(surely) > number >> 1
    decided |= kept
    decided &= ~(asked.bright & asked.dark)
    of_list = np.take(lists.choice, asked.frames, axis=1)
    of_list &= asked.there
    kept &= decided
    kept &= of_list
    np.logical_or(sums.unsure, of_list & ~decided, out=sums.unsure)
    np.add(sums.number, kept, out=sums.number)
    taken = kept.astype(np.float32)
    np.add(sums.total, taken * asked.values, out=sums.total)
    np.add(sums.noise, taken * asked.noise, out=sums.noise)
