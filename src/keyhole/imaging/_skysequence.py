"""A sequence of frames whose skies are made part by part, so that memory does not grow with its length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._skypool import CombineRule, SharedVariance, make_pool
from keyhole.imaging.levels import lit_box
from keyhole.imaging.sky import Sky, own_background, skies_of_pool

__all__ = ["Levels", "PlaneSequence", "Planes", "Ticks", "packed", "skies_without", "unpacked"]

_WHOLE: Final = 64
"""Frames up to which a sequence is not divided."""
_PART: Final = 64
"""Frames in a part, with those that serve as its skies; a part of which they are more than half is no gain."""

_WIDE_CLIP: Final = 4.0
"""Limits of the clipping, in units of the noise, where skies only serve to find objects."""
_MOST_KEPT: Final = 1 << 28
"""Pixels of all masks together that are kept in memory, a bit each: 32 MB."""

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class _PackedMasks(Sequence[Bool]):
    """Masks that are kept as a bit per pixel."""

    def __init__(self, masks: list[NDArray[np.uint8]], shape: tuple[int, ...]) -> None:
        self._masks, self._shape = masks, shape

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index: Any) -> Any:
        return unpacked(self._masks[index], self._shape)


class Planes(NamedTuple):
    """The planes of some frames on their common lit box."""

    data: list[Float32]
    variance: list[Float32]
    usable: list[Bool]

    def one(self, k: int) -> tuple[Float32, Float32, Bool]:
        """Those of one frame."""
        return self.data[k], self.variance[k], self.usable[k]


class Levels(NamedTuple):
    """How frames are brought to one level and combined; see `keyhole.imaging.sky.make_skies`."""

    scale: bool
    zero: bool
    rule: CombineRule

    def for_detection(self) -> Levels:
        """The same with wider limits: what they keep hides no object on the sum, and most pixels are within them."""
        low, high = max(self.rule.lsigma, _WIDE_CLIP), max(self.rule.hsigma, _WIDE_CLIP)
        return self._replace(rule=replace(self.rule, lsigma=low, hsigma=high))


class PlaneSequence(NamedTuple):
    """Frames, which may come from disk whenever they are asked for, and the frames that serve each as skies."""

    frames: Sequence[Float32]
    variances: Sequence[Float32]
    usables: Sequence[Bool]
    associations: Sequence[Sequence[int]]
    box: tuple[slice, slice]
    seen: Sequence[bool]

    @classmethod
    def of(
        cls,
        frames: Sequence[Float32],
        variances: Sequence[Float32],
        usables: Sequence[Bool],
        associations: Sequence[Sequence[int]],
    ) -> PlaneSequence:
        """Nothing but the box that is lit in some frame matters.

        Raises
        ------
        AlgorithmError
            No usable pixel in any frame.
        """
        lit = np.zeros(frames[0].shape, dtype=bool)
        seen = []
        # Masks are asked for several times, and making them from quality bits takes longer than unpacking.
        kept: list[NDArray[np.uint8]] | None = [] if len(frames) * lit.size <= _MOST_KEPT else None
        for i in range(len(frames)):
            usable = usables[i]
            lit |= usable
            seen.append(bool(usable.any()))
            if kept is not None:
                kept.append(packed(usable))
        if kept is not None:
            usables = _PackedMasks(kept, lit.shape)
        if not lit.any():
            msg = f"no usable pixel in any of {len(frames)} frames: no sky can be made; check their masks"
            raise AlgorithmError(msg)
        return cls(frames, variances, usables, associations, lit_box(lit), seen)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the box."""
        rows, columns = self.box
        return rows.stop - rows.start, columns.stop - columns.start

    def planes(self, part: Sequence[int]) -> Planes:
        """The planes of some frames."""
        kinds = (self.frames, self.variances, self.usables)
        return Planes(*([kind[i][self.box] for i in part] for kind in kinds))  # type: ignore[arg-type]

    def within(self, part: Sequence[int]) -> list[list[int]]:
        """Associations inside of a part, counted in it."""
        place = {i: k for k, i in enumerate(part)}
        return [[place[j] for j in self.associations[i] if j in place] for i in part]

    def parts(self, wanted: int) -> Iterator[tuple[list[int], list[int]]]:
        """Parts of the sequence, each with the frames of it that are wanted: the first so many of all, in order."""
        n = len(self.frames)
        if n <= _WHOLE or max(map(len, self.associations)) >= _PART // 2:
            yield list(range(n)), list(range(wanted))
            return
        first = 0
        while first < wanted:
            last, union = first, set[int]()
            while last < wanted:
                more = union | {last, *self.associations[last]}
                if last > first and len(more) > _PART:
                    break
                last, union = last + 1, more
            yield sorted(union), list(range(first, last))
            first = last


def skies_without(
    planes: Planes,
    objects: Sequence[Bool],
    associations: Sequence[Sequence[int]],
    levels: Levels,
    wanted: Sequence[int],
    *,
    noise: SharedVariance | None = None,
) -> Iterator[tuple[int, Sky]]:
    """Skies of the wanted frames of a part, made without objects; with their variances, or a common one."""
    if any(usable.any() for usable in planes.usable):
        variances = planes.variance if noise is None else noise
        pool = make_pool(planes.data, variances, planes.usable, objects, scale=levels.scale, zero=levels.zero)
        skies = skies_of_pool(pool, associations, levels.rule, wanted)
    else:
        skies = ((k, None) for k in wanted)
    for k, sky in skies:
        yield k, own_background(planes.data[k], planes.usable[k], objects[k]) if sky is None else sky


def packed(mask: Bool) -> NDArray[np.uint8]:
    """A mask, a bit per pixel."""
    return np.packbits(mask)


def unpacked(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> Bool:
    """The mask of that shape; see `packed`."""
    return np.unpackbits(bits, count=math.prod(shape)).reshape(shape).view(np.bool_)


class Ticks:
    """Tells how many of a number of steps are done."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)
