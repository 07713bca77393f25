"""The stars of a night as its truth table describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.simulate.tables import TruthTable

__all__ = ["TrueStars", "true_stars"]

_FLOATS = NDArray[np.float64]
_BOOLS = NDArray[np.bool_]
_NEEDED = ("id", "ra", "dec", "x", "y", "mag", "electrons")


class TrueStars(NamedTuple):
    """Stars of a night, arrays of shape (n,).

    Attributes
    ----------
    numbers : ndarray of int64
    ra, dec : ndarray of float64
        Degrees.
    first : ndarray of float64, shape (n, 2)
        Pixel (x, y) in the first frame, first pixel is 0.
    mag : ndarray of float64
    clear : ndarray of float64
        Light in one exposure of transparency 1, electrons.
    electrons : ndarray of float64
        Light in a mean exposure of the frames that see the star: transparency included.
    fwhm : ndarray of float64
        Mean seeing of these frames, pixels.
    isolated, saturated, linear : ndarray of bool
    pixel_scale : float
        Arcsec per pixel.
    usual_fwhm : float
        Mean seeing of the night, pixels.
    nebulous : bool
        Whether the stars stand in a nebula.
    seed : int
        Seed of the night.
    """

    numbers: NDArray[np.int64]
    ra: _FLOATS
    dec: _FLOATS
    first: _FLOATS
    mag: _FLOATS
    clear: _FLOATS
    electrons: _FLOATS
    fwhm: _FLOATS
    isolated: _BOOLS
    saturated: _BOOLS
    linear: _BOOLS
    pixel_scale: float
    usual_fwhm: float
    nebulous: bool
    seed: int

    @property
    def mean_fwhm(self) -> float:
        """Median seeing, pixels."""
        return float(np.median(self.fwhm)) if len(self.fwhm) else self.usual_fwhm


def true_stars(table: TruthTable, path: Path) -> TrueStars:
    """Take the stars out of a truth table.

    Parameters
    ----------
    table : TruthTable
        As read.
    path : Path
        For messages.

    Returns
    -------
    TrueStars

    Raises
    ------
    DataError
        Columns are missing.
    """
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; give the truth.ecsv of a simulated night.")
    count = len(table.columns["id"])
    scale = _number(table, "pixel_scale", path)
    seeing = _column(table, "seeing", count, _number(table, "fwhm", path))
    # A star that no frame sees has no seeing of its own.
    seeing = np.where(seeing > 0, seeing, _number(table, "fwhm", path))
    try:
        ra, dec, x, y, mag, electrons = (table.columns[name].astype(np.float64) for name in _NEEDED[1:])
        numbers = table.columns["id"].astype(np.int64)
    except ValueError as error:
        raise DataError(f"{path} holds text where numbers should be; write the night again.") from error
    saturated = _column(table, "saturated", count, 0.0) > 0
    return TrueStars(
        numbers=numbers,
        ra=ra,
        dec=dec,
        first=np.column_stack([x, y]),
        mag=mag,
        clear=electrons,
        electrons=electrons * _column(table, "transparency", count, 1.0),
        fwhm=seeing / scale,
        isolated=_column(table, "isolated", count, 1.0) > 0,
        saturated=saturated,
        linear=~(saturated | (_column(table, "nonlinear", count, 0.0) > 0)),
        pixel_scale=scale,
        usual_fwhm=_number(table, "fwhm", path) / scale,
        nebulous=float(table.meta.get("nebula", 0.0)) > 0,
        seed=int(table.meta.get("seed", 0)),
    )


def _column(table: TruthTable, name: str, count: int, usual: float) -> _FLOATS:
    values: NDArray[Any] | None = table.columns.get(name)
    return np.full(count, usual) if values is None else values.astype(np.float64)


def _number(table: TruthTable, name: str, path: Path) -> float:
    value = table.meta.get(name)
    if not isinstance(value, int | float) or value <= 0:
        raise DataError(f"{path} does not state {name}; give the truth.ecsv of a simulated night.")
    return float(value)
