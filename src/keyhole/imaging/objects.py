"""Which pixels hold stars, so that no star becomes part of a sky.

Faint stars and the wings of bright ones hide in the noise of one frame and add up in a sky made of many: they
are found on the sum of the frames, see `keyhole.imaging.deep_objects`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bins import bin_factor, binned, unbinned
from keyhole.imaging.levels import lit_box, sky_level
from keyhole.imaging.medians import median

__all__ = ["Limits", "find_objects", "pixel_noise", "single_frame_objects"]

_SMOOTHING: Final = 0.3
"""Sigma of the detection filter in units of the width of stars: about the core of a star in good seeing."""

_BACKGROUND_BOX: Final = 8.2
"""Width of the running mean that follows the background, in widths of stars; applied twice."""

_ROUGH_BOX: Final = 1.8
"""Width to which strong detections are grown before the background is measured again, in widths of stars."""

_MOFFAT_BETA: Final = 2.5
_MAX_WING_RADIUS: Final = 12.0
"""In widths of stars."""
_NOISE_PIXELS: Final = 30_000


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
        both = np.array([np.where(used, difference, np.float32(0)), used])
        for _ in range(2):
            both = ndimage.uniform_filter(both, (1, box, box), mode="constant")
        above, area = both
        background += np.divide(above, area, out=np.zeros_like(above), where=area > 0.02)
    return background


def _cores(ratio: NDArray[np.float32], good: NDArray[np.bool_], limits: Limits) -> NDArray[np.bool_]:
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


def _wings(smooth: NDArray[np.float32], cores: NDArray[np.bool_], limits: Limits) -> NDArray[np.bool_]:
    """Discs about the peaks, as far as a Moffat profile of that height exceeds the wing limit."""
    from scipy import ndimage  # slow import

    mask = np.zeros(smooth.shape, dtype=bool)
    peak = cores & (ndimage.maximum_filter(smooth, limits.box(1.0)) == smooth)
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
