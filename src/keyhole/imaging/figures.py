"""Figures by which a reduction is judged: what the sky left, how flat the background is, how deep an image goes.

All are robust: medians, and scatters from the median of absolute deviations, between the stars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.levels import lit_box

__all__ = ["Background", "Growth", "Tiles", "background_left", "background_tiles", "limiting_flux", "noise_growth"]

_SIGMA_PER_MAD: Final = 1.4826
_MEDIAN_ERROR: Final = math.sqrt(math.pi / 2)
"""Error of a median over that of a mean, normal noise."""
_FULL_ENOUGH: Final = 0.5
"""Share of a cell or tile that must be seen."""
_FEWEST_CELLS: Final = 30
_MOST_POINTS: Final = 40

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


class Background(NamedTuple):
    """Background of an image between its stars.

    Attributes
    ----------
    level, error : float
        Median, and its error if the pixels are independent; NaN without pixels.
    noise : float
        Robust scatter of one pixel.
    n : int
        Pixels that were looked at.
    """

    level: float
    error: float
    noise: float
    n: int


class Tiles(NamedTuple):
    """Background in squares side by side.

    Attributes
    ----------
    x, y : (k,) float64
        0-based middle of each square, pixels.
    level, error : (k,) float64
        Median of each square, and the error that the noise gives it.
    rms : float
        Scatter of the levels about their mean; NaN with fewer than two squares.
    expected : float
        The scatter that noise alone gives them.
    """

    x: Float64
    y: Float64
    level: Float64
    error: Float64
    rms: float
    expected: float


class Growth(NamedTuple):
    """Noise of the mean of the first N frames.

    Attributes
    ----------
    number : (k,) intp
        N.
    noise : (k,) float64
        Noise measured in cells of the mean, as that of one pixel.
    expected : (k,) float64
        What independent frames would leave.
    """

    number: NDArray[np.intp]
    noise: Float64
    expected: Float64


def background_left(data: NDArray[Any], quiet: Bool) -> Background:
    """Level and noise of the pixels between the stars.

    Parameters
    ----------
    data : (ny, nx)
        Any unit. Changes its input: no.
    quiet : (ny, nx) bool
        True on usable pixels without stars.
    """
    values = data[quiet]
    if not values.size:
        return Background(math.nan, math.nan, math.nan, 0)
    level, noise = _median_and_scatter(values)
    return Background(level, _MEDIAN_ERROR * noise / math.sqrt(values.size), noise, int(values.size))


def background_tiles(data: NDArray[Any], quiet: Bool, *, size: int, correlation: float = 1.0) -> Tiles:
    """Background in squares, to be held against what the noise allows.

    Parameters
    ----------
    data : (ny, nx)
        Any unit. Changes its input: no.
    quiet : (ny, nx) bool
        True on usable pixels without stars.
    size : int
        Side of a square, pixels. Squares that are seen by less than half are left out.
    correlation : float
        Noise of a wide area over that which its pixels would have if they were independent.
    """
    rows, columns = lit_box(quiet)
    noise = background_left(data, quiet).noise
    found = []
    for y in range(rows.start, rows.stop, size):
        for x in range(columns.start, columns.stop, size):
            part = np.s_[y : y + size, x : x + size]
            seen = quiet[part]
            number = int(np.count_nonzero(seen))
            if number >= _FULL_ENOUGH * size * size:
                middle = (size - 1) / 2
                error = _MEDIAN_ERROR * correlation * noise / math.sqrt(number)
                found.append((x + middle, y + middle, float(np.median(data[part][seen])), error))
    table: Float64 = np.array(found, dtype=np.float64).reshape(-1, 4)
    x_middle, y_middle, level, errors = (table[:, k] for k in range(4))
    rms = float(level.std(ddof=1)) if len(found) > 1 else math.nan
    expected = float(np.sqrt((errors**2).mean())) if len(found) > 1 else math.nan
    return Tiles(x_middle, y_middle, level, errors, rms, expected)


def limiting_flux(noise: float, radius: float, *, correlation: float = 1.0, significance: float = 5.0) -> float:
    """Light within a circle that is so many times its noise.

    Parameters
    ----------
    noise : float
        Of one pixel between the stars.
    radius : float
        Of the circle, pixels.
    correlation : float
        Noise of such a circle over that of independent pixels.
    significance : float
        Signal to noise.
    """
    return significance * correlation * noise * math.sqrt(math.pi) * radius


def noise_growth(
    frames: Iterable[NDArray[Any]],
    usables: Iterable[Bool],
    quiet: Bool,
    *,
    weights: Sequence[float],
    cell: int = 4,
) -> Growth:
    """Noise of the mean of the first 1, 2, 3, ... frames, against that of independent frames.

    Interpolation hides noise of single pixels in their neighbours, so that it is measured in cells of some pixels,
    and given as that of a pixel whose neighbours are independent. What exceeds the expectation is common to the
    frames: left-over sky, errors of the flat, unseen stars.

    Parameters
    ----------
    frames : n arrays (ny, nx)
        On one grid, background subtracted. Looked at one by one. Changes its input: no.
    usables : n bool arrays (ny, nx)
        True where a pixel is usable.
    quiet : (ny, nx) bool
        True where no frame shows a star.
    weights : n floats
        Weight of each frame in the mean.
    cell : int
        Side of a cell, pixels.
    """
    box = lit_box(quiet)
    ny, nx = (max(0, (part.stop - part.start) // cell) for part in box)
    inside = quiet[box]

    def summed(plane: Float64) -> Float64:
        return np.asarray(plane[: ny * cell, : nx * cell].reshape(ny, cell, nx, cell).sum(axis=(1, 3)))

    chosen = set(_steps(len(weights)))
    total, seen, weight, variance = np.zeros((ny, nx)), np.zeros((ny, nx)), 0.0, 0.0
    number, noise, expected = [], [], []
    for k, (data, usable, own) in enumerate(zip(frames, usables, weights, strict=True), start=1):
        good = usable[box] & inside
        light, area = summed(np.where(good, data[box], 0.0)), summed(good.astype(np.float64))
        variance += own**2 * _cell_noise(light, area, cell) ** 2
        total, seen, weight = total + own * light, seen + own * area, weight + own
        if k in chosen:
            number.append(k)
            noise.append(_cell_noise(total / weight, seen / weight, cell))
            expected.append(math.sqrt(variance) / weight)
    return Growth(np.array(number, np.intp), np.array(noise), np.array(expected))


def _cell_noise(light: Float64, area: Float64, cell: int) -> float:
    """Noise of one pixel from sums over cells of which `area` pixels are seen; NaN with too few cells."""
    full = area >= _FULL_ENOUGH * cell * cell
    if np.count_nonzero(full) < _FEWEST_CELLS:
        return math.nan
    return _median_and_scatter(light[full] / np.sqrt(area[full]))[1]


def _steps(n: int) -> list[int]:
    """Numbers of frames to look at: all, or some that lie evenly on a logarithmic scale."""
    if n <= _MOST_POINTS:
        return list(range(1, n + 1))
    return sorted({round(value) for value in np.geomspace(1, n, _MOST_POINTS)})


def _median_and_scatter(values: NDArray[Any]) -> tuple[float, float]:
    middle = np.median(values)
    return float(middle), _SIGMA_PER_MAD * float(np.median(np.abs(values - middle)))
