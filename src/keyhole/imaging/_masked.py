"""Planes with nothing where a mask says so, faster than a choice pixel by pixel."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chosen", "number_true", "zero_all_except", "zero_except"]

_FEW: Final = 0.02
"""Part of the values up to which they are looked up one by one."""


class Chosen(NamedTuple):
    """Some pixels of a plane, as a mask (ny, nx) and as flat indices."""

    mask: NDArray[np.bool_]
    places: NDArray[np.intp]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Chosen:
        """Find the places."""
        return cls(mask, np.flatnonzero(mask))

    @property
    def few(self) -> bool:
        """Whether it is faster to look at them one by one than at all pixels."""
        return self.places.size < _FEW * self.mask.size

    def put(self, plane: NDArray[Any], value: float) -> None:
        """Give them a value in a contiguous plane of the same shape. Changes `plane`."""
        if self.few:
            plane.reshape(-1)[self.places] = value
        else:
            np.copyto(plane, plane.dtype.type(value), where=self.mask)


def zero_except(values: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Set values to 0 where they are not kept, whatever they are there; all of their bits are cleared.

    Equal to ``np.copyto(values, 0, where=~kept)`` in a tenth of the time.

    Parameters
    ----------
    values : float32 array of any shape
        **Changed**.
    kept : bool array of the same shape

    Returns
    -------
    float32 array
        The same array.
    """
    if values.flags.c_contiguous:
        number = kept.size - np.count_nonzero(kept)
        if number < _FEW * kept.size:
            if number:
                values.reshape(-1)[np.flatnonzero(~kept)] = 0
            return values
    bits = values.view(np.int32)
    np.bitwise_and(bits, np.negative(kept.view(np.int8)).astype(np.int32), out=bits)
    return values


def number_true(mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """How many of each column of a contiguous (n, ...) mask are True.

    Equal to ``np.count_nonzero(mask, axis=0)`` in a tenth of the time.
    """
    if len(mask) < 256:
        return np.asarray(np.add.reduce(mask.view(np.uint8), axis=0, dtype=np.uint8), np.int16)
    return np.asarray(np.count_nonzero(mask, axis=0), np.int16)


def zero_all_except(kept: NDArray[np.bool_], *planes: NDArray[np.float32] | NDArray[np.uint16] | None) -> None:
    """Do the same to several planes of 4 or 2 bytes per value; None is passed over.

    Parameters
    ----------
    kept : bool array of any shape
    planes : float32 or uint16 arrays of the same shape
        **Changed**.
    """
    ones = np.negative(kept.view(np.int8))
    masks: dict[int, NDArray[np.int16] | NDArray[np.int32]] = {}
    for plane in planes:
        if plane is None:
            continue
        size = plane.dtype.itemsize
        if size not in masks:
            masks[size] = ones.astype(f"i{size}")
        bits = plane.view(f"i{size}")
        np.bitwise_and(bits, masks[size], out=bits)
