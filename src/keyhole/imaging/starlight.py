"""How much of the light of stars may differ between images without being an outlier."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._filters import maximum_in_box
from keyhole.imaging.bits import usable
from keyhole.imaging.combine import Middle
from keyhole.imaging.levels import lit_box
from keyhole.imaging.medians import median

__all__ = ["starlight"]

_SIGNIFICANT: Final = 3.0
"""Sigma of the median below which there is no star, but noise."""


def starlight(middle: Middle, *, reach: float) -> NDArray[np.float32]:
    """Brightest median of some images within a distance of each pixel.

    Bad seeing moves light of a star outwards: what a pixel may gain by it is a part of the light that is a few
    pixels further in, not of its own.

    Parameters
    ----------
    middle : Middle
        Median of images on one grid.
    reach : float
        Pixels, rounded, along each axis.

    Returns
    -------
    (ny, nx) float32
        0 where no significant light is that near. Changes its input: no.
    """
    light = np.zeros(middle.data.shape, np.float32)
    lit = usable(middle.mask)
    box = lit_box(lit)
    if not light[box].size:
        return light
    data, inside = middle.data[box], lit[box]
    bright = data - np.float32(median(data[inside]))
    bright[(bright < _SIGNIFICANT * np.sqrt(middle.variance[box])) | ~inside] = 0
    light[box] = maximum_in_box(bright, round(reach))
    return light
