"""Quality bits: what is wrong with a pixel, one bit per reason, zero when it is good.

The values are those of the Gemini data products, so that masks can be exchanged. Non-linear and saturated
pixels stay usable: the core of a bright star is saturated in every frame, and a hole in its place would help
nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BAD",
    "COSMIC_RAY",
    "MASK_DTYPE",
    "NONLINEAR",
    "NO_DATA",
    "OVERLAP",
    "SATURATED",
    "UNILLUMINATED",
    "UNUSABLE",
    "any_of",
    "any_set",
    "usable",
]

MASK_DTYPE: Final = np.uint16

BAD: Final = 1
NONLINEAR: Final = 2
SATURATED: Final = 4
COSMIC_RAY: Final = 8
NO_DATA: Final = 16
OVERLAP: Final = 32
UNILLUMINATED: Final = 64

UNUSABLE: Final = 0xFFFF & ~(NONLINEAR | SATURATED)
"""Every bit that makes a pixel unusable: all but non-linear and saturated."""


def usable(mask: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Pixels whose value can be used: no bit set other than non-linear or saturated.

    Parameters
    ----------
    mask : uint16 array of any shape
        Quality bits.

    Returns
    -------
    bool array of the same shape
        True where the pixel can be used.
    """
    return np.asarray((mask & MASK_DTYPE(UNUSABLE)) == 0)


def any_of(masks: Sequence[NDArray[np.uint16]] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Bits that a pixel has in any of several masks.

    Parameters
    ----------
    masks : n planes (ny, nx) uint16, n > 0

    Returns
    -------
    (ny, nx) uint16
    """
    found = np.array(masks[0], MASK_DTYPE)
    for mask in masks[1:]:
        np.bitwise_or(found, mask, out=found)
    return found


def any_set(mask: NDArray[np.uint16], flags: int) -> bool:
    """Whether any pixel has any of these bits, without a plane of intermediate results."""
    return bool(int(np.bitwise_or.reduce(mask, axis=None)) & flags)
