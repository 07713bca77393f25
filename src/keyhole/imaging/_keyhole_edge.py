"""Reading the place of the keyhole off its edge, for the usual case that it lies near where it is expected.

Along a strip that crosses the edge at right angles, the number of lit pixels tells where the edge is: each
pixel more is a pixel that the edge lies further out. So the sum of (measured - expected) light over a band on
both sides of the outline is the displacement of the edge, and three numbers (two displacements, each weighted
with the direction of the edge, and the overlap of both) give the displacement of the whole shape by least
squares. The light is cut to the range between three eighths and five eighths, so that stars, response and
slopes of the sky on the bright side, and hot pixels on the dark one, do not count.

What depends on the outline alone is computed once per whole pixel of its place and kept: the frames of a night
share it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._keyhole_outline import OutlineModel
from keyhole.imaging.noise import clipped_median_sigma

__all__ = ["EdgeFit", "fit_edge"]

_COARSE_PX: Final = 24.0
"""Width of the band, on each side, in which the edge is looked for at first; a quarter of its pixels per axis."""
_COARSE_STEP: Final = 4
_FINE_PX: Final = (7.0, 4.0, 3.0)
"""Widths of the band, on each side, in the passes that follow."""
_DEEP_PX: Final = 6.0
"""What is further from the edge shows the level of the lit and of the dark side."""
_AROUND_PX: Final = 60.0
_SAMPLE: Final = 4000
_FEWEST: Final = 50
_PASSES: Final = 4
_STEP_PX: Final = 0.25
_CUT: Final = 0.125
"""Light is cut at half the light plus and minus this part of it ..."""
_CUT_SIGMA: Final = 1.5
"""... or at so many sigma of a pixel, if the frame is fainter than that."""
_LEAST_CONTRAST: Final = 1.0
_FARTHEST_PX: Final = 30.0
_LARGEST_ERROR: Final = 0.3


class EdgeFit(NamedTuple):
    """Place of the keyhole by its edge.

    Attributes
    ----------
    centroid : (x, y)
    error : float
        Larger of the formal errors of x and y on the detector, pixels.
    step : float
        Light inside minus light outside, unit of the data.
    lit : float
        Part of the sampled pixels inside that are brighter than half light.
    """

    centroid: tuple[float, float]
    error: float
    step: float
    lit: float


class _Pixels(NamedTuple):
    """An exposure, row after row, and which of its pixels may be used."""

    values: NDArray[np.float32]
    good: NDArray[np.bool_] | None

    def at(self, pixels: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values of some pixels, and which of them can be used."""
        values = self.values[pixels]
        finite = np.isfinite(values)
        return values, finite if self.good is None else finite & self.good[pixels]


class _Band(NamedTuple):
    """Pixels on both sides of an outline: flat index, depth inside, change of depth with the centroid."""

    pixels: NDArray[np.intp]
    depth: NDArray[np.float32]
    slope: NDArray[np.float32]
    step: int


class _Sides(NamedTuple):
    """Flat indices of pixels well inside and well outside of an outline."""

    inside: NDArray[np.intp]
    outside: NDArray[np.intp]


class _Light(NamedTuple):
    half: float
    step: float
    cut: float
    gain: float
    offset: float
    lit: float


