"""Which way the axes of a detector point: what a header's matrix says against what is expected of it.

The columns of a matrix are the directions of +x and +y on the sky. Headers err by whole turns: both axes
reversed (a turn by 180 degrees), or one of them (a mirror image). Small angles are left to the header.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["AXIS_SIGNS", "expected_matrix", "reversal_words", "reversed_axes"]

AXIS_SIGNS: Final = ((1, 1), (-1, -1), (-1, 1), (1, -1))
"""Signs of the two axes: as they are, turned by 180 degrees, mirrored in x, mirrored in y."""

_WORDS: Final = {(-1, -1): "turned by 180 degrees", (-1, 1): "mirrored in x", (1, -1): "mirrored in y"}

Float64 = NDArray[np.float64]
Signs = tuple[int, int]


def expected_matrix(x_axis: float, pixel_scale: float, *, mirrored: bool = False) -> Float64:
    """Matrix of square pixels whose x axis has a given direction.

    Parameters
    ----------
    x_axis : float
        Position angle of +x, degrees from North over East.
    pixel_scale : float
        Arcsec per pixel.
    mirrored : bool
        Reverse +x: +y otherwise lies a quarter turn before it.

    Returns
    -------
    float64 array (2, 2)
        ``[[CD1_1, CD1_2], [CD2_1, CD2_2]]``, degrees per pixel.
    """
    along, across = np.radians([x_axis, x_axis - 90.0])
    x_direction = np.array([np.sin(along), np.cos(along)]) * (-1 if mirrored else 1)
    y_direction = np.array([np.sin(across), np.cos(across)])
    return np.asarray(np.column_stack([x_direction, y_direction]) * pixel_scale / 3600.0)


def reversed_axes(given: ArrayLike, expected: ArrayLike, *, tolerance: float) -> Signs | None:
    """Signs of the axes with which a matrix points where it is expected to.

    Parameters
    ----------
    given, expected : 2 x 2 array_like
        Matrices; the lengths of their columns do not count. Changes its input: no.
    tolerance : float
        Largest accepted angle between two axes, degrees.

    Returns
    -------
    pair of int or None
        One of `AXIS_SIGNS`, ``given * signs`` agrees with ``expected``; None when no reversal makes them
        agree.
    """
    first, second = np.asarray(given, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    cosine = (first * second).sum(axis=0) / (np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0))
    if not np.all(np.abs(cosine) >= np.cos(np.radians(tolerance))):
        return None
    return int(np.sign(cosine[0])), int(np.sign(cosine[1]))


def reversal_words(signs: Signs) -> str:
    """What was wrong with axes that need these signs."""
    return _WORDS.get(signs, "as expected")
