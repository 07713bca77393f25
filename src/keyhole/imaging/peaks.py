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

from keyhole.imaging._filters import summed_in_twos

__all__ = ["Peaks", "faint_peaks", "filtered", "with_peaks"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

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

_WIDE: Final = 3.0
"""Seeing, pixels, from which on bins of two pixels tell about what is smooth on its scale."""
_SAFE: Final = 0.9
"""Part of the noise that bins tell which that of a pixel exceeds."""
_WORTH_IT: Final = 2.0
"""Values that may be looked up for a sum at some pixels, per pixel of the image that would be transformed."""
_AT_ONCE: Final = 500
_PIECE: Final = 230
"""Pixels along the side of a piece that is transformed at once."""


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
    half = math.ceil(_REACH * fwhm)
    shape, kernel = _filters(fwhm, half, 1)
    seen = ~hidden
    clean = np.where(seen, data, np.float32(0))
    height = filtered(clean, kernel)
    # Noise and weight vary slowly: bins tell where the image may be high enough.
    smooth = _Smooth.of(np.where(seen, variance, np.float32(0)), seen, fwhm)
    least = _SAFE * threshold * correlation
    places = np.flatnonzero((height > np.float32(least * smooth.least_noise())) & seen)
    places = places[height.ravel()[places] > least * smooth.about(*np.divmod(places, data.shape[1]))]
    y, x = np.divmod(places, data.shape[1])
    noise, allowed = smooth.at(y, x)
    error = noise * correlation
    if doubtful is not None:
        # Doubt only makes the error larger: it is asked for where the noise alone is not enough to refuse.
        high = np.flatnonzero(allowed & (height[y, x] > threshold * error))
        doubt = np.where(seen, np.abs(doubtful), np.float32(0))
        error[high] = np.hypot(error[high], _filtered_at(doubt, shape, y[high], x[high]))
    ratio = np.divide(height[y, x], error, out=np.zeros(places.size), where=allowed)
    snr = np.zeros(data.shape)
    snr[y, x] = ratio
    among = ratio > threshold
    y, x = _highest(snr, y[among], x[among], (_APART * fwhm) ** 2)
    sigma = np.sqrt(np.maximum(variance[y, x], 0))
    y, x = _broad(clean, seen, (y, x), _SHARPEST * height[y, x] / (kernel**2).sum() + _NOISE_OF_ONE * sigma)
    order = np.argsort(-snr[y, x], kind="stable")
    return Peaks(x[order], y[order], snr[y, x][order])


def _filters(fwhm: float, half: int, step: int) -> tuple[Float64, Float64]:
    """A Gaussian, and the same lowered to volume zero within its radius, on every so many pixels."""
    grid = np.arange(-(half // step) * step, half + 1, step)
    square = grid[:, np.newaxis] ** 2 + grid**2
    disc = square <= (_REACH * fwhm) ** 2
    shape = np.where(disc, np.exp(-4 * np.log(2) * square / fwhm**2), 0.0)
    return shape, np.where(disc, shape - shape[disc].mean(), 0.0)


class _Smooth(NamedTuple):
    """Variance, 0 where not seen, and what is seen; and both under the filter, in bins of some pixels."""

    variance: Float32
    seen: Bool
    fwhm: float
    bins: int
    binned: tuple[Float32, Float32]

    @classmethod
    def of(cls, variance: Float32, seen: Bool, fwhm: float) -> _Smooth:
        planes, bins = (variance, seen.astype(np.float32)), 2 if fwhm >= _WIDE else 1
        if bins == 2:
            planes = summed_in_twos(planes[0]), summed_in_twos(planes[1])
        power, share = _powers(fwhm, bins)
        return cls(variance, seen, fwhm, bins, (filtered(planes[0], power), filtered(planes[1], share)))

    def least_noise(self) -> float:
        """Smallest noise of the bins that are seen, infinite if none is."""
        variance, weight = self.binned
        there = (weight > _LEAST_WEIGHT) & (variance > 0)
        return math.sqrt(float(variance[there].min(initial=np.inf)))

    def about(self, rows: Index, columns: Index) -> Float64:
        """Noise of the filtered image at pixels, linearly between the middles of bins."""
        variance, (my, mx) = np.zeros(rows.size), self.binned[0].shape
        offset = (self.bins - 1) / 2
        y, x = (rows - offset) / self.bins, (columns - offset) / self.bins
        top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - np.abs(y - top - dy)) * (1 - np.abs(x - left - dx))
            variance += share * self.binned[0][(top + dy).clip(0, my - 1), (left + dx).clip(0, mx - 1)]
        return np.sqrt(np.maximum(variance, 0.0))

    def at(self, rows: Index, columns: Index) -> tuple[Float64, Bool]:
        """Noise of the filtered image at pixels, and where it is known."""
        power, share = _powers(self.fwhm, 1)
        variance = _filtered_at(self.variance, power, rows, columns)
        weight = _filtered_at(self.seen, share, rows, columns)
        return np.sqrt(np.maximum(variance, 0.0)), np.asarray((weight > _LEAST_WEIGHT) & (variance > 0))


def _powers(fwhm: float, bins: int) -> tuple[Float64, Float64]:
    """What the filter makes of a variance, and of the weight of pixels, in bins of some pixels."""
    half = math.ceil(_REACH * fwhm)
    whole = (_filters(fwhm, half, 1)[1] ** 2).sum()
    share, power = _filters(fwhm, half, bins)
    power = power**2
    return power * (whole / (power.sum() * bins**2)), share / (share.sum() * bins**2)


def filtered(image: NDArray[np.float32], kernel: Float64) -> Float32:
    """Correlate an image with a small symmetric kernel; beyond the border there is nothing.

    By Fourier transforms of pieces that overlap by the size of the kernel.

    Parameters
    ----------
    image : (ny, nx) float32
    kernel : (k, k) float64, k odd

    Returns
    -------
    (ny, nx) float32
        To one part in a million of the brightest pixels of a piece.
    """
    half = kernel.shape[0] // 2
    steps = [_piece(n) for n in image.shape]
    size = tuple(_fast_length(step + 2 * half) for step in steps)
    transform = np.fft.rfft2(kernel, size).astype(np.complex64)
    padded = np.pad(image, half)
    out = np.empty(image.shape, np.float32)
    for y in range(0, image.shape[0], steps[0]):
        for x in range(0, image.shape[1], steps[1]):
            piece = padded[y : y + steps[0] + 2 * half, x : x + steps[1] + 2 * half]
            part = out[y : y + steps[0], x : x + steps[1]]
            product = np.fft.rfft2(piece, size)
            product *= transform
            near = slice(2 * half, 2 * half + part.shape[0]), slice(2 * half, 2 * half + part.shape[1])
            part[:] = np.fft.irfft2(product, size)[near]
    return out


def _filtered_at(image: NDArray[Any], kernel: Float64, rows: Index, columns: Index) -> Float64:
    """What `filtered` gives at some pixels, without transforms where these are few."""
    if rows.size * kernel.size > _WORTH_IT * image.size:
        return np.asarray(filtered(image.astype(np.float32, copy=False), kernel)[rows, columns], np.float64)
    half, used = kernel.shape[0] // 2, np.flatnonzero(kernel)
    padded = np.pad(image, half)
    offset = used // kernel.shape[0] * padded.shape[1] + used % kernel.shape[0]
    corner, total = rows * padded.shape[1] + columns, np.empty(rows.size)
    for first in range(0, rows.size, _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        total[part] = padded.reshape(-1)[corner[part, np.newaxis] + offset] @ kernel.reshape(-1)[used]
    return total


def _piece(n: int) -> int:
    """Length of equal pieces of about the best size."""
    return -(-n // max(round(n / _PIECE), 1))


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


def _highest(snr: Float64, y: Index, x: Index, square: float) -> tuple[Index, Index]:
    """Those of some pixels of which none is higher within a circle, given by the square of its radius."""
    (ny, nx), reach = snr.shape, int(square**0.5)
    own, kept = snr[y, x], np.ones(y.size, bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy**2 + dx**2 <= square:
                kept &= snr[(y + dy).clip(0, ny - 1), (x + dx).clip(0, nx - 1)] <= own
    return y[kept], x[kept]


def _broad(data: Float32, seen: Bool, places: tuple[Index, Index], limit: Float64) -> tuple[Index, Index]:
    """The places where no single pixel stands out of its neighbours by more than the limit."""
    (ny, nx), (y, x) = data.shape, places
    reach = np.arange(-2, 3)
    rows, columns = y[:, np.newaxis, np.newaxis] + reach[:, np.newaxis], x[:, np.newaxis, np.newaxis] + reach
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    rows, columns = rows.clip(0, ny - 1), columns.clip(0, nx - 1)
    values = np.where(inside, data[rows, columns], 0.0)
    there = (inside & seen[rows, columns]).astype(np.float64)
    inner = values[:, 1:-1, 1:-1]
    around = (_of_nine(values) - inner) / np.maximum(_of_nine(there) - there[:, 1:-1, 1:-1], 1)
    sharp = np.where(inside[:, 1:-1, 1:-1], inner - around, -np.inf).max(axis=(1, 2), initial=-np.inf)
    broad = sharp < limit
    return y[broad], x[broad]


def _of_nine(stamps: Float64) -> Float64:
    """Sum of each pixel of stamps and its neighbours, without their border."""
    rows = stamps[:, :-2] + stamps[:, 1:-1] + stamps[:, 2:]
    return np.asarray(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:])


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
