"""Smoothing of images outside of which there is nothing: Gaussian, and a local mean that follows a background.

Made of sums of shifted rows in blocks that stay in the processor's cache.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bins import bin_sums
from keyhole.imaging._masked import zero_except

__all__ = ["gaussian", "gaussian_reach", "local_mean", "running_sum", "spread"]

_REACH: Final = 4.0
"""Where a Gaussian is cut off, in sigma."""
_BLOCK: Final = 1 << 15
"""Pixels that are worked on together."""
_CELLS: Final = 5.0
"""Cells across the box of a local mean."""
_LEAST_SHARE: Final = 0.02

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


def gaussian(image: Float32, sigma: float) -> Float32:
    """Convolve with a Gaussian cut off at 4 sigma.

    Equal to ``scipy.ndimage.gaussian_filter(image, sigma, mode="constant")`` but for rounding.

    Parameters
    ----------
    image : (ny, nx) float32
    sigma : float
        Pixels.
    """
    reach = gaussian_reach(sigma)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2) if reach else np.ones(1)
    weights = (weights / (weights[0] + 2 * weights[1:].sum())).astype(np.float32)
    return _summed(image, weights)


def gaussian_reach(sigma: float) -> int:
    """Give the pixels on each side to which a Gaussian spreads."""
    return int(_REACH * sigma + 0.5)


def running_sum(image: Float32, width: float) -> Float32:
    """Sum over a box of a width in pixels that need not be whole: the pixels at its ends count in part."""
    reach = int(np.ceil((width - 1) / 2))
    weights = np.ones(reach + 1, np.float32)
    if reach:
        weights[-1] = (width - (2 * reach - 1)) / 2
    return _summed(image, weights)


def _summed(image: Float32, weights: Float32) -> Float32:
    """Convolve along both axes with symmetric weights, given from the middle outwards."""
    reach, (ny, nx) = len(weights) - 1, image.shape
    step = max(_BLOCK // nx, 1)
    out = np.empty_like(image)
    # Columns of nothing between the rows, so that a shifted row is one piece of the flattened block.
    width = nx + reach
    rows = np.zeros((step + 2 * reach, nx), np.float32)
    framed = np.zeros(step * width + 2 * reach, np.float32)
    wide, spare = np.empty((2, step * width), np.float32)
    for start in range(0, ny, step):
        height = min(step, ny - start)
        first, last = max(start - reach, 0), min(start + height + reach, ny)
        part = rows[: height + 2 * reach]
        into = first - (start - reach)
        part[:into] = 0
        part[into : into + last - first] = image[first:last]
        part[into + last - first :] = 0
        size = height * width
        middle = framed[reach : reach + size].reshape(height, width)
        middle[:, nx:] = 0
        framed[reach + size :] = 0
        _pairs(part.ravel(), weights, nx, wide[: height * nx], spare[: height * nx])
        middle[:, :nx] = wide[: height * nx].reshape(height, nx)
        _pairs(framed, weights, 1, wide[:size], spare[:size])
        out[start : start + height] = wide[:size].reshape(height, width)[:, :nx]
    return out


def _pairs(line: Float32, weights: Float32, stride: int, out: Float32, spare: Float32) -> None:
    """Weighted sum of pieces of a line that are shifted to both sides by multiples of a stride."""
    size = out.size
    centre = (len(weights) - 1) * stride
    np.multiply(line[centre : centre + size], weights[0], out=out)
    for k, weight in enumerate(weights[1:], start=1):
        low, high = centre - k * stride, centre + k * stride
        np.add(line[low : low + size], line[high : high + size], out=spare)
        spare *= weight
        out += spare


def local_mean(image: Float32, used: Bool, box: float) -> Float32:
    """Mean of the used pixels about each one, in a box that is applied twice; 0 far from all of them.

    Means are taken on cells of a fifth of the box, and continued to the pixels linearly.

    Parameters
    ----------
    image : (ny, nx) float32
        **Changed**: 0 where it is not used.
    used : (ny, nx) bool
    box : float
        Width of the box, pixels.
    """
    cell = max(round(box / _CELLS), 1)
    total = bin_sums(zero_except(image, used), cell)
    share = bin_sums(used, cell)
    width = box / cell
    for _ in range(2):
        total, share = running_sum(total, width), running_sum(share, width)
    enough = share > np.float32(_LEAST_SHARE * box**4 / cell**2)
    mean = np.divide(total, share, out=np.zeros_like(total), where=enough)
    return spread(mean, cell, (image.shape[0], image.shape[1]))


def spread(cells: Float32, cell: int, shape: tuple[int, ...]) -> Float32:
    """Values on the pixels of a shape from those in the middle of cells, linearly between two of these."""
    ny, nx = shape
    if cell == 1:
        return cells
    columns = _between(np.ascontiguousarray(cells.T), cell)[:nx].T
    return _between(np.ascontiguousarray(columns), cell)[:ny]


def _between(rows: Float32, cell: int) -> Float32:
    before, after = np.concatenate([rows[:1], rows[:-1]]), np.concatenate([rows[1:], rows[-1:]])
    out = np.empty((len(rows), cell, rows.shape[1]), np.float32)
    for phase in range(cell):
        away = np.float32((phase + 0.5) / cell - 0.5)
        neighbour = before if away < 0 else after
        np.multiply(neighbour, abs(away), out=out[:, phase])
        out[:, phase] += rows * (1 - abs(away))
    return out.reshape(-1, rows.shape[1])
