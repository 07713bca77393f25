"""The shift between two frames that show no separate sources, from the frames themselves."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging.bits import usable

__all__ = ["Correlation", "cross_correlate"]

_MIN_OVERLAP: Final = 0.3
"""Share of the largest overlap below which a lag rests on too few pixels."""
_MIN_SIGNIFICANCE: Final = 4.5
"""Coefficient in units of its scatter for unrelated frames; the highest of 1000 lags reaches 3 to 4."""

_HIGH: Final = 0.7
"""Share of its height down to which a peak is fitted by a paraboloid."""

Float64 = NDArray[np.float64]


class Correlation(NamedTuple):
    """A shift and how well the frames agree there.

    Attributes
    ----------
    dx, dy : float
        Pixels: position in the frame = position in the reference + (dx, dy).
    coefficient : float
        Correlation coefficient at the peak, -1 ... 1.
    significance : float
        The coefficient in units of the scatter it would have for unrelated frames of this smoothness.
    width : int
        Lags on either side of the peak over which it was fitted, pixels: 1 for stars, more for smooth light.
    """

    dx: float
    dy: float
    coefficient: float
    significance: float
    width: int = 1


def cross_correlate(
    reference: NDArray[Any],
    image: NDArray[Any],
    masks: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    *,
    expected: ArrayLike,
    search_radius: float,
) -> Correlation | None:
    """Shift of an image against a reference by their correlation over the pixels usable in both.

    The coefficient of every whole-pixel lag is that of the overlapping usable pixels alone (Padfield 2012,
    IEEE Trans. Image Process. 21, 2706); a paraboloid through the peak gives the fraction. Good to about a
    tenth of a pixel: use sources where there are any. Changes its input: no.

    Parameters
    ----------
    reference, image : (ny, nx)
        Sky subtracted frames.
    masks : pair of (ny, nx) uint16
        Quality bits of the two.
    expected : pair of float
        Commanded shift, pixels.
    search_radius : float
        Largest deviation from it, pixels, at least 2.

    Returns
    -------
    Correlation or None
        None when no lag stands out, or the best one lies at the border of the search.

    Raises
    ------
    AlgorithmError
        When a mask differs from its frame in shape or the search radius is too small.
    """
    for plane, mask in zip((reference, image), masks, strict=True):
        if plane.shape != mask.shape:
            raise AlgorithmError(f"cross correlation: mask {mask.shape} does not fit frame {plane.shape}")
    reach = int(np.floor(search_radius))
    if reach < 2:
        raise AlgorithmError(f"cross correlation needs a search radius of 2 pixels, got {search_radius:g}")
    good, other = (usable(m) & np.isfinite(p) for p, m in zip((reference, image), masks, strict=True))
    if not good.any() or not other.any():
        return None
    start = np.rint(np.asarray(expected, dtype=np.float64)).astype(int)
    rows, columns = bounding_box(good)
    box = (rows, columns)
    corner = (rows.start + int(start[1]) - reach, columns.start + int(start[0]) - reach)
    height, width = good[box].shape
    size = (height + 2 * reach, width + 2 * reach)
    # A common level would drown the sum of products in rounding.
    f = np.where(good, reference - np.median(reference[good]), 0.0)[box]
    g = _window(np.where(other, image - np.median(image[other]), 0.0), corner, size)
    f_good, g_good = good[box].astype(np.float64), _window(other, corner, size).astype(np.float64)
    coefficient = _masked_coefficients(f, f_good, g, g_good)
    overlap = min(f_good.sum(), g_good.sum())

    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    searched = np.isfinite(coefficient) & (x**2 + y**2 <= search_radius**2)
    if not searched.any():
        return None
    # Bartlett (1946): smooth frames have fewer independent pixels, and so larger chance coefficients.
    own = _masked_coefficients(f, f_good, np.pad(f, reach), np.pad(f_good, reach))
    scatter = np.sqrt(np.nansum(own**2) / overlap)
    j, i = np.unravel_index(int(np.where(searched, coefficient, -np.inf).argmax()), coefficient.shape)
    significance = float(coefficient[j, i] / scatter)
    width = _peak_width(coefficient, int(j), int(i))
    if significance < _MIN_SIGNIFICANCE or width == 0:
        return None
    dx, dy = _paraboloid_top(coefficient[j - width : j + width + 1, i - width : i + width + 1])
    return Correlation(
        dx=float(x[j, i] + start[0] + dx),
        dy=float(y[j, i] + start[1] + dy),
        coefficient=float(coefficient[j, i]),
        significance=significance,
        width=width,
    )


def _window(plane: NDArray[Any], corner: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
    """Part of a plane, 0 beyond it."""
    window = np.zeros(size, plane.dtype)
    top, left = max(corner[0], 0), max(corner[1], 0)
    part = plane[top : max(corner[0] + size[0], 0), left : max(corner[1] + size[1], 0)]
    y, x = top - corner[0], left - corner[1]
    if part.size:
        window[y : y + part.shape[0], x : x + part.shape[1]] = part
    return window


def _masked_coefficients(f: Float64, f_good: Float64, g: Float64, g_good: Float64) -> Float64:
    """Correlation coefficient of ``f`` with each part of the larger ``g``, NaN where the overlap is small."""
    shape = g.shape
    lags = (shape[0] - f.shape[0] + 1, shape[1] - f.shape[1] + 1)
    left = [np.conj(np.fft.rfft2(plane, shape)) for plane in (f_good, f, f**2)]
    right = [np.fft.rfft2(plane, shape) for plane in (g_good, g, g**2)]

    def summed(a: int, b: int) -> Float64:
        return np.asarray(np.fft.irfft2(left[a] * right[b], shape)[: lags[0], : lags[1]])

    number = np.rint(summed(0, 0))
    enough = number >= max(_MIN_OVERLAP * number.max(), 10)
    n = np.where(enough, number, 1.0)
    sum_f, sum_g = summed(1, 0), summed(0, 1)
    spread_f, spread_g = summed(2, 0) - sum_f**2 / n, summed(0, 2) - sum_g**2 / n
    enough &= (spread_f > 1e-9 * spread_f.max()) & (spread_g > 1e-9 * spread_g.max())
    scale = np.sqrt(np.where(enough, spread_f * spread_g, 1.0))
    return np.where(enough, (summed(1, 1) - sum_f * sum_g / n) / scale, np.nan)


def _peak_width(coefficient: Float64, j: int, i: int) -> int:
    """Lags on either side of the peak over which it is still high; 0 where it lies at the border of what is known.

    The noise makes the finest structure of a broad peak; its top is known from all of it.
    """
    room = min(j, i, coefficient.shape[0] - 1 - j, coefficient.shape[1] - 1 - i)
    found = 0
    for width in range(1, room + 1):
        part = coefficient[j - width : j + width + 1, i - width : i + width + 1]
        rim = np.concatenate([part[0], part[-1], part[1:-1, 0], part[1:-1, -1]])
        if not np.isfinite(rim).all() or (width > 1 and rim.mean() < _HIGH * coefficient[j, i]):
            break
        found = width
    return found


def _paraboloid_top(peak: Float64) -> tuple[float, float]:
    """Highest point of the least squares paraboloid through ``(2 n + 1, 2 n + 1)`` values, within n of the middle."""
    half = peak.shape[0] // 2
    y, x = (v.ravel() for v in np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64))
    terms = np.column_stack([np.ones(x.size), x, y, x * x, x * y, y * y])
    _, bx, by, cxx, cxy, cyy = np.linalg.lstsq(terms, peak.ravel(), rcond=None)[0]
    determinant = 4 * cxx * cyy - cxy**2
    if not (cxx < 0 and determinant > 0):
        return 0.0, 0.0
    dx, dy = (cxy * by - 2 * cyy * bx) / determinant, (cxy * bx - 2 * cxx * by) / determinant
    return float(np.clip(dx, -half, half)), float(np.clip(dy, -half, half))
