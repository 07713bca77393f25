"""Combining rows of a pool to skies; the skies of neighbouring frames share their work.

They are made of much the same planes: a value is clipped about the median of its list, which lies between two
values of the sorted column of all lists together. What these two leave in doubt is looked at list by list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._masked import number_true, zero_except
from keyhole.imaging._order_statistics import pick, sort_planes
from keyhole.imaging._products import per_pixel
from keyhole.imaging._skyclip import SAFE, Lists, clip_odd
from keyhole.imaging._skypool import CombineRule, SharedVariance, SkyPool
from keyhole.imaging.bits import MASK_DTYPE, NO_DATA
from keyhole.imaging.combine import combine

__all__ = ["Column", "clipped_means", "combine_members"]

_BLOCK: Final = 1 << 13
"""Pixels that are combined together: their planes stay in the processor's cache."""
_WIDER: Final = 2.3
"""How many times as many frames as in the shortest list may be in lists that are combined together."""
_MOST_LISTS: Final = 24
"""Lists that are combined together: their means are in memory at the same time."""

_ALIKE: Final = 1000
"""How many times the least variance may be added and taken away again: of more too much of it is left behind."""

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Column:
    """Combined values of some pixels: value, variance, number of samples (0: value is meaningless)."""

    data: Float32
    variance: Float32
    count: NDArray[Any]

    @property
    def parts(self) -> tuple[Float32, Float32, NDArray[Any]]:
        """Value, variance, number."""
        return self.data, self.variance, self.count

    def cut(self, part: Any) -> Column:
        """Views of a part."""
        return Column(self.data[part], self.variance[part], self.count[part])

    def copy(self) -> Column:
        """The same in other arrays."""
        return Column(self.data.copy(), self.variance.copy(), self.count.copy())


def combine_members(
    pool: SkyPool, members: Sequence[int], rule: CombineRule, pixels: NDArray[np.intp] | None = None
) -> Column:
    """Combine some frames of the pool, on all of its pixels or on the chosen ones."""
    rows = np.array(members, dtype=np.intp)
    at = np.arange(pool.planes.shape[1]) if pixels is None else pixels
    if not rows.size or not at.size:
        nothing = np.zeros(at.size, np.float32)
        return Column(nothing, nothing, np.zeros(at.size, np.intp))
    if rule.operation == "mean" and rule.reject_method == "varclip":
        return _clipped_mean(pool, rows, rule, pixels)
    planes = pool.values_at(rows, at)
    good = np.isfinite(planes)
    result = combine(
        np.where(good, planes, np.float32(0))[:, None, :],
        pool.variances_at(rows, at)[:, None, :],
        np.where(good, MASK_DTYPE(0), MASK_DTYPE(NO_DATA))[:, None, :],
        operation=rule.operation,
        reject_method=rule.reject_method,
        lsigma=rule.lsigma,
        hsigma=rule.hsigma,
        nlow=rule.nlow,
        nhigh=rule.nhigh,
        mclip=rule.mclip,
        max_iters=rule.max_iters,
    )
    return Column(result.data[0], result.variance[0], len(rows) - result.unused[0].astype(np.intp))


def _clipped_mean(pool: SkyPool, members: Index, rule: CombineRule, pixels: Index | None = None) -> Column:
    """Mean of the values within the limits of their known noise about the median, in one pass.

    Where the two middle values are too far apart to be averaged, the lower one is the reference: cosmic rays
    and forgotten stars add light. The limits are widened by ``sqrt(1 + 2 / n)``, since the median of n values
    is noisy itself; that is exact for two values, and for more it keeps the mean within 2 per cent of the
    variance of an unclipped one where 3 sigma alone would lose up to 6.
    """
    m = pool.planes.shape[1] if pixels is None else pixels.size
    column = Column(np.empty(m, np.float32), np.empty(m, np.float32), np.empty(m, np.int16))
    for start in range(0, m, _BLOCK):
        part = slice(start, min(start + _BLOCK, m))
        chosen = np.arange(part.start, part.stop) if pixels is None else pixels[part]
        values = pool.values_at(members, chosen)
        noises = pool.variances_at(members, chosen)
        found = _clip_block(values, noises, rule)
        column.data[part], column.variance[part], column.count[part] = found
    return column


