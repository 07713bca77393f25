"""A reduced image as an outsider reads it: planes, catalogue and WCS of any FITS file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError, InputError

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["Product", "read_plane", "read_product", "read_wcs"]

# Bits that say why a pixel holds no measurement: bad, cosmic ray, no data, not lit.
_UNUSABLE = 1 | 8 | 16 | 64
_NON_LINEAR, _SATURATED = 2, 4
_UNCORRELATED = np.ones((1, 2))


class Product(NamedTuple):
    """A reduced image.

    Attributes
    ----------
    name : str
        File name.
    data : ndarray of float32, shape (ny, nx)
    variance : ndarray of float32 or None
    mask : ndarray of uint16
        Quality bits, 0 where the file has none.
    usable : ndarray of bool
        Finite pixels without a bit that makes them worthless.
    catalogue : ndarray of float64, shape (n, 5), or None
        Pixel (x, y), first pixel is 0, FLUX_AUTO, FLUXERR_AUTO and FLAGS of the sources in the file's OBJCAT; NaN
        where it has no such column.  Empty if the file has an OBJMASK alone.
    wcs : object or None
        Celestial WCS (astropy), or None if the file has none.
    unit : str
        BUNIT, lower case; empty if not given.
    inputs : tuple of str
        Names of the raw frames that were combined (IMCMBnnn); empty if not given.
    correlation : ndarray of float64, shape (k, 2)
        Aperture radius (pixels) and noise of an aperture over that of its pixels together: table APNOISE, else
        card CORRNOIS for all radii, else 1.
    flux_reference : str
        Card FLUXREF: name of the frame to whose transparency all counts were brought, or MEDIAN for that of the
        median frame; empty if every pixel is the mean of its frames as they are.
    """

    name: str
    data: NDArray[np.float32]
    variance: NDArray[np.float32] | None
    mask: NDArray[np.uint16]
    usable: NDArray[np.bool_]
    catalogue: NDArray[np.float64] | None
    wcs: Any
    unit: str
    inputs: tuple[str, ...] = ()
    correlation: NDArray[np.float64] = _UNCORRELATED
    flux_reference: str = ""

    def noise_factor(self, radius: float) -> float:
        """Give what the file states of the noise of a circle over that of its pixels together."""
        return float(np.interp(radius, self.correlation[:, 0], self.correlation[:, 1]))

    @property
    def saturated(self) -> NDArray[np.bool_]:
        """Pixels with the bit for saturation."""
        return (self.mask & _SATURATED) > 0

    @property
    def nonlinear(self) -> NDArray[np.bool_]:
        """Pixels with the bit for non-linearity."""
        return (self.mask & _NON_LINEAR) > 0

    def to_pixel(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give pixel (x, y), first pixel is 0, of sky positions in degrees; shape (n, 2)."""
        return np.column_stack(self.wcs.all_world2pix(ra, dec, 0))

    def to_sky(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give (ra, dec) in degrees of pixels, shape (n, 2)."""
        return np.column_stack(self.wcs.all_pix2world(pixels[:, 0], pixels[:, 1], 0))


def read_product(path: Path) -> Product:
    """Read the first image of a FITS file with what belongs to it.

    Parameters
    ----------
    path : Path
        File with an image, and perhaps VAR, DQ and OBJCAT extensions.

    Returns
    -------
    Product

    Raises
    ------
    InputError
        There is no such file.
    DataError
        The file is not FITS, is damaged, or holds no image.
    """
    from astropy.io import fits  # slow import

    if not path.is_file():
        raise InputError(f"{path}: no such file; give a reduced image.")
    try:
        with warnings.catch_warnings(), fits.open(path, memmap=False) as units:
            warnings.simplefilter("ignore")
            return _read(path, units)
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged or no FITS image; give a reduced image.") from error


def read_plane(path: Path) -> NDArray[np.float32]:
    """Read the first image of a FITS file alone; errors as `read_product`."""
    return read_product(path).data


def read_wcs(path: Path) -> Any:
    """Read the celestial WCS of the first image of a FITS file; errors as `read_product`, and if it has none."""
    wcs = read_product(path).wcs
    if wcs is None:
        raise DataError(f"{path} has no WCS; give a frame that was registered.")
    return wcs


def _read(path: Path, units: fits.HDUList) -> Product:
    image = _science_unit(units)
    if image is None:
        raise DataError(f"{path} holds no image; give a reduced image.")
    data = np.ascontiguousarray(image.data, dtype=np.float32)
    variance = _plane(units, "VAR", data.shape)
    quality = _plane(units, "DQ", data.shape)
    mask = np.zeros(data.shape, np.uint16) if quality is None else quality.astype(np.uint16)
    usable = np.isfinite(data) & ((mask & _UNUSABLE) == 0)
    if quality is None:
        # Without quality bits, exact zeros are the only sign of pixels that hold nothing.
        usable &= data != 0
    if variance is not None:
        variance = np.ascontiguousarray(variance, dtype=np.float32)
        usable &= np.isfinite(variance) & (variance > 0)
    unit = str(image.header.get("BUNIT", "")).strip().lower()
    return Product(
        path.name,
        data,
        variance,
        mask,
        usable,
        _catalogue(units),
        _wcs(units[0].header, image.header),
        unit,
        inputs=tuple(str(units[0].header[key]) for key in units[0].header if key.startswith("IMCMB")),
        correlation=_correlation(units, image.header),
        flux_reference=str(image.header.get("FLUXREF", units[0].header.get("FLUXREF", ""))).strip(),
    )


def _correlation(units: fits.HDUList, header: fits.Header) -> NDArray[np.float64]:
    for unit in units:
        names = {name.upper() for name in unit.columns.names} if unit.name == "APNOISE" else set()
        if {"RADIUS", "FACTOR"} <= names:
            columns = [np.asarray(unit.data[name], np.float64) for name in ("RADIUS", "FACTOR")]
            return np.column_stack(columns)[np.argsort(columns[0])]
    return np.array([[1.0, float(header.get("CORRNOIS", 1.0))]])


def _science_unit(units: fits.HDUList) -> Any:
    images = [unit for unit in units if getattr(unit, "is_image", False) and unit.header.get("NAXIS") == 2]
    named = [unit for unit in images if unit.name == "SCI"]
    return next(iter(named or images), None)


def _plane(units: fits.HDUList, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    for unit in units:
        if unit.name == name and getattr(unit, "is_image", False) and unit.data is not None:
            return np.asarray(unit.data) if unit.data.shape == shape else None
    return None


def _catalogue(units: fits.HDUList) -> NDArray[np.float64] | None:
    for unit in units:
        if unit.name == "OBJCAT" and unit.data is not None:
            names = {name.upper(): name for name in unit.columns.names}
            if {"X_IMAGE", "Y_IMAGE"} <= set(names):
                nothing = np.full(len(unit.data), np.nan)
                columns = [
                    np.asarray(unit.data[names[key]], np.float64) if key in names else nothing
                    for key in ("X_IMAGE", "Y_IMAGE", "FLUX_AUTO", "FLUXERR_AUTO", "FLAGS")
                ]
                # Catalogues count pixels from 1.
                return np.column_stack(columns) - [1.0, 1.0, 0.0, 0.0, 0.0]
    # Sources were looked for, and there was none.
    return np.zeros((0, 5)) if any(unit.name == "OBJMASK" for unit in units) else None


def _wcs(primary: fits.Header, header: fits.Header) -> Any:
    from astropy.wcs import WCS  # slow import

    for cards in (header, primary):
        if "CRVAL1" in cards and "CTYPE1" in cards:
            wcs = WCS(cards, naxis=2)
            if wcs.has_celestial:
                return wcs
    return None
