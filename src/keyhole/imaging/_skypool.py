"""Frames brought to a common level once, from which any number of skies is made.

The pixels that are lit in some frame are kept, as one row per frame; a pixel that a frame cannot give is
+inf. The skies are made of these rows in `keyhole.imaging._skymean`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._order_statistics import sort_planes, sorted_median
from keyhole.imaging._skymatch import level_near_zero
from keyhole.imaging.combine import Operation, RejectMethod
from keyhole.imaging.levels import lit_box, sky_level
from keyhole.imaging.medians import median
from keyhole.imaging.objects import pixel_noise

__all__ = ["CombineRule", "SharedVariance", "SkyPool", "make_pool"]

_LEVEL_PIXELS: Final = 20_000
_LEVEL_PASSES: Final = 2
_NEARLY_ALL: Final = 0.9


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


class SharedVariance(NamedTuple):
    """Variances of frames that are the same in all of them but for a factor; wherever a frame has a value.

    Attributes
    ----------
    plane : float32 array (ny, nx), or (m,) over the pixels of a row
    factors : (n,) float32 array
    """

    plane: NDArray[np.float32]
    factors: NDArray[np.float32]

    def at(self, frames: NDArray[np.intp], pixels: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """Variances of some pixels of some frames."""
        return self.factors[frames][:, None] * self.plane[pixels]


@dataclass
class SkyPool:
    """Level-normalised frames, one row each.

    Attributes
    ----------
    shape : (ny, nx) of the frames
    box : slices of the lit bounding box
    lit : bool array of the box's shape, True where some frame is lit
    taken : bool array of the box's shape
        The pixels that have a place in the rows: the lit ones, or all.
    planes : (n, m) float32
        +inf where the frame has no usable value.
    variances : (n, m) float32, or `SharedVariance`
    level : float
        Common level of the planes.
    levels : (n,) float64 array
        Level of each frame as it was given; NaN without a usable pixel.
    kept : list of pairs
        Pixels, ascending, and their values, (n, k), that are known when the planes are spent.
    spent : bool
        True when the planes hold other things.
    """

    shape: tuple[int, int]
    box: tuple[slice, slice]
    lit: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    planes: NDArray[np.float32]
    variances: NDArray[np.float32] | SharedVariance
    level: float
    levels: NDArray[np.float64]
    notes: list[str] = field(default_factory=list)
    kept: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = field(default_factory=list)
    spent: bool = False

    def keep(self, pixels: NDArray[np.intp]) -> None:
        """Keep the values of some pixels, beyond those of earlier calls, for when the planes are spent."""
        if pixels.size:
            self.kept.append((pixels, self.planes[:, pixels]))

    def values_at(self, frames: NDArray[np.intp], pixels: NDArray[np.intp]) -> NDArray[np.float32]:
        """Values of some pixels of some frames, copied; of a spent pool only those of pixels that were kept."""
        if not self.spent:
            return self.planes[np.ix_(frames, pixels)]
        if len(self.kept) > 1:
            places, values = zip(*self.kept, strict=True)
            self.kept = [(np.concatenate(places), np.concatenate(values, axis=1))]
        known, values_known = self.kept[0]
        return values_known[np.ix_(frames, np.searchsorted(known, pixels))]

    def variances_at(self, frames: NDArray[np.intp], pixels: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """Variances of some pixels of some frames, copied."""
        if isinstance(self.variances, SharedVariance):
            return self.variances.at(frames, pixels)
        return self.variances[frames, pixels] if isinstance(pixels, slice) else self.variances[np.ix_(frames, pixels)]


def make_pool(
    frames: Sequence[NDArray[np.float32]],
    variances: Sequence[NDArray[np.float32]] | SharedVariance | None,
    usables: Sequence[NDArray[np.bool_]],
    objects: Sequence[NDArray[np.bool_]] | None,
    *,
    scale: bool,
    zero: bool,
) -> SkyPool:
    """Gather the lit pixels of all frames and bring them to one level by factors, or by offsets if `zero`."""
    lit = np.array(usables[0])
    for usable in usables[1:]:
        lit |= usable
    box = lit_box(lit)
    taken = lit[box]
    # Where nearly all are lit, it is cheaper to carry the others along than to choose.
    if np.count_nonzero(taken) > _NEARLY_ALL * taken.size:
        taken = np.ones_like(taken)
    chosen: Any = np.s_[:] if taken.all() else np.flatnonzero(taken)
    planes = np.empty((len(frames), np.count_nonzero(taken)), dtype=np.float32)
    for i, (row, frame, usable) in enumerate(zip(planes, frames, usables, strict=True)):
        row[...] = frame[box].ravel()[chosen]
        good = np.isfinite(row)
        good &= usable[box].ravel()[chosen]
        if objects is not None:
            good &= ~objects[i][box].ravel()[chosen]
        row[np.flatnonzero(np.logical_not(good, out=good))] = np.inf
    noise: NDArray[np.float32] | SharedVariance
    if isinstance(variances, SharedVariance):
        noise = SharedVariance(variances.plane[box].ravel()[chosen], variances.factors.copy())
    else:
        noise = np.empty_like(planes)
        for i, (frame, usable) in enumerate(zip(frames, usables, strict=True)):
            given = None if variances is None else variances[i][box].ravel()[chosen]
            noise[i] = pixel_noise(frame[box], usable[box]) ** 2 if given is None else given
    ny, nx = lit.shape
    pool = SkyPool((ny, nx), box, lit[box], taken, planes, noise, 0.0, np.full(len(frames), np.nan))
    _normalise(pool, scale=scale and not zero, zero=zero, masked=objects is not None)
    return pool


def _normalise(pool: SkyPool, *, scale: bool, zero: bool, masked: bool) -> None:
    """Bring the planes of the pool (changed) to their common level."""
    levels = pool.levels = _relative_levels(pool.planes, multiplicative=not zero, masked=masked)
    known = np.isfinite(levels)
    if not known.any():
        return
    pool.level = median(levels[known])
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
            of_frame = pool.variances.factors if isinstance(pool.variances, SharedVariance) else pool.variances
            of_frame[i] *= factor * factor


def _relative_levels(planes: NDArray[np.float32], *, multiplicative: bool, masked: bool) -> NDArray[np.float64]:
    """Levels of the planes (NaN: no usable pixel), free of the pattern that all of them share.

    A level alone depends on which pixels of the pattern are masked. Therefore the levels are refined by those
    of the differences from the common image, the median of the planes normalised so far.
    """
    step = max(planes.shape[1] // _LEVEL_PIXELS, 1) | 1
    values = planes[:, ::step]
    good = np.isfinite(values)
    first = [sky_level(row, use) for row, use in zip(values, good, strict=True)]
    levels = np.array([level.value if level.n else np.nan for level in first])
    sigmas = [level.sigma for level in first]
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
            # Without masks the way from one step to the next is too long to be foreseen.
            change = level_near_zero(rest, use, sigmas[i]) if masked else sky_level(rest, use)
            levels[i], sigmas[i] = levels[i] + change.value, change.sigma
    return levels
