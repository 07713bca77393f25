"""Planes of many frames kept on disk, so that memory does not grow with their number.

A parked frame has the same planes as before, read-only and mapped from a file that has no name any more: whatever
happens to the program, nothing is left on the disk. The system reads what is looked at; what was read is given back
as soon as it is more than a part of the budget.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import SetupError
from keyhole.frames.frame import Frame
from keyhole.frames.stored import StoredPlane, StoredRows

__all__ = ["Parking", "RowsOnDisk", "by_rows", "bytes_of"]

_LOOK_EVERY = 0.005  # seconds
# Pages that were read stay in memory up to that, or up to the budget if it is less.
_MOST_READ = 64_000_000
_LEAST_READ = 16_000_000
_SHARED = 32_000_000
"""Bytes from which on a file takes no further frame."""
_PAGE = mmap.PAGESIZE
# Memory of this process that is mapped from files, in pages; only Linux tells it.
_STATM = Path("/proc/self/statm")


class Parking:
    """A place on disk for the planes of frames; nothing is done while they fit into the budget.

    Use as a context manager: at the end the watch over the memory stops.

    Parameters
    ----------
    folder : Path
        Where the files are made; there must be room for the planes.
    budget : int
        Bytes that planes, and what steps need beside them, may take in memory.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.budget = budget
        # Libraries are mapped, too.
        self._most_mapped = _mapped() + max(min(budget, _MOST_READ), _LEAST_READ)
        self._folder = folder
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._keeper: threading.Thread | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Parking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._done.set()
        if self._keeper is not None:
            self._keeper.join()

    def wanted(self, frame: Frame, n_frames: int) -> bool:
        """Whether so many frames like this one are more than the budget, with what the steps on them need.

        Steps compare frames that are cut to their light, and hold up to three times as much again for that. Whole
        frames, darks and flats, are combined row by row.
        """
        needed = bytes_of(frame) * (1 if frame.window is None else 4)
        return needed * n_frames > self.budget

    def park(self, frame: Frame) -> None:
        """Move the planes of a frame to disk, but those that are in a file already. Changes `frame`.

        Raises
        ------
        SetupError
            There is no room, or the folder cannot be written.
        """
        planes = [plane for plane in _planes(frame) if plane.size and not _is_on_disk(plane)]
        if not planes:
            return
        held = self._write(planes)
        parked = {id(plane): part for plane, part in zip(planes, held, strict=True)}
        frame.data = parked.get(id(frame.data), frame.data)
        frame.variance = None if frame.variance is None else parked.get(id(frame.variance), frame.variance)
        frame.mask = None if frame.mask is None else parked.get(id(frame.mask), frame.mask)
        frame.planes = {name: parked.get(id(plane), plane) for name, plane in frame.planes.items()}
        self._watch()

    def _write(self, planes: list[NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            file = self._open()
            begin = -(-file.tell() // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
            file.seek(begin)
            starts = []
            for plane in planes:
                starts.append(_aligned(file) - begin)
                file.write(np.ascontiguousarray(plane).data.cast("B"))
            file.flush()
            mapped = mmap.mmap(file.fileno(), file.tell() - begin, access=mmap.ACCESS_READ, offset=begin)
        except OSError as error:
            self._close()
            raise _no_room(self._folder, error) from error
        with self._lock:
            self._maps.add(mapped)
        return [
            np.frombuffer(mapped, plane.dtype, plane.size, start).reshape(plane.shape)
            for plane, start in zip(planes, starts, strict=True)
        ]

    def _open(self) -> IO[bytes]:
        """The file for the next frame: several share one, as making it takes longer than writing a small frame.

        Its room on disk is free when the last of them is gone.
        """
        if self._file is not None and self._file.tell() >= _SHARED:
            self._close()
        if self._file is None:
            import tempfile  # and with it what packs files; most runs park nothing

            self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".keyhole-", suffix=".part")  # noqa: SIM115
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            # What is still to be written of a frame that found no room is not wanted.
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def _watch(self) -> None:
        if self._keeper is None and _STATM.exists() and hasattr(mmap, "MADV_DONTNEED"):
            self._keeper = threading.Thread(target=self._keep, name="keyhole-memory", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        while not self._done.wait(_LOOK_EVERY):
            self.breathe()

    def breathe(self) -> None:
        """Give back pages that were read, if they are more than may stay."""
        if self._keeper is None or _mapped() <= self._most_mapped:
            return
        with self._lock:
            maps = list(self._maps)
        for mapped in maps:
            # A frame that is gone by now has closed its map.
            with contextlib.suppress(ValueError):
                mapped.madvise(mmap.MADV_DONTNEED)


def _mapped() -> int:
    """Bytes of files in the memory of this process; 0 where the system does not tell."""
    return int(_STATM.read_bytes().split()[2]) * _PAGE if _STATM.exists() else 0


class RowsOnDisk:
    """A plane on disk that is read row by row; what was read is copied, and its pages are given back.

    Parameters
    ----------
    plane : (ny, nx) ndarray
        Mapped from a file, or a part of such a plane.
    mapped : mmap
        The map that it is part of.
    """

    def __init__(self, plane: NDArray[Any], mapped: mmap.mmap) -> None:
        self._plane, self._mapped = plane, mapped
        self.shape: tuple[int, ...] = plane.shape
        self.dtype = plane.dtype

    @overload
    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, part: tuple[slice, slice], /) -> RowsOnDisk: ...

    def __getitem__(self, part: slice | tuple[slice, slice], /) -> NDArray[Any] | RowsOnDisk:
        """Rows as an array; a box of the plane as another plane on disk."""
        if isinstance(part, tuple):
            return RowsOnDisk(self._plane[part], self._mapped)
        rows = np.array(self._plane[part])
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)
        return rows


def by_rows(plane: NDArray[Any] | StoredPlane) -> NDArray[Any] | RowsOnDisk | StoredRows:
    """A plane on disk in a form that is read row by row; one in memory as it is."""
    if isinstance(plane, StoredPlane):
        return plane.by_rows()
    mapped = _map_of(plane)
    return plane if mapped is None else RowsOnDisk(plane, mapped)


def bytes_of(frame: Frame) -> int:
    """Memory that the planes of a frame take."""
    return sum(plane.nbytes for plane in _planes(frame))


def _planes(frame: Frame) -> Iterable[NDArray[Any]]:
    for plane in (frame.data, frame.variance, frame.mask, *frame.planes.values()):
        if plane is not None:
            yield plane


def _is_on_disk(plane: NDArray[Any] | StoredPlane) -> bool:
    return isinstance(plane, StoredPlane) or _map_of(plane) is not None


def _map_of(plane: NDArray[Any]) -> mmap.mmap | None:
    """The map that a plane is part of; None for one in memory."""
    base: Any = plane
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    held = base.obj if isinstance(base, memoryview) else base
    return held if isinstance(held, mmap.mmap) else None


def _aligned(file: IO[bytes]) -> int:
    """Move to a place where any type may begin."""
    start = -(-file.tell() // 64) * 64
    file.seek(start)
    return start


def _no_room(folder: Path, error: OSError) -> SetupError:
    where = folder.resolve()
    if error.errno == errno.ENOSPC:
        return SetupError(
            f"the disk of {where} is full: frames that do not fit into memory are kept there; free some space, or "
            "allow more memory with --memory"
        )
    return SetupError(f"{where}: frames that do not fit into memory cannot be kept there ({error.strerror or error})")
