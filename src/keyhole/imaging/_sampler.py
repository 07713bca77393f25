"""Sums over the kernels around the places of output pixels in a frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keyhole.imaging._positions import around
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.kernels import kernel_weights

__all__ = ["BORDER", "SEVERAL", "Few", "Power", "Sampler", "Scratch", "placed"]

_BLOCK: Final = 1 << 17
"""Pixels that are summed together, so that they stay in the cache."""
_FEW_HOLES: Final = 200
"""Pixels whose surroundings are faster sorted than counted in a plane."""
BORDER: Final = -1
SEVERAL: Final = -2

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]
Plane = NDArray[Any]
Power = Literal["signed", "absolute", "squared"]


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
        wx, wy = (_POWERS[power](w) for w in (self._wx, self._wy))
        if self._separable:
            values, nx = window.astype(np.float32, copy=False), self.shape[1]
            out = np.empty((len(window) - self.taps + 1, nx), np.float32) if out is None else out
            if values.flags.c_contiguous:
                for rows in row_blocks((len(out), window.shape[1]), _BLOCK):
                    part = values[rows.start : rows.stop + self.taps - 1]
                    self._straight_sum(part, wx.ravel(), wy.ravel(), out[rows])
                return out
            share, along_x = (self._scratch.take(name, (len(values), nx), np.float32) for name in ("share", "along x"))
            _slide([values[:, i : i + nx] for i in range(self.taps)], wx.ravel(), along_x, share)
            lines = [along_x[j : j + len(out)] for j in range(self.taps)]
            return _slide(lines, wy.ravel(), out, share[: len(out)])
        values = window.astype(np.float32, copy=False)
        total = np.zeros(self.shape, dtype=np.float32)
        for j in range(self.taps):
            along_x = np.zeros(self.shape, dtype=np.float32)
            for i in range(self.taps):
                along_x += wx[..., i] * values[self._row + j, self._column + i]
            total += wy[..., j] * along_x
        return total

    def _straight_sum(self, values: Float32, wx: Float32, wy: Float32, out: Float32) -> None:
        """Weighted sums without rotation, first along the rows, over a window without gaps in memory."""
        (rows, width), last = values.shape, self.taps - 1
        flat, (along_x, share, total) = (
            values.reshape(-1),
            (self._scratch.take(name, values.shape, np.float32).reshape(-1) for name in ("along x", "share", "total")),
        )
        # Row after row in one go, which is faster: what is summed across their ends is left out in the end.
        inner = flat.size - last
        _slide([flat[i : i + inner] for i in range(self.taps)], wx, along_x[:inner], share[:inner])
        along_x[inner:] = 0
        ny = rows - last
        lines = [along_x[j * width : (j + ny) * width] for j in range(self.taps)]
        _slide(lines, wy, total[: ny * width], share[: ny * width], out)

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
        if frame is None and marked is None and holes.size < _FEW_HOLES:
            return self._touching_few(holes)
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
        place = holes + holes // self.size[1] * last
        code = np.full(holes.shape, one, dtype)
        if marked is not None:
            code[marked] += dtype(number)
        for tap in range(number):
            j, i = divmod(tap, self.taps)
            # No two holes have the same place under the kernel of one pixel.
            flat[first - j * width - i :][place] += code
            code += dtype(1)
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

    def _touching_few(self, holes: Index) -> Few:
        """Do the same where nothing but so few holes matters that no plane is needed."""
        tap = np.arange(self.taps**2)[:, np.newaxis]
        y, x = np.divmod(holes, self.size[1])
        row, column = y - tap // self.taps, x - tap % self.taps
        there = (row >= 0) & (row < self.shape[0]) & (column >= 0) & (column < self.shape[1])
        pixels, first, number = np.unique((row * self.shape[1] + column)[there], return_index=True, return_counts=True)
        alone = np.broadcast_to(tap, there.shape)[there][first]
        row, column = np.divmod(pixels, self.shape[1])
        return Few(pixels, row, column, np.where(number == 1, alone, SEVERAL))

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
        return self.places_of(few, plane.shape)(plane)

    def places_of(self, few: Few, shape: tuple[int, ...]) -> Callable[[Plane], Plane]:
        """Give what `values_at` finds in any plane of a shape."""
        tap = np.arange(self.taps)[:, np.newaxis]
        y, x = few.row + tap + self.corner[0], few.column + tap + self.corner[1]
        (ny, nx) = shape
        beyond = None
        if few.row.size and (min(y.min(), x.min()) < 0 or y.max() >= ny or x.max() >= nx):
            in_y, in_x = (y >= 0) & (y < ny), (x >= 0) & (x < nx)
            beyond = ~(in_y[:, np.newaxis] & in_x)
            y, x = y.clip(0, ny - 1), x.clip(0, nx - 1)
        # Found once, and faster so than by rows and columns.
        places = (y * nx)[:, np.newaxis] + x

        def of(plane: Plane) -> Plane:
            whole = plane.flags.c_contiguous
            values: Plane = plane.reshape(-1).take(places) if whole else plane[y[:, np.newaxis], x]
            if beyond is not None:
                values[beyond] = 0
            return values

        return of

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


def _slide(
    planes: list[Float32], weights: Float32, total: Float32, share: Float32, out: Float32 | None = None
) -> Float32:
    """Weighted sum of the planes, term by term, in `total`; `share` is room for one of them.

    With `out`, (ny, nx), the planes are rows of more than nx pixels, one after the other: of the sum only the first
    of each row go there.
    """

    def part(flat: Float32) -> Float32:
        return flat if out is None else flat.reshape(len(out), -1)[:, : out.shape[1]]

    terms = [(plane, weight) for plane, weight in zip(planes, weights, strict=True) if weight != 0]
    target = total if out is None else out
    # The weights sum to one: there is at least one term.
    if len(terms) == 1:
        np.multiply(part(terms[0][0]), terms[0][1], out=target)
        return target
    np.multiply(*terms[0], out=total)
    for plane, weight in terms[1:-1]:
        total += np.multiply(plane, weight, out=share)
    np.multiply(*terms[-1], out=share)
    np.add(part(total), part(share), out=target)
    return target
