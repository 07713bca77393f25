"""Rows of an image that are computed together, so that what is computed on the way stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["row_blocks"]


def row_blocks(shape: tuple[int, ...], pixels: int) -> Iterator[slice]:
    """All rows of an image, in blocks of about so many pixels, at least one row each.

    Parameters
    ----------
    shape : (ny, nx)
    pixels : int
    """
    step = max(pixels // max(shape[1], 1), 1)
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))
