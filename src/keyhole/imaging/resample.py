"""Placing a frame on another pixel grid, with its errors and without spreading its bad pixels.

A bad pixel takes no part. What its neighbours on both sides let expect takes its place in the kernel, or its
weight is shared among the others, as long as it is little; where it is much, the output pixel is flagged. So one
hot pixel costs about one output pixel instead of the sixteen that its kernel touches. The work is done around the
usable pixels only; elsewhere the nearest pixel is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._bridging import REACH, TIED, Bridges
from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging.bits import BAD, MASK_DTYPE, NO_DATA, NONLINEAR, SATURATED, UNUSABLE, usable
from keyhole.imaging.kernels import INTERPOLANTS, kernel_weights

__all__ = ["INTERPOLANTS", "Resampled", "resample"]

_MIN_WEIGHT: Final = 0.5
"""Kernels with strong negative lobes may lose little absolute weight and still most of their sum."""
_TOUCHED: Final = 0.001
"""Share of the kernel's absolute weight from which an unusable pixel is named as a reason."""
_WHOLE_PIXEL: Final = 1e-6
"""Shifts closer than this to a whole number of pixels are whole."""
_ROUNDING: Final = 1e-4
"""Sums of float32 weights are good to that by far."""
_BLOCK: Final = 1 << 17
"""Output pixels computed together: what is computed on the way stays in the cache."""
_FEWEST_ROWS: Final = 16
"""Rows of a block at least, as its kernels need some rows beyond."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Plane = NDArray[Any]
Power = Literal["signed", "absolute", "squared"]
Box = tuple[slice, slice]


class Resampled(NamedTuple):
    """A frame on the output grid.

    Attributes
    ----------
    data : (ny, nx) float32
        Values; 0 outside the frame.
    variance : (ny, nx) float32 or None
        Variance of each pixel by itself (squared kernel weights); neighbours are correlated, see
        `keyhole.imaging.covariance`.
    mask : (ny, nx) uint16
        Quality bits; NO_DATA outside the frame.
    planes : dict of arrays
        The further planes.
    weight : (ny, nx) float32
        Share of the kernel that fell on usable pixels, 0 where the output pixel is not usable.
    """

    data: Float32
    variance: Float32 | None
    mask: NDArray[np.uint16]
    planes: dict[str, Plane]
    weight: Float32


def resample(
    data: Plane,
    variance: Plane | None = None,
    mask: NDArray[np.uint16] | None = None,
    *,
    shift: ArrayLike = (0.0, 0.0),
    matrix: ArrayLike | None = None,
    output_shape: tuple[int, int] | None = None,
    output_origin: tuple[int, int] = (0, 0),
    interpolant: str = "poly3",
    conserve: bool = True,
    dq_threshold: float = 0.001,
    max_lost: float = 0.3,
    planes: Mapping[str, Plane] | None = None,
    reasons: bool = True,
) -> Resampled:
    """Interpolate a frame onto a grid of reference pixels.

    Whole-pixel shifts are copied exactly. Pixels that are not finite count as BAD. Changes its input: no.

    Parameters
    ----------
    data : (ny, nx)
        Values, any unit.
    variance : (ny, nx), optional
        Variance of ``data``.
    mask : (ny, nx) uint16, optional
        Quality bits; all good when None. Pixels with bits other than non-linear and saturated have no weight.
    shift : pair of float
        ``(dx, dy)``, pixels: position in the frame = matrix @ position in the reference + shift.
    matrix : 2 x 2 array_like, optional
        Rotation and scale in ``(x, y)`` order, about pixel (0, 0); the unit matrix when None.
    output_shape : (ny, nx), optional
        Shape of the output; that of the frame when None.
    output_origin : (x, y) of int
        Reference pixel at the output's first pixel.
    interpolant : str
        One of `INTERPOLANTS`.
    conserve : bool
        Multiply by the area of an output pixel in frame pixels, so that the flux of a source is kept.
    dq_threshold : float
        Share of an output pixel's area that non-linear or saturated pixels must exceed for it to carry
        those bits.
    max_lost : float
        Share of the kernel's absolute weight that unusable pixels may hold before the output pixel is flagged.
    planes : mapping of arrays (ny, nx), optional
        Further planes: floating-point planes are interpolated like the data but not scaled, others copied
        from the nearest pixel.
    reasons : bool
        False: the mask of the interpolated pixels tells NO_DATA from usable alone, which saves time.

    Returns
    -------
    Resampled

    Raises
    ------
    AlgorithmError
        When the shapes of the planes differ or the transformation has no inverse.
    ParameterError
        When the interpolant is not known.
    """
    frame = _checked_frame(data, variance, mask, planes or {})
    transform, area = _checked_transform(shift, matrix)
    scale = area if conserve else 1.0
    shape = frame.data.shape if output_shape is None else output_shape
    where = _positions(transform, shape, output_origin, frame.data.shape)

    out = Resampled(
        data=_scaled(_copy_nearest(frame.data, where), scale),
        variance=None if frame.variance is None else _scaled(_copy_nearest(frame.variance, where), scale**2),
        mask=_copy_nearest(frame.bits, where, outside=NO_DATA),
        planes={name: _copy_nearest(plane, where) for name, plane in frame.planes.items()},
        weight=np.zeros(shape, dtype=np.float32),
    )
    for box in _boxes_near_usable(where, frame.good, kernel_weights(interpolant, 0.0).shape[-1] // 2):
        limits = {"dq_threshold": dq_threshold, "max_lost": max_lost}
        _interpolate(out, box, frame, where.cut(box), interpolant, scale=scale, reasons=reasons, **limits)
    return out


def _scaled(plane: Plane, factor: float) -> Plane:
    return plane if factor == 1 else np.asarray(plane * np.float32(factor))


class _Frame(NamedTuple):
    data: Float32
    variance: Float32 | None
    bits: NDArray[np.uint16]
    good: NDArray[np.bool_]
    planes: Mapping[str, Plane]


class _Positions(NamedTuple):
    """Place in the frame of each output pixel; x is one row and y one column when there is no rotation."""

    x: Float64
    y: Float64
    inside: NDArray[np.bool_]

    def cut(self, box: Box) -> _Positions:
        rows, columns = box
        x = self.x[:, columns] if self.x.shape[0] == 1 else self.x[rows, columns]
        y = self.y[rows] if self.y.shape[1] == 1 else self.y[rows, columns]
        return _Positions(x, y, self.inside[rows, columns])

    @property
    def separable(self) -> bool:
        return bool(self.x.shape[0] == 1 and self.y.shape[1] == 1)


def _checked_frame(
    data: Plane, variance: Plane | None, mask: NDArray[np.uint16] | None, planes: Mapping[str, Plane]
) -> _Frame:
    shape = data.shape
    for name, plane in (("variance", variance), ("mask", mask), *planes.items()):
        if plane is not None and plane.shape != shape:
            raise AlgorithmError(f"resample: {name} has shape {plane.shape}, the data have {shape}")
    bits = np.zeros(shape, MASK_DTYPE) if mask is None else mask.astype(MASK_DTYPE, copy=False)
    values = data.astype(np.float32, copy=False)
    errors = None if variance is None else variance.astype(np.float32, copy=False)
    finite = np.isfinite(values) if errors is None else np.isfinite(values) & np.isfinite(errors)
    if not finite.all():
        bits = np.where(finite, bits, bits | MASK_DTYPE(BAD))
        values = np.where(np.isfinite(values), values, np.float32(0))
        errors = None if errors is None else np.where(np.isfinite(errors), errors, np.float32(0))
    return _Frame(values, errors, bits, usable(bits), planes)


def _checked_transform(shift: ArrayLike, matrix: ArrayLike | None) -> tuple[tuple[Float64, Float64], float]:
    offset = np.asarray(shift, dtype=np.float64)
    unit = np.eye(2) if matrix is None else np.asarray(matrix, dtype=np.float64)
    area = abs(float(np.linalg.det(unit))) if unit.shape == (2, 2) else 0.0
    if offset.shape != (2,) or not np.isfinite(offset).all() or not (np.isfinite(area) and area > 0):
        raise AlgorithmError(
            f"resample: shift {offset.tolist()} with matrix {unit.tolist()} cannot be inverted; "
            "use the commanded offset of this frame"
        )
    return (unit, offset), area


def _positions(
    transform: tuple[Float64, Float64],
    shape: tuple[int, int],
    origin: tuple[int, int],
    frame: tuple[int, ...],
) -> _Positions:
    (matrix, offset), (ny, nx) = transform, shape
    column = (np.arange(nx) + float(origin[0]))[np.newaxis, :]
    row = (np.arange(ny) + float(origin[1]))[:, np.newaxis]
    if np.array_equal(matrix, np.eye(2)):
        x, y = column + offset[0], row + offset[1]
    else:
        x = matrix[0, 0] * column + matrix[0, 1] * row + offset[0]
        y = matrix[1, 0] * column + matrix[1, 1] * row + offset[1]
    x, y = (np.where(np.abs(v - np.rint(v)) < _WHOLE_PIXEL, np.rint(v), v) for v in (x, y))
    inside = (x >= 0) & (x <= frame[1] - 1) & (y >= 0) & (y <= frame[0] - 1)
    return _Positions(x, y, inside)


def _copy_nearest(plane: Plane, where: _Positions, outside: int = 0) -> Plane:
    """Value of the nearest frame pixel for every output pixel, ``outside`` where there is none."""
    native = plane.dtype.newbyteorder("=")
    column = np.floor(where.x + 0.5).astype(np.intp)
    row = np.floor(where.y + 0.5).astype(np.intp)
    if where.separable:
        copied = np.full(where.inside.shape, outside, dtype=native)
        (rows, first_row), (columns, first_column) = (
            _inside(row[:, 0], where.inside, 1),
            _inside(column[0], where.inside, 0),
        )
        height, width = rows.stop - rows.start, columns.stop - columns.start
        copied[rows, columns] = plane[first_row : first_row + height, first_column : first_column + width]
        return copied
    copied = plane[row.clip(0, plane.shape[0] - 1), column.clip(0, plane.shape[1] - 1)]
    copied[~where.inside] = outside
    return np.asarray(copied, dtype=native)


def _inside(nearest: NDArray[np.intp], inside: NDArray[np.bool_], axis: int) -> tuple[slice, int]:
    """Part of one axis of the output that lies in the frame, and the frame pixel nearest to its first one."""
    there = np.flatnonzero(inside.any(axis=axis))
    if not there.size:
        return slice(0, 0), 0
    return slice(int(there[0]), int(there[-1]) + 1), int(nearest[there[0]])


def _boxes_near_usable(where: _Positions, good: NDArray[np.bool_], reach: int) -> Iterator[Box]:
    """Parts of the output whose kernels may touch a usable pixel."""
    rows, columns = bounding_box(good)
    if rows.start == rows.stop:
        return
    in_x = (where.x > columns.start - reach) & (where.x < columns.stop - 1 + reach)
    in_y = (where.y > rows.start - reach) & (where.y < rows.stop - 1 + reach)
    rows, columns = bounding_box(where.inside & in_x & in_y)
    if rows.start == rows.stop:
        return
    fewest = _FEWEST_ROWS if where.separable else 1
    number = max((rows.stop - rows.start) * (columns.stop - columns.start) // _BLOCK, 1)
    step = max(fewest, -(-(rows.stop - rows.start) // number))
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop)), columns


def _interpolate(
    out: Resampled,
    box: Box,
    frame: _Frame,
    where: _Positions,
    interpolant: str,
    *,
    scale: float,
    dq_threshold: float,
    max_lost: float,
    reasons: bool,
) -> None:
    """Overwrite one box of the output, where the kernel has enough usable pixels. Changes ``out``."""
    sampler = _Sampler(where, interpolant)
    bridges = Bridges(sampler.window(frame.good, margin=REACH))
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    good, known = bridges.good[inner], bridges.known[inner]
    total = sampler.total
    lost = sampler.sum(~good, "absolute") / total
    accepted = (lost <= max_lost) & where.inside
    # The weights sum to one, and what is lost of that is no more than what is lost of their absolute sum.
    if max_lost * float(total.max()) > 1 - _MIN_WEIGHT - _ROUNDING:
        accepted &= sampler.sum(good, "signed") >= _MIN_WEIGHT
    norm = np.where(accepted, sampler.sum(known, "signed"), np.float32(1))

    def put(target: Plane, plane: Plane, power: Power, factor: float) -> None:
        values = bridges.fill(sampler.window(plane, margin=REACH))[inner]
        if power == "squared":
            values[known & ~good] *= TIED
        value = sampler.sum(values, power) / (norm if power == "signed" else norm**2)
        np.copyto(target[box], _scaled(value, factor), where=accepted, casting="same_kind")

    put(out.data, frame.data, "signed", scale)
    if out.variance is not None and frame.variance is not None:
        put(out.variance, frame.variance, "squared", scale**2)
    for name, plane in frame.planes.items():
        if np.issubdtype(plane.dtype, np.floating):
            put(out.planes[name], plane, "signed", 1.0)
    np.copyto(out.weight[box], 1 - lost, where=accepted)

    flags = np.where(accepted, MASK_DTYPE(0), MASK_DTYPE(NO_DATA))
    if reasons:
        flags = _flags(sampler, sampler.window(frame.bits), accepted, total)
        overlap = _Sampler(where, "linear")
        covered = overlap.window(frame.bits)
        for bit in _bits_present(covered, NONLINEAR | SATURATED):
            flags[overlap.sum((covered & bit) != 0, "signed") > dq_threshold] |= bit
    # A pixel without any usable neighbour keeps the bits of the nearest one, here as beyond the box.
    np.copyto(out.mask[box], flags, where=where.inside & (lost < 1 - _TOUCHED))


def _flags(
    sampler: _Sampler, bits: NDArray[np.uint16], accepted: NDArray[np.bool_], total: Float32
) -> NDArray[np.uint16]:
    """Bits of the pixels for whose sake others are not accepted."""
    flags = np.zeros(accepted.shape, MASK_DTYPE)
    if accepted.all():
        return flags
    for bit in _bits_present(bits, UNUSABLE):
        touched = sampler.sum((bits & bit) != 0, "absolute") > _TOUCHED * total
        flags[touched & ~accepted] |= bit
    flags[~accepted & (flags == 0)] = NO_DATA
    return flags


def _bits_present(bits: NDArray[np.uint16], among: int) -> list[np.uint16]:
    present = int(np.bitwise_or.reduce(bits, axis=None)) & among
    return [MASK_DTYPE(1 << k) for k in range(16) if present >> k & 1]


@lru_cache(maxsize=16)
def _one_kernel(interpolant: str, fraction: float) -> Float32:
    """The weights that all pixels share, (1, 1, taps): blocks of rows ask for the same ones again."""
    return kernel_weights(interpolant, np.full((1, 1), fraction)).astype(np.float32)


class _Sampler:
    """Sums over the kernels of a box of output pixels.

    Without rotation all pixels share one kernel, applied to the columns and then to the rows; otherwise
    each pixel has its own.
    """

    def __init__(self, where: _Positions, interpolant: str) -> None:
        column, row = np.floor(where.x).astype(np.intp), np.floor(where.y).astype(np.intp)
        self._separable = where.separable
        self._shape = where.inside.shape
        fraction_x, fraction_y = where.x - column, where.y - row
        if self._separable:
            self._wx, self._wy = (_one_kernel(interpolant, float(f[0, 0])) for f in (fraction_x, fraction_y))
        else:
            self._wx = kernel_weights(interpolant, fraction_x).astype(np.float32)
            self._wy = kernel_weights(interpolant, fraction_y).astype(np.float32)
        self._taps = self._wx.shape[-1]
        first = 1 - self._taps // 2
        self._corner = (int(row.min()) + first, int(column.min()) + first)
        self._size = (int(np.ptp(row)) + self._taps, int(np.ptp(column)) + self._taps)
        self._row, self._column = row - row.min(), column - column.min()

    @property
    def total(self) -> Float32:
        """Sum of the absolute weights of each kernel."""
        return np.asarray(np.abs(self._wx).sum(axis=-1) * np.abs(self._wy).sum(axis=-1))

    def window(self, plane: Plane, *, margin: int = 0) -> Plane:
        """The part of the frame that the kernels touch, and a margin; 0 beyond the frame."""
        y0, x0 = (first - margin for first in self._corner)
        ny, nx = (size + 2 * margin for size in self._size)
        window = np.zeros((ny, nx), dtype=plane.dtype.newbyteorder("="))
        top, left = max(y0, 0), max(x0, 0)
        part = plane[top : max(y0 + ny, 0), left : max(x0 + nx, 0)]
        window[top - y0 : top - y0 + part.shape[0], left - x0 : left - x0 + part.shape[1]] = part
        return window

    def sum(self, window: Plane, power: Power) -> Float32:
        """Weighted sums over a window with the weights, their absolute values or their squares."""
        values = window.astype(np.float32, copy=False)
        wx, wy = (_POWERS[power](w) for w in (self._wx, self._wy))
        if self._separable:
            along_x = _slide(values, wx.ravel(), axis=1, length=self._shape[1])
            return _slide(along_x, wy.ravel(), axis=0, length=self._shape[0])
        total = np.zeros(self._shape, dtype=np.float32)
        for j in range(self._taps):
            along_x = np.zeros(self._shape, dtype=np.float32)
            for i in range(self._taps):
                along_x += wx[..., i] * values[self._row + j, self._column + i]
            total += wy[..., j] * along_x
        return total


_POWERS: Final[dict[Power, Callable[[Float32], Float32]]] = {
    "signed": np.asarray,
    "absolute": np.abs,
    "squared": np.square,
}


def _slide(values: Float32, weights: Float32, *, axis: int, length: int) -> Float32:
    """Correlate one axis with a kernel, keeping the places where it fits."""
    total: Float32 | None = None
    for k, weight in enumerate(weights):
        if weight != 0:
            part = values[:, k : k + length] if axis == 1 else values[k : k + length]
            if total is None:
                total = part * weight
                share = np.empty_like(total)
            else:
                total += np.multiply(part, weight, out=share)
    assert total is not None  # the weights sum to one
    return total
