"""Faint stars that no connected area above the noise shows: peaks under a filter as wide as the seeing.

A threshold on pixels misses a faint star whose light is spread over many of them, and takes one on the slope of
a bright star for a part of that star. A Gaussian of the width of the stars, lowered to volume zero within its
radius, ignores background and slopes and weighs the light as a point source wants it (Stetson 1987, PASP 99,
191).
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Peaks", "faint_peaks", "with_peaks"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_REACH: Final = 2.5
"""Radius of the filter in units of the seeing."""
_APART: Final = 0.7
"""Peaks and sources nearer to each other than this, in units of the seeing, are one star."""
_OWN: Final = 0.6
"""Radius of the pixels that become those of the new source, in units of the seeing."""
_SHARPEST: Final = 0.75
"""A pixel whose height over its neighbours is a larger part of its star than this is no star."""
_NOISE_OF_ONE: Final = 4.0
"""Sigma by which a pixel may stand out besides."""
_CONTRAST: Final = 0.02
"""Least height of a peak within `_HALO` of a source, in units of that source's peak: the filter's own ring, and
what a star's real profile has in excess of a smooth one, are below it."""
_HALO: Final = 3.0
_LEAST_WEIGHT: Final = 0.7
"""Part of the filter that must fall on usable pixels."""


class Peaks(NamedTuple):
    """Places of peaks (pixels, first is 0) and their signal to noise, arrays of shape (n,)."""

    x: NDArray[np.intp]
    y: NDArray[np.intp]
    snr: NDArray[np.float64]


def faint_peaks(
    data: Float32,
    variance: Float32,
    hidden: Bool,
    *,
    fwhm: float,
    threshold: float,
    correlation: float = 1.0,
    doubtful: NDArray[np.floating[Any]] | None = None,
) -> Peaks:
    """Find peaks of the image under a Gaussian of volume zero.

    Parameters
    ----------
    data, variance : (ny, nx) float32
        Without background.
    hidden : (ny, nx) bool
        True on pixels that take no part.
    fwhm : float
        Width of the stars, pixels.
    threshold : float
        Least signal to noise of the filtered image.
    correlation : float
        Noise of the filtered image over that which independent pixels would give.
    doubtful : (ny, nx), optional
        Light in each pixel that may be an error of what was taken away; it counts as noise, all in one sense.

    Returns
    -------
    Peaks
        Brightest first; cosmic rays and other single pixels are left out.
    """
    from scipy import ndimage  # slow import: only combinations are searched like this

    half = math.ceil(_REACH * fwhm)
    grid = np.arange(-half, half + 1)
    square = grid[:, np.newaxis] ** 2 + grid**2
    disc = square <= (_REACH * fwhm) ** 2
    shape = np.where(disc, np.exp(-4 * np.log(2) * square / fwhm**2), 0.0)
    kernel = np.where(disc, shape - shape[disc].mean(), 0.0)
    seen = ~hidden
    clean = np.where(seen, data, 0).astype(np.float64)
    filtered = _Filter(data.shape, half)
    height = filtered(clean, kernel)
    noise = np.sqrt(np.maximum(filtered(np.where(seen, variance, 0), kernel**2), 0.0))
    weight = filtered(seen, shape) / shape.sum()
    allowed = seen & (weight > _LEAST_WEIGHT) & (noise > 0)
    error = noise * correlation
    if doubtful is not None:
        error = np.hypot(error, filtered(np.where(seen, np.abs(doubtful), 0), shape))
    snr = np.divide(height, error, out=np.zeros_like(height), where=allowed)
    highest = snr == ndimage.maximum_filter(snr, footprint=square <= (_APART * fwhm) ** 2)
    y, x = np.nonzero(highest & (snr > threshold))
    sigma = np.sqrt(np.where(seen, np.maximum(variance, 0), 0))
    y, x = _broad(clean, seen, (y, x), _SHARPEST * height / (kernel**2).sum() + _NOISE_OF_ONE * sigma)
    order = np.argsort(-snr[y, x])
    return Peaks(x[order], y[order], snr[y, x][order])


