"""Where the pixels of an output grid lie in a frame, and sums over the kernels around these places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keyhole.imaging._bridging import REACH
from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging.kernels import kernel_weights

__all__ = ["BORDER", "SEVERAL", "Box", "Few", "Positions", "Power", "Sampler", "Scratch", "around", "placed"]

_WHOLE_PIXEL: Final = 1e-6
"""Shifts closer than this to a whole number of pixels are whole."""
_BLOCK: Final = 1 << 18
"""Output pixels computed together: what is computed on the way stays in the cache."""
_FEWEST_ROWS: Final = 16
"""Rows of a block at least, as its kernels need some rows beyond."""

BORDER: Final = -1
SEVERAL: Final = -2

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]
Plane = NDArray[Any]
Power = Literal["signed", "absolute", "squared"]
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
            copied = np.empty(self.shape, native)
            for beyond in around((rows, columns), self.shape):
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


def placed(plane: Plane, window: Plane, corner: tuple[int, int]) -> tuple[Plane, Plane]:
    """The part of a plane under a window that begins at a corner, and that of the window above it; 0 in the rest."""
    (y0, x0), (ny, nx) = corner, window.shape
    top, left = max(y0, 0), max(x0, 0)
    part = plane[top : max(y0 + ny, 0), left : max(x0 + nx, 0)]
    inside = slice(top - y0, top - y0 + part.shape[0]), slice(left - x0, left - x0 + part.shape[1])
    for beyond in around(inside, window.shape):
        window[beyond] = 0
    return part, window[inside]


class Few(NamedTuple):
    """Some output pixels of a box.

    Attributes
    ----------
    pixels : flat indices
    row, column : (n,) int
    kind : (n,) int
        What the kernel of each touches: a pixel alone, whose place under the kernel this is, or that and the number of
        places if it is marked; or `BORDER`, pixels beyond the frame alone; or `SEVERAL`.
    """

    pixels: Index
    row: Index
    column: Index
    kind: Index

    def of(self, chosen: Bools | Index) -> Few:
        """Those that are chosen."""
        return Few(*(values[chosen] for values in self))


class Scratch:
    """Memory for what is computed on the way: to be given new memory takes longer than to compute in it."""

    def __init__(self) -> None:
        self._flat: dict[str, Plane] = {}

    def take(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Plane:
        """An array of that shape that holds anything; what was taken under the name before is lost."""
        size = shape[0] * shape[1]
        key = f"{name} {np.dtype(dtype)}"
        if key not in self._flat or self._flat[key].size < size:
            self._flat[key] = np.empty(size, dtype)
        return self._flat[key][:size].reshape(shape)


class Sampler:
    """Sums over the kernels of a box of output pixels.

    Without rotation all pixels share one kernel, applied to the columns and then to the rows; otherwise
    each pixel has its own.

    Attributes
    ----------
    shape : (ny, nx)
        Of the box.
    corner : (y, x) of int
        Frame pixel at the first pixel of the window that the kernels touch.
    size : (ny, nx)
        Of that window.
    taps : int
        Pixels along a side of a kernel.
    """

    def __init__(self, x: Float64, y: Float64, interpolant: str, scratch: Scratch) -> None:
        self._scratch = scratch
        column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
        self._separable = x.shape[0] == 1 and y.shape[1] == 1
        self.shape = (y.shape[0], x.shape[1])
        fraction_x, fraction_y = x - column, y - row
        if self._separable:
            self._wx, self._wy = (_one_kernel(interpolant, float(f[0, 0])) for f in (fraction_x, fraction_y))
        else:
            self._wx = kernel_weights(interpolant, fraction_x).astype(np.float32)
            self._wy = kernel_weights(interpolant, fraction_y).astype(np.float32)
        self.taps = self._wx.shape[-1]
        first = 1 - self.taps // 2
        self.corner = (int(row.min()) + first, int(column.min()) + first)
        self.size = (int(np.ptp(row)) + self.taps, int(np.ptp(column)) + self.taps)
        self._row, self._column = row - row.min(), column - column.min()

    @property
    def total(self) -> Float32:
        """Sum of the absolute weights of each kernel."""
        return np.asarray(np.abs(self._wx).sum(axis=-1) * np.abs(self._wy).sum(axis=-1))

    def window(self, plane: Plane, name: str, *, margin: int = 0) -> Plane:
        """A copy, under a name, of the part of the frame that the kernels touch, and a margin; 0 beyond the frame."""
        y0, x0 = (first - margin for first in self.corner)
        ny, nx = (size + 2 * margin for size in self.size)
        window = self._scratch.take(name, (ny, nx), plane.dtype.newbyteorder("="))
        part, inside = placed(plane, window, (y0, x0))
        inside[...] = part
        return window

    def sum(self, window: Plane, power: Power, out: Float32 | None = None) -> Float32:
        """Weighted sums over a window with the weights, their absolute values or their squares.

        Without rotation the window may be that of some rows alone, and so are the sums.
        """
        values = window.astype(np.float32, copy=False)
        wx, wy = (_POWERS[power](w) for w in (self._wx, self._wy))
        if self._separable:
            rows, ny, nx = len(values), len(values) - self.taps + 1, self.shape[1]
            share = self._scratch.take("share", (rows, nx), np.float32)
            along_x = self._scratch.take("along x", (rows, nx), np.float32)
            _slide([values[:, i : i + nx] for i in range(self.taps)], wx.ravel(), along_x, share)
            total = np.empty((ny, nx), np.float32) if out is None else out
            return _slide([along_x[j : j + ny] for j in range(self.taps)], wy.ravel(), total, share[:ny])
        total = np.zeros(self.shape, dtype=np.float32)
        for j in range(self.taps):
            along_x = np.zeros(self.shape, dtype=np.float32)
            for i in range(self.taps):
                along_x += wx[..., i] * values[self._row + j, self._column + i]
            total += wy[..., j] * along_x
        return total

    def in_window(self, places: Index, frame: tuple[int, ...]) -> tuple[Index, Bools]:
        """Where pixels of the frame, flat indices, lie in the window, flat indices too, and which of them do."""
        y = places // frame[1]
        y, x = y - self.corner[0], places - y * frame[1] - self.corner[1]
        there = (y >= 0) & (y < self.size[0]) & (x >= 0) & (x < self.size[1])
        return (y * self.size[1] + x)[there], there

    def touching(self, holes: Index, frame: tuple[int, ...] | None = None, marked: Bools | None = None) -> Few:
        """The output pixels, without rotation, whose kernels touch some pixels, or one beyond the frame.

        Parameters
        ----------
        holes : flat indices of the window
        frame : (ny, nx), optional
            Shape of the frame; None: what is beyond does not matter.
        marked : bool array, optional
            Holes that are told from the others.
        """
        (ny, nx), last = self.shape, self.taps - 1
        width, number = self.size[1] + last, self.taps**2
        # A count of holes, and the sum of their places, that cannot be mistaken for those of rows beyond the frame.
        one, beyond = 2 * number, 1 << 14
        dtype: type[np.unsignedinteger[Any]] = np.uint16
        if number * 2 * one > beyond:
            dtype, beyond = np.uint32, 1 << 28
        # A margin takes in what no output pixel has under its kernel.
        touched = self._scratch.take("touched", (self.size[0] + last, width), dtype)
        touched[...] = 0
        flat, first = touched.reshape(-1), last * width + last
        place = first + holes + holes // self.size[1] * last
        code = np.full(holes.shape, one, dtype)
        if marked is not None:
            code[marked] += dtype(number)
        for tap in range(number):
            j, i = divmod(tap, self.taps)
            # No two holes have the same place under the kernel of one pixel.
            flat[place - (j * width + i)] += code + dtype(tap)
        inner = touched[last : last + ny, last : last + nx]
        for axis, length in enumerate(frame[:2] if frame is not None else ()):
            along = np.moveaxis(inner, axis, 0)
            along[: max(-self.corner[axis], 0)] += dtype(beyond)
            along[max(length - self.corner[axis] - last, 0) :] += dtype(beyond)
        pixels = np.flatnonzero(inner != 0)
        row = pixels // nx
        found = flat[first + pixels + row * (width - nx)].astype(np.intp)
        kind = np.where(found < 2 * one, found - one, np.where(found % beyond == 0, BORDER, SEVERAL))
        return Few(pixels, row, pixels - row * nx, kind)

    def border_kinds(self, few: Few, frame: tuple[int, ...]) -> tuple[Index, Index]:
        """Output pixels that touch pixels beyond the frame in the same way are of a kind.

        Returns
        -------
        example : (k,) int
            Place in `few` of one of each kind,
        kind : (n,) int
            and the place in `example` of that like each.
        """
        key = np.zeros(few.pixels.shape, np.intp)
        for place, axis in ((few.row, 0), (few.column, 1)):
            before = max(-self.corner[axis], 0)
            after = max(frame[axis] - self.corner[axis] - self.taps + 1, 0)
            # The rows that reach beyond the frame each for itself, all between them together.
            number = np.where(place < before, place, np.where(place >= after, place - after + before + 1, before))
            key = key * (before + self.shape[axis] - min(after, self.shape[axis]) + 1) + number
        example = np.full(int(key.max(initial=-1)) + 1, -1, np.intp)
        example[key] = np.arange(key.size)
        used = example >= 0
        return example[used], (np.cumsum(used) - 1)[key]

    def values_at(self, few: Few, plane: Plane) -> Plane:
        """What the kernels of some output pixels touch, (taps, taps, n); 0 beyond the frame. Without rotation."""
        tap = np.arange(self.taps)[:, np.newaxis]
        y, x = few.row + tap + self.corner[0], few.column + tap + self.corner[1]
        (ny, nx) = plane.shape
        in_y, in_x = (y >= 0) & (y < ny), (x >= 0) & (x < nx)
        if in_y.all() and in_x.all():
            return np.asarray(plane[y[:, np.newaxis], x])
        values = plane[y.clip(0, ny - 1)[:, np.newaxis], x.clip(0, nx - 1)]
        values[~(in_y[:, np.newaxis] & in_x)] = 0
        return np.asarray(values)

    def sum_at(self, values: Plane, power: Power) -> Float32:
        """Give the sums over what some kernels touch: those of `sum`, to the last bit. Without rotation."""
        wx, wy = (_POWERS[power](w).ravel() for w in (self._wx, self._wy))
        values = values.astype(np.float32, copy=False)
        share = np.empty(values.shape[2], np.float32)
        rows = [
            _slide(list(row), wx, np.empty_like(share), share)
            for row, weight in zip(values, wy, strict=True)
            if weight != 0
        ]
        return _slide(rows, wy[wy != 0], np.empty_like(share), share)

    def without_one(self, power: Power) -> Float32:
        """The sums over windows of ones but for one pixel under the kernel, for each such pixel; without rotation."""
        number = self.taps**2
        return self.sum_at(1 - np.eye(number, dtype=np.float32).reshape(self.taps, self.taps, number), power)

    def of_one(self, power: Power) -> Float32:
        """The sums over windows of zeros but for one pixel under the kernel, for each such pixel; without rotation."""
        number = self.taps**2
        return self.sum_at(np.eye(number, dtype=np.float32).reshape(self.taps, self.taps, number), power)

    def sum_of_ones(self, power: Power) -> np.float32:
        """The sum over a window of ones, without rotation."""
        return np.float32(self.sum_at(np.ones((self.taps, self.taps, 1), np.float32), power)[0])


@lru_cache(maxsize=16)
def _one_kernel(interpolant: str, fraction: float) -> Float32:
    """The weights that all pixels share, (1, 1, taps): blocks of rows ask for the same ones again."""
    return kernel_weights(interpolant, np.full((1, 1), fraction)).astype(np.float32)


_POWERS: Final[dict[Power, Callable[[Float32], Float32]]] = {
    "signed": np.asarray,
    "absolute": np.abs,
    "squared": np.square,
}


def _slide(planes: list[Float32], weights: Float32, total: Float32, share: Float32) -> Float32:
    """Weighted sum of the planes, term by term, into `total`; `share` is room for one of them."""
    terms = [(plane, weight) for plane, weight in zip(planes, weights, strict=True) if weight != 0]
    # The weights sum to one: there is at least one term.
    np.multiply(*terms[0], out=total)
    for plane, weight in terms[1:]:
        total += np.multiply(plane, weight, out=share)
    return total
