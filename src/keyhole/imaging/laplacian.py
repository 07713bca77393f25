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

from keyhole.imaging._neighbours import near, places, square_offsets
from keyhole.imaging._patches import RING, Index, median_known, ring_median, values_around
from keyhole.imaging._rows import row_blocks

__all__ = ["laplacian_hits", "star_contrast", "star_excess"]

_HALF: Final = 4  # pixels that the two medians of the fine structure reach together
_CAUTION: Final = 1.5
"""Factor by which stars may be sharper than was measured: nothing but their sharpness tells them from hits."""
_NOISE: Final = math.sqrt(5)
"""Noise of the Laplacian of a pixel above its neighbours, 2 I - (sum of four) / 2, in units of that of a pixel."""
_FEW: Final = 0.05
"""Part of the pixels below which these are looked at one by one."""
_BLOCK: Final = 1 << 15
"""Pixels that are looked at together otherwise, so that what is made of them stays in the cache."""
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
        edges = _Edges(work, sigma, usable)
        found = _sharp(edges, look & ~hits, limit, shape)
        # The flanks of a hit are weaker than its peak, but as sharp.
        if found.any() or hits.any():
            beside = near(found | hits, 1) & look & ~hits
            found |= _sharp(edges, beside, faint * limit, shape)
        if not found.any():
            break
        hits |= found
        work = _without(data, usable & ~hits, hits)
    return hits


class _Edges(NamedTuple):
    """An image with its noise, and how sharp its edges are.

    Attributes
    ----------
    data, sigma : (ny, nx) float32
    usable : (ny, nx) bool
    """

    data: NDArray[np.float32]
    sigma: NDArray[np.float32]
    usable: NDArray[np.bool_]

    def laplacian(self, y: Index, x: Index) -> NDArray[np.float32]:
        """Mean over the four quarters of given pixels of the positive Laplacian on half pixels.

        On half pixels ``4 I - sum of neighbours`` is ``2 I - (one horizontal) - (one vertical neighbour)``. A
        neighbour that is not usable counts as equal to the pixel.
        """
        steps = self.data[y, x] - values_around(self.data, self.usable, y, x, _FOUR)
        return _quarters(np.where(np.isnan(steps), np.float32(0), steps))

    def noise(self, y: Index, x: Index) -> NDArray[np.float32]:
        """The Laplacian of given pixels in units of its noise."""
        return np.asarray(self.laplacian(y, x) / (_NOISE * self.sigma[y, x]), np.float32)

    def beyond(self, limit: float, where: NDArray[np.bool_]) -> tuple[Index, Index]:
        """Pixels whose Laplacian is more than so many times its noise."""
        if np.count_nonzero(where) < _FEW * where.size:
            y, x = places(where)
            beyond = self.noise(y, x) > limit
            return y[beyond], x[beyond]
        found = where.copy()
        for rows in row_blocks(where.shape, _BLOCK):
            found[rows] &= self._laplacian_of_rows(rows) / (_NOISE * self.sigma[rows]) > limit
        return places(found)

    def _laplacian_of_rows(self, rows: slice) -> NDArray[np.float32]:
        """The same for all pixels of some rows."""
        ny, nx = self.data.shape
        around = np.full((rows.stop - rows.start + 2, nx + 2), np.nan, np.float32)
        first, last = max(rows.start - 1, 0), min(rows.stop + 1, ny)
        inner = around[first - rows.start + 1 : last - rows.start + 1, 1:-1]
        np.copyto(inner, self.data[first:last], where=self.usable[first:last])
        data = self.data[rows]
        steps = np.stack([data - around[1 + dy : len(around) - 1 + dy, 1 + dx : 1 + dx + nx] for dy, dx in _FOUR])
        steps[np.isnan(steps)] = 0
        return _quarters(steps)


def _quarters(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the quarters of pixels of the positive sums of a vertical and a horizontal step."""
    up, down, left, right = steps
    total = np.zeros(up.shape, np.float32)
    for vertical in (up, down):
        for horizontal in (left, right):
            total += np.maximum(vertical + horizontal, 0)
    total *= np.float32(0.25)
    return total


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


def _sharp(edges: _Edges, candidates: NDArray[np.bool_], limit: float, shape: _Shape) -> NDArray[np.bool_]:
    """Candidates that stand out of their surroundings and are sharper than a star."""
    data, sigma, usable = edges
    sharp = np.zeros(data.shape, np.bool_)
    y, x = edges.beyond(limit, candidates)
    if not y.size:
        return sharp
    near = ring_median(data, usable, y, x)
    # A hole in a star counts only where it goes below nothing: the flanks of stars are hollow too.
    light = np.maximum(np.abs(near) - sigma[y, x], 0)
    star = np.where(near > 0, shape.excess, max(shape.excess, 1.0)) * light
    out = data[y, x] - near > limit * sigma[y, x] + star
    y, x = y[out], x[out]
    out = edges.noise(y, x) - _smooth_noise(edges, y, x) > limit
    y, x = y[out], x[out]
    out = edges.laplacian(y, x) > shape.contrast * _fine_structure(data, usable, y, x)
    sharp[y[out], x[out]] = True
    return sharp


def _smooth_noise(edges: _Edges, y: Index, x: Index) -> NDArray[np.float32]:
    """Median over 5 x 5 pixels of the Laplacian in units of its noise, at chosen pixels."""
    steps = np.array([*square_offsets(2), (0, 0)], np.intp)
    yy, xx = y + steps[:, :1], x + steps[:, 1:]
    ny, nx = edges.data.shape
    known = (yy >= 0) & (yy < ny) & (xx >= 0) & (xx < nx)
    known[known] = edges.usable[yy[known], xx[known]]
    values = np.full(known.shape, np.nan, np.float32)
    values[known] = edges.noise(yy[known], xx[known])
    return median_known(values)


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
