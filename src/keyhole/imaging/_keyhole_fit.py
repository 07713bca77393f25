"""Moving the drawn keyhole over an exposure until it covers as much light and as little dark as it can.

Every column of the shape is one interval of rows, so that a trial costs two look-ups per column in the
running sums of the image along y, and places between pixels come out of the interpolated sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._keyhole_outline import KeyholeShape, Outline, OutlineModel
from keyhole.imaging.noise import clipped_median_sigma

__all__ = ["Fit", "centroid_of_largest_region", "fit_keyhole"]

_SEARCH_PX: Final = 20.0
"""How far from its start the shape is looked for."""

_COARSE_STEP_PX: Final = 4.0
_COARSE_STEPS_PX: Final = (2.0, 1.0)
_FINE_STEPS_PX: Final = (1.0, 0.5, 0.25, 0.1, 0.05)
_MOST_MOVES: Final = 10
_REFINE_MARGIN_PX: Final = 4.0
_EDGE_BAND_PX: Final = (2.0, 6.0)
_REACH_PX: Final = 60
"""How far around the shape an exposure is looked at, for the search and for the level of the dark."""

_LEAST_CONTRAST: Final = 0.5
"""Light inside over the scatter of the dark pixels, below which a frame counts as unlit."""

_LEAST_EDGE: Final = 0.5
"""Step across the fitted edge over the light inside, below which the shape does not fit."""

_CUT_SIGMA: Final = 1.5
"""Values are cut at half the light, or at this many sigma of a pixel if the frame is fainter than that."""


class Fit(NamedTuple):
    """Outcome of a search; ``trusted`` tells that the keyhole is at the centroid, `reason` why (not)."""

    centroid: tuple[float, float]
    n_lit: int
    trusted: bool
    reason: str


@dataclass(frozen=True)
class _Light:
    """Level at half light, step from dark to lit, and scatter of a dark and of any pixel."""

    half: float
    step: float
    dark_scatter: float
    scatter: float


class _Sums:
    """Running sums along y of the image minus half light, cut symmetrically, in a box of rows."""

    def __init__(self, weights: NDArray[np.float32], first_row: float) -> None:
        height, width = weights.shape
        self._first = first_row
        self._height = height
        self._columns = np.arange(width)
        self._sums = np.zeros((height + 2, width))
        np.cumsum(weights, axis=0, dtype=np.float64, out=self._sums[1:-1])
        self._sums[-1] = self._sums[-2]

    def up_to(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of each column below its y; the pixel j reaches from j - 1/2 to j + 1/2."""
        position = np.clip(y + 0.5 - self._first, 0, self._height)
        row = position.astype(np.intp)
        below = self._sums[row, self._columns]
        return np.asarray(below + (position - row) * (self._sums[row + 1, self._columns] - below))


def fit_keyhole(
    data: NDArray[np.float32],
    good: NDArray[np.bool_],
    model: OutlineModel,
    *,
    start: tuple[float, float],
    expected_pixels: float,
) -> Fit:
    """Look for the keyhole around the centroid `start`.

    Parameters
    ----------
    data : (ny, nx) float32
    good : (ny, nx) bool
    model : OutlineModel
    start : (x, y)
    expected_pixels : float
        Usual number of lit pixels.
    """
    window = _Window.around(model.outline(start), data, good)
    light = window.light(model.outline(start), _SEARCH_PX)
    if light is None:
        return Fit(start, 0, trusted=False, reason="no usable pixel inside or outside of the keyhole")
    if light.step < _LEAST_CONTRAST * light.dark_scatter:
        reason = f"no light: inside is {light.step:.3g} above outside, which scatters by {light.dark_scatter:.3g}"
        return Fit(start, 0, trusted=False, reason=reason)
    found = _best_centroid(window, model, start, light, coarse=True)
    light = window.light(model.outline(found), _REFINE_MARGIN_PX) or light
    found = _best_centroid(window, model, found, light, coarse=False)
    outline = model.outline(found)
    n_lit = window.count_lit(outline, light)
    moved = max(abs(found[0] - start[0]) * model.x_gain(start), abs(found[1] - start[1]))
    edge = window.edge_step(outline)
    if n_lit < model.geometry.min_fraction * expected_pixels:
        reason = f"only {n_lit} lit pixels found, {expected_pixels:.0f} expected"
    elif moved > _SEARCH_PX:
        reason = f"no keyhole within {_SEARCH_PX:.0f} pixels of its usual place"
    elif edge < _LEAST_EDGE * light.step:
        reason = f"the edges do not fit: a step of {edge:.3g} where {light.step:.3g} is lit"
    else:
        return Fit(found, n_lit, trusted=True, reason=f"fitted to {n_lit} lit pixels")
    return Fit(found, n_lit, trusted=False, reason=reason)


