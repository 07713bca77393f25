"""Planes of many images on the way to their combination: in memory or on disk, in bands and blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging.bits import MASK_DTYPE

__all__ = ["Band", "Planes", "RowReader", "bands", "block_of", "columns_of", "common_shape"]

_BLOCK_VALUES: Final = 1 << 19
"""Values per plane kind in one block of rows: 2 MB, so that a block stays in the processor's cache."""
_BAND_VALUES: Final = 1 << 23
"""Values per plane kind that are read at once from images that are not in memory: 32 MB."""


class RowReader(Protocol):
    """An image that is not in memory: gives the rows that are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Read some rows, (k, nx)."""
        ...


Planes = Sequence[NDArray[Any] | RowReader] | NDArray[Any]


def _shape(plane: NDArray[Any] | RowReader) -> tuple[int, ...]:
    """Shape without reading."""
    return plane.shape if hasattr(plane, "shape") else np.shape(plane)


def common_shape(data: Planes, variance: Planes | None, mask: Planes | None) -> tuple[int, int]:
    """The common shape of all planes; raise where any differs."""
    shapes = [_shape(plane) for plane in data]
    if not shapes:
        raise AlgorithmError("There is nothing to combine: the list of images is empty.")
    if len(set(shapes)) > 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        found = ", ".join(str(shape) for shape in dict.fromkeys(shapes))
        raise AlgorithmError(f"Only images of one shape (ny, nx) can be combined, these have {found}.")
    for what, others in (("variance", variance), ("mask", mask)):
        if others is not None and [_shape(plane) for plane in others] != shapes:
            found = ", ".join(str(shape) for shape in dict.fromkeys(_shape(plane) for plane in others))
            raise AlgorithmError(
                f"{len(others)} {what} planes of {found} do not fit {len(shapes)} images of {shapes[0]}."
            )
    return shapes[0][0], shapes[0][1]


class Band(NamedTuple):
    """Rows of all planes, in memory."""

    data: Planes
    variance: Planes | None
    mask: Planes | None

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(_shape(self.data[0])[0])

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """Blocks of rows, each with its first one."""
        step = max(1, _BLOCK_VALUES // (len(self.data) * _shape(self.data[0])[1]))
        for first in range(0, self.height, step):
            yield first, slice(first, min(first + step, self.height))


def bands(
    kinds: tuple[Planes, Planes | None, Planes | None], ny: int, nx: int, wanted: NDArray[np.bool_] | None = None
) -> Iterator[tuple[int, Band]]:
    """Everything at once if it is in memory; otherwise bands of rows, each file read once per band.

    Bands without any row that is `wanted`, (ny,), are not read.
    """
    if all(isinstance(plane, np.ndarray) for planes in kinds if planes is not None for plane in planes):
        yield 0, Band(*kinds)
        return
    step = max(1, _BAND_VALUES // (len(kinds[0]) * nx))
    # The same memory is used for all bands.
    room = [
        None if planes is None else np.empty((len(planes), min(step, ny), nx), dtype)
        for planes, dtype in zip(kinds, (np.dtype(np.float32), np.dtype(np.float32), np.dtype(MASK_DTYPE)), strict=True)
    ]
    for start in range(0, ny, step):
        rows = slice(start, min(start + step, ny))
        if wanted is not None and not wanted[rows].any():
            continue
        data, variance, mask = (_read(planes, rows, out) for planes, out in zip(kinds, room, strict=True))
        if data is not None:
            yield start, Band(data, variance, mask)


def _read(planes: Planes | None, rows: slice, room: NDArray[Any] | None) -> NDArray[Any] | None:
    """Rows of all planes, (n, rows, nx), in the memory given."""
    if planes is None or room is None:
        return None
    band = room[:, : rows.stop - rows.start]
    for part, plane in zip(band, planes, strict=True):
        part[...] = plane[rows]
    return band


def block_of(planes: Planes, rows: slice, dtype: type[np.generic]) -> NDArray[Any]:
    """Rows of all planes as an array of its own, (n, rows, nx)."""
    if isinstance(planes, np.ndarray):
        return np.array(planes[:, rows], dtype)
    height, nx = rows.stop - rows.start, _shape(planes[0])[1]
    block = np.empty((len(planes), height, nx), dtype)
    _read(planes, rows, block)
    return block


def columns_of(planes: Planes, rows: slice, index: NDArray[np.intp], dtype: type[np.generic]) -> NDArray[Any]:
    """Some pixels of rows of all planes as an array of its own, (n, number); `index` counts them row by row."""
    if isinstance(planes, np.ndarray):
        y, x = np.divmod(index, planes.shape[2])
        return np.asarray(planes[:, rows][:, y, x], dtype)
    return np.array([np.ravel(plane[rows]).take(index) for plane in planes], dtype)
