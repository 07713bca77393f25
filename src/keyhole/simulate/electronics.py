"""What the electronics add to single frames: the pattern, the rows and the offset that change from one to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.array import quadrants, tile_pattern
from keyhole.simulate.options import NightOptions
from keyhole.simulate.streams import stream

__all__ = ["changing_offsets"]

# Change of the offset from frame to frame, electrons per square root of coadds.
_PEDESTAL_JITTER = 0.5
# Share of the quadrants in which the pattern of a frame starts or stops somewhere between the rows.
_BROKEN_SHARE = 0.3
# The odd rows move against the even ones by this part of the spread of single rows.
_PARITY_PART = 0.5


def changing_offsets(
    shape: tuple[int, int], *, seed: int, serial: int, coadds: int, options: NightOptions
) -> NDArray[np.float32]:
    """Draw what the electronics add to one frame beyond what is fixed, electrons summed over the coadds.

    Every coadd has its own, so that the sum grows with the square root of their number.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    seed, serial, coadds : int
        Of the night and of the frame.
    options : NightOptions
        Says which effects exist.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    root = float(np.sqrt(coadds))
    added = np.zeros(shape, np.float32)
    if options.has("pattern"):
        added += tile_pattern(shape, stream(seed, "tile", serial), options.pattern_noise * root)
        if options.has("pattern-breaks"):
            _break(added, stream(seed, "pattern breaks", serial))
    if options.has("row-noise"):
        added += _rows(shape, stream(seed, "rows", serial), options.row_noise * root)
    if options.has("pedestal"):
        added += np.float32(_PEDESTAL_JITTER * root * stream(seed, "offset", serial).standard_normal())
    return added


def _break(pattern: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Take the pattern away below or above some row of some quadrants. Changes `pattern`."""
    for rows, columns in quadrants((pattern.shape[0], pattern.shape[1])):
        broken, place, below = rng.random() < _BROKEN_SHARE, rng.uniform(0.2, 0.8), rng.random() < 0.5
        if broken:
            row = rows.start + int(place * (rows.stop - rows.start))
            pattern[slice(rows.start, row) if below else slice(row, rows.stop), columns] = 0


def _rows(shape: tuple[int, int], rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
    """Offset of every row in each quadrant, and of the odd rows against the even ones."""
    added = np.empty(shape, np.float32)
    for rows, columns in quadrants(shape):
        odd = np.arange(rows.start, rows.stop) % 2 - 0.5
        step = _PARITY_PART * spread * rng.standard_normal()
        offsets = spread * rng.standard_normal(rows.stop - rows.start) + step * odd
        added[rows, columns] = offsets[:, None]
    return added
