"""A FITS file whose pixels and MD5 sum are taken in one reading."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["CheckedFile", "file_md5"]

_BLOCK: Final = 1 << 18
"""Bytes that are read, added to the sum and put in order while they are in the cache."""


def file_md5(path: Path | str) -> str:
    """MD5 sum of a file as it lies on disk, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, _md5).hexdigest()


def _md5() -> Any:
    """Begin a sum; it tells one file from another and protects nothing."""
    return hashlib.md5(usedforsecurity=False)


class CheckedFile:
    """A file from which numbers are taken, in any order; from front to back the sum costs no second reading.

    Parameters
    ----------
    path : Path
    summed : bool
        Whether `checksum` will be asked for.

    Raises
    ------
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: Path, *, summed: bool = False) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._sum = _md5() if summed else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fill(self, start: int, values: NDArray[Any]) -> None:
        """Take numbers as FITS holds them, the highest byte first, into the byte order of this machine.

        Parameters
        ----------
        start : int
            Where they begin in the file.
        values : contiguous array of any shape, native byte order
            **Changed**.

        Raises
        ------
        EOFError
            The file ends before.
        """
        self._go_to(start)
        flat = values.reshape(-1)
        turned = flat.dtype.newbyteorder(">") != flat.dtype
        step = max(1, _BLOCK // flat.itemsize)
        for first in range(0, flat.size, step):
            block = flat[first : first + step]
            self._take(block)
            if turned:
                block.byteswap(inplace=True)

    def checksum(self) -> str:
        """MD5 sum of the whole file, in hexadecimal."""
        if self._sum is None:
            return file_md5(self._path)
        while block := self._file.read(_BLOCK):
            self._sum.update(block)
        return str(self._sum.hexdigest())

    def _go_to(self, start: int) -> None:
        here = self._file.tell()
        if self._sum is not None and start >= here:
            self._take(np.empty(start - here, np.uint8))
        else:
            self._sum = None
            self._file.seek(start)

    def _take(self, room: NDArray[Any]) -> None:
        """Fill an array with the bytes that follow, and add them to the sum."""
        left = room.view(np.uint8)
        while left.size:
            count = self._file.readinto(left.data)
            if not count:
                raise EOFError("it ends too early")
            left = left[count:]
        if self._sum is not None:
            self._sum.update(room)