@dataclass(frozen=True)
class _Window:
    """The part of an exposure in which the shape is looked for, with its coordinates on the detector."""

    data: NDArray[np.float32]
    good: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @classmethod
    def around(cls, outline: Outline, data: NDArray[np.float32], good: NDArray[np.bool_]) -> _Window:
        """The window that holds the outline wherever the search may take it, and the dark next to it."""
        ny, nx = data.shape
        x = np.arange(nx, dtype=np.float64)
        lower, upper, _ = outline.columns(x)
        first, last = outline.x_range()
        rows = slice(max(int(lower.min()) - _REACH_PX, 0), max(min(int(upper.max()) + _REACH_PX, ny), 0))
        columns = slice(max(int(first) - _REACH_PX, 0), max(min(int(last) + _REACH_PX, nx), 0))
        return cls(data[rows, columns], good[rows, columns], x[columns], np.arange(ny, dtype=np.float64)[rows])

    def light(self, outline: Outline, margin: float) -> _Light | None:
        """Levels at least `margin` pixels inside and outside of the outline."""
        x, y = self.x[::2], self.y[::2, None]
        data, good = self.data[::2, ::2], self.good[::2, ::2]
        lower, upper, _ = outline.columns(x)
        first, last = outline.x_range()
        inside = (y > lower + margin) & (y < upper - margin) & (x > first + margin) & (x < last - margin)
        outside = (y < lower - margin) | (y > upper + margin) | (x < first - margin) | (x > last + margin)
        inside &= good
        outside &= good
        if not (inside.any() and outside.any()):
            return None
        lit, dark = clipped_median_sigma(data[inside]), clipped_median_sigma(data[outside])
        return _Light(
            half=(lit.median + dark.median) / 2,
            step=lit.median - dark.median,
            dark_scatter=dark.sigma,
            scatter=max(lit.sigma, dark.sigma),
        )

    def count_lit(self, outline: Outline, light: _Light) -> int:
        """Usable pixels above half light in the outline grown by a few pixels."""
        lower, upper, _ = outline.columns(self.x)
        first, last = outline.x_range()
        grow, y = _EDGE_BAND_PX[0], self.y[:, None]
        near = (y > lower - grow) & (y < upper + grow) & (self.x > first - grow) & (self.x < last + grow)
        return int(np.count_nonzero(near & self.good & (self.data > light.half)))

    def edge_step(self, outline: Outline) -> float:
        """Level just inside minus level just outside of the upper and lower edges."""
        near, far = _EDGE_BAND_PX
        columns = slice(None, None, 2)
        lower, upper, cover = outline.columns(self.x[columns])
        data, judged = self.data[:, columns], self.good[:, columns] & (cover == 1)
        depth = np.minimum(self.y[:, None] - lower, upper - self.y[:, None])
        inside = judged & (depth > near) & (depth < far)
        outside = judged & (depth < -near) & (depth > -far)
        if not (inside.any() and outside.any()):
            return 0.0
        return float(np.median(data[inside]) - np.median(data[outside]))


def _best_centroid(
    window: _Window, model: OutlineModel, start: tuple[float, float], light: _Light, *, coarse: bool
) -> tuple[float, float]:
    """Centroid with the highest score: on a grid first if `coarse`, then step by step uphill."""
    cut = max(light.step / 2, _CUT_SIGMA * light.scatter)
    weights = np.clip(window.data - np.float32(light.half), -cut, cut)
    weights[~window.good] = 0
    sums = _Sums(weights, window.y[0])
    gain = model.x_gain(start)
    scores: dict[tuple[float, float], float] = {}

    def score(moved: tuple[float, float]) -> float:
        if moved not in scores:
            outline = model.outline((start[0] + moved[0] / gain, start[1] + moved[1]))
            lower, upper, cover = outline.columns(window.x)
            scores[moved] = float(cover @ (sums.up_to(upper) - sums.up_to(lower)))
        return scores[moved]

    place = (0.0, 0.0)
    if coarse:
        ticks = np.arange(-_SEARCH_PX, _SEARCH_PX + 1, _COARSE_STEP_PX).tolist()
        place = max(((dx, dy) for dx in ticks for dy in ticks), key=score)
    for step in _COARSE_STEPS_PX if coarse else _FINE_STEPS_PX:
        for _ in range(_MOST_MOVES):
            around = [(place[0] + i * step, place[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            best = max([place, *around], key=score)
            if best == place:
                break
            place = best
    return start[0] + place[0] / gain, start[1] + place[1]


def centroid_of_largest_region(
    data: NDArray[np.float32],
    good: NDArray[np.bool_],
    read_noise: float | None,
    expected_pixels: float,
    geometry: KeyholeShape,
) -> tuple[float, float] | None:
    """Centroid (x, y) of the largest bright region, or None where it is less than what is expected.

    Dark is what is below the median of the frame plus a multiple of the read noise, grown by a box that
    removes hot pixels; the regions are what remains, connected along rows and columns.
    """
    from scipy import ndimage  # slow to load and rarely needed

    noise = read_noise or clipped_median_sigma(data, good).sigma
    threshold = max(float(np.median(data[good])), 0) + geometry.detect_sigma * noise
    dark = (data < threshold) | ~np.isfinite(data)
    side = geometry.detect_box_px
    labels, number = ndimage.label(~ndimage.binary_dilation(dark, np.ones((side, side), dtype=bool)))
    if not number:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(np.argmax(sizes))
    if sizes[largest] <= geometry.min_fraction * expected_pixels:
        return None
    rows, columns = np.nonzero(labels == largest)
    return float(columns.mean()), float(rows.mean())
