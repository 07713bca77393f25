"""The slope by which a frame differs from its sky."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._rows import row_blocks
from keyhole.imaging.levels import bases, lit_box
from keyhole.imaging.medians import median

__all__ = ["remaining_slope"]

_CLIP: Final = 3.0
_FITS: Final = 4
_SETTLED: Final = 0.02
"""Change of a coefficient, in units of the noise of a pixel, that is not worth another fit."""
_SAMPLE: Final = 20_000
_BLOCK: Final = 1 << 14
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
    box = lit_box(quiet)
    data, quiet = subtracted[box], quiet[box]
    terms = (degree + 1) ** 2
    if np.count_nonzero(quiet) < 3 * terms:
        return None
    along = _Basis(bases(degree, box[0]), bases(degree, box[1]))
    surface, sums, sigma = np.zeros((degree + 1, degree + 1)), None, 0.0
    for _ in range(_FITS):
        middle, sigma = _scatter(data, quiet, along, surface)
        sums = _sums(data, quiet, along, surface, (middle, _CLIP * sigma))
        if sums.number < 3 * terms:
            return None
        change = np.linalg.lstsq(sums.normal, sums.right, rcond=1e-10)[0].reshape(surface.shape)
        surface = surface + change
        if sigma == 0 or np.abs(change.ravel()[1:]).max(initial=0) < _SETTLED * sigma:
            break
    share = 0.0 if sums is None else _believed(surface, sums, sigma, significance)
    if sums is None or share <= 0:
        return None
    slope = np.zeros(subtracted.shape, dtype=np.float32)
    _continue(share * surface, along, quiet, slope[box])
    slope[box] -= np.float32(share * (sums.normal[0] @ surface.ravel()) / sums.number)
    return slope


class _Basis(NamedTuple):
    """Functions of the rows (ny, k) and of the columns (nx, k), whose products are the basis."""

    y: Float64
    x: Float64

    def over(self, surface: Float64, rows: slice) -> Float32:
        """A surface on some rows."""
        return np.asarray((self.y[rows] @ surface).astype(np.float32) @ self.x.T.astype(np.float32))


class _Sums(NamedTuple):
    """Normal matrix and right side of the fit, and number of pixels in it."""

    normal: Float64
    right: Float64
    number: float


def _scatter(data: Float32, quiet: Bool, along: _Basis, surface: Float64) -> tuple[float, float]:
    """Median and robust scatter about a surface of a sample of the pixels."""
    nx = data.shape[1]
    step = max(data.size // _SAMPLE, 1) | 1
    at = np.flatnonzero(quiet.ravel()[::step]) * step
    if not at.size:
        at = np.flatnonzero(quiet)
    rows, columns = np.divmod(at, nx)
    values = data[rows, columns].astype(np.float64)
    if surface.any():
        values -= ((along.y @ surface)[rows] * along.x[columns]).sum(axis=1)
    middle = median(values)
    return middle, _MAD_TO_SIGMA * median(np.abs(values - middle))


def _sums(data: Float32, quiet: Bool, along: _Basis, surface: Float64, limits: tuple[float, float]) -> _Sums:
    """Sums of a fit to what a surface leaves, over the quiet pixels within a distance from a middle."""
    middle, reach = limits
    (ny, nx), k = data.shape, along.x.shape[1]
    pairs_x = (along.x[:, :, None] * along.x[:, None, :]).reshape(nx, -1).astype(np.float32)
    pairs_y = (along.y[:, :, None] * along.y[:, None, :]).reshape(ny, -1)
    alone_x = along.x.astype(np.float32)
    normal, right = np.zeros((k * k, k * k)), np.zeros((k, k))
    flat = not surface.any()
    for rows in row_blocks(data.shape, _BLOCK):
        rest = data[rows] - np.float32(middle) if flat else data[rows] - along.over(surface, rows) - np.float32(middle)
        used = np.abs(rest) <= np.float32(reach)
        used &= quiet[rows]
        rest += np.float32(middle)
        weight = used.astype(np.float32)
        rest *= weight
        normal += pairs_y[rows].T @ (weight @ pairs_x).astype(np.float64)
        right += along.y[rows].T @ (rest @ alone_x).astype(np.float64)
    # From pairs of functions of y and pairs of functions of x to pairs of their products.
    matrix = normal.reshape(k, k, k, k).transpose(0, 2, 1, 3).reshape(k * k, k * k)
    return _Sums(matrix, right.ravel(), float(matrix[0, 0]))


def _continue(surface: Float64, along: _Basis, quiet: Bool, out: Float32) -> None:
    """Write a surface that stays within its extremes on the quiet pixels."""
    lowest, highest = np.inf, -np.inf
    for rows in row_blocks(quiet.shape, _BLOCK):
        out[rows] = values = along.over(surface, rows)
        inside = values[quiet[rows]]
        if inside.size:
            lowest, highest = min(lowest, float(inside.min())), max(highest, float(inside.max()))
    np.clip(out, np.float32(lowest), np.float32(highest), out=out)


def _believed(surface: Float64, sums: _Sums, sigma: float, significance: float) -> float:
    """Part of a surface that is real: its variance less what the noise makes of it, over its variance."""
    values = surface.ravel()
    mean = float(sums.normal[0] @ values) / sums.number
    variance = float(values @ sums.normal @ values) / sums.number - mean * mean
    expected = sigma * sigma * (values.size - 1) / sums.number
    return 1 - significance**2 * expected / variance if variance > 0 else 0.0
