"""Exposures on the grid of their median, some rows at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bridging import Bridges, few_bad
from keyhole.imaging._exposure import Exposure
from keyhole.imaging._moved import Moved, Source
from keyhole.imaging._positions import Box, Positions, around
from keyhole.imaging._sampler import Scratch
from keyhole.imaging.bits import usable
from keyhole.imaging.geometry import Grid
from keyhole.imaging.resample import MAX_LOST, resample

__all__ = ["KERNEL", "KERNEL_REACH", "layer_of"]

KERNEL: Final = "poly3"
KERNEL_REACH: Final = 2
"""Pixels to either side that its kernels reach."""
_BEYOND: Final = 8
"""Pixels around a part of the reference that its interpolation may touch."""

Float32 = NDArray[np.float32]


def layer_of(exposure: Exposure, grid: Grid, scratch: Scratch) -> _Interpolated | _MovedLayer:
    """An exposure less its own level and divided by its time, on the grid."""
    good = usable(exposure.mask)
    if few_bad(good) and np.array_equal(exposure.matrix, np.eye(2)):
        where = Positions(exposure.matrix, np.asarray(exposure.shift, float), grid.shape, grid.origin, good.shape)
        box = where.box_near(good, KERNEL_REACH)
        if box[0].start < box[0].stop and box[1].start < box[1].stop:
            bridges = Bridges(good)
            moved = Moved(*where.cut(box), bridges, interpolant=KERNEL, max_lost=MAX_LOST, scratch=scratch)
            source = Source(exposure.data, level=exposure.level, divisor=np.float32(exposure.seconds))
            return _MovedLayer(box, moved, source, moved.bridged(bridges, source))
    return _Interpolated(exposure, grid)


class _Interpolated(NamedTuple):
    """An exposure that is turned, or has many bad pixels."""

    exposure: Exposure
    grid: Grid

    def add(self, rows: slice, plane: Float32, there: NDArray[np.int16], nothing: Float32) -> None:
        """Interpolate some rows of the grid into `plane`, and count what is known.

        Where it is not known it is infinite, as `nothing` tells, which changes its sign then.
        """
        x0, y0 = self.grid.origin
        part = _part_near(self.exposure, Grid(plane.shape, (x0, y0 + rows.start)))
        if part is None:
            _leave_out(plane, nothing)
            return
        out = resample(
            (part.data - self.exposure.level) / np.float32(self.exposure.seconds),
            None,
            part.mask,
            shift=part.shift,
            matrix=part.matrix,
            output_shape=plane.shape,
            output_origin=(x0, y0 + rows.start),
            interpolant=KERNEL,
            conserve=False,
            reasons=False,
        )
        good = usable(out.mask)
        plane[...] = out.data
        _leave_out(plane, nothing, ~good)
        there += good


class _MovedLayer(NamedTuple):
    """An exposure that is moved alone, with few bad pixels."""

    box: Box
    moved: Moved
    source: Source
    bridged: Float32

    def add(self, rows: slice, plane: Float32, there: NDArray[np.int16], nothing: Float32) -> None:
        """Do what `_Interpolated` does."""
        down, across = self.box
        own = slice(max(rows.start, down.start), min(rows.stop, down.stop))
        if own.start >= own.stop:
            _leave_out(plane, nothing)
            return
        inside = slice(own.start - rows.start, own.stop - rows.start), across
        for beyond in around(inside, plane.shape):
            _leave_out(plane, nothing, beyond)
        width, part = across.stop - across.start, plane[inside]
        some = slice(own.start - down.start, own.stop - down.start)
        self.moved.sums(self.source, self.bridged, some, part)
        first, last = np.searchsorted(self.moved.kept, [some.start * width, some.stop * width])
        y, x = np.divmod(self.moved.kept[first:last] - some.start * width, width)
        _leave_out(part, nothing[inside], (y, x))
        there[inside] += 1
        there[inside][y, x] -= 1


def _leave_out(plane: Float32, nothing: Float32, where: Any = np.s_[:, :]) -> None:
    """Infinities of changing sign in places of a plane that are not known."""
    own = nothing[where]
    plane[where] = own
    np.negative(own, out=own)
    # No matter if it was a view.
    nothing[where] = own


def _part_near(exposure: Exposure, grid: Grid) -> Exposure | None:
    """The part of an exposure from which a part of the reference is interpolated; None where they do not meet."""
    (height, width), (x0, y0) = grid
    corners = np.array([(x0, x0 + width - 1, x0, x0 + width - 1), (y0, y0, y0 + height - 1, y0 + height - 1)], float)
    own = exposure.matrix @ corners + np.reshape(exposure.shift, (2, 1))
    low, high = np.floor(own.min(axis=1)) - _BEYOND, np.ceil(own.max(axis=1)) + _BEYOND + 1
    ny, nx = exposure.data.shape
    (left, bottom), (right, top) = np.maximum(low, 0).astype(int), np.minimum(high, (nx, ny)).astype(int)
    if right <= left or top <= bottom:
        return None
    rows, columns = slice(int(bottom), int(top)), slice(int(left), int(right))
    shift = np.asarray(exposure.shift, float) - [columns.start, rows.start]
    return replace(
        exposure, variance=None, data=exposure.data[rows, columns], mask=exposure.mask[rows, columns], shift=shift
    )
