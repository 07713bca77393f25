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

from keyhole.imaging._masked import zero_except
from keyhole.imaging._order_statistics import pick, sort_planes
from keyhole.imaging._products import per_pixel
from keyhole.imaging._skypool import CombineRule, SharedVariance, SkyPool
from keyhole.imaging.bits import MASK_DTYPE, NO_DATA
from keyhole.imaging.combine import combine

__all__ = ["Column", "clipped_means", "combine_members"]

_BLOCK: Final = 1 << 13
"""Pixels that are combined together: their planes stay in the processor's cache."""
_WIDER: Final = 1.6
"""How many times as many frames as in the shortest list may be in lists that are combined together."""
_MOST_LISTS: Final = 24
"""Lists that are combined together: their means are in memory at the same time."""
_SAFE: Final = 0.999
"""Part of the limits within which rounding cannot decide."""

Float32 = NDArray[np.float32]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Column:
    """Combined values of some pixels: value, variance, number of samples (0: value is meaningless)."""

    data: Float32
    variance: Float32
    count: NDArray[Any]

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
    planes = pool.planes[np.ix_(rows, at)]
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
        values = pool.planes[np.ix_(members, chosen)]
        noises = pool.variances_at(members, chosen)
        found = _clip_block(values, noises, np.sqrt(np.maximum(noises, 0)), rule)
        column.data[part], column.variance[part], column.count[part] = found
    return column


def _clip_block(
    values: Float32, noises: Float32, sigmas: Float32, rule: CombineRule
) -> tuple[Float32, Float32, NDArray[Any]]:
    """Clipped mean, its variance and the number of values in it, for some columns."""
    count = _number(values < np.inf)
    at_least_one = np.maximum(count, 1)
    rows = sort_planes(values.copy())
    lower, upper = pick(rows, (at_least_one - 1) >> 1), pick(rows, at_least_one >> 1)
    lower, upper = (np.where(count > 0, middle, np.float32(0)) for middle in (lower, upper))
    typical = np.sqrt(noises.mean(axis=0))
    apart = (count == 2) | (upper - lower > np.float32(2**0.5 * rule.hsigma) * typical)
    centre = np.where(apart, lower, np.float32(0.5) * (lower + upper))
    widening = np.sqrt(1 + np.float32(2) / at_least_one.astype(np.float32))
    steps = values - centre
    limits = sigmas * (np.float32(rule.hsigma) * widening)
    near = steps <= limits
    if rule.lsigma != rule.hsigma:
        limits *= np.float32(rule.lsigma / rule.hsigma)
    near &= steps >= np.negative(limits, out=limits)
    used = _number(near)
    divisor = np.maximum(used, 1).astype(np.float32)
    total = zero_except(steps, near).sum(axis=0)
    noise = (noises * near).sum(axis=0)
    # All fail only where the limits or the noise are next to zero.
    alone = (used == 0) & (count > 0)
    noise[alone] = noises[0, alone]
    return centre + total / divisor, noise / divisor**2, np.where(alone, 1, used)


