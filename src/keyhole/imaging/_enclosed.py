"""Small regions that others enclose: the holes of hidden saturation in the middle of bright stars."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["enclosed"]

Bool = NDArray[np.bool_]

_LARGEST_HOLE: Final = 10000
"""A larger region is no hole, in pixels."""

_HOLE_SIDE: Final = 150
"""Nor is one that reaches further than this, in pixels."""

_BY_HAND: Final = 400
"""Regions up to this size are walked pixel by pixel; labelling a window for each is slower, and loads scipy."""


class _Window(NamedTuple):
    """Rows and columns that a hole with its first pixel in the middle may reach: top, bottom, left, right."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, row: int, column: int, shape: tuple[int, ...]) -> _Window:
        return cls(
            max(row - _HOLE_SIDE, 0),
            min(row + _HOLE_SIDE, shape[0]),
            max(column - _HOLE_SIDE, 0),
            min(column + _HOLE_SIDE, shape[1]),
        )

    def is_left_at(self, row: int, column: int, shape: tuple[int, ...]) -> bool:
        """Whether a pixel lies on a side beyond which the image goes on; the edges of the image are walls."""
        return (
            (row == self.top > 0)
            or (row == self.bottom - 1 < shape[0] - 1)
            or (column == self.left > 0)
            or (column == self.right - 1 < shape[1] - 1)
        )

    def is_left_along(self, row: int, column: int, high: Bool) -> bool:
        """Whether the row of a pixel leads straight to the left or right side of the window, and the image goes on."""
        return (self.left > 0 and not high[row, self.left : column].any()) or (
            self.right < high.shape[1] and not high[row, column + 1 : self.right].any()
        )


def enclosed(high: Bool) -> Bool:
    """Small regions of False that True pixels and the edges of the image cut off from the rest.

    Parameters
    ----------
    high : (ny, nx) bool

    Returns
    -------
    (ny, nx) bool
        Regions (neighbours share a side) of at most 10000 pixels, and of half the image, that reach less than
        150 pixels from their first pixel.
    """
    holes = np.zeros_like(high)
    # Half of a small image is its background, not a hole.
    largest = min(_LARGEST_HOLE, high.size // 2)
    for row, column in _starts(high):
        if holes[row, column]:
            continue
        window = _Window.around(row, column, high.shape)
        region = _walked(high, row, column, window)
        if region is None:
            region = _labelled(high, row, column, window)
        if 0 < len(region) <= largest:
            holes[region[:, 0], region[:, 1]] = True
    return holes


def _starts(high: Bool) -> list[tuple[int, int]]:
    """Places with high pixels, or the edge, above and to the left, row by row: the first pixel of a hole is one."""
    # Most images have few high pixels: the places below them, and those of the first row.
    rows, columns = np.divmod(np.flatnonzero(high[:-1]), high.shape[1])
    rows = np.concatenate([np.zeros(high.shape[1], rows.dtype), rows + 1])
    columns = np.concatenate([np.arange(high.shape[1]), columns])
    start = ~high[rows, columns] & ((columns == 0) | high[rows, columns - 1])
    return list(zip(rows[start].tolist(), columns[start].tolist(), strict=True))


def _walked(high: Bool, row: int, column: int, window: _Window) -> NDArray[np.intp] | None:
    """Pixels of the region of a pixel, none if it leaves the window; None: it is too large to be walked."""
    seen = {(row, column)}
    waiting = [(row, column)]
    ny, nx = high.shape
    while waiting:
        y, x = waiting.pop()
        if window.is_left_at(y, x, high.shape) or window.is_left_along(y, x, high):
            return np.empty((0, 2), np.intp)
        for place in ((y + 1, x), (y, x + 1), (y - 1, x), (y, x - 1)):
            if 0 <= place[0] < ny and 0 <= place[1] < nx and place not in seen and not high[place]:
                seen.add(place)
                waiting.append(place)
        if len(seen) > _BY_HAND:
            return None
    return np.array(sorted(seen), np.intp)


def _labelled(high: Bool, row: int, column: int, window: _Window) -> NDArray[np.intp]:
    """The same for a region of any size, by labelling the window."""
    from scipy import ndimage  # slow to load and rarely needed

    top, bottom, left, right = window
    labels, _ = ndimage.label(~high[top:bottom, left:right])
    hole = labels == labels[row - top, column - left]
    leaks = (
        (top > 0 and hole[0].any())
        or (bottom < high.shape[0] and hole[-1].any())
        or (left > 0 and hole[:, 0].any())
        or (right < high.shape[1] and hole[:, -1].any())
    )
    return np.empty((0, 2), np.intp) if leaks else np.argwhere(hole) + np.array([top, left])
