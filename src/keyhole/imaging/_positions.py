"""Where the pixels of an output grid lie in a frame, and the nearest pixels there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bridging import REACH
from keyhole.imaging._neighbours import bounding_box

__all__ = ["Box", "Positions", "around"]

_WHOLE_PIXEL: Final = 1e-6
"""Shifts closer than this to a whole number of pixels are whole."""
_BLOCK: Final = 1 << 18
"""Output pixels computed together: what is computed on the way stays in the cache."""
_FEWEST_ROWS: Final = 16
"""Rows of a block at least, as its kernels need some rows beyond."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]
Plane = NDArray[Any]
Box = tuple[slice, slice]


class Positions:
    """Place in the frame of each output pixel; x is one row and y one column when there is no rotation.

    Parameters
    ----------
    matrix, offset : (2, 2), (2,) float64
        Position in the frame = matrix @ position in the reference + offset, ``(x, y)``.
    shape : (ny, nx)
        Of the output.
    origin : (x, y) of int
        Reference pixel at the first pixel of the output.
    frame : (ny, nx)
        Shape of the frame.
    """

    def __init__(
        self, matrix: Float64, offset: Float64, shape: tuple[int, int], origin: tuple[int, int], frame: tuple[int, ...]
    ) -> None:
        column = (np.arange(shape[1]) + float(origin[0]))[np.newaxis, :]
        row = (np.arange(shape[0]) + float(origin[1]))[:, np.newaxis]
        if np.array_equal(matrix, np.eye(2)):
            x, y = column + offset[0], row + offset[1]
        else:
            x = matrix[0, 0] * column + matrix[0, 1] * row + offset[0]
            y = matrix[1, 0] * column + matrix[1, 1] * row + offset[1]
        self.x, self.y = (np.where(np.abs(v - np.rint(v)) < _WHOLE_PIXEL, np.rint(v), v) for v in (x, y))
        self._in_x = (self.x >= 0) & (self.x <= frame[1] - 1)
        self._in_y = (self.y >= 0) & (self.y <= frame[0] - 1)
        self.shape, self.matrix, self.offset = shape, matrix, offset

    @property
    def separable(self) -> bool:
        """Whether all pixels lie at the same fractions of the frame's pixels."""
        return bool(self.x.shape[0] == 1 and self.y.shape[1] == 1)

    @cached_property
    def inside(self) -> Bools:
        """(ny, nx) bool: the place is in the frame."""
        return np.asarray(np.broadcast_to(self._in_x & self._in_y, self.shape))

    def cut(self, box: Box) -> tuple[Float64, Float64]:
        """Places of the pixels of a box, as `x` and `y`."""
        rows, columns = box
        x = self.x[:, columns] if self.x.shape[0] == 1 else self.x[rows, columns]
        y = self.y[rows] if self.y.shape[1] == 1 else self.y[rows, columns]
        return x, y

    def nearest(self, plane: Plane, outside: int = 0, *, but: Box | None = None) -> Plane:
        """Value of the nearest frame pixel for every output pixel, ``outside`` where there is none.

        Without rotation a box inside the frame can be left out: there may be anything.
        """
        native = plane.dtype.newbyteorder("=")
        if self.separable:
            (rows, first_row), (columns, first_column) = self._nearest_ranges()
            # Fresh memory is zero for nothing.
            copied = np.empty(self.shape, native) if outside or but is not None else np.zeros(self.shape, native)
            for beyond in around((rows, columns), self.shape) if outside or but is not None else ():
                copied[beyond] = outside
            for part in ((rows, columns),) if but is None else around(but, self.shape):
                down, across = _common(part[0], rows), _common(part[1], columns)
                y, x = down.start - rows.start + first_row, across.start - columns.start + first_column
                height, width = down.stop - down.start, across.stop - across.start
                copied[down, across] = plane[y : y + height, x : x + width]
            return copied
        column, row = (np.floor(v + 0.5).astype(np.intp) for v in (self.x, self.y))
        copied = plane[row.clip(0, plane.shape[0] - 1), column.clip(0, plane.shape[1] - 1)]
        copied[~self.inside] = outside
        return np.asarray(copied, dtype=native)

    def multiply(self, plane: Float32, factors: Float32) -> None:
        """Multiply by the factors of the nearest frame pixels, where there are some. Changes `plane`."""
        if not self.separable:
            factor = self.nearest(factors)
            np.multiply(plane, factor, out=plane, where=self.inside)
            return
        (rows, row), (columns, column) = self._nearest_ranges()
        part = plane[rows, columns]
        part *= factors[row : row + part.shape[0], column : column + part.shape[1]]

    def _nearest_ranges(self) -> tuple[tuple[slice, int], tuple[slice, int]]:
        """Rows and columns that are in the frame, without rotation, and the frame pixels nearest to the first ones."""
        column, row = (np.floor(v + 0.5).astype(np.intp) for v in (self.x, self.y))
        return _range(self._in_y[:, 0], row[:, 0]), _range(self._in_x[0], column[0])

    def touched(self, box: Box, reach: int) -> Box:
        """Part of the frame that the kernels of a box of output pixels touch, and what bridges bad pixels there."""
        x, y = self.cut(box)
        margin = reach + REACH
        low, high = (np.floor([f(y), f(x)]).astype(int) for f in (np.min, np.max))
        low, high = np.maximum(low - margin, 0).tolist(), np.maximum(high + 2 + margin, 0).tolist()
        return slice(low[0], high[0]), slice(low[1], high[1])

    def box_near(self, good: Bools, reach: int) -> Box:
        """The part of the output whose kernels may touch a usable pixel of the frame; empty if there is none."""
        rows, columns = bounding_box(good)
        if rows.start == rows.stop:
            return rows, columns
        in_x = self._in_x & (self.x > columns.start - reach) & (self.x < columns.stop - 1 + reach)
        in_y = self._in_y & (self.y > rows.start - reach) & (self.y < rows.stop - 1 + reach)
        if self.separable:
            return _range(in_y[:, 0])[0], _range(in_x[0])[0]
        return bounding_box(np.broadcast_to(in_x & in_y, self.shape))

    def blocks(self, box: Box) -> Iterator[Box]:
        """Parts of a box that are computed together."""
        rows, columns = box
        if rows.start == rows.stop or columns.start == columns.stop:
            return
        fewest = _FEWEST_ROWS if self.separable else 1
        number = max((rows.stop - rows.start) * (columns.stop - columns.start) // _BLOCK, 1)
        step = max(fewest, -(-(rows.stop - rows.start) // number))
        for start in range(rows.start, rows.stop, step):
            yield slice(start, min(start + step, rows.stop)), columns


def _range(there: Bools, nearest: Index | None = None) -> tuple[slice, int]:
    """The part of an axis that is there, which has no gaps, and the frame pixel nearest to its first place."""
    found = np.flatnonzero(there)
    if not found.size:
        return slice(0, 0), 0
    return slice(int(found[0]), int(found[-1]) + 1), 0 if nearest is None else int(nearest[found[0]])


def _common(part: slice, of: slice) -> slice:
    """What two slices share; empty, at the beginning of the second, if that is nothing."""
    start, stop = max(part.start, of.start), min(part.stop, of.stop)
    return slice(start, stop) if start < stop else slice(of.start, of.start)


def around(box: Box, shape: tuple[int, ...]) -> tuple[Box, Box, Box, Box]:
    """The four parts of a plane beyond a box: below, above, left and right of it."""
    (rows, columns), (ny, nx) = box, shape
    return (
        (slice(0, rows.start), slice(0, nx)),
        (slice(rows.stop, ny), slice(0, nx)),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, nx)),
    )
