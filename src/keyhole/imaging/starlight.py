"""How much of the light of stars may differ between images without being an outlier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._filters import maximum_in_box
from keyhole.imaging.bits import usable
from keyhole.imaging.combine import RowReader, combine
from keyhole.imaging.levels import lit_box
from keyhole.imaging.medians import median

__all__ = ["Starlight", "starlight"]

_SIGNIFICANT: Final = 3.0
"""Sigma of the median below which there is no star, but noise."""


class Starlight(NamedTuple):
    """Light of stars, and the image it was seen in.

    Attributes
    ----------
    light : (ny, nx) float32
        Brightest median within reach; 0 where no significant light is that near.
    median : (ny, nx) float32
        Of the images, NaN outside of the box of the pixels that are lit in any of them.
    """

    light: NDArray[np.float32]
    median: NDArray[np.float32]


class BoxReader(RowReader, Protocol):
    """An image that is not in memory, and can be cut before it is read."""

    @overload
    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, part: tuple[slice, slice], /) -> BoxReader: ...


def starlight(
    data: Sequence[NDArray[Any] | BoxReader],
    variance: Sequence[NDArray[Any] | BoxReader] | None,
    mask: Sequence[NDArray[np.uint16] | BoxReader] | None,
    *,
    reach: float,
) -> Starlight:
    """Brightest median of some images on one grid within a distance of each pixel.

    Bad seeing moves light of a star outwards: what a pixel may gain by it is a part of the light that is a few
    pixels further in, not of its own.

    Parameters
    ----------
    data, variance, mask : n planes (ny, nx)
        As for `keyhole.imaging.combine.combine`; those not in memory can be cut to a box, too.
    reach : float
        Pixels, rounded, along each axis.

    Returns
    -------
    Starlight
        Changes its input: no.
    """
    shape = data[0].shape
    light = np.zeros(shape, np.float32)
    known = np.full(shape, np.nan, np.float32)
    box = _common_box(shape, mask)
    if not known[box].size:
        return Starlight(light, known)
    middle = combine(
        [plane[box] for plane in data],
        None if variance is None else [plane[box] for plane in variance],
        None if mask is None else [plane[box] for plane in mask],
        operation="median",
        reject_method="none",
    )
    lit = usable(middle.mask)
    if not lit.any():
        return Starlight(light, known)
    bright = middle.data - np.float32(median(middle.data[lit]))
    bright[(bright < _SIGNIFICANT * np.sqrt(middle.variance)) | ~lit] = 0
    light[box] = maximum_in_box(bright, round(reach))
    known[box] = middle.data
    return Starlight(light, known)


def _common_box(shape: tuple[int, ...], mask: Sequence[NDArray[np.uint16] | BoxReader] | None) -> tuple[slice, slice]:
    """The box of all pixels that are usable in any image; no further ones are read once it is the whole."""
    lit = np.full(shape, mask is None)
    for plane in mask or ():
        lit |= usable(plane[:])
        if lit[0].any() and lit[-1].any() and lit[:, 0].any() and lit[:, -1].any():
            break
    return lit_box(lit)
