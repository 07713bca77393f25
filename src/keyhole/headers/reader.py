"""Read the headers of a FITS file, plain, .gz or .bz2, without touching its pixels.

Equivalent in content to opening the file with `astropy.io.fits` and taking the headers, but some hundred
times faster: a night of 5000 files is listed in a second.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

from keyhole.errors import DataError, InputError
from keyhole.headers.cards import Cards
from keyhole.headers.model import Headers
from keyhole.instruments import available, load

__all__ = ["Hdu", "check_complete", "read_hdus", "read_headers"]

BLOCK = 2880
CARD = 80
# Enough for primary and extension header of a raw frame in one call to the system.
BUFFER = 12 * BLOCK
# 2.9 MB of cards: whatever it is, it is no header.
MAX_BLOCKS = 1000
# Only printable ASCII may stand in a header (FITS standard 4.0, section 4.1.2): what was damaged is read as ? or blank,
# so that it can be written again.
_ALLOWED = b" " * 32 + bytes(range(32, 127)) + b"?" * 129
GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"


class Hdu(NamedTuple):
    """One header and data unit.

    Attributes
    ----------
    text : str
        All cards before END.
    cards : Cards
        The same to look at.
    data_start, data_size : int
        Where its data begin in the unpacked file, and how many bytes they fill.
    data : bytes or None
        The data, where they were read.
    """

    text: str
    cards: Cards
    data_start: int
    data_size: int
    data: bytes | None = None


def read_headers(path: str | Path) -> Headers:
    """Read primary header and headers of the science extensions.

    Parameters
    ----------
    path : path
        FITS file, plain or compressed; the content tells which, not the name. A compressed file is unpacked
        only as far as needed: a raw frame of a known instrument up to its last extension header.

    Returns
    -------
    Headers
        With `path` as its name.

    Raises
    ------
    InputError
        The file does not exist or cannot be read.
    DataError
        It is no FITS file, or it ends within a header. Missing pixels go unnoticed: see `check_complete`.
    """
    with _opened(path) as stream:
        units: list[Hdu] = []
        for unit in _units(stream, path):
            units.append(unit)
            if stream.compressed and _is_last_of_raw(units):
                break
            if not stream.skip_to(_padded(unit.data_start + unit.data_size)):
                break
    return _headers(units, path)


def check_complete(path: str | Path) -> Headers:
    """Read the headers, and check that the file holds all the data that they promise.

    The blanks or zeros that fill the last block may be missing: they hold nothing. A compressed file is
    unpacked as a whole.

    Parameters
    ----------
    path : path
        FITS file, plain or compressed.

    Returns
    -------
    Headers
        As `read_headers` returns them.

    Raises
    ------
    InputError
        The file does not exist or cannot be read.
    DataError
        It is no FITS file, or it ends too early: "ends after N of M bytes".
    """
    return _headers(read_hdus(path), path)


def read_hdus(path: str | Path, *, packed_data: bool = False) -> list[Hdu]:
    """Header and place of the data of each unit of a complete file.

    Parameters
    ----------
    path : path
        FITS file, plain or compressed.
    packed_data : bool
        Keep the data of a compressed file, which has to be unpacked to find its headers.

    Returns
    -------
    list of Hdu

    Raises
    ------
    InputError, DataError
        As `check_complete`.
    """
    with _opened(path) as stream:
        units: list[Hdu] = []
        for unit in _units(stream, path):
            end = unit.data_start + unit.data_size
            if packed_data and stream.compressed:
                data = stream.read_to(end)
                complete = len(data) == unit.data_size
                units.append(unit._replace(data=data))
            else:
                complete = stream.skip_to(end)
                units.append(unit)
            if not complete:
                size = stream.position
                raise DataError(f"{path} ends after {size} of {end} bytes: copy or download it again")
            if not stream.skip_to(_padded(end)):
                break
    return units


class _Stream:
    """Forward reading of a plain or compressed file; `position` counts unpacked bytes."""

    def __init__(self, handle: IO[bytes], size: int | None) -> None:
        self._handle = handle
        self._size = size
        self.position = 0

    @property
    def compressed(self) -> bool:
        """Whether the size is known only when everything was unpacked."""
        return self._size is None

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def read(self, size: int) -> bytes:
        """At most `size` bytes, fewer at the end of the file, also if that is an end by accident."""
        try:
            block = self._handle.read(size)
        except (EOFError, OSError, zlib.error):
            # What stands before the damage in a compressed file was given already.
            block = b""
        self.position += len(block)
        return block

    def read_to(self, target: int) -> bytes:
        """What stands before `target`, less if the file ends before; an end by accident is an end."""
        parts = []
        while self.position < target:
            block = self.read(min(target - self.position, 1 << 20))
            if not block:
                break
            parts.append(block)
        return b"".join(parts)

    def skip_to(self, target: int) -> bool:
        """Go on to `target`; False, and the position at the end, when the file ends before."""
        if self._size is not None:
            self.position = min(target, self._size)
            self._handle.seek(self.position)
            return target <= self._size
        while self.position < target:
            if not self.read(min(target - self.position, 1 << 20)):
                return False
        return True


def _opened(path: str | Path) -> _Stream:
    """Open a file and see from its first bytes how it is packed."""
    try:
        handle = io.BufferedReader(io.FileIO(path), BUFFER)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the name and the folder") from None
    except OSError as err:
        raise InputError(f"{path} cannot be read ({err.strerror}): check its kind and permissions") from err
    magic = handle.peek(3)[:3]
    # The modules for packed files are imported for packed files only.
    if magic[:2] == GZIP_MAGIC:
        import gzip

        handle.close()
        return _Stream(gzip.open(path), None)  # type: ignore[arg-type]  # reads bytes like any file
    if magic == BZIP2_MAGIC:
        import bz2

        handle.close()
        return _Stream(bz2.open(path), None)
    return _Stream(handle, os.fstat(handle.fileno()).st_size)


def _units(stream: _Stream, path: str | Path) -> Iterator[Hdu]:
    """Each header and data unit; the caller moves the stream behind the data before it asks for the next."""
    first = True
    while True:
        text = _header_text(stream, path, first=first)
        if text is None:
            return
        cards = Cards(text)
        try:
            size = _data_size(cards)
        except (TypeError, ValueError):
            raise DataError(
                f"{path}: BITPIX, NAXIS or a card like them is missing or no number: is it a FITS file?"
            ) from None
        yield Hdu(text, cards, stream.position, size)
        first = False


def _header_text(stream: _Stream, path: str | Path, *, first: bool) -> str | None:
    """All cards before END as text; None where no further unit begins."""
    block = stream.read(BLOCK)
    if first and block[:9] != b"SIMPLE  =":
        what = f"it begins with {block[:9]!r}" if block else "it is empty or damaged"
        raise DataError(f"{path} is no FITS file: {what}")
    if not first and block[:8] != b"XTENSION":
        # The end, or records of no meaning after the last unit.
        return None
    blocks: list[bytes] = []
    while len(blocks) < MAX_BLOCKS:
        end = _end_card(block)
        if end is not None:
            blocks.append(block[:end])
            return b"".join(blocks).translate(_ALLOWED).decode("ascii")
        if len(block) < BLOCK:
            raise DataError(f"{path} ends within a header, after {stream.position} bytes: copy it again")
        blocks.append(block)
        block = stream.read(BLOCK)
    raise DataError(f"{path} has a header without END: it is no FITS file")


def _end_card(block: bytes) -> int | None:
    """Where the END card stands in a block, None when it is not there."""
    found = block.find(b"END     ")
    while found >= 0 and found % CARD:
        found = block.find(b"END     ", found + 1)
    return found if found >= 0 else None


def _data_size(cards: Cards) -> int:
    """Bytes of data that a header promises (FITS standard 4.0, equations 1 and 2), without filling.

    Cards of the wrong type raise TypeError or ValueError.
    """
    naxis = _integer(cards, "NAXIS")
    bytes_per_value = abs(_integer(cards, "BITPIX")) // 8
    if naxis == 0:
        return 0
    axes = [_integer(cards, f"NAXIS{i}") for i in range(1, naxis + 1)]
    if axes[0] == 0 and cards.get("GROUPS") is True:
        del axes[0]
    groups = _integer(cards, "GCOUNT") if "GCOUNT" in cards else 1
    extra = _integer(cards, "PCOUNT") if "PCOUNT" in cards else 0
    size = bytes_per_value * groups * (extra + prod(axes))
    if size < 0:
        raise ValueError("negative size")
    return size


def _integer(cards: Cards, keyword: str) -> int:
    value = cards.get(keyword)
    if not isinstance(value, int):
        raise TypeError(keyword)
    return value


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _is_last_of_raw(units: list[Hdu]) -> bool:
    """Whether these are all units of a raw frame, as far as its instrument tells.

    Software that processes a frame leaves GEM-TLM behind; what it adds cannot be foretold.
    """
    primary = units[0].cards
    name = str(primary.get("INSTRUME", "")).upper()
    return "GEM-TLM" not in primary and name in available() and len(units) > load(name).raw_extensions


def _headers(units: list[Hdu], path: str | Path) -> Headers:
    primary = units[0].cards
    extensions = tuple(unit.cards for unit in units[1:] if _is_science(unit.cards))
    if len(units) == 1 and units[0].data_size:
        extensions = (primary,)
    return Headers(primary=primary, extensions=extensions, name=str(path))


def _is_science(cards: Cards) -> bool:
    """Whether an extension is a science plane: an image that is called SCI or has no name."""
    name = cards.get("EXTNAME")
    return cards.get("XTENSION") == "IMAGE" and (name is None or str(name).strip().upper() in ("", "SCI"))
