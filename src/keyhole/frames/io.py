"""FITS in and out: complete files only, written under a temporary name and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError, SetupError
from keyhole.frames.frame import Frame, Table
from keyhole.frames.stored import StoredFile, stored_plane
from keyhole.frames.window import whole
from keyhole.headers import check_complete

# astropy takes half of the time that a command needs to start: it is loaded when a file is read or written, which
# those that only look at steps and parameters never do.
if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["read_frame", "write_frame"]

# Planes and tables in the order of the published layout; others follow in the order of the frame.
_PLANE_ORDER = ("REJMAP", "OBJMASK")
_EXTENSION_TABLES = ("OBJCAT",)
_TABLE_ORDER = ("OBJCAT", "HISTORY", "PROVENANCE")
_STRUCTURAL = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "BSCALE", "BZERO")
_STORED: dict[str, type[np.generic]] = {"VAR": np.float32, "DQ": np.uint16}
_SCIENCE_ONLY = ("BUNIT", "GAIN", "RDNOISE", "SATLEVEL", "NONLINEA", "VARNOISE", "INHERIT")


def read_frame(path: Path | str, *, stored: bool = False) -> Frame:
    """Read a raw frame or a product with one science extension.

    Parameters
    ----------
    path : path
        ``.fits``, ``.fits.gz`` or ``.fits.bz2``.
    stored : bool
        Leave image, variance and mask in the file, where it holds them as they are (`StoredPlane`).

    Returns
    -------
    Frame
        Pixels as native float32, mask as native uint16.

    Raises
    ------
    InputError
        The file does not exist.
    DataError
        It is not FITS, ends early, or holds no image or more than one science image.
    """
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyWarning

    path = Path(path)
    check_complete(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VerifyWarning)
            with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
                return _from_hdus(hdus, path, stored=stored)
    except (OSError, TypeError, ValueError, KeyError, IndexError, EOFError) as err:
        raise DataError(f"{path}: the file cannot be read as FITS ({err}); get a fresh copy or leave it out") from err


def _from_hdus(hdus: fits.HDUList, path: Path, *, stored: bool) -> Frame:
    images = [hdu for hdu in hdus[1:] if _is_science(hdu)]
    if not images and hdus[0].data is not None:
        images = [hdus[0]]
    if len(images) != 1:
        raise DataError(f"{path}: {len(images)} science images in the file, 1 expected; leave the file out")
    science = images[0]
    file = StoredFile(path) if stored else None
    data = None if file is None else stored_plane(science, file, np.float32)
    if data is None:
        if science.data is None or science.data.ndim != 2:
            raise DataError(f"{path}: the science extension holds no two-dimensional image; leave the file out")
        data = _native(science.data, np.float32)
    frame = Frame(
        name=path.name,
        primary=hdus[0].header,
        header=science.header,
        data=data,
        path=path,
    )
    for hdu in hdus[1:]:
        if hdu is not science:
            _attach(frame, hdu, file)
    return frame


def _is_science(hdu: Any) -> bool:
    return bool(hdu.is_image) and str(hdu.header.get("EXTNAME", "SCI")).strip().upper() in ("SCI", "")


def _attach(frame: Frame, hdu: Any, file: StoredFile | None) -> None:
    """Give a frame the plane or table of an extension; planes may stay in a file."""
    name = str(hdu.name)
    if file is not None and name in _STORED:
        plane = stored_plane(hdu, file, _STORED[name])
        if plane is not None:
            frame.variance, frame.mask = (plane, frame.mask) if name == "VAR" else (frame.variance, plane)
            return
    if hdu.data is None:
        return
    if not hdu.is_image:
        columns = {
            c.name: np.asarray(hdu.data[c.name]).astype(hdu.data[c.name].dtype.newbyteorder("=")) for c in hdu.columns
        }
        units = {c.name: c.unit for c in hdu.columns if c.unit}
        formats = {c.name: c.format for c in hdu.columns if "A" in c.format}
        frame.tables[name] = Table(columns, units, formats)
    elif name == "VAR":
        frame.variance = _native(hdu.data, np.float32)
    elif name == "DQ":
        frame.mask = _native(hdu.data, np.uint16)
    else:
        frame.planes[name] = _native(hdu.data, hdu.data.dtype.newbyteorder("="))


def _native(data: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The values in the byte order of this machine. May change its input, which nobody reads again."""
    if (
        data.dtype.newbyteorder("=") == dtype
        and not data.dtype.isnative
        and data.flags.c_contiguous
        and data.flags.writeable
    ):
        return data.byteswap(inplace=True).view(dtype)
    return np.ascontiguousarray(data, dtype=dtype)


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
    from astropy.io.fits.verify import VerifyWarning

    path, frame = Path(path), whole(frame)
    for label, plane in (("SCI", frame.data), ("VAR", frame.variance)):
        if plane is not None and not np.isfinite(plane).all():
            raise DataError(f"{path.name}: plane {label} holds values that are not finite; not written")
    # Two threads may write one name; the later one wins with a complete file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with warnings.catch_warnings():
            # A comment that is cut because a value became longer loses nothing.
            warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
            _to_hdus(frame).writeto(temporary, overwrite=True, output_verify="silentfix+ignore")
        temporary.replace(path)
    except OSError as err:
        raise _write_error(path, err) from err
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _write_error(path: Path, err: OSError) -> SetupError:
    folder = path.parent.resolve()
    if err.errno == errno.ENOSPC or "space" in str(err).lower():
        return SetupError(f"{path.name}: the disk of {folder} is full; free some space and run again")
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SetupError(f"{path.name}: folder {folder} cannot be written; run in a folder of your own")
    return SetupError(f"{path.name}: could not be written to {folder} ({err.strerror or err})")


