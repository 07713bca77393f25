"""What the read-out adds to a frame and no dark can hold: a pattern per quadrant and offsets of rows, which
change from one frame to the next.

Everything is measured on pixels without light, so that no star can leave a trace in it, and applied to all. In
each quadrant the electronics repeat a small box of pixels; its template is the clipped mean of all boxes, each
after its own mean was taken off. The template lowers the sum of squared residuals by chi squared times the
variance of a pixel; without a pattern, chi squared is the number of free pixels of the template, give or take
the root of twice that number. Only a drop far beyond this chance is taken for a pattern.

What is subtracted is shrunk by the estimator of James & Stein (1961, *Proc. 4th Berkeley Symp.* 1, 361), whose
expected squared error is below that of both the plain mean and nothing at all: on average the noise can only
fall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import near
from keyhole.imaging._readout_boxes import Boxes, mean_box

__all__ = ["PatternRules", "QuadrantPattern", "ReadoutOffsets", "away_from", "measure_readout", "quadrants"]

_PASSES: Final = 2
_HOPELESS: Final = 0.5
"""Part of the strength that is asked for, below which an estimate is not worth to be refined."""
_SMOOTH_ROWS: Final = 31
"""Rows over which a running median tells row offsets from slow changes such as stray light."""
_FEWEST_IN_ROW: Final = 24
_FEWEST_BANDS: Final = 3
_UNEVEN: Final = 6.0
"""Sigma by which the strength of the pattern must vary along the quadrant to be taken as starting or ending."""


@dataclass(frozen=True)
class PatternRules:
    """How a pattern is looked for.

    Attributes
    ----------
    box : (ny, nx)
        Size of the box of pixels that repeats.
    lsigma, hsigma : float
        Pixels so many sigma below and above the others are left out.
    subtract_background : bool
        Take the mean off each box first.
    strength : float
        Sigma by which the scatter must drop beyond chance.
    force : bool
        Subtract whatever is found, shrunk as it is.
    smooth : int
        Rows over which the strength along the quadrant is averaged to find where the pattern begins and ends.
    on_off : float
        Part of the full strength above which it is there.
    rows : float
        Sigma by which the scatter must drop for row offsets; infinite: they are left alone.
    level : bool
        Bring the unlit pixels of each quadrant to zero.
    """

    box: tuple[int, int] = (4, 16)
    lsigma: float = 3.0
    hsigma: float = 3.0
    subtract_background: bool = True
    strength: float = 15.0
    force: bool = False
    smooth: int = 25
    on_off: float = 0.6
    rows: float = 5.0
    level: bool = True


class QuadrantPattern(NamedTuple):
    """What was found in one quadrant.

    Attributes
    ----------
    strength : float
        Drop of the scatter beyond chance by the pattern, sigma.
    rms : float
        Spread of the pattern that was subtracted, unit of the data; 0 if none was.
    rows : (first, last)
        Rows of the frame between which the pattern was found, half-open.
    row_strength : float
        The same drop by the row offsets.
    row_rms : float
        Spread of the row offsets that were subtracted; 0 if none were.
    """

    strength: float
    rms: float
    rows: tuple[int, int]
    row_strength: float
    row_rms: float


class ReadoutOffsets(NamedTuple):
    """What is to be subtracted from a frame, (ny, nx) float32, and what it was found to be, quadrant by quadrant."""

    offsets: NDArray[np.float32]
    quadrants: list[QuadrantPattern]


def quadrants(
    shape: tuple[int, int], rows: slice | None = None, columns: slice | None = None
) -> list[tuple[slice, slice]]:
    """The four parts of an array of shape (ny, nx) that are read by electronics of their own.

    Parameters
    ----------
    shape : (ny, nx)
    rows, columns : slice, optional
        Give only what lies in these, counted from the first of them.
    """
    upper = _halves(shape[0], rows)
    return [(y, x) for y in upper for x in _halves(shape[1], columns)]


def away_from(lit: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Pixels whose surroundings, up to so many rows and columns away, see no light either."""
    return ~near(lit, pixels)


