"""Frames brought to a common level once, from which any number of skies is made.

Only the pixels that are lit in some frame are kept, as one row per frame; a pixel that a frame cannot give is
+inf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._order_statistics import pick, sort_planes, sorted_median
from keyhole.imaging.bits import MASK_DTYPE, NO_DATA
from keyhole.imaging.combine import Operation, RejectMethod, combine
from keyhole.imaging.levels import fit_surface, lit_box, sky_level
from keyhole.imaging.objects import pixel_noise

__all__ = ["Column", "CombineRule", "SkyPool", "combine_members", "fill_uncovered", "make_pool"]

_LEVEL_PIXELS: Final = 60_000
_LEVEL_PASSES: Final = 2
_FILL_BOX: Final = 15
_FILL_PIXELS: Final = 8_000
_LEAST_MODEL_NOISE: Final = 0.05
"""Variance of a pixel of the smooth model, in units of that of a sky pixel."""


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


@dataclass
class SkyPool:
    """Level-normalised frames, one row each.

    Attributes
    ----------
    shape : (ny, nx) of the frames
    box : slices of the lit bounding box
    lit : bool array of the box's shape, True where some frame is lit
    planes, variances, sigmas : (n, m) float32 over the lit pixels of the box
        Planes are +inf where the frame has no usable value.
    level : float
        Common level of the planes.
    """

    shape: tuple[int, int]
    box: tuple[slice, slice]
    lit: NDArray[np.bool_]
    planes: NDArray[np.float32]
    variances: NDArray[np.float32]
    sigmas: NDArray[np.float32]
    level: float
    notes: list[str] = field(default_factory=list)


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
    inside = lit[box]
    planes = np.full((len(frames), int(inside.sum())), np.inf, dtype=np.float32)
    noise = np.empty_like(planes)
    for i, (frame, usable) in enumerate(zip(frames, usables, strict=True)):
        values = frame[box][inside]
        good = usable[box][inside] & np.isfinite(values)
        if objects is not None:
            good &= ~objects[i][box][inside]
        planes[i, good] = values[good]
        noise[i] = pixel_noise(frame[box], usable[box]) ** 2 if variances is None else variances[i][box][inside]
    ny, nx = lit.shape
    pool = SkyPool((ny, nx), box, inside, planes, noise, noise, 0.0)
    _normalise(pool, scale=scale and not zero, zero=zero, masked=objects is not None)
    pool.sigmas = np.sqrt(np.maximum(pool.variances, 0))
    return pool


def _normalise(pool: SkyPool, *, scale: bool, zero: bool, masked: bool) -> None:
    """Bring the planes of the pool (changed) to their common level."""
    levels = _relative_levels(pool.planes, multiplicative=not zero, masked=masked)
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
    pool: SkyPool, members: NDArray[np.intp], rule: CombineRule, pixels: NDArray[np.intp] | None
) -> Column:
    """Mean of the values within the limits of their known noise about the median, in one pass.

    Where the two middle values are too far apart to be averaged, the lower one is the reference: cosmic rays
    and forgotten stars add light. The limits are widened by ``sqrt(1 + 2 / n)``, since the median of n values
    is noisy itself; that is exact for two values, and for more it keeps the mean within 2 per cent of the
    variance of an unclipped one where 3 sigma alone would lose up to 6.
    """
    work = pool.planes[members] if pixels is None else pool.planes[np.ix_(members, pixels)]
    count = np.isfinite(work).sum(axis=0)
    at_least_one = np.maximum(count, 1)
    rows = sort_planes(work)
    lower, upper = pick(rows, (at_least_one - 1) // 2), pick(rows, at_least_one // 2)
    lower, upper = (np.where(count > 0, middle, np.float32(0)) for middle in (lower, upper))
    noises = pool.variances[members] if pixels is None else pool.variances[np.ix_(members, pixels)]
    typical = np.sqrt(noises.mean(axis=0))
    apart = (count == 2) | (upper - lower > np.float32(2**0.5 * rule.hsigma) * typical)
    centre = np.where(apart, lower, np.float32(0.5) * (lower + upper))
    widening = np.sqrt(1 + np.float32(2) / at_least_one.astype(np.float32))
    high, low = np.float32(rule.hsigma) * widening, np.float32(-rule.lsigma) * widening
    total, noise, used = np.zeros_like(centre), np.zeros_like(centre), np.zeros_like(centre)
    for j in members:
        plane, variance, sigma = (
            whole[j] if pixels is None else whole[j][pixels] for whole in (pool.planes, pool.variances, pool.sigmas)
        )
        step = plane - centre
        near = (step <= high * sigma) & (step >= low * sigma)
        np.add(total, step, out=total, where=near)
        np.add(noise, variance, out=noise, where=near)
        used += near
    # All fail only where the limits or the noise are next to zero.
    alone = (used == 0) & (count > 0)
    divisor = np.maximum(used, 1)
    if alone.any():
        noise[alone] = pool.variances[members[0]][alone if pixels is None else pixels[alone]]
    value = (centre + total / divisor).astype(np.float32)
    variance = (noise / divisor**2).astype(np.float32)
    return Column(value, variance, np.where(alone, 1, used).astype(np.intp))


def fill_uncovered(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    covered: NDArray[np.bool_],
    lit: NDArray[np.bool_],
) -> None:
    """Fill the lit but uncovered pixels (in place) with a smooth model of the covered ones.

    The model is a low-order surface plus the local mean of what the surface leaves. The variance becomes that
    with which the model misses covered pixels beyond their own noise, of which a smooth model has next to
    nothing.
    """
    wanted = lit & ~covered
    if not wanted.any() or not covered.any():
        return
    from scipy import ndimage  # slow import, rarely needed

    degree = 2 if int(covered.sum()) >= 500 else 0
    surface = fit_surface(image, covered, degree_x=degree, degree_y=degree, iterations=3, max_pixels=_FILL_PIXELS)
    model = np.full(image.shape, np.median(image[covered]), dtype=np.float32)
    values = surface.over_box()
    inside = covered[surface.box]
    model[surface.box] = np.clip(values, values[inside].min(), values[inside].max())
    rest = np.where(covered, image - model, np.float32(0))
    rest = np.clip(rest, -4 * surface.sigma, 4 * surface.sigma)
    area = covered.astype(np.float32)
    for _ in range(2):
        rest = ndimage.uniform_filter(rest, _FILL_BOX, mode="constant")
        area = ndimage.uniform_filter(area, _FILL_BOX, mode="constant")
    model += np.divide(rest, area, out=np.zeros_like(rest), where=area > 0.02)
    difference = (image - model)[covered]
    scatter = 1.4826022 * float(np.median(np.abs(difference - np.median(difference))))
    image[wanted] = model[wanted]
    own = float(np.median(variance[covered]))
    variance[wanted] = max(scatter**2 - own, _LEAST_MODEL_NOISE * own)
