"""Which pixels hold stars, so that no star becomes part of a sky.

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
from keyhole.imaging._order_statistics import pick, sort_planes, sorted_median
from keyhole.imaging.levels import lit_box, sky_level

__all__ = ["deep_object_masks", "single_frame_objects"]

_SMOOTHING: Final = 0.3
"""Sigma of the detection filter in units of the width of stars: about the core of a star in good seeing."""

_BACKGROUND_BOX: Final = 8.2
"""Width of the running mean that follows the background, in widths of stars; applied twice."""

_ROUGH_BOX: Final = 1.8
"""Width to which strong detections are grown before the background is measured again, in widths of stars."""

_MOFFAT_BETA: Final = 2.5
_MAX_WING_RADIUS: Final = 12.0
"""In widths of stars."""
_BAND_VALUES: Final = 4_000_000


class _Limits(NamedTuple):
    """What counts as an object, and how far it reaches."""

    threshold: float
    peak: float
    min_pixels: int
    grow: float
    wing_limit: float
    fwhm: float

    @property
    def smoothing(self) -> float:
        """Sigma of the detection filter, pixels."""
        return _SMOOTHING * self.fwhm

    def box(self, widths: float) -> int:
        """The odd number of pixels next to so many widths of stars."""
        return 2 * round((widths * self.fwhm - 1) / 2) + 1


def single_frame_objects(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    sigma: float | None = None,
    threshold: float = 2.5,
    min_pixels: int = 8,
    grow: float = 4.0,
    wing_sigma: float = 0.2,
    fwhm: float = 5.0,
) -> NDArray[np.bool_]:
    """Mask of the stars that show in one frame, over a background that varies on scales above 8 widths of stars.

    Parameters
    ----------
    data : float32 array (ny, nx)
        One frame, sky subtracted or not.
    usable : bool array (ny, nx)
        True where a pixel is usable.
    sigma : float, optional
        Noise of a pixel in the unit of the data; measured on the frame if not given.
    threshold : float
        Detection limit, in sigma of the frame smoothed with a Gaussian of ``0.3 fwhm``.
    min_pixels : int
        Smallest connected area above the limit.
    grow : float
        Radius by which every object is grown, pixels.
    wing_sigma : float
        Bright stars are masked as far as their model wing exceeds this part of the noise of a pixel.
    fwhm : float
        Seeing for which smoothing and wings are calculated, pixels; too large is the safe side.

    Returns
    -------
    bool array (ny, nx)
        True on objects, also where these cover unusable pixels. Changes its input: no.
    """
    mask = np.zeros(data.shape, dtype=bool)
    box = lit_box(usable)
    good = usable[box] & np.isfinite(data[box])
    if not good.any():
        return mask
    noise = pixel_noise(data[box], good) if sigma is None else sigma
    limits = _Limits(threshold, threshold + 1.0, min_pixels, grow, wing_sigma * noise, fwhm)
    weight = good.astype(np.float32) / np.float32(noise * noise if noise > 0 else 1)
    mask[box] = _detect(np.where(good, data[box], np.float32(0)), weight, limits)
    return mask


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

    Frames are added with shifts rounded to whole pixels; outliers (cosmic rays, ghosts) are clipped. Frames
    whose lit areas do not overlap, not even through others, are added separately.

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
        As in `single_frame_objects`, but sigma is that of the smoothed sum, except that ``wing_sigma`` refers
        to the noise of a single frame.

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
    placed = [_place(usable, move.tolist()) for usable, move in zip(usables, moves, strict=True)]
    masks = [np.zeros(frame.shape, dtype=bool) for frame in subtracted]
    for members in _connected(placed):
        sigmas = [_frame_sigma(subtracted[i], usables[i], None if variances is None else variances[i]) for i in members]
        y0, x0, y1, x1 = _hull([placed[i].corners for i in members])
        mean, weight = _clipped_sum([(subtracted[i], usables[i], placed[i]) for i in members], sigmas, (y0, x0, y1, x1))
        wing_limit = wing_sigma * float(np.median(sigmas))
        limits = _Limits(threshold, threshold + 1.0, min_pixels, grow, wing_limit, fwhm)
        found = _detect(mean, weight, limits)
        for i in members:
            top, left, bottom, right = placed[i].corners
            masks[i][placed[i].box] = found[top - y0 : bottom - y0, left - x0 : right - x0]
    return masks


class _Placed(NamedTuple):
    """Lit box of a frame, and its corners (y0, x0, y1, x1) on the common grid."""

    box: tuple[slice, slice]
    corners: tuple[int, int, int, int]


def _place(usable: NDArray[np.bool_], move: Sequence[int]) -> _Placed:
    rows, columns = box = lit_box(usable)
    dx, dy = move
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


def pixel_noise(data: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
    """Noise of a pixel from differences of neighbours along x, which no background reaches."""
    both = usable[:, 1:] & usable[:, :-1]
    differences = (data[:, 1:] - data[:, :-1])[both]
    differences = differences[np.isfinite(differences)]
    return _mad_sigma(differences) / 2**0.5 if differences.size else sky_level(data, usable).sigma


def _mad_sigma(values: NDArray[np.float32]) -> float:
    return 1.4826022 * float(np.median(np.abs(values - np.median(values))))


def _frame_sigma(data: NDArray[np.float32], usable: NDArray[np.bool_], variance: NDArray[np.float32] | None) -> float:
    box = lit_box(usable)
    if variance is not None:
        sigma = float(np.median(variance[box][usable[box]])) ** 0.5
    else:
        sigma = pixel_noise(data[box], usable[box])
    return sigma if sigma > 0 else 1.0


def _clipped_sum(
    frames: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_], _Placed]],
    sigmas: Sequence[float],
    hull: tuple[int, int, int, int],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean of the frames on the common grid after clipping; its inverse variance (0: no data)."""
    y0, x0, y1, x1 = hull
    shape = (y1 - y0, x1 - x0)
    total = np.zeros(shape, dtype=np.float32)
    weight = np.zeros(shape, dtype=np.float32)
    step = max(_BAND_VALUES // (len(frames) * shape[1]), 1)
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        planes = np.full((len(frames), stop - start, shape[1]), np.inf, dtype=np.float32)
        for plane, (data, usable, placed) in zip(planes, frames, strict=True):
            top, left = placed.corners[0] - y0, placed.corners[1] - x0
            first, last = max(start - top, 0), min(stop - top, placed.corners[2] - placed.corners[0])
            if first >= last:
                continue
            part = data[placed.box][first:last]
            good = usable[placed.box][first:last] & np.isfinite(part)
            at = plane[first + top - start : last + top - start, left : left + part.shape[1]]
            np.copyto(at, part, where=good)
        _add_clipped(planes, sigmas, total[start:stop], weight[start:stop])
    return np.divide(total, weight, out=total, where=weight > 0), weight


def _add_clipped(
    planes: NDArray[np.float32],
    sigmas: Sequence[float],
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Add what lies near the median of each pixel to `total` and `weight` (changed in place)."""
    count = np.isfinite(planes).sum(axis=0).ravel()
    rows = sort_planes(planes.reshape(len(planes), -1).copy())
    at_least_one = np.maximum(count, 1)
    # Of two values that differ the higher one holds the cosmic ray, so the lower one is the reference.
    centre = np.where(count > 2, sorted_median(rows, at_least_one), pick(rows, (at_least_one - 1) // 2))
    centre = np.where(count > 0, centre, 0).reshape(total.shape)
    # Seeing changes the core of a star by a good part of its height from frame to frame.
    margin = np.float32(0.3) * np.abs(centre)
    for plane, sigma in zip(planes, sigmas, strict=True):
        near = np.abs(plane - centre) <= np.float32(4 * sigma) + margin
        inverse = np.float32(sigma**-2)
        total += np.where(near, plane * inverse, np.float32(0))
        weight += np.where(near, inverse, np.float32(0))


def _detect(image: NDArray[np.float32], weight: NDArray[np.float32], limits: _Limits) -> NDArray[np.bool_]:
    """Objects on an image with inverse variances (0: no data), each grown as far as it reaches.

    The first round finds what stands out anyway and takes it out of the background, the second one decides.
    """
    from scipy import ndimage  # a quarter of a second: only who detects pays

    good = weight > 0
    # g**2 of a Gaussian g is a narrower Gaussian, which gives the noise after smoothing.
    width = limits.smoothing
    squared = ndimage.gaussian_filter(weight, width / 2**0.5, mode="constant") / (4 * np.pi * width**2)
    inverse = np.divide(1, np.sqrt(np.maximum(squared, 0)), out=np.zeros_like(weight), where=good & (squared > 0))
    rough = np.zeros(image.shape, dtype=bool)
    for last in (False, True):
        background = _running_background(image, good, rough, limits.box(_BACKGROUND_BOX))
        smooth = ndimage.gaussian_filter((image - background) * weight, width, mode="constant")
        ratio = smooth * inverse
        level = sky_level(ratio, good, objects=rough if last and (good & ~rough).any() else None)
        ratio = (ratio - level.value) / (level.sigma if level.sigma > 0 else 1.0)
        if not last:
            rough = ndimage.maximum_filter(ratio > 2 * limits.threshold, limits.box(_ROUGH_BOX))
    cores = _cores(ratio, good, limits)
    if not cores.any():
        return cores
    height = ndimage.gaussian_filter(weight, width, mode="constant")
    smooth = np.divide(smooth, height, out=np.zeros_like(smooth), where=good)
    return _grown(cores, limits.grow) | _wings(smooth, cores, limits)


def _running_background(
    image: NDArray[np.float32], good: NDArray[np.bool_], objects: NDArray[np.bool_], box: int
) -> NDArray[np.float32]:
    """Local mean of the pixels without objects, after clipping about the background found so far."""
    from scipy import ndimage  # slow import

    quiet = good & ~objects
    if not quiet.any():
        quiet = good
    # Every third column tells the scatter well enough for a clip.
    some = np.s_[:, ::3] if quiet[:, ::3].any() else np.s_[:, :]
    background = np.full(image.shape, sky_level(image[some], quiet[some]).value, dtype=np.float32)
    # The second clip follows a sloping background that one level cannot.
    for _ in range(2):
        difference = image - background
        sigma = sky_level(difference[some], quiet[some]).sigma
        used = quiet & (np.abs(difference) <= np.float32(2.5 * sigma)) if sigma > 0 else quiet
        above = np.where(used, difference, np.float32(0))
        area = used.astype(np.float32)
        for _ in range(2):
            above = ndimage.uniform_filter(above, box, mode="constant")
            area = ndimage.uniform_filter(area, box, mode="constant")
        background += np.divide(above, area, out=np.zeros_like(above), where=area > 0.02)
    return background


def _cores(ratio: NDArray[np.float32], good: NDArray[np.bool_], limits: _Limits) -> NDArray[np.bool_]:
    """Connected areas above the threshold that are large enough and have a peak."""
    from scipy import ndimage  # slow import

    above = (ratio > limits.threshold) & good
    labels, number = ndimage.label(above, structure=np.ones((3, 3)))
    names = labels[above]
    sizes = np.bincount(names, minlength=number + 1)
    peaks = np.zeros(number + 1, dtype=ratio.dtype)
    np.maximum.at(peaks, names, ratio[above])
    kept = (sizes >= limits.min_pixels) & (peaks >= limits.peak)
    return np.asarray(kept[labels])


def _grown(cores: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    from scipy import ndimage  # slow import

    return np.asarray(ndimage.distance_transform_edt(~cores) <= radius)


def _wings(smooth: NDArray[np.float32], cores: NDArray[np.bool_], limits: _Limits) -> NDArray[np.bool_]:
    """Discs about the peaks, as far as a Moffat profile of that height exceeds the wing limit."""
    from scipy import ndimage  # slow import

    mask = np.zeros(smooth.shape, dtype=bool)
    peak = cores & (ndimage.maximum_filter(smooth, 5) == smooth)
    alpha = limits.fwhm / (2 * (2 ** (1 / _MOFFAT_BETA) - 1) ** 0.5)
    # Smoothing lowers the peak as the square of the widths tells.
    lowered = 1 + (2.3548 * _SMOOTHING) ** 2
    ny, nx = smooth.shape
    for y, x in zip(*np.nonzero(peak), strict=True):
        contrast = float(smooth[y, x]) * lowered / limits.wing_limit if limits.wing_limit > 0 else 0.0
        if contrast <= 1:
            continue
        radius = min(alpha * (contrast ** (1 / _MOFFAT_BETA) - 1) ** 0.5, _MAX_WING_RADIUS * limits.fwhm)
        reach = int(radius) + 1
        rows = slice(max(y - reach, 0), min(y + reach + 1, ny))
        columns = slice(max(x - reach, 0), min(x + reach + 1, nx))
        dy = np.arange(rows.start, rows.stop)[:, None] - y
        dx = np.arange(columns.start, columns.stop) - x
        mask[rows, columns] |= dy * dy + dx * dx <= radius * radius
    return mask
