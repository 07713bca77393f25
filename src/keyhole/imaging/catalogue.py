"""The object catalogue: its columns, and the choices that are made from it.

A catalogue is a dict of equally long columns, in the order and with the types of the Gemini OBJCAT table.
Pixel positions in it are 1-based, angles are degrees, undefined entries are -999.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.match import SourceList
from keyhole.imaging.medians import median

__all__ = [
    "COLUMNS",
    "DTYPES",
    "UNDEFINED",
    "UNITS",
    "Catalogue",
    "Column",
    "PixelToSky",
    "empty_catalogue",
    "seeing",
    "seeing_error",
    "select_rows",
    "source_list",
    "stellarity",
    "world_columns",
]

Catalogue = dict[str, NDArray[Any]]
Float64 = NDArray[np.float64]
PixelToSky = Callable[[Float64, Float64], tuple[Any, Any]]
"""0-based pixel positions ``(x, y)`` to right ascension and declination in degrees, for arrays."""

UNDEFINED: Final = -999

_LOCUS_WIDTH: Final = 0.1
"""Relative scatter of the widths of stars over the field, beyond their noise."""
_WIDTH_NOISE: Final = 1.0
"""Relative error of a width times the signal-to-noise ratio of the flux."""
_HALF_CERTAIN: Final = 5.0
"""Signal-to-noise ratio at which half of the evidence of a width counts."""


class Column(NamedTuple):
    """One column of the catalogue."""

    name: str
    dtype: str
    unit: str


def _columns(dtype: str, unit: str, *names: str) -> list[Column]:
    return [Column(name, dtype, unit) for name in names]


COLUMNS: Final[tuple[Column, ...]] = (
    Column("NUMBER", "i8", ""),
    *_columns("f8", "pix", "X_IMAGE", "Y_IMAGE"),
    *_columns("f8", "pix2", "ERRX2_IMAGE", "ERRY2_IMAGE", "ERRXY_IMAGE"),
    *_columns("f8", "deg", "X_WORLD", "Y_WORLD"),
    *_columns("f8", "deg2", "ERRX2_WORLD", "ERRY2_WORLD", "ERRXY_WORLD"),
    *_columns("f4", "pix", "A_IMAGE", "B_IMAGE"),
    Column("THETA_IMAGE", "f4", "deg"),
    *_columns("f4", "pix", "ERRA_IMAGE", "ERRB_IMAGE"),
    *_columns("f4", "deg", "ERRTHETA_IMAGE", "A_WORLD", "B_WORLD", "THETA_WORLD"),
    *_columns("f4", "deg", "ERRA_WORLD", "ERRB_WORLD", "ERRTHETA_WORLD"),
    Column("FWHM_IMAGE", "f4", "pix"),
    Column("FWHM_WORLD", "f4", "deg"),
    Column("FLUX_RADIUS", "f4", "pix"),
    Column("ELLIPTICITY", "f4", ""),
    *_columns("f4", "count", "FLUX_AUTO", "FLUXERR_AUTO"),
    *_columns("f4", "mag", "MAG_AUTO", "MAGERR_AUTO"),
    Column("FLUX_MAX", "f4", "count"),
    Column("CLASS_STAR", "f4", ""),
    Column("ISOAREA_IMAGE", "i4", "pix2"),
    Column("FLAGS", "i2", ""),
    *_columns("i4", "", "IMAFLAGS_ISO", "NIMAFLAGS_ISO"),
    Column("BACKGROUND", "f4", "count"),
    Column("REF_NUMBER", "i4", ""),
    *_columns("f4", "mag", "REF_MAG", "REF_MAG_ERR"),
    *_columns("f4", "pix", "PROFILE_FWHM", "PROFILE_EE50"),
)
"""All columns in order."""

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {column.name: np.dtype(column.dtype) for column in COLUMNS}
_WORLD: Final = {name: dtype for name, dtype in DTYPES.items() if name.endswith("_WORLD")}
UNITS: Final[Mapping[str, str]] = {column.name: column.unit for column in COLUMNS}


def empty_catalogue(rows: int = 0) -> Catalogue:
    """A catalogue whose entries are all undefined.

    Parameters
    ----------
    rows : int
        Number of rows.

    Returns
    -------
    dict of arrays (rows,)
    """
    return _undefined(DTYPES, rows)


def _undefined(dtypes: Mapping[str, np.dtype[Any]], rows: int) -> Catalogue:
    """Columns of some types, all of whose entries are undefined."""
    columns = {}
    for name, dtype in dtypes.items():
        columns[name] = np.empty(rows, dtype)
        columns[name].fill(UNDEFINED)
    return columns


def select_rows(catalogue: Mapping[str, NDArray[Any]], chosen: NDArray[np.bool_]) -> Catalogue:
    """The chosen rows of a catalogue, numbered from 1 again.

    Parameters
    ----------
    catalogue : mapping of arrays (n,)
        Changes its input: no.
    chosen : (n,) bool
        Rows to keep.

    Returns
    -------
    dict of arrays
    """
    kept = {name: values[chosen] for name, values in catalogue.items()}
    if "NUMBER" in kept:
        kept["NUMBER"] = np.arange(1, int(chosen.sum()) + 1, dtype=DTYPES["NUMBER"])
    return kept


def source_list(catalogue: Mapping[str, NDArray[Any]]) -> SourceList:
    """Positions (0-based), fluxes and position errors of a catalogue, as `match.register` wants them.

    Parameters
    ----------
    catalogue : mapping of arrays (n,)
        Needs X_IMAGE, Y_IMAGE, FLUX_AUTO, ERRX2_IMAGE and ERRY2_IMAGE.

    Returns
    -------
    SourceList
    """
    variance = (catalogue["ERRX2_IMAGE"] + catalogue["ERRY2_IMAGE"]) / 2
    return SourceList(
        x=catalogue["X_IMAGE"] - 1.0,
        y=catalogue["Y_IMAGE"] - 1.0,
        flux=catalogue["FLUX_AUTO"].astype(np.float64),
        error=np.sqrt(np.where(variance > 0, variance, 0.0)),
    )


def world_columns(
    catalogue: Mapping[str, NDArray[Any]], pixel_scale: float, pixel_to_sky: PixelToSky | None
) -> Catalogue:
    """The columns of a catalogue that depend on the WCS of the frame.

    Parameters
    ----------
    catalogue : mapping of arrays (n,)
        Needs the _IMAGE columns. Changes its input: no.
    pixel_scale : float
        Arcsec per pixel.
    pixel_to_sky : callable or None
        Without it only the sizes are defined.

    Returns
    -------
    dict of arrays
        Angles are those from increasing right ascension towards north, -90 ... 90 degrees.
    """
    degrees = pixel_scale / 3600.0
    world = _undefined(_WORLD, len(catalogue["X_IMAGE"]))
    for name in ("A", "B", "ERRA", "ERRB", "FWHM"):
        world[f"{name}_WORLD"] = _scaled(catalogue[f"{name}_IMAGE"], degrees)
    if pixel_to_sky is None:
        return world
    x, y = (catalogue[name] - 1.0 for name in ("X_IMAGE", "Y_IMAGE"))
    ra, dec = (np.asarray(v, dtype=np.float64) for v in pixel_to_sky(x, y))
    world["X_WORLD"], world["Y_WORLD"] = ra, dec

    def displacement(dx: Float64 | float, dy: Float64 | float) -> tuple[Float64, Float64]:
        """Degrees on the sky, to the east and to the north, of a step in pixels."""
        moved_ra, moved_dec = pixel_to_sky(x + dx, y + dy)
        east = (np.asarray(moved_ra) - ra + 180.0) % 360.0 - 180.0
        return east * np.cos(np.radians(dec)), np.asarray(moved_dec) - dec

    for name in ("THETA", "ERRTHETA"):
        angle = np.radians(catalogue[f"{name}_IMAGE"].astype(np.float64))
        east, north = displacement(np.cos(angle), np.sin(angle))
        folded = (np.degrees(np.arctan2(north, east)) + 90.0) % 180.0 - 90.0
        known = catalogue[f"{name}_IMAGE"] != UNDEFINED
        world[f"{name}_WORLD"] = np.where(known, folded, UNDEFINED).astype(np.float32)
    (ex, nx), (ey, ny) = displacement(1.0, 0.0), displacement(0.0, 1.0)
    xx, yy, xy = (catalogue[f"{name}_IMAGE"] for name in ("ERRX2", "ERRY2", "ERRXY"))
    known = xx != UNDEFINED
    turned = (
        ex**2 * xx + ey**2 * yy + 2 * ex * ey * xy,
        nx**2 * xx + ny**2 * yy + 2 * nx * ny * xy,
        ex * nx * xx + ey * ny * yy + (ex * ny + ey * nx) * xy,
    )
    for name, values in zip(("ERRX2", "ERRY2", "ERRXY"), turned, strict=True):
        world[f"{name}_WORLD"] = np.where(known, values, UNDEFINED)
    return world


def _scaled(values: NDArray[Any], factor: float) -> NDArray[Any]:
    return np.where(values == UNDEFINED, UNDEFINED, values * factor).astype(values.dtype)


def stellarity(fwhm: Float64, snr: Float64, locus: float) -> Float64:
    """How much a source is as wide as the stars: near 1 for a star, near 0 for anything else, 0.5 unknown.

    With ``d`` the distance of the width from that of the stars in units of its scatter (10 % of the width,
    and its noise), the score is ``exp(-max(|d| - 1, 0)² / 2)``, drawn towards 0.5 by the factor ``S² / (S²
    + 25)`` at signal-to-noise ratio ``S``.

    Parameters
    ----------
    fwhm : (n,) float64
        Widths, pixels; not positive where unknown.
    snr : (n,) float64
        Signal-to-noise ratios of the fluxes.
    locus : float
        Width of the stars, pixels.

    Returns
    -------
    (n,) float64
        0 ... 1.
    """
    certainty = np.maximum(snr, 1e-3)
    scatter = np.hypot(_LOCUS_WIDTH * locus, _WIDTH_NOISE * fwhm / certainty)
    distance = np.abs(fwhm - locus) / scatter
    score = np.exp(-0.5 * np.maximum(distance - 1.0, 0.0) ** 2)
    weight = certainty**2 / (certainty**2 + _HALF_CERTAIN**2)
    return np.where((fwhm > 0) & (snr > 0), 0.5 + (score - 0.5) * weight, 0.5)


def seeing(catalogue: Mapping[str, NDArray[Any]], *, min_area: int = 20, min_snr: float = 25.0) -> float | None:
    """Width of the stars of a catalogue.

    Parameters
    ----------
    catalogue : mapping of arrays (n,)
        Needs FWHM_IMAGE, FLUX_AUTO, FLUXERR_AUTO, ELLIPTICITY, ISOAREA_IMAGE, FLAGS, NIMAFLAGS_ISO.
    min_area : int
        Smallest isophotal area, pixels.
    min_snr : float
        Smallest signal-to-noise ratio; when no source reaches it, 10 is tried.

    Returns
    -------
    float or None
        FWHM in pixels: the most common width of round, clean, bright sources, then the mean of those near
        it; None without any.
    """
    widths = _star_widths(catalogue, min_area, min_snr)
    return float(widths.mean()) if widths.size else None


def seeing_error(catalogue: Mapping[str, NDArray[Any]], *, min_area: int = 20, min_snr: float = 25.0) -> float | None:
    """Error of `seeing` in pixels: the scatter of the widths over the root of their number; None from one star."""
    widths = _star_widths(catalogue, min_area, min_snr)
    return float(widths.std(ddof=1)) / float(np.sqrt(widths.size)) if widths.size > 1 else None


def _star_widths(catalogue: Mapping[str, NDArray[Any]], min_area: int, min_snr: float) -> Float64:
    """Widths of the stars that tell the seeing, pixels."""
    fwhm = catalogue["FWHM_IMAGE"].astype(np.float64)
    error = catalogue["FLUXERR_AUTO"]
    snr = np.where(error > 0, catalogue["FLUX_AUTO"] / np.where(error > 0, error, 1.0), 0.0)
    clean = (
        (fwhm > 0)
        & (catalogue["ELLIPTICITY"] < 0.5)
        & (catalogue["ISOAREA_IMAGE"] >= min_area)
        # Neighbours and blends are tolerated, saturated and cut sources are not.
        & ((catalogue["FLAGS"] & ~3) == 0)
        & (catalogue["NIMAFLAGS_ISO"] < 0.2 * catalogue["ISOAREA_IMAGE"])
    )
    for limit in (min_snr, min(min_snr, 10.0)):
        widths = fwhm[clean & (snr > limit)]
        if widths.size:
            locus = _half_sample_mode(widths)
            return np.asarray(widths[np.abs(widths - locus) <= 2 * _LOCUS_WIDTH * locus])
    return np.zeros(0)


def _half_sample_mode(values: Float64) -> float:
    """Densest place of a sample (Bickel & Frühwirth 2006, Comput. Stat. Data Anal. 50, 3500)."""
    ordered = np.sort(values)
    while ordered.size > 3:
        half = (ordered.size + 1) // 2
        first = int((ordered[half - 1 :] - ordered[: ordered.size - half + 1]).argmin())
        ordered = ordered[first : first + half]
    return median(ordered)
