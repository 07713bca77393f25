"""To and from `astrodata.AstroData`, the container of the field.  Imported only when asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from keyhole.errors import DataError
from keyhole.frames.cards import from_astropy
from keyhole.frames.frame import Frame, Table
from keyhole.frames.io import _to_hdus
from keyhole.frames.window import whole

__all__ = ["from_astrodata", "to_astrodata"]


def to_astrodata(frame: Frame) -> Any:
    """Convert a frame to AstroData through an in-memory FITS file, so that nothing is lost.

    Parameters
    ----------
    frame : Frame
        Unchanged; pixels are copied.

    Returns
    -------
    astrodata.AstroData
        Of the class registered by `gemini_instruments`.
    """
    import astrodata

    import gemini_instruments  # noqa: F401  (registers the classes)

    buffer = io.BytesIO()
    _to_hdus(whole(frame)).writeto(buffer, output_verify="silentfix+ignore")
    buffer.seek(0)
    ad = astrodata.open(fits.open(buffer, do_not_scale_image_data=True))
    ad.filename = frame.name
    return ad


def from_astrodata(ad: Any) -> Frame:
    """Convert AstroData with one extension to a frame.

    Raises
    ------
    DataError
        The object has no or several extensions.
    """
    if len(ad) != 1:
        raise DataError(f"{ad.filename}: {len(ad)} extensions, 1 expected")
    ext = ad[0]
    frame = Frame(
        name=Path(ad.filename or "unnamed.fits").name,
        primary=from_astropy(ad.phu),
        header=from_astropy(ext.hdr),
        data=np.ascontiguousarray(ext.data, dtype=np.float32),
        path=Path(ad.path) if ad.path else None,
    )
    if ext.variance is not None:
        frame.variance = np.ascontiguousarray(ext.variance, dtype=np.float32)
    if ext.mask is not None:
        frame.mask = np.ascontiguousarray(ext.mask, dtype=np.uint16)
    for owner in (ad, ext):
        for name in sorted(owner.exposed if owner is ext else ad.tables):
            value = getattr(owner, name, None)
            if isinstance(value, np.ndarray) and value.ndim == frame.data.ndim:
                frame.planes[name] = value
            elif hasattr(value, "colnames"):
                frame.tables[name] = _table(value)
    return frame


def _table(table: Any) -> Table:
    columns = {name: np.asarray(table[name]) for name in table.colnames}
    units = {name: str(table[name].unit) for name in table.colnames if table[name].unit}
    return Table(columns, units)
