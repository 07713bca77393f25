"""FITS out: complete files only, written under a temporary name and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError, SetupError
from keyhole.frames.blocks import header_block, image_data, image_header
from keyhole.frames.cards import to_astropy
from keyhole.frames.frame import Frame, Table
from keyhole.frames.tables import FORMATS, is_text, table_block, text_width
from keyhole.frames.window import whole
from keyhole.headers import Header

# To load astropy takes longer than to write a product: it is left to files that are not of the usual form.
if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["write_frame"]

# Planes and tables in the order of the published layout; others follow in the order of the frame.
_PLANE_ORDER = ("REJMAP", "OBJMASK")
_EXTENSION_TABLES = ("OBJCAT",)
_TABLE_ORDER = ("OBJCAT", "HISTORY", "PROVENANCE")
_STRUCTURAL = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "BSCALE", "BZERO")
_PRIMARY: list[tuple[str, Any, str | None]] = [
    ("SIMPLE", True, "conforms to FITS standard"),
    ("BITPIX", 8, "array data type"),
    ("NAXIS", 0, "number of array dimensions"),
    ("EXTEND", True, None),
]
_SCIENCE_ONLY = ("BUNIT", "GAIN", "RDNOISE", "SATLEVEL", "NONLINEA", "VARNOISE", "INHERIT")


def write_frame(frame: Frame, path: Path | str) -> Path:
    """Write a frame as FITS: the old file or the complete new one stands at `path`, never a part.

    Parameters
    ----------
    frame : Frame
        Written whole, as PRIMARY, SCI, VAR, DQ, planes, tables; SCI and VAR are float32, DQ is uint16.
    path : path
        Target; an existing file is replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    DataError
        A plane holds NaN or infinity, or a table a column that FITS cannot hold.
    SetupError
        The folder cannot be written, or the disk is full.
    """
    path, frame = Path(path), whole(frame)
    for label, plane in (("SCI", frame.data), ("VAR", frame.variance)):
        if plane is not None and not np.isfinite(plane).all():
            raise DataError(f"{path.name}: plane {label} holds values that are not finite; not written")
    # Two threads may write one name; the later one wins with a complete file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        _write(frame, temporary)
        temporary.replace(path)
    except OSError as err:
        raise _write_error(path, err) from err
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _write(frame: Frame, path: Path) -> None:
    """Write all extensions; without astropy if they are of the usual form."""
    blocks = _blocks(frame)
    if blocks is None:
        with warnings.catch_warnings():
            # A comment that is cut because a value became longer loses nothing.
            warnings.filterwarnings("ignore", "Card is too long")
            # Cards that the telescope wrote are kept, whatever they mean.
            warnings.filterwarnings("ignore", "The following header keyword is invalid")
            _to_hdus(frame).writeto(path, overwrite=True, output_verify="silentfix+ignore")
        return
    with path.open("wb") as file:
        file.writelines(blocks)


def _blocks(frame: Frame) -> Iterator[bytes] | None:
    """The whole file in pieces; None if astropy is needed for a part of it."""
    tables = [_table_block(name, frame.tables[name]) for name in _ordered(frame.tables, _TABLE_ORDER)]
    planes = _planes(frame)
    headers = [image_header(plane, header) for plane, header in planes]
    primary = frame.primary.copy()
    primary.remove("NEXTEND", ignore_missing=True)
    primary["NEXTEND"] = (len(planes) + len(tables), "Number of extensions")
    parts = [header_block(_PRIMARY, primary), *headers, *tables]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    first, last = known[: len(planes) + 1], known[len(planes) + 1 :]
    images = chain.from_iterable(
        chain([head], image_data(plane)) for head, (plane, _) in zip(first[1:], planes, strict=True)
    )
    return chain(first[:1], images, last)


def _planes(frame: Frame) -> list[tuple[NDArray[Any], Header]]:
    """All planes in their order, with their headers."""
    science, common = _extension_header(frame.header, "SCI"), _plane_header(frame.header)
    named: list[tuple[NDArray[Any], Header]] = [(frame.data, science)]
    if frame.variance is not None:
        header = common.copy()
        header["BUNIT"] = (f"{frame.header.get('BUNIT', 'adu')}**2", "variance")
        named.append((frame.variance, header))
    others: list[tuple[str, NDArray[Any]]] = [] if frame.mask is None else [("DQ", frame.mask)]
    others += [(name, frame.planes[name]) for name in _ordered(frame.planes, _PLANE_ORDER)]
    for name, plane in others:
        header = common.copy()
        header["EXTNAME"] = name.upper()
        named.append((plane, header))
    for _, header in named:
        header["EXTVER"] = 1
    return named


def _write_error(path: Path, err: OSError) -> SetupError:
    folder = path.parent.resolve()
    if err.errno == errno.ENOSPC or "space" in str(err).lower():
        return SetupError(f"{path.name}: the disk of {folder} is full; free some space and run again")
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SetupError(f"{path.name}: folder {folder} cannot be written; run in a folder of your own")
    return SetupError(f"{path.name}: could not be written to {folder} ({err.strerror or err})")


def _to_hdus(frame: Frame) -> fits.HDUList:
    from astropy.io import fits

    frame.primary.remove("NEXTEND", ignore_missing=True)
    hdus = [fits.ImageHDU(plane, header=to_astropy(header)) for plane, header in _planes(frame)]
    hdus += [_table_hdu(name, frame.tables[name]) for name in _ordered(frame.tables, _TABLE_ORDER)]
    primary = frame.primary.copy()
    primary["NEXTEND"] = (len(hdus), "Number of extensions")
    return fits.HDUList([fits.PrimaryHDU(header=to_astropy(primary)), *hdus])


def _table_block(name: str, table: Table) -> bytes | None:
    return table_block(name, table, version=1 if name in _EXTENSION_TABLES else None)


def _ordered(names: dict[str, Any], first: tuple[str, ...]) -> list[str]:
    return [n for n in first if n in names] + [n for n in names if n not in first]


def _extension_header(header: Header, name: str) -> Header:
    out = header.copy()
    for key in _STRUCTURAL:
        out.remove(key, ignore_missing=True)
    out["EXTNAME"] = name
    return out


def _plane_header(header: Header) -> Header:
    out = _extension_header(header, "VAR")
    for key in _SCIENCE_ONLY:
        out.remove(key, ignore_missing=True)
    return out


def _table_hdu(name: str, table: Table) -> fits.BinTableHDU:
    from astropy.io import fits

    columns = []
    for key, values in table.columns.items():
        if is_text(values):
            texts = values.astype(np.str_)
            form = f"A{text_width(key, texts.tolist(), table.formats.get(key))}"
            column = fits.Column(name=key, format=form, unit=table.units.get(key), array=texts)
        else:
            column = _plain_column(name, key, values, table.units.get(key))
        columns.append(column)
    hdu = fits.BinTableHDU(name=name)
    # BinTableHDU.from_columns gives the same bytes, but loads astropy.table for it, a tenth of a second.
    hdu.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    if name in _EXTENSION_TABLES:
        hdu.header["EXTVER"] = 1
    return hdu


# Truth values and complex numbers, too.
_FORMATS = {**FORMATS, "b1": ("L", "b1"), "c8": ("C", "c8"), "c16": ("M", "c16")}


def _plain_column(table: str, name: str, values: NDArray[Any], unit: str | None) -> fits.Column:
    """A column of numbers or truth values; each row may hold an array of them."""
    from astropy.io import fits

    found = _FORMATS.get(values.dtype.newbyteorder("=").str[1:])
    if found is None:
        raise DataError(
            f"table {table}: column {name} has type {values.dtype}, which cannot be written; "
            "leave it out or make it numbers or plain text"
        )
    code, held = found
    shape = values.shape[1:]
    form = f"{int(np.prod(shape))}{code}" if shape else code
    # FITS counts the axes of an array from the fastest.
    dim = f"({','.join(str(n) for n in reversed(shape))})" if len(shape) > 1 else None
    return fits.Column(name=name, format=form, unit=unit, dim=dim, array=values.astype(held))