class _Filter:
    """Correlates images of one shape with small symmetric kernels; beyond the border there is nothing."""

    def __init__(self, shape: tuple[int, ...], half: int) -> None:
        self._shape, self._half = shape, half
        self._padded = tuple(_fast_length(n + 2 * half) for n in shape)

    def __call__(self, image: NDArray[Any], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        """The filtered image."""
        product = np.fft.rfft2(image, self._padded) * np.fft.rfft2(kernel, self._padded)
        (ny, nx), half = self._shape, self._half
        return np.asarray(np.fft.irfft2(product, self._padded)[half : half + ny, half : half + nx])


def _fast_length(least: int) -> int:
    """The smallest length of 2, 3 and 5 as factors, which a Fourier transform wants."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _broad(
    data: NDArray[np.float64], seen: Bool, places: tuple[Any, Any], limit: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places where no single pixel stands out of its neighbours by more than the limit."""
    from scipy import ndimage

    ring = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    count = ndimage.convolve(seen.astype(np.float64), ring, mode="constant")
    around = ndimage.convolve(data, ring, mode="constant") / np.maximum(count, 1)
    sharp = ndimage.maximum_filter(data - around, 3)
    broad = sharp[places] < limit[places]
    return places[0][broad], places[1][broad]


def with_peaks(
    objects: NDArray[Any],
    labels: NDArray[np.int32],
    data: Float32,
    peaks: Peaks,
    *,
    fwhm: float,
    taken: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Add the peaks that belong to no source to the objects of sep.

    Parameters
    ----------
    objects : structured array (n,)
        As sep gives them.
    labels : (ny, nx) int32
        Row + 1 of each pixel's object, 0 between them.
    data : (ny, nx) float32
        Without background.
    peaks : Peaks
    fwhm : float
        Pixels.
    taken : (n,) bool, optional
        Sources whose light was taken out of the data, so that no halo of theirs is left.

    Returns
    -------
    objects : structured array (n + m,)
        The new ones are round and as wide as the seeing; those on the pixels of another carry its flag for
        blends.
    labels : (ny, nx) int32
        The pixels about a new source are its own.
    """
    import sep

    new, owned = [], labels.copy()
    haloed = np.ones(len(objects), bool) if taken is None else ~taken
    x0, y0, top = (objects[name].astype(np.float64) for name in ("x", "y", "peak"))
    ny, nx = labels.shape
    reach = max(1, round(_OWN * fwhm))
    sigma = fwhm / 2.3548
    for x, y in zip(peaks.x.tolist(), peaks.y.tolist(), strict=True):
        distance = np.hypot(x0 - x, y0 - y)
        high = float(data[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max())
        halo = haloed & (distance < _HALO * fwhm) & (high < _CONTRAST * top)
        if (distance < _APART * fwhm).any() or halo.any():
            continue
        rows, columns = (
            slice(max(y - reach, 0), min(y + reach + 1, ny)),
            slice(max(x - reach, 0), min(x + reach + 1, nx)),
        )
        grid_y, grid_x = np.ogrid[rows, columns]
        disc = (grid_y - y) ** 2 + (grid_x - x) ** 2 <= reach**2
        row = np.zeros(1, objects.dtype)
        row["x"], row["y"], row["xpeak"], row["ypeak"], row["peak"] = x, y, x, y, high
        row["a"] = row["b"] = sigma
        row["npix"] = int(disc.sum())
        row["flag"] = sep.OBJ_MERGED if (owned[rows, columns][disc] > 0).any() else 0
        new.append(row)
        owned[rows, columns][disc] = len(objects) + len(new)
        x0, y0, top, haloed = np.append(x0, x), np.append(y0, y), np.append(top, high), np.append(haloed, True)
    return (np.concatenate([objects, *new]) if new else objects), owned
