"""Which pixels hold stars, so that no star becomes part of a sky.

Faint stars and the wings of bright ones hide in the noise of one frame and add up in a sky made of many: they
are found on the sum of the frames, see `keyhole.imaging.deep_objects`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bins import NARROWEST, bin_factor, binned, unbinned
from keyhole.imaging._masked import zero_except
from keyhole.imaging._neighbours import near
from keyhole.imaging._regions import connected, disc, grown, peaks_among
from keyhole.imaging._smooth import gaussian, gaussian_reach, local_mean
from keyhole.imaging.levels import Level, lit_box, sky_level
from keyhole.imaging.medians import median

__all__ = ["Limits", "SmoothWeight", "find_above", "find_objects", "pixel_noise", "safe_width", "single_frame_objects"]

_SMOOTHING: Final = 0.3
"""Sigma of the detection filter in units of the width of stars: about the core of a star in good seeing."""

_BACKGROUND_BOX: Final = 8.2
"""Width of the running mean that follows the background, in widths of stars; applied twice."""

_ROUGH_BOX: Final = 1.8
"""Width to which strong detections are grown before the background is measured again, in widths of stars."""

_MOFFAT_BETA: Final = 2.5
_MAX_WING_RADIUS: Final = 12.0
"""In widths of stars."""
_NEARLY_IN_BINS: Final = 0.8
"""Part of the least width for bins from which on stars are taken to be as wide as that."""
_NOISE_PIXELS: Final = 30_000
_LEVEL_PIXELS: Final = 10_000
_LIMIT_PIXELS: Final = 4_000
_TINY: Final = np.float32(1e-30)


class Limits(NamedTuple):
    """What counts as an object, and how far it reaches; lengths in pixels of the image that is searched."""

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

    def times(self, factor: float) -> Limits:
        """The same with a threshold that is so many times as high, and the peak as much above it."""
        threshold = factor * self.threshold
        return self._replace(threshold=threshold, peak=threshold + self.peak - self.threshold)

    def in_bins(self, factor: int) -> Limits:
        """The same for an image in bins of so many pixels on a side."""
        if factor == 1:
            return self
        # Bins that hold the edge of an object cover some more of it than its pixels do.
        grow = self.grow / factor + 0.25
        return self._replace(min_pixels=-(-self.min_pixels // factor**2), grow=grow, fwhm=self.fwhm / factor)


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
    bins: bool = True,
) -> NDArray[np.bool_]:
    """Mask of the stars that show in one frame, over a background that varies on scales above 8 widths of stars.

    Frames with stars of 3.75 pixels or more are searched in bins of 0.4 widths of stars, if `bins` allows it.

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
    bins : bool
        False is slower and finds the outlines of objects pixel by pixel.

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
    factor = bin_factor(fwhm) if bins else 1
    limits = Limits(threshold, threshold + 1.0, min_pixels, grow, wing_sigma * noise, fwhm).in_bins(factor)
    weight = good.astype(np.float32) / np.float32(noise * noise if noise > 0 else 1)
    found = find_objects(*binned(np.where(good, data[box], np.float32(0)), weight, factor), limits)
    mask[box] = unbinned(found, factor, good.shape)
    return mask


def safe_width(fwhm: float) -> float:
    """Width of stars (pixels) for which all of them are left out: rather too large than small, so that bins are used.

    Parameters
    ----------
    fwhm : float
        Their width, pixels.
    """
    return max(fwhm, NARROWEST if fwhm >= _NEARLY_IN_BINS * NARROWEST else 1.0)


