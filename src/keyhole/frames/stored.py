"""Planes of FITS files that stay where they are: read, in the numbers of this machine, where they are looked at.

A list of products that does not fit into memory need not be copied to be read by rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast, overload
from weakref import WeakSet, finalize

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InputError

if TYPE_CHECKING:
    from keyhole.frames.frame import Frame

__all__ = ["StoredFile", "StoredPlane", "StoredRows", "into_memory", "stored_plane"]

_MOST_OPEN: Final = 512
"""Many systems let a program have 1024 files open."""
_SIGN: Final = np.uint16(0x8000)
"""FITS has no unsigned numbers: they are stored less 32768."""


class StoredFile:
    """A file with planes, which must stay what it is.

    It stays open while fewer than `_MOST_OPEN` others are; beyond, it is opened whenever it is read.
    """

    _open: ClassVar[WeakSet[StoredFile]] = WeakSet()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = _identity(path.stat())
        self._file: FileIO | None = None

    def read(self, parts: Iterable[tuple[int, NDArray[Any]]]) -> None:
        """Fill each array with what lies from a byte on.

        Raises
        ------
        InputError
            The file is gone or not the same any more.
        """
        try:
            file = self._file or self._opened()
            try:
                descriptor = file.fileno()
                for start, room in parts:
                    if _read_at(file, descriptor, start, room) != room.nbytes:
                        raise _changed(self.path)
            finally:
                if file is not self._file:
                    file.close()
        except OSError as error:
            raise _changed(self.path) from error

    def _opened(self) -> FileIO:
        file = FileIO(self.path)
        if _identity(os.fstat(file.fileno())) != self._identity:
            file.close()
            raise _changed(self.path)
        if len(self._open) < _MOST_OPEN:
            self._open.add(self)
            self._file = file
            finalize(self, file.close)
        return file


class StoredRows:
    """A plane, or a box of it, that is read row by row (a `keyhole.imaging.combine.RowReader`).

    Rows come in the byte order of the file where they are floats, which is turned when they are put to use.
    """

    def __init__(self, plane: StoredPlane, rows: slice, columns: slice) -> None:
        self._plane, self._rows, self._columns = plane, range(plane.shape[0])[rows], range(plane.shape[1])[columns]
        self.shape: tuple[int, ...] = (len(self._rows), len(self._columns))

    @overload
    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, part: tuple[slice, slice], /) -> StoredRows: ...

    def __getitem__(self, part: slice | tuple[slice, slice], /) -> NDArray[Any] | StoredRows:
        """Rows as an array; a box of the plane as another one to be read."""
        if isinstance(part, tuple):
            rows, columns = part
            return StoredRows(self._plane, _as_slice(self._rows[rows]), _as_slice(self._columns[columns]))
        return self._plane.rows(self._rows[part])[:, _as_slice(self._columns)]


class StoredPlane:
    """A plane of a FITS file in place of an array: what is asked for is read, as a new array.

    It has the shape, type and indices of an array, and `numpy.asarray` reads it whole; it knows no arithmetic. Only
    steps that say so (``by_rows``) are given frames with such planes.

    Parameters
    ----------
    file : StoredFile
        Not compressed.
    start : int
        Place of the first byte.
    shape : (ny, nx)
    dtype : float32 or uint16
        Of the values as they are read; uint16 is stored less 32768.
    """

    ndim: Final = 2

    def __init__(self, file: StoredFile, start: int, shape: tuple[int, int], dtype: type[np.generic]) -> None:
        self._file, self._start = file, start
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.size = shape[0] * shape[1]
        self.nbytes = self.size * self.dtype.itemsize

    def rows(self, rows: range) -> NDArray[Any]:
        """Whole rows; floats in the byte order of the file."""
        nx, width = self.shape[1], self.dtype.itemsize
        room = np.empty((len(rows), nx), self.dtype.newbyteorder(">"))
        if rows.step == 1:
            self._file.read([(self._start + rows.start * nx * width, room)])
        else:
            self._file.read((self._start + row * nx * width, some) for row, some in zip(rows, room, strict=True))
        return room if self.dtype.kind == "f" else room.astype(self.dtype) ^ _SIGN

    def by_rows(self) -> StoredRows:
        """The plane as steps read it that go through all frames row by row."""
        return StoredRows(self, slice(None), slice(None))

    def __getitem__(self, part: Any, /) -> NDArray[Any]:
        """A part of the plane, in the numbers of this machine."""
        rows, columns = part if isinstance(part, tuple) else (part, slice(None))
        if not isinstance(rows, slice):
            return np.asarray(np.asarray(self)[part])
        return np.ascontiguousarray(self.rows(range(self.shape[0])[rows])[:, columns], self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The whole plane."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]


def stored_plane(file: StoredFile, start: int, shape: tuple[int, int], dtype: type[np.generic]) -> NDArray[Any]:
    """A `StoredPlane`, typed as the array that it stands for."""
    return cast("NDArray[Any]", StoredPlane(file, start, shape, dtype))


def into_memory(frame: Frame) -> None:
    """Read the planes of a frame that were left in its file. Changes `frame`."""
    frame.data = np.asarray(frame.data)
    frame.variance = None if frame.variance is None else np.asarray(frame.variance)
    frame.mask = None if frame.mask is None else np.asarray(frame.mask)


def _read_at(file: FileIO, descriptor: int, start: int, room: NDArray[Any]) -> int | None:
    """Fill an array with the bytes from a place on, in one system call where there is such; returns their number."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [room.data], start)
    file.seek(start)
    return file.readinto(room.data.cast("B"))


def _as_slice(part: range) -> slice:
    return slice(part.start, part.stop, part.step)


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _changed(path: Path) -> InputError:
    return InputError(f"{path}: the file was changed or removed while it was in use; run again")
