"""Objects on the sum of shifted frames, masked in each of them.

Faint stars and the wings of bright ones hide in the noise of one frame and add up in a sky made of many. They
are found on the shifted and added frames instead, and the mask is carried back to every frame (two-pass
scheme of DIMSUM, Stanford, Eisenhardt & Dickinson 1995, and of most infrared imaging since).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import ParameterError
from keyhole.imaging._bins import bin_factor, binned, unbinned
from keyhole.imaging._masked import number_true
from keyhole.imaging._order_statistics import pick, sort_planes, sorted_median
from keyhole.imaging.levels import lit_box
from keyhole.imaging.medians import median
from keyhole.imaging.objects import Limits, find_objects, pixel_noise

__all__ = ["DeepSum", "deep_object_masks"]

_BAND_VALUES: Final = 1 << 17
_CLIP: Final = 4.0
"""Distance from the median, in units of the noise, from which on a value is no part of the sum."""
_SAFE: Final = 0.999
"""Part of that distance within which rounding cannot decide."""
_TINY: Final = np.float32(1e-30)
_SAMPLE: Final = 7
_MANY: Final = 3000
"""One pixel in seven tells the noise of a frame that has more than these."""


def deep_object_masks(
    subtracted: Sequence[NDArray[np.float32]],
    usables: Sequence[NDArray[np.bool_]],
    shifts: ArrayLike,
    variances: Sequence[NDArray[np.float32]] | None = None,
    *,
    threshold: float = 2.5,
    min_pixels: int = 8,
    grow: float = 4.0,
    wing_sigma: float = 0.15,
    fwhm: float = 5.0,
) -> list[NDArray[np.bool_]]:
    """Masks for every frame of the objects found on the sum of all frames.

    See `DeepSum`, to which all frames are added in one portion.

    Parameters
    ----------
    subtracted : n float32 arrays (ny, nx)
        Frames after a first sky subtraction.
    usables : n bool arrays (ny, nx)
        True where a pixel is usable.
    shifts : (n, 2) floats
        ``(dx, dy)`` in pixels: a star at ``(x, y)`` of the common grid is at ``(x + dx, y + dy)`` in the
        frame.
    variances : n float32 arrays (ny, nx), optional
        The median of each gives the frame its weight; measured on the frame if not given.
    threshold, min_pixels, grow, wing_sigma, fwhm
        As in `keyhole.imaging.objects.single_frame_objects`, but sigma is that of the smoothed sum, except that
        ``wing_sigma`` refers to the noise of a single frame.

    Returns
    -------
    list of n bool arrays (ny, nx)
        True on objects. Frames without a usable pixel get an empty mask. Changes its input: no.
    """
    n = len(subtracted)
    moves = np.rint(np.asarray(shifts, dtype=np.float64).reshape(-1, 2)).astype(int)
    if len(usables) != n or len(moves) != n or (variances is not None and len(variances) != n):
        msg = f"object masks: {n} frames, {len(usables)} masks, {len(moves)} shifts; give one of each per frame"
        raise ParameterError(msg)
    total = DeepSum([lit_box(usable) for usable in usables], moves, fwhm=fwhm)
    parts = []
    for i, (frame, usable) in enumerate(zip(subtracted, usables, strict=True)):
        parts.append(total.binned(i, frame, usable, None if variances is None else variances[i]))
    total.add(parts)
    total.search(threshold=threshold, min_pixels=min_pixels, grow=grow, wing_sigma=wing_sigma)
    return [total.mask(i, frame.shape) for i, frame in enumerate(subtracted)]


class Bins(NamedTuple):
    """A frame in bins of the common grid.

    Attributes
    ----------
    frame : int
    mean, weight : float32 arrays
        Weight is the inverse variance, 0 where there is no data.
    start : (row, column) of the bin with which it begins
    """

    frame: int
    mean: NDArray[np.float32]
    weight: NDArray[np.float32]
    start: tuple[int, int]


class DeepSum:
    """Sum of shifted frames, to which these are added in any number of portions.

    Frames are added with shifts rounded to whole pixels, in bins of 0.4 widths of stars; outliers of a portion are
    clipped. Frames whose lit areas do not overlap, not even through others, are added separately.

    Parameters
    ----------
    boxes : n pairs of slices
        Lit box of each frame.
    moves : (n, 2) int
        Shifts ``(dx, dy)``, whole pixels.
    fwhm : float
        Width of stars, pixels.
    """

    def __init__(self, boxes: Sequence[tuple[slice, slice]], moves: NDArray[np.int_], *, fwhm: float) -> None:
        self._fwhm, self._factor = fwhm, bin_factor(fwhm)
        self._placed = [_place(box, move.tolist()) for box, move in zip(boxes, moves, strict=True)]
        self._sigmas: dict[int, float] = {}
        self._groups = [_Group(members, self._placed, self._factor) for members in _connected(self._placed)]
        self._group_of = {i: group for group in self._groups for i in group.members}

    def binned(
        self,
        index: int,
        frame: NDArray[np.float32],
        usable: NDArray[np.bool_],
        variance: NDArray[np.float32] | None = None,
    ) -> Bins | None:
        """Put a frame into bins of the common grid; None if it has no usable pixel."""
        group = self._group_of.get(index)
        if group is None:
            return None
        box = self._placed[index].box
        good = usable[box] & np.isfinite(frame[box])
        sigma = self._sigmas[index] = _frame_sigma(frame[box], usable[box], None if variance is None else variance[box])
        row, column = group.lead(index)
        phase, start = (row % self._factor, column % self._factor), (row // self._factor, column // self._factor)
        weight = good.astype(np.float32) * np.float32(sigma**-2)
        return Bins(index, *binned(np.where(good, frame[box], np.float32(0)), weight, self._factor, phase), start)

    def in_bins(self, index: int, mean: NDArray[np.float32], number: NDArray[np.float32], sigma: float) -> Bins | None:
        """Put a frame that is in bins of its own pixels into the nearest ones of the common grid.

        Parameters
        ----------
        mean, number : float32 arrays
            Mean and number of the usable pixels in each bin of the frame, the first of which begins with its box.
        sigma : float
            Noise of a pixel.
        """
        group = self._group_of.get(index)
        if group is None:
            return None
        self._sigmas[index] = sigma if sigma > 0 else 1.0
        return Bins(index, mean, number * np.float32(self._sigmas[index] ** -2), self._start(group, index))

    def _start(self, group: _Group, index: int) -> tuple[int, int]:
        row, column = group.lead(index)
        return round(row / self._factor), round(column / self._factor)

    def add(self, portion: Sequence[Bins | None]) -> None:
        """Add some frames, after clipping."""
        for group in self._groups:
            parts = [part for part in portion if part is not None and self._group_of[part.frame] is group]
            if parts:
                mean, weight = _clipped_sum(parts, group.weight.shape)
                group.total += mean * weight
                group.weight += weight

    def search(self, *, threshold: float, min_pixels: int, grow: float, wing_sigma: float) -> None:
        """Find the objects on the sum of all frames that were added; see `deep_object_masks`."""
        for group in self._groups:
            sigmas = [self._sigmas[i] for i in group.members if i in self._sigmas]
            wing_limit = wing_sigma * median(np.array(sigmas)) if sigmas else 0.0
            limits = Limits(threshold, threshold + 1.0, min_pixels, grow, wing_limit, self._fwhm)
            mean = np.divide(group.total, group.weight, out=np.zeros_like(group.total), where=group.weight > 0)
            group.found = find_objects(mean, group.weight, limits.in_bins(self._factor))

    def mask(self, index: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Objects in a frame of shape (ny, nx)."""
        mask = np.zeros(shape, dtype=bool)
        group = self._group_of.get(index)
        if group is not None and group.found is not None:
            box = self._placed[index].box
            part = mask[box]
            part[...] = unbinned(group.found, self._factor, (part.shape[0], part.shape[1]), group.lead(index))
        return mask