def _halves(length: int, part: slice | None) -> list[slice]:
    first, last = (0, length) if part is None else (part.start, part.stop)
    middle = min(max(length // 2, first), last)
    halves = (slice(0, middle - first), slice(middle - first, last - first))
    return [half for half in halves if half.stop > half.start]


def measure_readout(
    data: NDArray[np.float32],
    dark: NDArray[np.bool_],
    *,
    parts: list[tuple[slice, slice]],
    rules: PatternRules,
) -> ReadoutOffsets:
    """Measure what the read-out added to a frame, on pixels that see no light.

    Parameters
    ----------
    data : (ny, nx) float32
        After dark subtraction, or with the fixed pattern still in it; before the flat.
    dark : (ny, nx) bool
        Good pixels without light. Boxes whose mean is far from that of the others are left out, so light in
        less than half of them does no harm.
    parts : list of (rows, columns)
        The quadrants.
    rules : PatternRules

    Returns
    -------
    ReadoutOffsets
        Zero where nothing was found. Changes its input: no.
    """
    offsets = np.zeros(data.shape, np.float32)
    found = [_measure_part(data[part], dark[part], part[0].start, rules, offsets[part]) for part in parts]
    return ReadoutOffsets(offsets, found)


def _measure_part(
    data: NDArray[np.float32],
    dark: NDArray[np.bool_],
    first_row: int,
    rules: PatternRules,
    offsets: NDArray[np.float32],
) -> QuadrantPattern:
    """Find pattern and row offsets of one quadrant and write them into `offsets`."""
    boxes = Boxes.cut(data, dark, rules)
    if boxes is None:
        return QuadrantPattern(0.0, 0.0, (first_row, first_row), 0.0, 0.0)
    shifts, row_strength = _row_offsets(boxes, rules, data.shape[0])
    boxes.shift_rows(shifts)
    template, residual = _template(boxes, rules)
    strength, rms, rows = template.strength, 0.0, (first_row, first_row)
    if template.accepted(rules):
        there = _where_strong(boxes, residual, template, rules)
        if not there.all():
            template, _ = _template(boxes.only(there), rules)
        tile = template.shrunk()
        boxes.subtract(tile, there)
        offsets += _spread(tile, there, (data.shape[0], data.shape[1]))
        on = np.flatnonzero(there) * rules.box[0]
        rows = (first_row + int(on[0]), first_row + min(int(on[-1]) + rules.box[0], data.shape[0]))
        strength, rms = template.strength, float(tile.std())
        # Without the pattern the pixels scatter less, and smaller offsets of rows show.
        boxes.measure_scatter()
        more, more_strength = _row_offsets(boxes, rules, data.shape[0])
        shifts, row_strength = shifts + more, max(row_strength, more_strength)
    offsets += shifts[:, None]
    if rules.level:
        offsets += np.float32(boxes.level + boxes.values.sum(dtype=np.float64) / boxes.in_rows.sum())
    return QuadrantPattern(strength, rms, rows, row_strength, float(shifts.std()))


class _Template(NamedTuple):
    """Mean of the boxes, and how much it lowers the sum of squared residuals, in variances of a pixel."""

    values: NDArray[np.float64]
    chi2: float
    free: int

    @property
    def strength(self) -> float:
        """Drop of the scatter beyond chance, sigma."""
        return float((self.chi2 - self.free) / np.sqrt(2.0 * self.free))

    def accepted(self, rules: PatternRules) -> bool:
        """Whether it is to be subtracted."""
        return self.chi2 > 0 and (rules.force or self.strength >= rules.strength)

    def shrunk(self) -> NDArray[np.float64]:
        """The values as James & Stein shrink them."""
        return self.values * max(0.0, 1.0 - (self.free - 2) / self.chi2) if self.chi2 > 0 else 0 * self.values


def _template(boxes: Boxes, rules: PatternRules) -> tuple[_Template, NDArray[np.float32]]:
    """Mean box, and the pixels it is the mean of.

    Boxes with missing pixels have a mean that depends on the template: it is taken off and refined. What the last
    refinement changes is too little to show in the variance that is left.
    """
    first, residual = _estimate(boxes, rules)
    hopeless = not rules.force and first.strength < _HOPELESS * rules.strength
    if hopeless or not rules.subtract_background:
        return first, residual
    every = np.ones(boxes.values.shape[0], bool)
    work = boxes.only(every)
    tile = first.values
    for _ in range(_PASSES - 1):
        work.subtract(tile, every)
        more, left = _estimate(work, rules)
        tile = tile + more.values
    return _judged(tile, boxes.at_phases, left), residual


def _estimate(boxes: Boxes, rules: PatternRules) -> tuple[_Template, NDArray[np.float32]]:
    """Mean box as if no pixel were missing, and the pixels it is the mean of."""
    count = boxes.at_phases
    seen = count > 0
    residual = boxes.flat() if rules.subtract_background else boxes.values
    tile = np.divide(mean_box(residual), count, out=np.zeros(count.shape), where=seen)
    tile[seen] -= tile[seen].mean()
    return _judged(tile, count, residual), residual


def _judged(tile: NDArray[np.float64], count: NDArray[np.float64], residual: NDArray[np.float32]) -> _Template:
    variance = float(np.linalg.norm(residual)) ** 2 / max(float(count.sum()), 1.0)
    chi2 = float((tile**2 * count).sum() / variance) if variance > 0 else 0.0
    return _Template(tile, chi2, max(int(np.count_nonzero(count)) - 1, 1))


def _where_strong(
    boxes: Boxes, residual: NDArray[np.float32], template: _Template, rules: PatternRules
) -> NDArray[np.bool_]:
    """The bands of boxes in which the pattern is; all of them unless its strength clearly varies."""
    tile = template.values
    product, norm = boxes.match(residual, tile)
    every, known = np.ones(norm.size, bool), norm > 0
    if np.count_nonzero(known) < _FEWEST_BANDS:
        return every
    amplitude = np.divide(product, norm, out=np.zeros_like(norm), where=known)
    usual = product.sum() / norm.sum()
    free = int(known.sum()) - 1
    chi2 = float((norm * (amplitude - usual) ** 2).sum()) / boxes.sigma**2
    if (chi2 - free) / np.sqrt(2.0 * free) < _UNEVEN:
        return every
    kernel = np.ones(min(max(1, round(rules.smooth / rules.box[0])) | 1, norm.size))
    weight = np.convolve(norm, kernel, "same")
    smooth = np.divide(np.convolve(product, kernel, "same"), weight, out=np.zeros_like(norm), where=weight > 0)
    there = smooth > rules.on_off * float(np.quantile(smooth, 0.9))
    return there if there.any() else every


def _spread(tile: NDArray[np.float64], bands: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Repeat the template over a quadrant, in the bands in which it is."""
    across = -(-shape[1] // tile.shape[1])
    strip = np.tile(tile, (1, across))[:, : shape[1]].astype(np.float32)
    return (bands.astype(np.float32)[:, None, None] * strip).reshape(-1, shape[1])[: shape[0]]


def _row_offsets(boxes: Boxes, rules: PatternRules, rows: int) -> tuple[NDArray[np.float32], float]:
    """Offset of each row against its surroundings, shrunk row by row, and the drop of the scatter in sigma."""
    none = np.zeros(rows, np.float32)
    count = boxes.in_rows[:rows]
    total = boxes.row_sums()[:rows]
    known = count >= _FEWEST_IN_ROW
    if not np.isfinite(rules.rows) or np.count_nonzero(known) < _SMOOTH_ROWS:
        return none, 0.0
    mean = total[known] / count[known]
    mean -= _running_median(mean)
    error2 = boxes.sigma**2 / count[known]
    chi2 = float((mean**2 / error2).sum())
    strength = float((chi2 - mean.size) / np.sqrt(2.0 * mean.size))
    if strength < rules.rows and not rules.force:
        return none, strength
    spread2 = max(float((mean**2 - error2).mean()), 0.0)
    none[known] = mean * spread2 / (spread2 + error2)
    return none, strength


def _running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over the surrounding rows; at the ends of those that there are, mirrored."""
    half = _SMOOTH_ROWS // 2
    # There are more values than that; a general function takes ten times as long as to put three pieces together.
    padded = np.concatenate([values[half:0:-1], values, values[-2 : -half - 2 : -1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _SMOOTH_ROWS)
    return np.asarray(np.partition(windows, half, axis=1)[:, half])
