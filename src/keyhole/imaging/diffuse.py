"""Registering frames on all their light, where there are no point sources or none that is whole.

Each frame is correlated with the mean of its neighbours in the dither pattern, laid on each other by the best
shifts so far. That shows what is too faint or too extended for the source lists, and stars that the edge of
the field cuts: pixels that one side does not have take no part. The fraction of a pixel comes from a least
squares fit of the mean to the frame (Lucas & Kanade 1981, Proc. Imaging Understanding Workshop, 121).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging._smooth import running_sum
from keyhole.imaging.bits import UNILLUMINATED, usable
from keyhole.imaging.correlate import Correlation, cross_correlate
from keyhole.imaging.kernels import kernel_weights

__all__ = ["register_on_light"]

_NEIGHBOURS: Final = 8
"""Frames in a mean: more cost time and overlap less."""
_PROBES: Final = 4
"""Frames that are tried first; when none of them has a common structure, none is looked for."""
_FEWEST_PIXELS: Final = 100
_MOST_PIXELS: Final = 150_000
"""Pixels of a frame above which more are averaged: the time grows with them, the certainty hardly."""
_PRESENT: Final = 0.9
"""Share of the weights of an interpolation that must be on known pixels."""
_OUTSTANDING: Final = 8.0
_SHARPEST: Final = 2.0
"""A pixel is no star that exceeds so many sigma, and the mean of its four neighbours so many times."""
_STEEP: Final = 3.0
"""Mean square of the slopes of a frame, in units of that of its noise, which only stars reach."""
_SMOOTHING: Final = 7
"""Pixels over which light without stars is averaged, twice."""
_MOST_FIXED: Final = 0.9
_MOST_OPPOSED: Final = -0.2
_FEW_STANDING: Final = 0.1
"""Light that is seen so well on the same pixels, or inverted, stands still; share of the frames where it may."""
_STEPS: Final = 12
_MISMATCH: Final = 0.1
"""Share of its light by which a star may differ from the mean of others: the seeing changes."""
_FURTHEST: Final = 3.0
"""Pixels that the fit may move what the correlation found."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class _Plane(NamedTuple):
    """Light of one frame, in units of its noise, in its box of usable pixels; 0 where not usable.

    ``corner`` is the place (x, y) of pixel (0, 0) of the box in the frame.
    """

    light: Float32
    good: NDArray[np.bool_]
    corner: tuple[int, int]


def register_on_light(
    frames: Sequence[NDArray[Any]],
    masks: Sequence[NDArray[np.uint16] | None],
    shifts: ArrayLike,
    *,
    wanted: Sequence[int],
    known: Collection[int],
    search_radius: float,
    binning: int = 1,
) -> dict[int, Correlation]:
    """Find the shifts of frames by their correlation with the mean of others.

    Parameters
    ----------
    frames : sequence of (ny, nx)
        Sky subtracted frames. Changes its input: no.
    masks : sequence of (ny, nx) uint16 or None
        Quality bits; None: all good.
    shifts : (n, 2) array_like
        Best shifts so far, pixels: position in the frame = position in the reference + shift.
    wanted : sequence of int
        Frames whose shift is looked for.
    known : collection of int
        Frames whose shift is known. Without any, the wanted frames are laid on each other as they are, and
        once more with what was found.
    search_radius : float
        Largest deviation from `shifts`, pixels.
    binning : int
        Pixels that are averaged along each axis first, or more for large frames; the fine sampling of a long
        camera only costs time.

    Returns
    -------
    dict of int to Correlation
        Shifts, relative to the same reference, of the wanted frames that have significant structure in
        common with others.

    Raises
    ------
    AlgorithmError
        When the numbers of frames, masks and shifts differ.
    """
    best = np.array(shifts, dtype=np.float64).reshape(-1, 2)
    if not len(frames) == len(masks) == len(best):
        raise AlgorithmError(
            f"registration on light got {len(frames)} frames, {len(masks)} masks and {len(best)} shifts"
        )
    binning = max(binning, math.ceil(math.sqrt(max(map(_usable_area, frames, masks)) / _MOST_PIXELS)))
    planes = [_plane(frame, mask, binning) for frame, mask in zip(frames, masks, strict=True)]
    # The middle of a binned pixel lies (binning - 1) / 2 beyond that of its first pixel in all frames alike.
    best /= binning
    radius = max(search_radius / binning, 2.0)
    found: dict[int, Correlation] = {}
    for _ in range(1 if known else 2):
        partners = set(known) or set(wanted)
        found = _one_round(planes, best, wanted, partners, radius)
        if not known:
            for i, one in found.items():
                best[i] = one.dx, one.dy
    return {i: one._replace(dx=one.dx * binning, dy=one.dy * binning) for i, one in found.items()}