def pixel_noise(data: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
    """Noise of a pixel from differences of neighbours along x, which no background reaches; from a part of the rows."""
    step = max(data.size // _NOISE_PIXELS, 1) | 1
    if usable[::step].any():
        data, usable = data[::step], usable[::step]
    both = usable[:, 1:] & usable[:, :-1]
    differences = (data[:, 1:] - data[:, :-1])[both]
    differences = differences[np.isfinite(differences)]
    return _mad_sigma(differences) / 2**0.5 if differences.size else sky_level(data, usable).sigma


def _mad_sigma(values: NDArray[np.float32]) -> float:
    return 1.4826022 * median(np.abs(values - median(values)))


def find_objects(image: NDArray[np.float32], weight: NDArray[np.float32], limits: Limits) -> NDArray[np.bool_]:
    """Objects on an image with inverse variances (0: no data), each grown as far as it reaches.

    The first round finds what stands out anyway and takes it out of the background, the second one decides.
    """
    return find_above(image, SmoothWeight.of(weight, limits.smoothing), limits)[0]


class SmoothWeight(NamedTuple):
    """Weights of the pixels of an image, and what smoothing makes of them.

    Attributes
    ----------
    weight : float32 array (ny, nx)
        Inverse variances in any unit, 0 where there is no data.
    width : float
        Sigma of the Gaussian that smooths, pixels.
    inverse : float32 array (ny, nx)
        Over the noise of the image times its weight, smoothed; 0 where there is no data.
    height : float32 array (ny, nx)
        The weight, smoothed.
    """

    weight: NDArray[np.float32]
    width: float
    inverse: NDArray[np.float32]
    height: NDArray[np.float32]

    @classmethod
    def of(cls, weight: NDArray[np.float32], width: float, known: SmoothWeight | None = None) -> SmoothWeight:
        """Smooth a weight; of rows where `known` has the same one, its values are taken."""
        if known is None or known.width != width or known.weight.shape != weight.shape:
            return cls(weight, width, *_smoothed(weight, width))
        changed = np.flatnonzero((weight != known.weight).any(axis=1))
        if not changed.size:
            return known
        inverse, height = known.inverse.copy(), known.height.copy()
        reach, ny = gaussian_reach(width), len(weight)
        # Pieces with few rows between them are smoothed as one.
        ends = np.flatnonzero(np.append(np.diff(changed) > 4 * reach, True))
        for first, last in zip(changed[np.append(0, ends[:-1] + 1)].tolist(), changed[ends].tolist(), strict=True):
            rows = slice(max(first - reach, 0), min(last + reach + 1, ny))
            wide = slice(max(rows.start - reach, 0), min(rows.stop + reach, ny))
            inner = slice(rows.start - wide.start, rows.stop - wide.start)
            inverse[rows], height[rows] = (plane[inner] for plane in _smoothed(weight[wide], width))
        return cls(weight, width, inverse, height)


def _smoothed(weight: NDArray[np.float32], width: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`inverse` and `height` of `SmoothWeight`."""
    # g**2 of a Gaussian g is a narrower Gaussian, which gives the noise after smoothing.
    inverse = gaussian(weight, width / 2**0.5)
    inverse *= np.float32(1 / (4 * np.pi * width**2))
    np.sqrt(np.maximum(inverse, _TINY, out=inverse), out=inverse)
    zero_except(np.reciprocal(inverse, out=inverse), weight > 0)
    height = gaussian(weight, width)
    return inverse, np.maximum(height, _TINY, out=height)


def find_above(
    image: NDArray[np.float32], weight: SmoothWeight, limits: Limits, *times: float
) -> list[NDArray[np.bool_]]:
    """`find_objects`, and of these objects those that exceed so many times the threshold as well."""
    good = weight.weight > 0
    rough = np.zeros(image.shape, dtype=bool)
    background = np.full(image.shape, _quick_level(image, good)[0], dtype=np.float32)
    for last in (False, True):
        # The second clip follows a sloping background that one level cannot.
        for _ in range(1 if last else 2):
            _follow(background, image, good & ~rough, limits.box(_BACKGROUND_BOX))
        smooth = gaussian((image - background) * weight.weight, weight.width)
        ratio = smooth * weight.inverse
        if not last:
            middle, sigma = _quick_level(ratio, good)
            above = ratio > np.float32(middle + 2 * limits.threshold * sigma)
            rough = near(above & good, limits.box(_ROUGH_BOX) // 2)
    level = _level(ratio, good & ~rough if (good & ~rough).any() else good)
    all_limits = [limits, *(limits.times(factor) for factor in times)]
    all_cores = [_cores(ratio, good, level, one) for one in all_limits]
    if any(cores.size for cores in all_cores):
        zero_except(np.divide(smooth, weight.height, out=smooth), good)
    return [_mask(smooth, cores, one) for cores, one in zip(all_cores, all_limits, strict=True)]


def _mask(smooth: NDArray[np.float32], cores: NDArray[np.intp], limits: Limits) -> NDArray[np.bool_]:
    """Cores of objects, grown as far as these reach."""
    mask = np.zeros(smooth.shape, dtype=bool)
    if cores.size:
        mask.reshape(-1)[cores] = True
        mask = grown(mask, limits.grow)
        _add_wings(mask, smooth, cores, limits)
    return mask


def _some(image: NDArray[np.float32], good: NDArray[np.bool_], number: int) -> NDArray[np.float32]:
    """About so many of the good pixels."""
    step = max(int(np.count_nonzero(good)) // number, 1) | 1
    values = image.ravel()[::step][good.ravel()[::step]]
    return values if values.size else image[good]


def _level(image: NDArray[np.float32], good: NDArray[np.bool_]) -> Level:
    """Level and scatter of the pixels without objects."""
    values = _some(image, good, _LEVEL_PIXELS)
    nothing = np.zeros(values.shape, dtype=bool)
    return sky_level(values, ~nothing, objects=nothing)


def _quick_level(image: NDArray[np.float32], good: NDArray[np.bool_]) -> tuple[float, float]:
    """Median and scatter on its dark side, which stars hardly touch; good enough for a limit."""
    values = np.sort(_some(image, good, _LIMIT_PIXELS))
    if not values.size:
        return 0.0, 0.0
    middle = float(values[values.size // 2])
    return middle, middle - float(values[round(0.1587 * (values.size - 1))])


def _follow(background: NDArray[np.float32], image: NDArray[np.float32], quiet: NDArray[np.bool_], box: int) -> None:
    """Add the local mean of what a background (changed) leaves of the quiet pixels that are near to it."""
    difference = image - background
    middle, sigma = _quick_level(difference, quiet)
    limit = 2.5 * sigma if sigma > 0 else np.inf
    used = quiet & (difference <= np.float32(middle + limit))
    used &= difference >= np.float32(middle - limit)
    background += local_mean(difference, used, box)


def _cores(ratio: NDArray[np.float32], good: NDArray[np.bool_], level: Level, limits: Limits) -> NDArray[np.intp]:
    """Pixels of the connected areas above the threshold that are large enough and have a peak."""
    sigma = level.sigma if level.sigma > 0 else 1.0
    above = ratio > np.float32(level.value + limits.threshold * sigma)
    areas = connected(above & good)
    sizes = np.bincount(areas.names, minlength=areas.number)
    peaks = np.full(areas.number, -np.inf, dtype=ratio.dtype)
    np.maximum.at(peaks, areas.names, ratio.reshape(-1)[areas.pixels])
    kept = (sizes >= limits.min_pixels) & (peaks >= level.value + limits.peak * sigma)
    return areas.pixels[kept[areas.names]]


def _add_wings(mask: NDArray[np.bool_], smooth: NDArray[np.float32], cores: NDArray[np.intp], limits: Limits) -> None:
    """Add discs about the peaks, as far as a Moffat profile of that height exceeds the wing limit, to the mask."""
    if limits.wing_limit <= 0:
        return
    nx = smooth.shape[1]
    peaks = peaks_among(smooth, cores, limits.box(1.0))
    alpha = limits.fwhm / (2 * (2 ** (1 / _MOFFAT_BETA) - 1) ** 0.5)
    # Smoothing lowers the peak as the square of the widths tells.
    lowered = 1 + (2.3548 * _SMOOTHING) ** 2
    contrast = np.maximum(smooth.reshape(-1)[peaks].astype(np.float64) * lowered / limits.wing_limit, 1)
    radii = np.minimum(alpha * np.sqrt(contrast ** (1 / _MOFFAT_BETA) - 1), _MAX_WING_RADIUS * limits.fwhm)
    # Smaller discs lie within the cores as they were grown.
    for place, radius in zip(peaks[radii > limits.grow].tolist(), radii[radii > limits.grow].tolist(), strict=True):
        y, x = divmod(place, nx)
        whole = disc(int(radius * radius))
        reach = whole.shape[0] // 2
        top, left = max(reach - y, 0), max(reach - x, 0)
        part = mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        part |= whole[top : top + part.shape[0], left : left + part.shape[1]]
