"""Cosmic rays on a single exposure: edges that are sharper than any star could be (van Dokkum 2001, PASP 113, 1420).

The Laplacian of the image, taken on half pixels so that both flanks of a hit show as positive, is compared
with the known noise; what is smooth on five pixels is taken off. A star shows there too. It is told from a hit
by its fine structure, the difference of a 3 x 3 and a 7 x 7 median, from which a hit of some pixels is absent.
How large the Laplacian of a star is in units of its fine structure follows from its width. On half pixels the
flank of a bright star has a Laplacian too; so a hit must also stand out of its eight neighbours by more than the
peak of a star does.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import places, square_offsets
from keyhole.imaging._patches import RING, Index, grown, median_known, ring_median, values_around

__all__ = ["laplacian_hits", "star_contrast", "star_excess"]

_HALF: Final = 4  # pixels that the two medians of the fine structure reach together
_CAUTION: Final = 1.5
"""Factor by which stars may be sharper than was measured: nothing but their sharpness tells them from hits."""
_NOISE: Final = math.sqrt(5)
"""Noise of the Laplacian of a pixel above its neighbours, 2 I - (sum of four) / 2, in units of that of a pixel."""
_FOUR: Final = ((-1, 0), (1, 0), (0, -1), (0, 1))


def laplacian_hits(
    data: NDArray[np.float32],
    sigma: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    where: NDArray[np.bool_] | None = None,
    limit: float = 4.5,
    contrast: float = 2.0,
    fwhm: float = 2.0,
    iterations: int = 4,
    faint: float = 0.35,
) -> NDArray[np.bool_]:
    """Find the pixels of one image in which a cosmic ray left its light.

    Parameters
    ----------
    data : (ny, nx) float32
        Any unit. Stars may be there, and a smooth background.
    sigma : (ny, nx) float32
        Noise of each pixel, positive, same unit.
    usable : (ny, nx) bool
    where : (ny, nx) bool, optional
        Look for hits only there.
    limit : float
        Sigma.
    contrast : float
        How many times sharper than a star a hit must be.
    fwhm : float
        Width of a star, pixels; 2 for the sharpest that the pixels can show.
    iterations : int
        Times that the hits found are taken out and the rest is looked at again: large hits go from outside
        inwards.
    faint : float
        Neighbours of a hit count from this part of `limit` on.

    Returns
    -------
    (ny, nx) bool
        Changes its input: no.
    """
    look = usable if where is None else usable & where
    shape = _Shape(contrast * star_contrast(fwhm), contrast * star_excess(fwhm / _CAUTION))
    hits = np.zeros(data.shape, np.bool_)
    work = data
    for _ in range(iterations):
        laplacian = _positive_laplacian(work, usable)
        noise = laplacian / (_NOISE * sigma)
        planes = _Planes(work, sigma, usable, laplacian, noise)
        found = _sharp(planes, look & ~hits & (noise > limit), limit, shape)
        # The flanks of a hit are weaker than its peak, but as sharp.
        if found.any() or hits.any():
            beside = grown(found | hits, 1) & look & ~hits & (noise > faint * limit)
            found |= _sharp(planes, beside, faint * limit, shape)
        if not found.any():
            break
        hits |= found
        work = _without(data, usable & ~hits, hits)
    return hits


class _Planes(NamedTuple):
    data: NDArray[np.float32]
    sigma: NDArray[np.float32]
    usable: NDArray[np.bool_]
    laplacian: NDArray[np.float32]
    noise: NDArray[np.float32]


class _Shape(NamedTuple):
    """What a hit exceeds: Laplacian over fine structure, peak over neighbours minus one."""

    contrast: float
    excess: float


def star_contrast(fwhm: float) -> float:
    """Laplacian of a Gaussian star over its fine structure at its peak.

    With ``e = exp(-4 ln 2 / fwhm**2)``, the light one pixel off the peak, the Laplacian is ``2 (1 - e)``; the
    3 x 3 median at the peak is ``e``. Half of the 7 x 7 pixels lie within the root of 8 pixels, where it is
    ``e**9``: that is their median.

    Parameters
    ----------
    fwhm : float
        Pixels; below 2 it is taken as 2.
    """
    e = math.exp(-4 * math.log(2) / max(fwhm, 2.0) ** 2)
    return 2 * (1 - e) / (e - e**9)


def star_excess(fwhm: float) -> float:
    """Peak of a Gaussian star over the median of its eight neighbours, minus one.

    Four neighbours are one pixel away and four ``sqrt(2)``: with ``e = exp(-4 ln 2 / fwhm**2)`` their median
    is ``(e + e**2) / 2`` of the peak. It is largest for a star centred on a pixel.

    Parameters
    ----------
    fwhm : float
        Pixels; below 2 it is taken as 2.
    """
    e = math.exp(-4 * math.log(2) / max(fwhm, 2.0) ** 2)
    return 2 / (e + e**2) - 1


def _positive_laplacian(data: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean over the four quarters of each pixel of the positive Laplacian on half pixels.

    On half pixels ``4 I - sum of neighbours`` is ``2 I - (one horizontal) - (one vertical neighbour)``. A
    neighbour that is not usable counts as equal to the pixel.
    """
    padded = np.pad(np.where(usable, data, np.nan), 1, constant_values=np.nan)
    ny, nx = data.shape
    steps = []
    for dy, dx in _FOUR:
        step = data - padded[1 + dy : 1 + dy + ny, 1 + dx : 1 + dx + nx]
        steps.append(np.where(np.isnan(step), np.float32(0), step))
    up, down, left, right = steps
    total = np.zeros(data.shape, np.float32)
    for vertical in (up, down):
        for horizontal in (left, right):
            np.add(total, np.maximum(vertical + horizontal, 0), out=total)
    np.multiply(total, np.float32(0.25), out=total)
    return total