def _clip_block(
    values: Float32, noises: Float32, rule: CombineRule, members: NDArray[np.bool_] | None = None
) -> tuple[Float32, Float32, NDArray[Any]]:
    """Clipped mean, its variance and the number of values in it, for some columns, each of its own members or of all.

    `values` are +inf where a column has no value, or where it is that of no member.
    """
    sigmas = np.sqrt(np.maximum(noises, 0))
    count = number_true(values < np.inf)
    at_least_one = np.maximum(count, 1)
    rows = sort_planes(values.copy())
    lower, upper = pick(rows, (at_least_one - 1) >> 1), pick(rows, at_least_one >> 1)
    lower, upper = (np.where(count > 0, middle, np.float32(0)) for middle in (lower, upper))
    mean = noises.mean(axis=0) if members is None else (noises * members).sum(axis=0) / number_true(members)
    typical = np.sqrt(mean)
    apart = (count == 2) | (upper - lower > np.float32(2**0.5 * rule.hsigma) * typical)
    centre = np.where(apart, lower, np.float32(0.5) * (lower + upper))
    widening = np.sqrt(1 + np.float32(2) / at_least_one.astype(np.float32))
    steps = values - centre
    limits = sigmas * (np.float32(rule.hsigma) * widening)
    near = steps <= limits
    if rule.lsigma != rule.hsigma:
        limits *= np.float32(rule.lsigma / rule.hsigma)
    near &= steps >= np.negative(limits, out=limits)
    used = number_true(near)
    divisor = np.maximum(used, 1).astype(np.float32)
    total = zero_except(steps, near).sum(axis=0)
    noise = (noises * near).sum(axis=0)
    # All fail only where the limits or the noise are next to zero.
    alone = (used == 0) & (count > 0)
    if alone.any():
        noise[alone] = noises[0 if members is None else members.argmax(axis=0)[alone], alone]
    return centre + total / divisor, noise / divisor**2, np.where(alone, 1, used)


def clipped_means(
    pool: SkyPool, lists: Sequence[Sequence[int]], rule: CombineRule, *, spend: bool = False
) -> Iterator[Column]:
    """Clipped means of many lists of frames that have frames in common, one after the other.

    Equal to ``[combine_members(pool, members, rule) for members in lists]`` for a ``mean`` with ``varclip``, for
    the work of a few: sums over frames are products with a matrix of zeros and ones. With `spend` the means may
    take the place of the planes of the pool, which then knows only the pixels that some list cannot give; only if
    all lists are combined together.
    """
    batches = list(_batches(lists))
    fits = len(lists) <= len(pool.planes)
    for some in batches:
        yield from _together(pool, Lists.of(some), rule, spend=spend and len(batches) == 1 and fits)