class _Light(NamedTuple):
    """A shift, and how a frame without stars looks on the same pixels of frames that point elsewhere.

    ``fixed`` is the correlation there in units of that on the same sky; None for a frame with stars.
    """

    shift: Correlation
    fixed: float | None


def _one_round(
    planes: Sequence[_Plane | None], shifts: Float64, wanted: Sequence[int], partners: set[int], radius: float
) -> dict[int, Correlation]:
    order = list(dict.fromkeys([*wanted[:: max(len(wanted) // _PROBES, 1)], *wanted]))
    found: dict[int, _Light] = {}
    for tried, i in enumerate(order):
        if tried == _PROBES and not found:
            break
        one = _against_neighbours(planes, shifts, i, partners - {i}, radius)
        if one is not None:
            found[i] = one
    smooth = [one.fixed for one in found.values() if one.fixed is not None]
    # What is left of the sky, and the ghosts of an object wider than the dithers, stand still on the detector. They
    # are in all frames, though not plain in each.
    standing = sum(not _MOST_OPPOSED < fixed < _MOST_FIXED for fixed in smooth)
    believed = standing <= _FEW_STANDING * len(smooth)
    return {i: one.shift for i, one in found.items() if one.fixed is None or believed}


def _against_neighbours(
    planes: Sequence[_Plane | None], shifts: Float64, i: int, partners: set[int], radius: float
) -> _Light | None:
    own = planes[i]
    apart = np.hypot(*(shifts - shifts[i]).T)
    near = sorted((j for j in partners if planes[j] is not None), key=lambda j: float(apart[j]))[:_NEIGHBOURS]
    if own is None or not near:
        return None
    reach = int(np.ceil(radius)) + 1
    # A cosmic ray or a hot pixel would outweigh all the rest: bright pixels are compressed for the correlation.
    mean, seen = _mean_light([planes[j] for j in near], shifts[near] - shifts[i], own, reach)
    if np.count_nonzero(seen) < _FEWEST_PIXELS:
        return None
    found = cross_correlate(
        np.arcsinh(own.light),
        np.arcsinh(mean),
        (_bits(own.good), _bits(seen)),
        expected=(reach, reach),
        search_radius=radius,
    )
    if found is None:
        return None
    smooth = not _shows_stars(mean, seen)
    if smooth:
        # The slopes would be those of the noise.
        own = own._replace(light=_smoothed(own.light, own.good))
        mean = _smoothed(mean, seen)
    starts = (np.array([found.dx, found.dy]), np.array([reach, reach], dtype=np.float64))
    further = min((_fitted(own, mean, seen, start) for start in starts), key=lambda fit: fit.misfit).place
    fixed = None
    if smooth:
        model, known = _shifted(mean, seen, own.light.shape, further)
        elsewhere = [planes[j] for j in partners if apart[j] > radius]
        few = elsewhere[:: max(len(elsewhere) // _NEIGHBOURS, 1)]
        still, there = _mean_light(few, np.zeros((len(few), 2)), own, 0)
        fixed = _likeness(own, _smoothed(still, there), there) / max(_likeness(own, model, known), 1e-3)
    # Where the mean shows something further on, this frame lies further back.
    dx, dy = shifts[i] - (further - reach)
    return _Light(found._replace(dx=float(dx), dy=float(dy)), fixed)


def _shows_stars(mean: Float32, seen: NDArray[np.bool_]) -> bool:
    both = seen[:, 2:] & seen[:, :-2]
    slopes = (mean[:, 2:] - mean[:, :-2])[both]
    if not slopes.size:
        return False
    noise = 1.4826 * float(np.median(np.abs(slopes)))
    return float(np.mean(slopes**2)) > _STEEP * noise**2


def _likeness(own: _Plane, light: Float32, good: NDArray[np.bool_]) -> float:
    """Correlation coefficient of a frame with another plane; infinite where they have too little in common."""
    both = own.good & good
    if np.count_nonzero(both) < _FEWEST_PIXELS:
        return math.inf
    return float(np.corrcoef(np.arcsinh(own.light[both]), np.arcsinh(light[both]))[0, 1])


def _smoothed(light: Float32, good: NDArray[np.bool_]) -> Float32:
    """Mean of the known pixels round each one."""
    total, share = np.where(good, light, np.float32(0)), good.astype(np.float32)
    for _ in range(2):
        total, share = running_sum(total, _SMOOTHING), running_sum(share, _SMOOTHING)
    return np.where(good, total / np.maximum(share, np.float32(1e-6)), np.float32(0)).astype(np.float32)


class _Fit(NamedTuple):
    """Where pixel (0, 0) of a frame lies on a wider mean, and the mean square of the weighted residuals."""

    place: Float64
    misfit: float


def _fitted(own: _Plane, mean: Float32, seen: NDArray[np.bool_], start: Float64) -> _Fit:
    """Place of a frame on the mean by least squares, from a start good to some pixels.

    Model: ``frame(x) = a mean(x + place) + b + c laplacian``, where c is half the change of the squared width that
    the seeing makes; weights by the noise and what remains of that change.
    """
    place, best = start.copy(), _Fit(start, math.inf)
    for _ in range(_STEPS):
        model, slopes, good = _sampled(mean, seen, own.light.shape, place)
        good &= own.good
        if np.count_nonzero(good) < _FEWEST_PIXELS:
            break
        terms = np.column_stack([*(slope[good] for slope in slopes), model[good], np.ones(np.count_nonzero(good))])
        weight = 1 / (1.0 + (_MISMATCH * model[good]) ** 2)
        fit = np.linalg.lstsq((terms * weight[:, np.newaxis]).T @ terms, terms.T @ (weight * own.light[good]))[0]
        left = own.light[good] - terms[:, 2:] @ fit[2:]
        misfit = float((weight * left**2).sum() / weight.sum())
        if misfit < best.misfit:
            best = _Fit(place.copy(), misfit)
        step = np.clip(fit[:2] / max(float(fit[3]), 0.1), -0.5, 0.5)
        place += step
        if np.hypot(*(place - start)) > _FURTHEST or np.abs(step).max() < 1e-3:
            break
    return best


def _sampled(
    mean: Float32, seen: NDArray[np.bool_], shape: tuple[int, ...], place: Float64
) -> tuple[Float32, tuple[Float32, Float32, Float32], NDArray[np.bool_]]:
    """A mean, its slopes and its Laplacian on pixels that begin at a place, and where they are known."""
    model, known = _shifted(mean, seen, shape, place)
    slope_x, slope_y, laplacian = (np.zeros_like(model) for _ in range(3))
    good = np.zeros_like(known)
    inner, left, right, low, high = (
        np.s_[1:-1, 1:-1],
        np.s_[1:-1, :-2],
        np.s_[1:-1, 2:],
        np.s_[:-2, 1:-1],
        np.s_[2:, 1:-1],
    )
    slope_x[inner] = (model[right] - model[left]) / 2
    slope_y[inner] = (model[high] - model[low]) / 2
    laplacian[inner] = model[right] + model[left] + model[high] + model[low] - 4 * model[inner]
    good[inner] = known[inner] & known[left] & known[right] & known[low] & known[high]
    return model, (slope_x, slope_y, laplacian), good


def _mean_light(
    planes: Sequence[_Plane | None], moves: Float64, own: _Plane, reach: int
) -> tuple[Float32, NDArray[np.bool_]]:
    """Mean of frames on the pixels of one, `reach` pixels wider on every side; and where there is any."""
    ny, nx = own.light.shape
    total = np.zeros((ny + 2 * reach, nx + 2 * reach), np.float32)
    number = np.zeros(total.shape, np.float32)
    for plane, move in zip(planes, moves, strict=True):
        if plane is not None:
            place = np.array(own.corner) - reach + move - np.array(plane.corner)
            light, good = _shifted(plane.light, plane.good, total.shape, place)
            total += light
            number += good
    seen = number > 0
    return (total / np.where(seen, number, np.float32(1))).astype(np.float32), seen


def _shifted(
    light: Float32, good: NDArray[np.bool_], shape: tuple[int, ...], place: Float64
) -> tuple[Float32, NDArray[np.bool_]]:
    """A plane on pixels that begin at a place in it, and where it is known; 0 elsewhere.

    A cubic through four pixels per axis: linear interpolation would widen the stars.
    """
    left, top = (int(v) for v in np.floor(place))
    along, across = kernel_weights("poly3", place - (left, top)).astype(np.float32)
    rows, columns = shape
    window = np.zeros((2, rows + 3, columns + 3), np.float32)
    into, part = _overlap(window.shape[1:], light.shape, top - 1, left - 1)
    window[0][into], window[1][into] = light[part], good[part]

    def summed(plane: Float32, weights_x: Float32, weights_y: Float32) -> Float32:
        wide = sum(w * plane[:, k : k + columns] for k, w in enumerate(weights_x))
        return np.asarray(sum(w * wide[k : k + rows] for k, w in enumerate(weights_y)), dtype=np.float32)

    present = summed(window[1], abs(along), abs(across)) / np.float32(abs(along).sum() * abs(across).sum())
    known = present > _PRESENT
    share = np.where(known, summed(window[1], along, across), np.float32(1))
    return np.where(known, summed(window[0], along, across) / share, np.float32(0)).astype(np.float32), known


def _overlap(
    shape: tuple[int, ...], source: tuple[int, ...], row: int, column: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a plane and of a source whose pixel ``(row, column)`` lies on the first pixel of the plane."""
    into, part = [], []
    for size, own, start in zip(shape, source, (row, column), strict=True):
        first = max(start, 0)
        last = max(min(start + size, own), first)
        part.append(slice(first, last))
        into.append(slice(first - start, last - start))
    return (into[0], into[1]), (part[0], part[1])


def _plane(frame: NDArray[Any], mask: NDArray[np.uint16] | None, binning: int) -> _Plane | None:
    """Light of a frame; None without usable pixels."""
    good = np.isfinite(frame)
    if mask is not None:
        good &= usable(mask)
    if not good.any():
        return None
    box = bounding_box(good)
    # The box starts on a multiple of the binning, so that all frames are cut alike.
    rows, columns = (slice(s.start - s.start % binning, s.stop) for s in box)
    light = np.where(good[rows, columns], frame[rows, columns], 0).astype(np.float32)
    light, near = _binned(light, good[rows, columns], binning)
    if np.count_nonzero(near) < _FEWEST_PIXELS:
        return None
    level = np.median(light[near])
    noise = 1.4826 * np.median(np.abs(light[near] - level))
    light = np.where(near, (light - level) / max(float(noise), 1e-30), 0).astype(np.float32)
    near &= ~_too_sharp(light)
    return _Plane(
        np.where(near, light, np.float32(0)),
        near,
        (columns.start // binning, rows.start // binning),
    )


def _too_sharp(light: Float32) -> NDArray[np.bool_]:
    """Pixels that stand out of their neighbours as no star does: cosmic rays and hot pixels of one or two pixels."""
    framed = np.pad(light, 1)
    round_about = (framed[1:-1, :-2] + framed[1:-1, 2:] + framed[:-2, 1:-1] + framed[2:, 1:-1]) / 4
    return np.asarray(np.abs(light) > np.maximum(_OUTSTANDING, _SHARPEST * np.abs(round_about)))


def _usable_area(frame: NDArray[Any], mask: NDArray[np.uint16] | None) -> float:
    return float(frame.size if mask is None else np.count_nonzero(usable(mask)))


def _binned(
    light: NDArray[np.float32], good: NDArray[np.bool_], binning: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    if binning == 1:
        return light, good
    ny, nx = (size // binning for size in light.shape)
    shape = (ny, binning, nx, binning)
    number = good[: ny * binning, : nx * binning].reshape(shape).sum(axis=(1, 3))
    total = light[: ny * binning, : nx * binning].reshape(shape).sum(axis=(1, 3))
    enough = 2 * number > binning**2
    return np.where(enough, total / np.maximum(number, 1), 0).astype(np.float32), enough


def _bits(good: NDArray[np.bool_]) -> NDArray[np.uint16]:
    return np.where(good, 0, UNILLUMINATED).astype(np.uint16)
