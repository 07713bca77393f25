"""The slope by which a frame differs from its sky."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._masked import zero_except
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.levels import bases, lit_box
from keyhole.imaging.medians import median

__all__ = ["CLIP", "Basis", "Field", "Sums", "fitted", "remaining_slope", "significant"]

CLIP: Final = 3.0
"""Limits of what takes part in a fit, in units of the scatter."""
_FITS: Final = 4
_SETTLED: Final = 0.02
"""Change of a coefficient, in units of the noise of a pixel, that is not worth another fit."""
_PIXELS_PER_TERM: Final = 3
_SAMPLE: Final = 20_000
_BLOCK: Final = 1 << 14
_STRAIGHT: Final = 2
"""Functions along an axis that are a constant and a straight line."""
_MAD_TO_SIGMA: Final = 1.4826022

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def remaining_slope(subtracted: Float32, quiet: Bool, *, degree: int = 1, significance: float = 1.0) -> Float32 | None:
    """Low-order surface that is left after the sky subtraction, if there is one.

    Parameters
    ----------
    subtracted : float32 array (ny, nx)
        A frame whose sky was subtracted, finite where it is quiet.
    quiet : bool array (ny, nx)
        True on usable pixels without objects.
    degree : int
        Degree along each axis; all products are fitted.
    significance : float
        The surface counts if its scatter on quiet pixels is that many times what the noise alone makes of it. Of it
        ``1 - (significance * expected / scatter)**2`` is removed, which leaves out what the noise has in it, so that
        a slope next to the limit does not come and go with a pixel. A slope below 4 times the noise shows in no
        single frame, but in a stack it is the largest part of what the noise of wide apertures has in excess of
        that of the pixels.

    Returns
    -------
    float32 array (ny, nx) or None
        The surface, of mean zero on quiet pixels; None if it is not significant or cannot be fitted. It is
        never continued beyond its extremes on quiet pixels. Changes its input: no.

    Notes
    -----
    Least squares of all quiet pixels within 3 robust sigma: sums along the rows and then over them, since the basis
    is made of products of functions of x and of y.
    """
    field = Field.of(quiet, degree)
    if field is None:
        return None
    data = subtracted[field.box]
    surface, sums, sigma = np.zeros((degree + 1, degree + 1)), None, 0.0
    for _ in range(_FITS):
        middle, sigma = _scatter(data, field, surface)
        sums = _sums(data, field, surface, (middle, CLIP * sigma))
        change, is_last = fitted(sums, sigma)
        if change is None:
            return None
        surface = surface + change
        if is_last:
            break
    return None if sums is None else significant(surface, sums, sigma, significance, field)


class Field(NamedTuple):
    """Where a surface is fitted: a box of a frame of that shape, its quiet pixels, and the basis on it."""

    shape: tuple[int, ...]
    box: tuple[slice, slice]
    quiet: Bool
    along: Basis

    @classmethod
    def of(cls, quiet: Bool, degree: int) -> Field | None:
        """The lit box of a frame; None if it has too few quiet pixels."""
        box = lit_box(quiet)
        along = Basis(bases(degree, box[0]), bases(degree, box[1]))
        if np.count_nonzero(quiet) < _PIXELS_PER_TERM * along.terms:
            return None
        return cls(quiet.shape, box, quiet[box], along)


class Basis(NamedTuple):
    """Functions of the rows (ny, k) and of the columns (nx, k), whose products are the basis."""

    y: Float64
    x: Float64

    @property
    def terms(self) -> int:
        """Number of the products."""
        return int(self.y.shape[1] * self.x.shape[1])

    def over(self, surface: Float64, rows: slice) -> Float32:
        """A surface on some rows."""
        of_x = (self.y[rows] @ surface).astype(np.float32)
        values = np.zeros((len(of_x), len(self.x)), np.float32)
        for k in range(1, of_x.shape[1]):
            values += of_x[:, k, None] * self.x[:, k].astype(np.float32)
        # The first function is 1.
        values += of_x[:, :1]
        return values


class Sums:
    """Normal matrix and right side of a fit, summed row by row.

    Sums along the rows come first: the basis is made of products, of which these need one factor only.
    """

    def __init__(self, along: Basis) -> None:
        self._y = along.y
        self._pairs_y, pairs_x = ((one[:, :, None] * one[:, None, :]).reshape(len(one), -1) for one in along)
        self._x, self._pairs_x = along.x.astype(np.float32), pairs_x.astype(np.float32)
        terms = along.x.shape[1]
        self._normal, self._right = np.zeros((terms**2, terms**2)), np.zeros((terms, terms))

    def add(self, rows: slice, values: Float32, weight: Float32) -> None:
        """Add values, 0 where their weight is, and weights of some rows."""
        self._normal += self._pairs_y[rows].T @ (weight @ self._pairs_x).astype(np.float64)
        self._right += self._y[rows].T @ (values @ self._x).astype(np.float64)

    @property
    def normal(self) -> Float64:
        """Normal matrix (terms, terms)."""
        terms = len(self._right)
        # From pairs of functions of y and pairs of functions of x to pairs of their products.
        return self._normal.reshape((terms,) * 4).transpose(0, 2, 1, 3).reshape(terms**2, terms**2)

    @property
    def right(self) -> Float64:
        """Right side (terms,)."""
        return self._right.ravel()

    @property
    def number(self) -> float:
        """Number of pixels in the fit."""
        return float(self._normal[0, 0])


def fitted(sums: Sums, sigma: float) -> tuple[Float64 | None, bool]:
    """Coefficients of the surface, for the functions of y and of x, and whether another fit would change nothing."""
    if sums.number < _PIXELS_PER_TERM * sums.right.size:
        return None, True
    terms = math.isqrt(sums.right.size)
    values: Float64 = np.asarray(np.linalg.lstsq(sums.normal, sums.right, rcond=1e-10)[0], np.float64)
    change = values.reshape(terms, terms)
    return change, sigma == 0 or bool(np.abs(change.ravel()[1:]).max(initial=0) < _SETTLED * sigma)


def significant(surface: Float64, sums: Sums, sigma: float, significance: float, field: Field) -> Float32 | None:
    """The part of a fitted surface that is no noise, on the frame; None if there is none. See `remaining_slope`."""
    share = _believed(surface, sums, sigma, significance)
    if share <= 0:
        return None
    believed = share * surface
    # Its mean on the quiet pixels; all functions begin with a constant of 1.
    believed[0, 0] -= sums.normal[0] @ believed.ravel() / sums.number
    slope = np.zeros(field.shape, dtype=np.float32)
    _continue(believed, field, slope[field.box])
    return slope


def _scatter(data: Float32, field: Field, surface: Float64) -> tuple[float, float]:
    """Median and robust scatter about a surface of a sample of the pixels."""
    nx = data.shape[1]
    step = max(data.size // _SAMPLE, 1) | 1
    at = np.flatnonzero(field.quiet.ravel()[::step]) * step
    if not at.size:
        at = np.flatnonzero(field.quiet)
    rows, columns = np.divmod(at, nx)
    values = data[rows, columns].astype(np.float64)
    if surface.any():
        values -= ((field.along.y @ surface)[rows] * field.along.x[columns]).sum(axis=1)
    middle = median(values)
    return middle, _MAD_TO_SIGMA * median(np.abs(values - middle))


def _sums(data: Float32, field: Field, surface: Float64, limits: tuple[float, float]) -> Sums:
    """Sums of a fit to what a surface leaves, over the quiet pixels within a distance from a middle."""
    middle, reach = (np.float32(limit) for limit in limits)
    sums = Sums(field.along)
    is_flat = not surface.any()
    for rows in row_blocks(data.shape, _BLOCK):
        rest = data[rows] - middle if is_flat else data[rows] - field.along.over(surface, rows) - middle
        used = np.abs(rest) <= reach
        used &= field.quiet[rows]
        rest += middle
        sums.add(rows, zero_except(rest, used), used.astype(np.float32))
    return sums


def _continue(surface: Float64, field: Field, out: Float32) -> None:
    """Write a surface that stays within its extremes on the quiet pixels."""
    for rows in row_blocks(out.shape, _BLOCK):
        out[rows] = field.along.over(surface, rows)
    quiet = field.quiet
    if len(surface) <= _STRAIGHT:
        # Along a row a straight line is lowest and highest at its ends.
        seen = np.flatnonzero(quiet.any(axis=1))
        ends = quiet[seen].argmax(axis=1), quiet.shape[1] - 1 - quiet[seen, ::-1].argmax(axis=1)
        inside = np.concatenate([out[seen, end] for end in ends])
        everywhere = out[[0, 0, -1, -1], [0, -1, 0, -1]]
    else:
        inside, everywhere = out[quiet], out
    lowest, highest = inside.min(), inside.max()
    if everywhere.min() < lowest or everywhere.max() > highest:
        np.clip(out, lowest, highest, out=out)


def _believed(surface: Float64, sums: Sums, sigma: float, significance: float) -> float:
    """Part of a surface that is real: its variance less what the noise makes of it, over its variance."""
    values = surface.ravel()
    mean = float(sums.normal[0] @ values) / sums.number
    variance = float(values @ sums.normal @ values) / sums.number - mean * mean
    expected = sigma * sigma * (values.size - 1) / sums.number
    return 1 - significance**2 * expected / variance if variance > 0 else 0.0