def _batches(lists: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Neighbouring lists that are so much alike that all of their frames together are few more than those of one."""
    some: list[Sequence[int]] = []
    union: set[int] = set()
    for members in lists:
        wide = some and len(union.union(members)) > _WIDER * min(len(members), *(len(one) for one in some))
        if wide or len(some) == _MOST_LISTS:
            yield some
            some, union = [], set()
        some.append(members)
        union.update(members)
    if some:
        yield some


def _together(pool: SkyPool, lists: Lists, rule: CombineRule, *, spend: bool) -> Iterator[Column]:
    """The clipped means of some lists, in planes of their own or in the place of those of the pool."""
    union, (n, _), m = lists.union, lists.choice.shape, pool.planes.shape[1]
    number = np.uint8 if union.size < 256 else np.uint16
    # Fresh memory costs as much as the sums.
    means = list(pool.planes[:n]) if spend else [np.empty(m, np.float32) for _ in range(n)]
    out = [Column(mean, np.empty(m, np.float32), np.empty(m, number)) for mean in means]
    rooms = _Rooms.of(lists)
    waiting: list[_Odd] = []
    for start in range(0, m, _BLOCK):
        part = slice(start, min(start + _BLOCK, m))
        block = _Block(rooms.cut(part.stop - start), lists, pool.variances, part)
        for row, i in zip(block.rooms.values, union.tolist(), strict=True):
            row[...] = pool.planes[i, part]
        lowest = block.count_from_lowest()
        odd = start + block.odd(rule)
        waiting.append(_Odd(odd, _taken(pool, union, odd)))
        if spend:
            pool.keep(start + np.flatnonzero(block.rooms.number.min(axis=0) == 0))
        block.write_means(lowest, out)
        if part.stop == m or sum(some.columns.size for some in waiting) >= _BLOCK:
            _clip(pool, _Odd(*(np.concatenate(kind, axis=-1) for kind in zip(*waiting, strict=True))), lists, rule, out)
            waiting = []
    if spend:
        pool.spent = True
    # Nothing here holds on to what is given away.
    means.clear()
    while out:
        data, variance, count = out.pop(0).parts
        yield Column(data, variance, count.astype(np.int16))


class _Odd(NamedTuple):
    """Columns with an outlier perhaps, and their values in the frames of all lists, (frames, columns)."""

    columns: Index
    values: Float32


def _taken(pool: SkyPool, frames: Index, columns: Index) -> Float32:
    values = np.empty((frames.size, columns.size), np.float32)
    for row, i in zip(values, frames.tolist(), strict=True):
        np.take(pool.planes[i], columns, out=row)
    return values


def _clip(pool: SkyPool, odd: _Odd, lists: Lists, rule: CombineRule, out: Sequence[Column]) -> None:
    """Clip some columns, those that counting leaves in doubt by sorting; write into `out`."""
    columns, values = odd
    if not columns.size:
        return
    noise = pool.variances_at(lists.union, columns)
    found = clip_odd(values, noise, lists, lsigma=rule.lsigma, hsigma=rule.hsigma)
    # Pairs of a list and a column, all alike: list by list there would be few at a time.
    doubted = np.flatnonzero(found.unsure)
    for start in range(0, doubted.size, _BLOCK):
        pairs = doubted[start : start + _BLOCK]
        of_list, column = np.divmod(pairs, columns.size)
        members = np.take(lists.choice.T, of_list, axis=1)
        some = np.take(values, column, axis=1)
        some.reshape(-1)[np.flatnonzero(~members)] = np.inf
        plain = _clip_block(some, np.take(noise, column, axis=1), rule, members)
        for plane, part in zip((found.data, found.variance, found.number), plain, strict=True):
            plane.reshape(-1)[pairs] = part
    for one, data, variance, number in zip(out, found.data, found.variance, found.number, strict=True):
        one.data[columns], one.variance[columns], one.count[columns] = data, variance, number


class _Rooms(NamedTuple):
    """Arrays for a block of columns: of all frames, and of all lists. Fresh memory costs as much as the sums."""

    values: Float32
    good: Bool
    mask: Bool
    number: NDArray[Any]
    total: Float32
    inverse: Float32

    @classmethod
    def of(cls, lists: Lists) -> _Rooms:
        """For the largest block."""
        n, frames = lists.choice.shape
        number = np.uint8 if frames < 256 else np.uint16
        of_frames, of_lists = (frames, _BLOCK), (n, _BLOCK)
        return cls(
            np.empty(of_frames, np.float32),
            np.empty(of_frames, np.bool_),
            np.empty(of_frames, np.bool_),
            np.empty(of_lists, number),
            np.empty(of_lists, np.float32),
            np.empty(of_lists, np.float32),
        )

    def cut(self, size: int) -> _Rooms:
        """For a block of a size."""
        return self if size == _BLOCK else _Rooms(*(np.ascontiguousarray(room[:, :size]) for room in self))


class _Block(NamedTuple):
    """Some pixels of the frames of lists; the values are not kept.

    Attributes
    ----------
    rooms : _Rooms
    lists : Lists
    noise : (n, m) float32, or SharedVariance
        Variances in all frames and pixels of the pool.
    part : slice
        The pixels.
    """

    rooms: _Rooms
    lists: Lists
    noise: Float32 | SharedVariance
    part: slice

    def count_from_lowest(self) -> Float32:
        """Subtract the smallest value of each column, which is given back; nothing is 0 from here on.

        So nothing is never the largest, nor above a limit.
        """
        values, good, number = self.rooms.values, self.rooms.good, self.rooms.number
        np.less(values, np.inf, out=good)
        lowest = np.asarray(values.min(axis=0))
        if not np.isfinite(lowest.max()):
            lowest[lowest == np.inf] = 0
        zero_except(np.subtract(values, lowest, out=values), good)
        self.lists.counts(good, out=number)
        return lowest

    def odd(self, rule: CombineRule) -> Index:
        """Columns with an outlier perhaps.

        If the largest value of a column is no outlier in any list with the smallest noise of all, no other is too
        bright.
        """
        steps, number = self.rooms.values, self.rooms.number
        most = np.maximum(number.max(axis=0), 1).astype(np.float32)
        limit = np.sqrt(np.maximum(self._least_noise(), 0)) * np.sqrt(1 + np.float32(2) / most) * np.float32(SAFE)
        # The median lies within a limit that at most so many exceed. Of none it is the largest number.
        half = number - number.dtype.type(1)
        half >>= number.dtype.type(1)
        above = np.greater(steps, np.float32(rule.lsigma) * limit, out=self.rooms.mask)
        doubted = self._doubted(above, half)
        below = np.less(steps, steps.max(axis=0) - np.float32(rule.hsigma) * limit, out=self.rooms.mask)
        below &= self.rooms.good
        doubted |= self._doubted(below, half)
        return np.flatnonzero(doubted)

    def _doubted(self, beyond: Bool, half: NDArray[Any]) -> Bool:
        """Columns where more than half of the members of some list are beyond a limit."""
        # Few columns have so many at all.
        doubted = number_true(beyond) > half.min(axis=0)
        at = np.flatnonzero(doubted)
        if at.size:
            counts = self.lists.counts(np.take(beyond, at, axis=1))
            doubted[at] = (counts > np.take(half, at, axis=1)).any(axis=0)
        return np.asarray(doubted)

    def write_means(self, lowest: Float32, out: Sequence[Column]) -> None:
        """Write the means of all members of each list, their variances and numbers."""
        values, good, _, number, total, inverse = self.rooms
        is_empty = number == 0 if number.min() == 0 else None
        np.copyto(inverse, number, casting="unsafe")
        if is_empty is not None:
            inverse[is_empty] = 1
        np.reciprocal(inverse, out=inverse)
        self.lists.sums(values, out=total)
        total *= inverse
        for column, mean, count in zip(out, total, number, strict=True):
            np.add(mean, lowest, out=column.data[self.part])
            column.count[self.part] = count
        noise, lists = self.noise, self.lists
        plane: Float32 | np.float32 = np.float32(1)
        if isinstance(noise, SharedVariance):
            factors = noise.factors[lists.union]
            np.multiply(good, factors[:, None], out=values)
            if factors.max() <= _ALIKE * factors.min(where=factors > 0, initial=np.inf):
                lists.sums(values, out=total)
            else:
                total = per_pixel(lists.choice.astype(np.float32), values)
            plane = noise.plane[self.part]
        else:
            total = per_pixel(lists.choice.astype(np.float32), noise[lists.union, self.part] * good)
        total *= inverse
        total *= inverse
        for column, variance in zip(out, total, strict=True):
            np.multiply(variance, plane, out=column.variance[self.part])
        if is_empty is not None:
            for column, row in zip(out, is_empty, strict=True):
                column.data[self.part][row] = column.variance[self.part][row] = 0

    def _least_noise(self) -> Float32:
        """The smallest variance of each pixel."""
        noise, union = self.noise, self.lists.union
        if isinstance(noise, SharedVariance):
            return np.asarray(noise.plane[self.part] * noise.factors[union].min())
        return np.asarray(noise[union, self.part].min(axis=0))