def fit_edge(
    data: NDArray[np.float32], good: NDArray[np.bool_] | None, model: OutlineModel, *, start: tuple[float, float]
) -> EdgeFit | None:
    """Find the place of the keyhole near `start`, or None where the edge does not tell it.

    Parameters
    ----------
    data : (ny, nx) float32
    good : (ny, nx) bool, optional
        False: leave the pixel out. Pixels that are not finite are left out.
    model : OutlineModel
    start : (x, y)

    Returns
    -------
    EdgeFit or None
        None without light, beyond 30 pixels from the start, or where the passes do not agree.
    """
    frame = _Pixels(data.reshape(-1), None if good is None else good.reshape(-1))
    place, error, light = start, np.inf, _Light(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    judged = (np.inf, np.inf)
    settled = False
    for reach in (_COARSE_PX, _COARSE_PX, _COARSE_PX, *_FINE_PX):
        coarse = reach == _COARSE_PX
        if coarse and settled:
            continue
        rounded = (float(round(place[0])), float(round(place[1])))
        # From the first fine pass on the place is good enough to know what is inside and what is outside.
        known = max(abs(rounded[0] - judged[0]), abs(rounded[1] - judged[1])) <= _DEEP_PX / 2
        if coarse or (reach == _FINE_PX[0] and not known):
            seen = _light(frame, _sides(model, rounded))
            if seen is None:
                return None
            light, judged = seen, rounded
        band = _band(model, rounded, _COARSE_PX if coarse else _FINE_PX[0] + 1, _COARSE_STEP if coarse else 1)
        moved = _displacement(frame, band, light, np.subtract(place, rounded), reach)
        if moved is None:
            return None
        shift, error = moved
        # An edge far from the start lies beyond the band, which is laid around what was found and looked at again.
        settled = max(abs(shift[0]) * model.x_gain(start), abs(shift[1])) < _COARSE_PX / 2
        place = (rounded[0] + float(shift[0]), rounded[1] + float(shift[1]))
        away = max(abs(place[0] - start[0]) * model.x_gain(start), abs(place[1] - start[1]))
        # On the way the edge may be overshot.
        if away > (2 * _FARTHEST_PX if coarse else _FARTHEST_PX):
            return None
    # The last pass must have had the edge in the middle of its narrow band, and light enough to see it.
    if not error < _LARGEST_ERROR:
        return None
    return EdgeFit(place, error, light.step, light.lit)


@lru_cache(maxsize=16)
def _band(model: OutlineModel, centroid: tuple[float, float], reach: float, step: int) -> _Band:
    ny, nx = model.shape
    outline = model.outline(centroid)
    lower, upper, _ = outline.columns(np.arange(nx, dtype=np.float64))
    first, last = outline.x_range()
    rows = np.arange(max(int(lower.min() - reach), 0), max(min(int(upper.max() + reach) + 2, ny), 0), step)
    columns = np.arange(max(int(first - reach), 0), max(min(int(last + reach) + 2, nx), 0), step)
    x, y = np.meshgrid(columns.astype(np.float64), rows.astype(np.float64))
    near = np.abs(outline.depth(x, y)) < reach
    x, y = x[near], y[near]
    index = (y * nx + x).astype(np.intp)
    moved = []
    for dx, dy in ((_STEP_PX, 0.0), (0.0, _STEP_PX)):
        ahead = model.outline((centroid[0] + dx, centroid[1] + dy)).depth(x, y)
        behind = model.outline((centroid[0] - dx, centroid[1] - dy)).depth(x, y)
        moved.append((ahead - behind) / (2 * _STEP_PX))
    slope = np.array(moved, np.float32).reshape(2, -1)
    return _Band(index, outline.depth(x, y).astype(np.float32), slope, step)


@lru_cache(maxsize=16)
def _sides(model: OutlineModel, centroid: tuple[float, float]) -> _Sides:
    ny, nx = model.shape
    outline = model.outline(centroid)
    # An odd step, as the array's own pattern repeats every 16 x 4 pixels.
    x, y = np.meshgrid(np.arange(0, nx, 3, dtype=np.float64), np.arange(0, ny, 3, dtype=np.float64))
    depth = outline.depth(x, y)
    index = (y * nx + x).astype(np.intp)
    inside = index[depth > _DEEP_PX]
    outside = index[(depth < -_DEEP_PX) & (depth > -_AROUND_PX)]
    return _Sides(*(side[:: max(1, side.size // _SAMPLE)] for side in (inside, outside)))


def _light(frame: _Pixels, sides: _Sides) -> _Light | None:
    """Levels of both sides; and what the cut leaves of them, to which measured light is compared."""
    values = []
    for side in sides:
        sample, kept = frame.at(side)
        if np.count_nonzero(kept) < _FEWEST:
            return None
        values.append(sample[kept])
    lit, dark = (clipped_median_sigma(sample) for sample in values)
    step, half = lit.median - dark.median, (lit.median + dark.median) / 2
    if not step > _LEAST_CONTRAST * dark.sigma:
        return None
    cut = max(_CUT * step, _CUT_SIGMA * max(lit.sigma, dark.sigma))
    high, low = (float(np.clip(sample - half, -cut, cut).mean(dtype=np.float64)) for sample in values)
    if not high > low:
        return None
    return _Light(half, step, cut, high - low, (high + low) / 2, float((values[0] > half).mean()))


def _displacement(
    frame: _Pixels, band: _Band, light: _Light, guess: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float64], float] | None:
    """Displacement (x, y) of the centroid from that of the band, and its error; None if it does not settle."""
    values, kept = frame.at(band.pixels)
    cut = np.clip(values - np.float32(light.half), -light.cut, light.cut)
    seen = (cut - np.float32(light.offset)) / np.float32(light.gain)
    shift = np.array(guess, np.float64)
    for _ in range(_PASSES):
        depth = band.depth + np.float32(shift[0]) * band.slope[0] + np.float32(shift[1]) * band.slope[1]
        used = np.flatnonzero(kept & (np.abs(depth) < reach))
        slope = band.slope.take(used, axis=1).astype(np.float64)
        # The profile of the edge is a pixel wide, more where only every other pixel is looked at.
        excess = seen[used] - np.clip(depth[used] / band.step, -0.5, 0.5)
        normal = slope @ slope.T / (2 * reach)
        # The edges must run in more than one direction.
        if used.size < _FEWEST or not np.linalg.det(normal) > 1e-6 * np.trace(normal) ** 2:
            return None
        change = np.linalg.solve(normal, slope @ excess)
        shift = shift + change
        if np.abs(change).max() < 0.003:
            break
    spread = slope @ (slope * excess**2).T
    inverse = np.linalg.inv(normal)
    error = float(np.sqrt(np.diag(inverse @ spread @ inverse).max()))
    # Half of the band must lie on each side; a coarse one is laid anew where it does not.
    inside = band.step > 1 or bool(np.abs(change).max() < reach / 2)
    return (shift, error) if inside and np.isfinite(error) else None