def _number(mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """How many of each column are True."""
    if len(mask) < 256:
        return np.asarray(np.add.reduce(mask.view(np.uint8), axis=0, dtype=np.uint8), np.int16)
    return np.asarray(np.count_nonzero(mask, axis=0), np.int16)


def clipped_means(pool: SkyPool, lists: Sequence[Sequence[int]], rule: CombineRule) -> Iterator[Column]:
    """Clipped means of many lists of frames that have frames in common, one after the other.

    Equal to ``[combine_members(pool, members, rule) for members in lists]`` for a ``mean`` with ``varclip``, for
    the work of a few: sums over frames are products with a matrix of zeros and ones.
    """
    for some in _batches(lists):
        union = np.array(sorted(set().union(*some)), dtype=np.intp)
        choice = np.array([np.isin(union, list(members)) for members in some])
        yield from _together(pool, _Lists(union, choice), rule)


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


class _Doubt(NamedTuple):
    """Columns where the median of the list decides on a value; which lists have it, (lists, columns) bool."""

    columns: Index
    lists: NDArray[np.bool_]


class _Lists(NamedTuple):
    """Frames of all of some lists together, and which of them each list has, (lists, frames) bool."""

    union: Index
    choice: NDArray[np.bool_]


def _together(pool: SkyPool, members: _Lists, rule: CombineRule) -> Iterator[Column]:
    """The clipped means of some lists."""
    union, choice = members
    (n, _), m = choice.shape, pool.planes.shape[1]
    # Planes of their own, as what no sky needs any more serves for others: fresh memory costs more than the sums.
    out = [Column(np.empty(m, np.float32), np.empty(m, np.float32), np.empty(m, np.int16)) for _ in range(n)]
    rooms = np.empty((2, len(union), _BLOCK), np.float32)
    size = (n, _BLOCK)
    whole = Column(np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.int16))
    doubts = []
    for start in range(0, m, _BLOCK):
        part = slice(start, min(start + _BLOCK, m))
        values, order = rooms[:, :, : part.stop - start]
        for row, i in zip(values, union.tolist(), strict=True):
            row[...] = pool.planes[i, part]
        order[...] = values
        block = _Block(values, order, pool.variances, union, part)
        room = whole.cut(np.s_[:, : part.stop - start])
        doubt = _combine_block(block, choice, rule, room)
        doubts.append(doubt._replace(columns=doubt.columns + start))
        for k, column in enumerate(out):
            column.data[part], column.variance[part], column.count[part] = room.data[k], room.variance[k], room.count[k]
    columns = np.concatenate([doubt.columns for doubt in doubts])
    of_lists = np.concatenate([doubt.lists for doubt in doubts], axis=1)
    for start in range(0, columns.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        _clip_doubted(pool, members, rule, _Doubt(columns[part], of_lists[:, part]), out)
    # Nothing here holds on to what is given away.
    while out:
        yield out.pop(0)


def _clip_doubted(pool: SkyPool, members: _Lists, rule: CombineRule, doubt: _Doubt, out: Sequence[Column]) -> None:
    """Clip some columns list by list, where a list is in doubt of them; write into `out`."""
    (union, choice), (columns, of_lists) = members, doubt
    values = np.empty((len(union), columns.size), np.float32)
    for row, i in zip(values, union.tolist(), strict=True):
        np.take(pool.planes[i], columns, out=row)
    noises = pool.variances_at(union, columns)
    sigmas = np.sqrt(np.maximum(noises, 0))
    for column, chosen, doubted in zip(out, choice, of_lists, strict=True):
        odd = columns[doubted]
        if odd.size:
            found = _clip_block(values[chosen], noises[chosen], sigmas[chosen], rule)
            column.data[odd], column.variance[odd], column.count[odd] = (plane[doubted] for plane in found)


class _Block(NamedTuple):
    """Some pixels of the union of lists, (frames, pixels); the values are not kept, the order is sorted in place."""

    values: Float32
    order: Float32
    noise: Float32 | SharedVariance
    union: Index
    part: slice

    def least_noise(self) -> Float32:
        """The smallest variance of each pixel."""
        if isinstance(self.noise, SharedVariance):
            return np.asarray(self.noise.plane[self.part] * self.noise.factors[self.union].min())
        return np.asarray(self.noise[self.union, self.part].min(axis=0))

    def variances(self, columns: Index) -> Float32:
        """Variances of some of the pixels."""
        if isinstance(self.noise, SharedVariance):
            return self.noise.at(self.union, columns + self.part.start)
        return np.asarray(self.noise[np.ix_(self.union, columns + self.part.start)])

    def summed(self, choice: Float32, used: Float32) -> Float32:
        """Sum of the variances of the used values of each list."""
        if isinstance(self.noise, SharedVariance):
            return np.asarray(per_pixel(choice * self.noise.factors[self.union], used) * self.noise.plane[self.part])
        return per_pixel(choice, self.noise[self.union, self.part] * used)


def _combine_block(block: _Block, choice: NDArray[np.bool_], rule: CombineRule, out: Column) -> _Doubt:
    """Means of all members of each list, clipped where it does not depend on the list, written into `out`."""
    chosen, values = choice.astype(np.float32), block.values
    good = values < np.inf
    there, count = good.astype(np.float32), _number(good)
    order = sort_planes(block.order)
    # The median of k of c values is not among the (k - 1) / 2 lowest or highest of these.
    sizes = choice.sum(axis=1)
    fewest = count - np.int16(len(values) - int(sizes.min()))
    everywhere = bool(fewest.min() > 0)
    np.maximum(fewest, 1, out=fewest)
    least = (fewest - 1) >> 1
    lowest, highest = pick(order, least), pick(order, np.maximum(count - 1 - least, 0))
    middle = pick(order, np.maximum(count - 1, 0) >> 1)
    if not everywhere:
        middle = np.where(count > 0, middle, np.float32(0))
    steps = zero_except(np.subtract(values, middle, out=values), good)
    # The limits are narrowest where the most values are there.
    most = np.clip(count, 1, int(sizes.max()))
    narrow = np.sqrt(1 + np.float32(2) / most.astype(np.float32)) * np.float32(_SAFE)
    limit = narrow * np.sqrt(np.maximum(block.least_noise(), 0))
    lowest, highest = lowest - middle, highest - middle
    calm = steps.max(axis=0) - lowest <= np.float32(rule.hsigma) * limit
    calm &= steps.min(axis=0) - highest >= np.float32(-rule.lsigma) * limit
    odd = np.flatnonzero((count > 0) & ~calm)
    number = per_pixel(chosen, there)
    divisor = number if everywhere else np.maximum(number, 1)
    np.divide(per_pixel(chosen, steps), divisor, out=out.data)
    np.add(out.data, middle if everywhere else middle * (number > 0), out=out.data)
    np.divide(block.summed(chosen, there), divisor * divisor, out=out.variance)
    out.count[...] = number
    wide = np.sqrt(1 + np.float32(2) / fewest[odd].astype(np.float32)) / np.float32(_SAFE)
    few = _Odd(odd, np.take(good, odd, axis=1), middle[odd], narrow[odd], wide, lowest[odd], highest[odd])
    return _clip_surely(block, few, chosen, rule, out)


class _Odd(NamedTuple):
    """Columns with a value that is perhaps an outlier.

    Attributes
    ----------
    columns : (d,) int
    good : (frames, d) bool
    middle, narrow, wide, lowest, highest : (d,) float32
        Middle value; factors on the limits that are narrower and wider than those of any list; the smallest and largest
        that its median can be, less the middle value.
    """

    columns: Index
    good: NDArray[np.bool_]
    middle: Float32
    narrow: Float32
    wide: Float32
    lowest: Float32
    highest: Float32


def _clip_surely(block: _Block, few: _Odd, chosen: Float32, rule: CombineRule, out: Column) -> _Doubt:
    """Leave out of some columns the values that are outliers in every list; what is one in some lists is in doubt."""
    odd = few.columns
    steps = np.take(block.values, odd, axis=1)
    noise = block.variances(odd)
    sigma = np.sqrt(np.maximum(noise, 0))
    above, below = steps - few.highest, steps - few.lowest
    high, low = np.float32(rule.hsigma) * sigma, np.float32(-rule.lsigma) * sigma
    inside = few.good & (below <= high * few.narrow) & (above >= low * few.narrow)
    outside = (above > high * few.wide) | (below < low * few.wide)
    used = inside.astype(np.float32)
    number = per_pixel(chosen, used)
    divisor = np.maximum(number, 1)
    out.data[:, odd] = per_pixel(chosen, steps * used) / divisor + few.middle * (number > 0)
    out.variance[:, odd] = per_pixel(chosen, noise * used) / divisor**2
    unsure = per_pixel(chosen, (few.good & ~inside & ~outside).astype(np.float32)) > 0
    # Where nothing is left, the plain way knows what to take.
    unsure |= (number == 0) & (out.count[:, odd] > 0)
    out.count[:, odd] = number
    some = unsure.any(axis=0)
    return _Doubt(odd[some], unsure[:, some])
