"""Frames brought to a common level once, from which any number of skies is made.

Only the pixels that are lit in some frame are kept, as one row per frame; a pixel that a frame cannot give is
+inf. The skies of neighbouring frames are made of much the same planes and share their work (`clipped_means`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._order_statistics import pick, sort_planes, sorted_median
from keyhole.imaging._products import per_pixel
from keyhole.imaging.bits import MASK_DTYPE, NO_DATA
from keyhole.imaging.combine import Operation, RejectMethod, combine
from keyhole.imaging.levels import lit_box, sky_level
from keyhole.imaging.objects import pixel_noise

__all__ = ["Column", "CombineRule", "SkyPool", "clipped_means", "combine_members", "make_pool"]

_LEVEL_PIXELS: Final = 20_000
_LEVEL_PASSES: Final = 2
_BLOCK: Final = 1 << 13
"""Pixels that are combined together: their planes stay in the processor's cache."""
_WIDER: Final = 1.6
"""How many times as many frames as in the shortest list may be in lists that are combined together."""
_SAFE: Final = 0.999
"""Part of the limits within which rounding cannot decide."""


@dataclass(frozen=True)
class CombineRule:
    """How skies are combined; see `keyhole.imaging.combine.combine` for the meaning of each."""

    operation: Operation = "mean"
    reject_method: RejectMethod = "varclip"
    lsigma: float = 3.0
    hsigma: float = 3.0
    nlow: int = 0
    nhigh: int = 0
    mclip: bool = True
    max_iters: int | None = None


class Block(NamedTuple):
    """Some pixels of some frames of a pool, (frames, pixels) float32."""

    values: NDArray[np.float32]
    variances: NDArray[np.float32]
    sigmas: NDArray[np.float32]


@dataclass
class SkyPool:
    """Level-normalised frames, one row each.

    Attributes
    ----------
    shape : (ny, nx) of the frames
    box : slices of the lit bounding box
    lit : bool array of the box's shape, True where some frame is lit
    at : (m,) intp array
        Place of the lit pixels in the flattened box.
    planes, variances, sigmas : (n, m) float32 over the lit pixels of the box
        Planes are +inf where the frame has no usable value.
    level : float
        Common level of the planes.
    levels : (n,) float64 array
        Level of each frame as it was given; NaN without a usable pixel.
    """

    shape: tuple[int, int]
    box: tuple[slice, slice]
    lit: NDArray[np.bool_]
    at: NDArray[np.intp]
    planes: NDArray[np.float32]
    variances: NDArray[np.float32]
    sigmas: NDArray[np.float32]
    level: float
    levels: NDArray[np.float64]
    notes: list[str] = field(default_factory=list)

    def cut(self, frames: NDArray[np.intp], pixels: slice | NDArray[np.intp]) -> Block:
        """Give some pixels of some frames, copied."""
        index = np.s_[frames, pixels] if isinstance(pixels, slice) else np.ix_(frames, pixels)
        return Block(self.planes[index], self.variances[index], self.sigmas[index])