class _Placed(NamedTuple):
    """Lit box of a frame, and its corners (y0, x0, y1, x1) on the common grid."""

    box: tuple[slice, slice]
    corners: tuple[int, int, int, int]


class _Group:
    """Frames that overlap, and their sum in bins of a common grid."""

    def __init__(self, members: Sequence[int], placed: Sequence[_Placed], factor: int) -> None:
        self.members = members
        self._corners = {i: placed[i].corners[:2] for i in members}
        y0, x0, y1, x1 = _hull([placed[i].corners for i in members])
        self._origin = y0, x0
        # One more, as frames that come in bins may be moved by half of one.
        shape = (-(-(y1 - y0) // factor) + 1, -(-(x1 - x0) // factor) + 1)
        self.total, self.weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.found: NDArray[np.bool_] | None = None

    def lead(self, index: int) -> tuple[int, int]:
        """Rows and columns of the grid before those of a frame."""
        (y, x), (y0, x0) = self._corners[index], self._origin
        return y - y0, x - x0


def _place(box: tuple[slice, slice], move: Sequence[int]) -> _Placed:
    (rows, columns), (dx, dy) = box, move
    return _Placed(box, (rows.start - dy, columns.start - dx, rows.stop - dy, columns.stop - dx))


def _hull(corners: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    edges = np.array(corners)
    low, high = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _connected(placed: Sequence[_Placed]) -> list[list[int]]:
    """Frames whose boxes overlap on the common grid, directly or through others; empty boxes are left out."""
    groups: list[list[int]] = []
    for i, (_, (y0, x0, y1, x1)) in enumerate(placed):
        if y0 == y1:
            continue
        joined = [i]
        separate = []
        for group in groups:
            corners = [placed[j].corners for j in group]
            meets = any(b > y0 and t < y1 and r > x0 and l_ < x1 for t, l_, b, r in corners)
            if meets:
                joined += group
            else:
                separate.append(group)
        groups = [*separate, sorted(joined)]
    return sorted(groups)


def _frame_sigma(data: NDArray[np.float32], usable: NDArray[np.bool_], variance: NDArray[np.float32] | None) -> float:
    if variance is not None:
        known = variance[usable]
        sigma = median(known[::_SAMPLE] if known.size > _SAMPLE * _MANY else known) ** 0.5
    else:
        sigma = pixel_noise(data, usable)
    return sigma if sigma > 0 else 1.0


def _clipped_sum(frames: Sequence[Bins], shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean of the frames on the common grid after clipping; its inverse variance (0: no data)."""
    total = np.zeros(shape, dtype=np.float32)
    weight = np.zeros(shape, dtype=np.float32)
    step = max(_BAND_VALUES // (len(frames) * shape[1]), 1)
    for start in range(0, shape[0], step):
        rows = slice(start, min(start + step, shape[0]))
        values = np.zeros((len(frames), rows.stop - start, shape[1]), dtype=np.float32)
        weights = np.zeros_like(values)
        for value, inverse, part in zip(values, weights, frames, strict=True):
            top, left = part.start
            first, last = max(start - top, 0), min(rows.stop - top, part.mean.shape[0])
            if first >= last:
                continue
            at = slice(first + top - start, last + top - start), slice(left, left + part.mean.shape[1])
            value[at], inverse[at] = part.mean[first:last], part.weight[first:last]
        n = len(frames)
        _sum_clipped(values.reshape(n, -1), weights.reshape(n, -1), total[rows].reshape(-1), weight[rows].reshape(-1))
    return np.divide(total, weight, out=total, where=weight > 0), weight


def _sum_clipped(
    values: NDArray[np.float32],
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Sums of what lies near the median of each bin, (frames, bins), into `total` and `weight`, (bins,).

    If the median lies within the noise of the lowest and of the highest value, nothing needs to be clipped.
    """
    good = weights > 0
    there = np.where(good, np.float32(0), np.float32(np.inf))
    # A hidden limit is the safe side: a bin more that is looked at.
    reach = np.float32(_CLIP * _SAFE) / np.sqrt(np.maximum(weights.max(axis=0), _TINY))
    above = values > (values + there).min(axis=0) + reach
    above &= good
    below = values < (values - there).max(axis=0) - reach
    below &= good
    half = np.maximum(number_true(good) - 1, 0) >> 1
    odd = np.flatnonzero((number_true(above) > half) | (number_true(below) > half))
    np.add.reduce(weights, axis=0, out=weight)
    few, inverse = np.take(values, odd, axis=1), np.take(weights, odd, axis=1)
    values *= weights
    np.add.reduce(values, axis=0, out=total)
    if odd.size:
        total[odd], weight[odd] = _clipped_sums(few, inverse)


def _clipped_sums(
    values: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted sum of what lies near the median of each bin, and sum of the weights."""
    good = weights > 0
    count = number_true(good)
    rows = sort_planes(np.where(good, values, np.float32(np.inf)))
    at_least_one = np.maximum(count, 1)
    # Of two values that differ the higher one holds the cosmic ray, so the lower one is the reference.
    centre = np.where(count > 2, sorted_median(rows, at_least_one), pick(rows, (at_least_one - 1) // 2))
    centre = np.where(count > 0, centre, np.float32(0))
    # Seeing changes the core of a star by a good part of its height from frame to frame.
    margin = np.float32(0.3) * np.abs(centre)
    noise = 1 / np.sqrt(np.maximum(weights, _TINY))
    used = np.where(np.abs(values - centre) <= np.float32(_CLIP) * noise + margin, weights, np.float32(0))
    return (values * used).sum(axis=0), used.sum(axis=0)
