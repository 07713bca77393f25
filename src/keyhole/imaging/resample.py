"""Placing a frame on another pixel grid, with its errors and without spreading its bad pixels.

A bad pixel takes no part. What its neighbours on both sides let expect takes its place in the kernel, or its
weight is shared among the others, as long as it is little; where it is much, the output pixel is flagged. So one
hot pixel costs about one output pixel instead of the sixteen that its kernel touches. The work is done around the
usable pixels only; elsewhere the nearest pixel is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._bridging import REACH, TIED, Bridges, few_bad
from keyhole.imaging._moved import MIN_WEIGHT, NEVER_HALF, Moved, Source
from keyhole.imaging._positions import Box, Positions
from keyhole.imaging._rows import row_blocks
from keyhole.imaging._sampler import Power, Sampler, Scratch
from keyhole.imaging.bits import BAD, MASK_DTYPE, NO_DATA, NONLINEAR, SATURATED, UNUSABLE, any_set, usable
from keyhole.imaging.kernels import INTERPOLANTS, kernel_weights

__all__ = ["INTERPOLANTS", "MAX_LOST", "Resampled", "resample"]

_BLOCK: Final = 1 << 16
"""Pixels that are looked at together, so that they stay in the cache."""
MAX_LOST: Final = 0.3
"""Share of the absolute weight of a kernel that bad pixels may hold, unless other is asked."""
_TOUCHED: Final = 0.001
"""Share of the kernel's absolute weight from which an unusable pixel is named as a reason."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Plane = NDArray[Any]


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
    """

    data: Float32
    variance: Float32 | None
    mask: NDArray[np.uint16]
    planes: dict[str, Plane]


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
    max_lost: float = MAX_LOST,
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
    (unit, offset), area = _checked_transform(shift, matrix)
    scale = area if conserve else 1.0
    shape = (frame.data.shape[0], frame.data.shape[1]) if output_shape is None else output_shape
    where = Positions(unit, offset, shape, output_origin, frame.data.shape)

    limits, scratch = _Limits(dq_threshold, max_lost, reasons=reasons), Scratch()
    reach = kernel_weights(interpolant, 0.0).shape[-1] // 2
    box = where.box_near(frame.good, reach)
    simple = where.separable and few_bad(frame.good) and all(part.start < part.stop for part in box)
    but = box if simple else None
    out = Resampled(
        data=_scaled(where.nearest(frame.data, but=but), scale),
        variance=None if frame.variance is None else _scaled(where.nearest(frame.variance, but=but), scale**2),
        mask=where.nearest(frame.bits, outside=NO_DATA, but=but),
        planes={
            name: where.nearest(plane, but=but if np.issubdtype(plane.dtype, np.floating) else None)
            for name, plane in frame.planes.items()
        },
    )
    if simple:
        _move(out, _Box(box, frame, where, interpolant, scratch, limits, scale))
        return out
    for part in where.blocks(box):
        work = _Box(part, frame, where, interpolant, scratch, limits, scale)
        near = where.touched(part, reach)
        if where.separable and few_bad(frame.good[near]):
            _move(out, work, near)
        else:
            _interpolate(out, work)
    return out


def _scaled(plane: Plane, factor: float) -> Plane:
    return plane if factor == 1 else np.asarray(plane * np.float32(factor))


class _Frame(NamedTuple):
    data: Float32
    variance: Float32 | None
    bits: NDArray[np.uint16]
    good: NDArray[np.bool_]
    planes: Mapping[str, Plane]
    bright: NDArray[np.intp]
    """Non-linear and saturated pixels, flat indices."""


class _Limits(NamedTuple):
    dq_threshold: float
    max_lost: float
    reasons: bool


class _Box(NamedTuple):
    """What is needed to compute a box of the output."""

    box: Box
    frame: _Frame
    where: Positions
    interpolant: str
    scratch: Scratch
    limits: _Limits
    scale: float

    def planes(self, out: Resampled) -> list[tuple[Plane, Plane, Power, float]]:
        """Planes that are interpolated: output, input, power of the weights, factor."""
        frame = self.frame
        found: list[tuple[Plane, Plane, Power, float]] = [(out.data, frame.data, "signed", self.scale)]
        if out.variance is not None and frame.variance is not None:
            found.append((out.variance, frame.variance, "squared", self.scale**2))
        for name, plane in frame.planes.items():
            if np.issubdtype(plane.dtype, np.floating):
                found.append((out.planes[name], plane, "signed", 1.0))
        return found


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
    good, bright, sound = np.empty(shape, np.bool_), [], True
    for rows in row_blocks(shape, _BLOCK):
        good[rows] = usable(bits[rows])
        if any_set(bits[rows], NONLINEAR | SATURATED):
            some = np.flatnonzero((bits[rows] & MASK_DTYPE(NONLINEAR | SATURATED)) != 0)
            bright.append(some + rows.start * shape[1])
        sound = sound and bool(np.isfinite(values[rows]).all() and (errors is None or np.isfinite(errors[rows]).all()))
    if not sound:
        finite = np.isfinite(values) if errors is None else np.isfinite(values) & np.isfinite(errors)
        bits = np.where(finite, bits, bits | MASK_DTYPE(BAD))
        values = np.where(np.isfinite(values), values, np.float32(0))
        errors = None if errors is None else np.where(np.isfinite(errors), errors, np.float32(0))
        good = usable(bits)
    return _Frame(values, errors, bits, good, planes, np.concatenate([np.empty(0, np.intp), *bright]))


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


def _interpolate(out: Resampled, work: _Box) -> None:
    """Overwrite one box of the output, where the kernel has enough usable pixels. Changes ``out``."""
    box, frame = work.box, work.frame
    sampler = Sampler(*work.where.cut(box), work.interpolant, work.scratch)
    bridges = Bridges(sampler.window(frame.good, "good", margin=REACH))
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    good, known = bridges.good[inner], bridges.known[inner]
    total, inside = sampler.total, work.where.inside[box]
    lost = sampler.sum(~good, "absolute") / total
    accepted = (lost <= work.limits.max_lost) & inside
    if work.limits.max_lost * float(total.max()) > NEVER_HALF:
        accepted &= sampler.sum(good, "signed") >= MIN_WEIGHT
    norm = np.where(accepted, sampler.sum(known, "signed"), np.float32(1))
    for target, plane, power, factor in work.planes(out):
        values = bridges.fill(sampler.window(plane, "values", margin=REACH))[inner]
        if power == "squared":
            values[known & ~good] *= TIED
        value = sampler.sum(values, power) / (norm if power == "signed" else norm**2)
        np.copyto(target[box], _scaled(value, factor), where=accepted, casting="same_kind")

    flags = np.where(accepted, MASK_DTYPE(0), MASK_DTYPE(NO_DATA))
    if work.limits.reasons:
        flags = _flags(sampler, sampler.window(frame.bits, "bits"), accepted, total)
        overlap = Sampler(*work.where.cut(box), "linear", work.scratch)
        covered = overlap.window(frame.bits, "bits")
        for bit in _bits_present(covered, NONLINEAR | SATURATED):
            flags[overlap.sum((covered & bit) != 0, "signed") > work.limits.dq_threshold] |= bit
    # A pixel without any usable neighbour keeps the bits of the nearest one, here as beyond the box.
    np.copyto(out.mask[box], flags, where=inside & (lost < 1 - _TOUCHED))


def _move(out: Resampled, work: _Box, near: Box = np.s_[:, :]) -> None:
    """Do the same, without rotation, where few pixels are bad: only around these the weights are summed.

    The result is that of `_interpolate`, to the last bit. Changes ``out``.

    Parameters
    ----------
    near : rows, columns
        Part of the frame that holds what the kernels touch, and what bridges bad pixels there.
    """
    frame, (y0, x0) = work.frame, (of.start or 0 for of in near)
    x, y = work.where.cut(work.box)
    place = x - x0, y - y0
    bridges = Bridges(frame.good[near])
    moved = Moved(
        *place,
        bridges,
        interpolant=work.interpolant,
        max_lost=work.limits.max_lost,
        scratch=work.scratch,
    )
    # Without rotation pixels keep their size.
    for target, plane, power, _ in work.planes(out):
        moved.interpolate(bridges, Source(plane[near], power, TIED if power == "squared" else 1.0), target[work.box])
    _mark(out.mask[work.box], moved, frame.bits[near], work.limits)
    if work.limits.reasons and frame.bright.size:
        _mark_bright(out.mask[work.box], work)
    alone = moved.near.pixels[moved.lost >= 1 - _TOUCHED]
    out.mask[work.box][np.unravel_index(alone, moved.sampler.shape)] = moved.nearest(frame.bits[near], alone)


def _mark(mask: NDArray[np.uint16], moved: Moved, bits: NDArray[np.uint16], limits: _Limits) -> None:
    """Flags of output pixels of which few are not accepted. Changes ``mask``."""
    mask[...] = 0
    refused = moved.near.of(~moved.accepted & (moved.lost < 1 - _TOUCHED))
    if not refused.pixels.size:
        return
    flags = np.zeros(refused.pixels.size, MASK_DTYPE)
    if limits.reasons:
        touched = moved.sampler.values_at(refused, bits)
        least = _TOUCHED * moved.sampler.total.max()
        for bit in _bits_present(touched, UNUSABLE):
            flags[moved.sampler.sum_at((touched & bit) != 0, "absolute") > least] |= bit
    mask[np.unravel_index(refused.pixels, mask.shape)] = np.where(flags == 0, MASK_DTYPE(NO_DATA), flags)


def _mark_bright(mask: NDArray[np.uint16], work: _Box) -> None:
    """Name non-linear and saturated pixels that a pixel overlaps, without rotation. Changes ``mask``."""
    overlap, bits = Sampler(*work.where.cut(work.box), "linear", work.scratch), work.frame.bits
    bright, _ = overlap.in_window(work.frame.bright, bits.shape)
    if not bright.size:
        return
    few = overlap.touching(bright)
    touched = overlap.values_at(few, bits)
    for bit in _bits_present(touched, NONLINEAR | SATURATED):
        covered = overlap.sum_at((touched & bit) != 0, "signed") > work.limits.dq_threshold
        mask[np.unravel_index(few.pixels[covered], mask.shape)] |= bit


def _flags(
    sampler: Sampler, bits: NDArray[np.uint16], accepted: NDArray[np.bool_], total: Float32
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