@dataclass(frozen=True, eq=False)
class Column:
    """Combined values of some pixels: value, variance, number of samples (0: value is meaningless)."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    count: NDArray[np.intp]


def make_pool(
    frames: Sequence[NDArray[np.float32]],
    variances: Sequence[NDArray[np.float32]] | None,
    usables: Sequence[NDArray[np.bool_]],
    objects: Sequence[NDArray[np.bool_]] | None,
    *,
    scale: bool,
    zero: bool,
) -> SkyPool:
    """Gather the lit pixels of all frames and bring them to one level by factors, or by offsets if `zero`."""
    lit = np.logical_or.reduce(usables)
    box = lit_box(lit)
    at = np.flatnonzero(lit[box])
    planes = np.full((len(frames), at.size), np.inf, dtype=np.float32)
    noise = np.empty_like(planes)
    for i, (frame, usable) in enumerate(zip(frames, usables, strict=True)):
        values = frame[box].ravel()[at]
        good = usable[box].ravel()[at] & np.isfinite(values)
        if objects is not None:
            good &= ~objects[i][box].ravel()[at]
        np.copyto(planes[i], values, where=good)
        noise[i] = pixel_noise(frame[box], usable[box]) ** 2 if variances is None else variances[i][box].ravel()[at]
    ny, nx = lit.shape
    pool = SkyPool((ny, nx), box, lit[box], at, planes, noise, noise, 0.0, np.full(len(frames), np.nan))
    _normalise(pool, scale=scale and not zero, zero=zero, masked=objects is not None)
    pool.sigmas = np.sqrt(np.maximum(pool.variances, 0))
    return pool


def _normalise(pool: SkyPool, *, scale: bool, zero: bool, masked: bool) -> None:
    """Bring the planes of the pool (changed) to their common level."""
    levels = pool.levels = _relative_levels(pool.planes, multiplicative=not zero, masked=masked)
    known = np.isfinite(levels)
    if not known.any():
        return
    pool.level = float(np.median(levels[known]))
    if not (scale or zero):
        return
    if scale and (levels[known] <= 0).any():
        pool.notes.append("the sky level of a frame is not positive: the sky frames are not scaled to a common level")
        return
    for i in np.flatnonzero(known):
        if zero:
            pool.planes[i] -= np.float32(levels[i] - pool.level)
        else:
            factor = np.float32(pool.level / levels[i])
            pool.planes[i] *= factor
            pool.variances[i] *= factor * factor


def _relative_levels(planes: NDArray[np.float32], *, multiplicative: bool, masked: bool) -> NDArray[np.float64]:
    """Levels of the planes (NaN: no usable pixel), free of the pattern that all of them share.

    A level alone depends on which pixels of the pattern are masked. Therefore the levels are refined by those
    of the differences from the common image, the median of the planes normalised so far.
    """
    step = max(planes.shape[1] // _LEVEL_PIXELS, 1) | 1
    values = planes[:, ::step]
    good = np.isfinite(values)
    nothing = np.zeros(values.shape[1], dtype=bool) if masked else None
    first = [sky_level(row, use) for row, use in zip(values, good, strict=True)]
    levels = np.array([level.value if level.n else np.nan for level in first])
    known = np.isfinite(levels)
    if known.sum() < 2 or (multiplicative and (levels[known] <= 0).any()):
        return levels
    count = np.maximum(good.sum(axis=0), 1)
    for _ in range(_LEVEL_PASSES):
        safe = np.where(known, levels, 1.0)[:, None].astype(np.float32)
        common = sorted_median(sort_planes(values / safe if multiplicative else values - safe), count)
        covered = np.isfinite(common)
        for i in np.flatnonzero(known):
            use = good[i] & covered
            share = common * safe[i] if multiplicative else common + safe[i]
            rest = np.subtract(values[i], share, out=np.zeros_like(common), where=use)
            change = sky_level(rest, use, objects=nothing)
            levels[i] += change.value
    return levels


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
    index = np.ix_(rows, at)
    planes = pool.planes[index]
    good = np.isfinite(planes)
    result = combine(
        np.where(good, planes, np.float32(0))[:, None, :],
        pool.variances[index][:, None, :],
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


def _clipped_mean(
    pool: SkyPool, members: NDArray[np.intp], rule: CombineRule, pixels: NDArray[np.intp] | None = None
) -> Column:
    """Mean of the values within the limits of their known noise about the median, in one pass.

    Where the two middle values are too far apart to be averaged, the lower one is the reference: cosmic rays
    and forgotten stars add light. The limits are widened by ``sqrt(1 + 2 / n)``, since the median of n values
    is noisy itself; that is exact for two values, and for more it keeps the mean within 2 per cent of the
    variance of an unclipped one where 3 sigma alone would lose up to 6.
    """
    m = pool.planes.shape[1] if pixels is None else pixels.size
    column = Column(np.empty(m, np.float32), np.empty(m, np.float32), np.empty(m, np.intp))
    for start in range(0, m, _BLOCK):
        part = slice(start, min(start + _BLOCK, m))
        block = pool.cut(members, part if pixels is None else pixels[part])
        column.data[part], column.variance[part], column.count[part] = _clip_block(block, rule)
    return column


def _clip_block(block: Block, rule: CombineRule) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Clipped mean, its variance and the number of values in it, for some columns."""
    values, noises, sigmas = block
    count = np.count_nonzero(np.isfinite(values), axis=0)
    at_least_one = np.maximum(count, 1)
    rows = sort_planes(values.copy())
    lower, upper = pick(rows, (at_least_one - 1) // 2), pick(rows, at_least_one // 2)
    lower, upper = (np.where(count > 0, middle, np.float32(0)) for middle in (lower, upper))
    typical = np.sqrt(noises.mean(axis=0))
    apart = (count == 2) | (upper - lower > np.float32(2**0.5 * rule.hsigma) * typical)
    centre = np.where(apart, lower, np.float32(0.5) * (lower + upper))
    widening = np.sqrt(1 + np.float32(2) / at_least_one.astype(np.float32))
    steps = values - centre
    near = steps <= np.float32(rule.hsigma) * widening * sigmas
    near &= steps >= np.float32(-rule.lsigma) * widening * sigmas
    used = np.count_nonzero(near, axis=0)
    divisor = np.maximum(used, 1).astype(np.float32)
    total = np.where(near, steps, np.float32(0)).sum(axis=0)
    noise = np.where(near, noises, np.float32(0)).sum(axis=0)
    # All fail only where the limits or the noise are next to zero.
    alone = (used == 0) & (count > 0)
    noise[alone] = noises[0, alone]
    return centre + total / divisor, noise / divisor**2, np.where(alone, 1, used)


def clipped_means(pool: SkyPool, lists: Sequence[Sequence[int]], rule: CombineRule) -> Iterator[Column]:
    """Clipped means of many lists of frames that have frames in common, one after the other.

    Equal to ``[combine_members(pool, members, rule) for members in lists]`` for a ``mean`` with ``varclip``, for
    the work of a few: sums over frames are products with a matrix of zeros and ones. A value is clipped about the
    median of its list, which lies between two values of the sorted column of all lists together; only columns with
    a value that these leave in doubt are looked at list by list.
    """
    for some in _batches(lists):
        union = np.array(sorted(set().union(*some)), dtype=np.intp)
        choice = np.array([np.isin(union, list(members)) for members in some]).astype(np.float32)
        n, m = len(some), pool.planes.shape[1]
        data, variance, count = np.empty((n, m), np.float32), np.empty((n, m), np.float32), np.empty((n, m), np.intp)
        doubt = np.empty((n, m), np.bool_)
        for start in range(0, m, _BLOCK):
            part = slice(start, start + _BLOCK)
            room = Column(data[:, part], variance[:, part], count[:, part])
            doubt[:, part] = _sum_calm(pool.cut(union, part), choice, rule, room)
        for k, members in enumerate(some):
            odd = np.flatnonzero(doubt[k])
            again = _clipped_mean(pool, np.array(members, dtype=np.intp), rule, odd)
            data[k, odd], variance[k, odd], count[k, odd] = again.data, again.variance, again.count
            yield Column(data[k], variance[k], count[k])


def _batches(lists: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Neighbouring lists that are so much alike that all of their frames together are few more than those of one."""
    some: list[Sequence[int]] = []
    union: set[int] = set()
    for members in lists:
        if some and len(union.union(members)) > _WIDER * min(len(members), *(len(one) for one in some)):
            yield some
            some, union = [], set()
        some.append(members)
        union.update(members)
    if some:
        yield some


def _sum_calm(block: Block, choice: NDArray[np.float32], rule: CombineRule, out: Column) -> NDArray[np.bool_]:
    """Means of all members of each list, written into `out`; gives the columns where one must perhaps be clipped.

    Parameters
    ----------
    block : all frames of the lists
    choice : (lists, frames of the block) float32
        1 for the members of each list.
    """
    planes = block.values
    good = np.isfinite(planes)
    there = good.astype(np.float32)
    number = per_pixel(choice, there)
    count = np.count_nonzero(good, axis=0)
    order = sort_planes(planes.copy())
    # The median of k of c values is not among the (k - 1) / 2 lowest or highest of these.
    fewest = np.where(number > 0, number, np.inf).min(axis=0)
    least = ((np.minimum(fewest, count) - 1) // 2).clip(0).astype(np.intp)
    lowest = np.where(count > 0, pick(order, least), 0)
    highest = np.where(count > 0, pick(order, np.maximum(count - 1 - least, 0)), 0)
    middle = np.where(count > 0, pick(order, np.maximum(count - 1, 0) // 2), 0)
    # The limits are narrowest where the most values are there.
    widening = np.sqrt(1 + 2 / np.maximum(number.max(axis=0), 1)) * np.float32(_SAFE)
    limits = block.sigmas * widening
    calm = (planes - lowest <= np.float32(rule.hsigma) * limits) & (
        planes - highest >= np.float32(-rule.lsigma) * limits
    )
    calm |= ~good
    steps = np.subtract(planes, middle, out=np.zeros_like(planes), where=good)
    divisor = np.maximum(number, 1)
    out.data[...] = per_pixel(choice, steps) / divisor + middle * (number > 0)
    out.variance[...] = per_pixel(choice, block.variances * there) / divisor**2
    out.count[...] = np.rint(number)
    return np.asarray(per_pixel(choice, (~calm).astype(np.float32)) > 0)
