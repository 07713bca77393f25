"""Where the pixels of an output grid lie in a frame, and sums over the kernels around these places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging.kernels import kernel_weights

__all__ = ["Box", "Few", "Positions", "Power", "Sampler", "Scratch"]

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
        self._shape = shape

    @property
    def separable(self) -> bool:
        """Whether all pixels lie at the same fractions of the frame's pixels."""
        return bool(self.x.shape[0] == 1 and self.y.shape[1] == 1)

    @cached_property
    def inside(self) -> Bools:
        """(ny, nx) bool: the place is in the frame."""
        return np.asarray(np.broadcast_to(self._in_x & self._in_y, self._shape))

    def cut(self, box: Box) -> tuple[Float64, Float64]:
        """Places of the pixels of a box, as `x` and `y`."""
        rows, columns = box
        x = self.x[:, columns] if self.x.shape[0] == 1 else self.x[rows, columns]
        y = self.y[rows] if self.y.shape[1] == 1 else self.y[rows, columns]
        return x, y

    def nearest(self, plane: Plane, outside: int = 0) -> Plane:
        """Value of the nearest frame pixel for every output pixel, ``outside`` where there is none."""
        native = plane.dtype.newbyteorder("=")
        column, row = (np.floor(v + 0.5).astype(np.intp) for v in (self.x, self.y))
        if self.separable:
            copied = np.full(self._shape, outside, dtype=native) if outside else np.zeros(self._shape, native)
            (rows, first_row), (columns, first_column) = (
                _range(self._in_y[:, 0], row[:, 0]),
                _range(self._in_x[0], column[0]),
            )
            height, width = rows.stop - rows.start, columns.stop - columns.start
            copied[rows, columns] = plane[first_row : first_row + height, first_column : first_column + width]
            return copied
        copied = plane[row.clip(0, plane.shape[0] - 1), column.clip(0, plane.shape[1] - 1)]
        copied[~self.inside] = outside
        return np.asarray(copied, dtype=native)

    def boxes_near(self, good: Bools, reach: int) -> Iterator[Box]:
        """Parts of the output whose kernels may touch a usable pixel of the frame."""
        rows, columns = bounding_box(good)
        if rows.start == rows.stop:
            return
        in_x = self._in_x & (self.x > columns.start - reach) & (self.x < columns.stop - 1 + reach)
        in_y = self._in_y & (self.y > rows.start - reach) & (self.y < rows.stop - 1 + reach)
        if self.separable:
            rows, columns = _range(in_y[:, 0])[0], _range(in_x[0])[0]
        else:
            rows, columns = bounding_box(np.broadcast_to(in_x & in_y, self._shape))
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


class Few(NamedTuple):
    """Some output pixels of a box, and where the kernel of each begins in the window, flat indices."""

    pixels: Index
    corner: Index


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
        self._taps = self._wx.shape[-1]
        first = 1 - self._taps // 2
        self.corner = (int(row.min()) + first, int(column.min()) + first)
        self.size = (int(np.ptp(row)) + self._taps, int(np.ptp(column)) + self._taps)
        self._row, self._column = row - row.min(), column - column.min()

    @property
    def total(self) -> Float32:
        """Sum of the absolute weights of each kernel."""
        return np.asarray(np.abs(self._wx).sum(axis=-1) * np.abs(self._wy).sum(axis=-1))

    def window(self, plane: Plane, name: str, *, margin: int = 0) -> Plane:
        """A copy, under a name, of the part of the frame that the kernels touch, and a margin; 0 beyond the frame."""
        y0, x0 = (first - margin for first in self.corner)
        ny, nx = (size + 2 * margin for size in self.size)
        top, left = max(y0, 0), max(x0, 0)
        part = plane[top : max(y0 + ny, 0), left : max(x0 + nx, 0)]
        window = self._scratch.take(name, (ny, nx), plane.dtype.newbyteorder("="))
        rows, columns = slice(top - y0, top - y0 + part.shape[0]), slice(left - x0, left - x0 + part.shape[1])
        window[rows, columns] = part
        for beyond in (np.s_[: rows.start], np.s_[rows.stop :], np.s_[:, : columns.start], np.s_[:, columns.stop :]):
            window[beyond] = 0
        return window

    def sum(self, window: Plane, power: Power, out: Float32 | None = None) -> Float32:
        """Weighted sums over a window with the weights, their absolute values or their squares."""
        values = window.astype(np.float32, copy=False)
        wx, wy = (_POWERS[power](w) for w in (self._wx, self._wy))
        if self._separable:
            rows, (ny, nx) = len(values), self.shape
            share = self._scratch.take("share", (rows, nx), np.float32)
            along_x = self._scratch.take("along x", (rows, nx), np.float32)
            _slide([values[:, i : i + nx] for i in range(self._taps)], wx.ravel(), along_x, share)
            total = np.empty(self.shape, np.float32) if out is None else out
            return _slide([along_x[j : j + ny] for j in range(self._taps)], wy.ravel(), total, share[:ny])
        total = np.zeros(self.shape, dtype=np.float32)
        for j in range(self._taps):
            along_x = np.zeros(self.shape, dtype=np.float32)
            for i in range(self._taps):
                along_x += wx[..., i] * values[self._row + j, self._column + i]
            total += wy[..., j] * along_x
        return total

    def touching(self, there: Bools) -> Few:
        """The output pixels, without rotation, whose kernels touch a True pixel of the window."""
        (ny, nx), width = self.shape, self.size[1]
        along_x = there[:, :nx].copy()
        for i in range(1, self._taps):
            along_x |= there[:, i : i + nx]
        touched = along_x[:ny].copy()
        for j in range(1, self._taps):
            touched |= along_x[j : j + ny]
        pixels = np.flatnonzero(touched)
        return Few(pixels, pixels // nx * width + pixels % nx)

    def sum_at(self, few: Few, window: Plane, power: Power) -> Float32:
        """Give the sums at some output pixels: those of `sum`, to the last bit. Without rotation."""
        wx, wy = (_POWERS[power](w).ravel() for w in (self._wx, self._wy))
        tap = np.arange(self._taps)
        step = (tap[:, np.newaxis] * self.size[1] + tap).reshape(-1, 1)
        values = np.ascontiguousarray(window).ravel()[few.corner + step].astype(np.float32)
        values = values.reshape(self._taps, self._taps, -1)
        share = np.empty(few.corner.size, np.float32)
        rows = [
            _slide(list(row), wx, np.empty_like(share), share)
            for row, weight in zip(values, wy, strict=True)
            if weight != 0
        ]
        return _slide(rows, wy[wy != 0], np.empty_like(share), share)

    def sum_of_ones(self, power: Power) -> np.float32:
        """The sum over a window of ones, without rotation."""
        few = Few(np.zeros(1, np.intp), np.zeros(1, np.intp))
        return np.float32(self.sum_at(few, np.ones((self._taps, self.size[1]), np.float32), power)[0])


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