def _to_hdus(frame: Frame) -> fits.HDUList:
    from astropy.io import fits

    frame.primary.pop("NEXTEND", None)
    science = fits.ImageHDU(frame.data, header=_extension_header(frame.header, "SCI"))
    hdus = [science]
    common = _plane_header(frame.header)
    if frame.variance is not None:
        header = common.copy()
        unit = str(frame.header.get("BUNIT", "adu"))
        header["BUNIT"] = (f"{unit}**2", "variance")
        hdus.append(fits.ImageHDU(frame.variance, header=header, name="VAR"))
    if frame.mask is not None:
        hdus.append(fits.ImageHDU(frame.mask, header=common.copy(), name="DQ"))
    for name in _ordered(frame.planes, _PLANE_ORDER):
        hdus.append(fits.ImageHDU(frame.planes[name], header=common.copy(), name=name))
    for hdu in hdus:
        hdu.header["EXTVER"] = 1
    hdus += [_table_hdu(name, frame.tables[name]) for name in _ordered(frame.tables, _TABLE_ORDER)]
    primary = frame.primary.copy()
    primary["NEXTEND"] = (len(hdus), "Number of extensions")
    return fits.HDUList([fits.PrimaryHDU(header=primary), *hdus])


def _ordered(names: dict[str, Any], first: tuple[str, ...]) -> list[str]:
    return [n for n in first if n in names] + [n for n in names if n not in first]


def _extension_header(header: fits.Header, name: str) -> fits.Header:
    out = header.copy()
    for key in _STRUCTURAL:
        out.remove(key, ignore_missing=True)
    out["EXTNAME"] = name
    return out


def _plane_header(header: fits.Header) -> fits.Header:
    out = _extension_header(header, "VAR")
    for key in _SCIENCE_ONLY:
        out.remove(key, ignore_missing=True)
    return out


def _table_hdu(name: str, table: Table) -> fits.BinTableHDU:
    from astropy.io import fits

    columns = []
    for key, values in table.columns.items():
        if values.dtype.kind in "US" and values.ndim == 1:
            width = int(max((len(str(v)) for v in values), default=1)) + 1
            form = table.formats.get(key, f"A{width}")
            if key not in ("args",) and "A" in form:
                # A contract width must never cut a value.
                form = f"A{max(width - 1, int(form.replace('A', '') or 1))}"
            else:
                form = f"A{width}"
            column = fits.Column(name=key, format=form, unit=table.units.get(key), array=values)
        else:
            column = _plain_column(name, key, values, table.units.get(key))
        columns.append(column)
    hdu = fits.BinTableHDU(name=name)
    # BinTableHDU.from_columns gives the same bytes, but loads astropy.table for it, a tenth of a second.
    hdu.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    if name in _EXTENSION_TABLES:
        hdu.header["EXTVER"] = 1
    return hdu


# FITS format of each type, and the type that holds all its values where FITS has none of its own.
_FORMATS = {
    "b1": ("L", "b1"),
    "u1": ("B", "u1"),
    "i1": ("I", "i2"),
    "i2": ("I", "i2"),
    "u2": ("J", "i4"),
    "i4": ("J", "i4"),
    "u4": ("K", "i8"),
    "i8": ("K", "i8"),
    "f2": ("E", "f4"),
    "f4": ("E", "f4"),
    "f8": ("D", "f8"),
    "c8": ("C", "c8"),
    "c16": ("M", "c16"),
}


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
