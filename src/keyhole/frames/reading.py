"""FITS in: a whole file becomes a frame."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.frames.cards import from_astropy
from keyhole.frames.checked import CheckedFile, file_md5
from keyhole.frames.frame import Frame, Table
from keyhole.frames.stored import StoredFile, stored_plane
from keyhole.frames.tables import plain_table
from keyhole.headers import Hdu, Header, read_hdus

# astropy takes a third of the time that a command needs to start: images of the usual form do not need it.
if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["read_frame", "read_frame_and_checksum"]

_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_UNSIGNED = 32768
_STORED: dict[str, type[np.generic]] = {"VAR": np.float32, "DQ": np.uint16}
_BLOCK = 64
_READ_ERRORS = (OSError, TypeError, ValueError, KeyError, IndexError, EOFError)


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
    return _read(Path(path), stored=stored, summed=False)[0]


def read_frame_and_checksum(path: Path | str) -> tuple[Frame, str]:
    """Read a frame as `read_frame` does, and the MD5 sum of its file: of the bytes that became the frame.

    A file that is neither compressed nor of an unusual form is read once for both.
    """
    return _read(Path(path), stored=False, summed=True)


def _read(path: Path, *, stored: bool, summed: bool) -> tuple[Frame, str]:
    """A frame and, if it is wanted, the MD5 sum of its file."""
    units = read_hdus(path, packed_data=True)
    try:
        if not all(_is_usual(unit) for unit in units):
            return _by_astropy(path), file_md5(path) if summed else ""
        with CheckedFile(path, summed=summed) as file:
            frame = _from_hdu_list(units, path, file, StoredFile(path) if stored else None)
            return frame, file.checksum() if summed else ""
    except _READ_ERRORS as err:
        raise DataError(f"{path}: the file cannot be read as FITS ({err}); get a fresh copy or leave it out") from err


def _is_usual(unit: Hdu) -> bool:
    """Whether a unit is a plain image or table, whose values stand in it as they are."""
    cards = unit.cards
    kind = str(cards.get("XTENSION", "IMAGE")).strip()
    if kind == "BINTABLE":
        return "ZIMAGE" not in cards
    if kind != "IMAGE" or cards.get("BITPIX") not in _TYPES or "BLANK" in cards or "GROUPS" in cards:
        return False
    if (cards.get("PCOUNT", 0), cards.get("GCOUNT", 1), cards.get("BSCALE", 1)) != (0, 1, 1):
        return False
    return cards.get("BZERO", 0) == 0 or _is_unsigned(unit)


def _is_unsigned(unit: Hdu) -> bool:
    return bool(unit.cards.get("BITPIX") == 16 and unit.cards.get("BZERO") == _UNSIGNED)


def _from_hdu_list(units: list[Hdu], path: Path, file: CheckedFile, stored: StoredFile | None) -> Frame:
    images = [unit for unit in units[1:] if _is_science(unit.cards)]
    if not images and units[0].data_size:
        images = [units[0]]
    science = _one(images, path)
    if science.cards.get("NAXIS") != 2 or not science.data_size:
        raise _no_image(path)
    header = Header(science.text)
    if _is_unsigned(science):
        header.remove("BZERO", ignore_missing=True)
        header.remove("BSCALE", ignore_missing=True)
    primary = header if science is units[0] else Header(units[0].text)
    data = _stored(science, stored, np.float32)
    frame = Frame(path.name, primary, header, _as_float(_values(file, science)) if data is None else data, path=path)
    for unit in units[1:]:
        if unit is science or not unit.data_size:
            continue
        name = str(unit.cards.get("EXTNAME", "")).strip().upper()
        if unit.cards.get("XTENSION") == "BINTABLE":
            frame.tables[name] = _table(path, unit)
        else:
            left = _stored(unit, stored, _STORED.get(name))
            _attach(frame, name, _values(file, unit) if left is None else left)
    return frame


def _stored(unit: Hdu, file: StoredFile | None, dtype: type[np.generic] | None) -> NDArray[Any] | None:
    """A plane that stays in its file; None where it is none of these, or stored as other numbers."""
    cards = unit.cards
    form = _is_unsigned(unit) if dtype is np.uint16 else (cards.get("BITPIX"), cards.get("BZERO", 0)) == (-32, 0)
    if file is None or dtype is None or unit.data is not None or not form or cards.get("NAXIS") != 2:
        return None
    shape = int(str(cards["NAXIS2"])), int(str(cards["NAXIS1"]))
    return stored_plane(file, unit.data_start, shape, dtype)


def _is_science(cards: Any) -> bool:
    image = str(cards.get("XTENSION", "IMAGE")).strip() == "IMAGE"
    return image and str(cards.get("EXTNAME", "SCI")).strip().upper() in ("SCI", "")


def _one(images: list[Any], path: Path) -> Any:
    if len(images) != 1:
        raise DataError(f"{path}: {len(images)} science images in the file, 1 expected; leave the file out")
    return images[0]


def _no_image(path: Path) -> DataError:
    return DataError(f"{path}: the science extension holds no two-dimensional image; leave the file out")


def _values(file: CheckedFile, unit: Hdu) -> NDArray[Any]:
    """Pixels of a unit in the byte order of this machine, in an array of its own."""
    cards = unit.cards
    dtype = np.dtype(_TYPES[int(str(cards["BITPIX"]))])
    shape = [int(str(cards[f"NAXIS{axis}"])) for axis in range(int(str(cards["NAXIS"])), 0, -1)]
    if unit.data is None:
        values = np.empty(shape, dtype.newbyteorder("="))
        file.fill(unit.data_start, values)
    else:
        values = np.frombuffer(bytearray(unit.data), dtype).reshape(shape)
        if not dtype.isnative:
            values = values.byteswap(inplace=True).view(dtype.newbyteorder("="))
    if _is_unsigned(unit):
        # The difference of 32768 is the highest bit.
        values = values.view(np.uint16)
        values ^= np.uint16(_UNSIGNED)
    return values


def _as_float(values: NDArray[Any]) -> NDArray[np.float32]:
    """The same numbers as float32; in place where they have as many bytes."""
    if values.dtype == np.float32:
        return values
    if values.dtype != np.int32:
        return values.astype(np.float32)
    floats = values.view(np.float32)
    for first in range(0, len(values), _BLOCK):
        floats[first : first + _BLOCK] = values[first : first + _BLOCK].copy()
    return floats


def _attach(frame: Frame, name: str, values: NDArray[Any]) -> None:
    if name == "VAR":
        frame.variance = _as_float(values)
    elif name == "DQ":
        frame.mask = values if values.dtype == np.uint16 else values.astype(np.uint16)
    else:
        frame.planes[name] = values


def _table(path: Path, unit: Hdu) -> Table:
    data = unit.data
    if data is None:
        with path.open("rb") as stream:
            stream.seek(unit.data_start)
            data = stream.read(unit.data_size)
    plain = plain_table(unit.cards, data)
    if plain is not None:
        return plain
    from astropy.io import fits

    text = f"{unit.text}{'END':80s}".encode("latin-1")
    padded = text + b" " * (-len(text) % 2880) + data + b"\0" * (-len(data) % 2880)
    return _columns(fits.BinTableHDU.fromstring(padded))


def _columns(hdu: Any) -> Table:
    columns = {
        c.name: np.asarray(hdu.data[c.name]).astype(hdu.data[c.name].dtype.newbyteorder("=")) for c in hdu.columns
    }
    units = {c.name: c.unit for c in hdu.columns if c.unit}
    return Table(columns, units, {c.name: c.format for c in hdu.columns if "A" in c.format})


def _by_astropy(path: Path) -> Frame:
    """A file with scaled or compressed images, and whatever else FITS allows."""
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)
        with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
            return _from_hdus(hdus, path)


def _from_hdus(hdus: fits.HDUList, path: Path) -> Frame:
    images = [hdu for hdu in hdus[1:] if hdu.is_image and _is_science(hdu.header)]
    if not images and hdus[0].data is not None:
        images = [hdus[0]]
    science = _one(images, path)
    if science.data is None or science.data.ndim != 2:
        raise _no_image(path)
    data = np.ascontiguousarray(science.data, dtype=np.float32)
    frame = Frame(path.name, from_astropy(hdus[0].header), from_astropy(science.header), data, path=path)
    for hdu in hdus[1:]:
        if hdu is science or hdu.data is None:
            continue
        if hdu.is_image:
            values = np.ascontiguousarray(hdu.data, dtype=hdu.data.dtype.newbyteorder("="))
            _attach(frame, str(hdu.name), values)
        else:
            frame.tables[str(hdu.name)] = _columns(hdu)
    return frame
