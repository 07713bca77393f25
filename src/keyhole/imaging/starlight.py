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
    lit = np.full(shape, mask is None)
    for plane in mask or ():
        lit |= usable(plane[:])
    light = np.zeros(shape, np.float32)
    box = lit_box(lit)
    known = np.full(shape, np.nan, np.float32)
    if not lit[box].any():
        return Starlight(light, known)
    middle = combine(
        [plane[box] for plane in data],
        None if variance is None else [plane[box] for plane in variance],
        None if mask is None else [plane[box] for plane in mask],
        operation="median",
        reject_method="none",
    )
    level = np.float32(np.median(middle.data[lit[box]]))
    bright = middle.data - level
    bright[(bright < _SIGNIFICANT * np.sqrt(middle.variance)) | ~usable(middle.mask)] = 0
    light[box] = maximum_in_box(bright, round(reach))
    known[box] = middle.data
    return Starlight(light, known)