def _sharp(planes: _Planes, candidates: NDArray[np.bool_], limit: float, shape: _Shape) -> NDArray[np.bool_]:
    """Candidates that stand out of their surroundings and are sharper than a star."""
    data, sigma, usable, laplacian, noise = planes
    sharp = np.zeros(data.shape, np.bool_)
    y, x = places(candidates)
    near = ring_median(data, usable, y, x)
    # A hole in a star counts only where it goes below nothing: the flanks of stars are hollow too.
    light = np.maximum(np.abs(near) - sigma[y, x], 0)
    star = np.where(near > 0, shape.excess, max(shape.excess, 1.0)) * light
    out = data[y, x] - near > limit * sigma[y, x] + star
    y, x = y[out], x[out]
    smooth = median_known(values_around(noise, usable, y, x, [*square_offsets(2), (0, 0)]))
    out = noise[y, x] - smooth > limit
    y, x = y[out], x[out]
    out = laplacian[y, x] > shape.contrast * _fine_structure(data, usable, y, x)
    sharp[y[out], x[out]] = True
    return sharp


def _fine_structure(data: NDArray[np.float32], usable: NDArray[np.bool_], y: Index, x: Index) -> NDArray[np.float32]:
    """3 x 3 median minus its 7 x 7 median, at chosen pixels."""
    side = 2 * _HALF + 1
    reach = range(-_HALF, _HALF + 1)
    patch = values_around(data, usable, y, x, [(dy, dx) for dy in reach for dx in reach]).reshape(side, side, -1)
    width = side - 2
    nine = np.stack([patch[j : j + width, i : i + width] for j in range(3) for i in range(3)])
    medians = median_known(nine, otherwise=np.nan)
    fine: NDArray[np.float32] = medians[_HALF - 1, _HALF - 1] - median_known(medians.reshape(width**2, -1))
    return fine


def _without(data: NDArray[np.float32], good: NDArray[np.bool_], hits: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The image with its hits replaced by the median of the good pixels around them."""
    work = data.copy()
    y, x = places(hits)
    work[y, x] = median_known(values_around(data, good, y, x, RING), otherwise=np.nan)
    y, x = places(np.isnan(work))
    work[y, x] = median_known(values_around(data, good, y, x, square_offsets(2)))
    return work
