"""The median of registered exposures, and what it lets expect of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bridging import Bridges, few_bad
from keyhole.imaging._exposure import Exposure
from keyhole.imaging._layers import KERNEL, KERNEL_REACH, layer_of
from keyhole.imaging._moved import Moved, Source
from keyhole.imaging._neighbours import near_places
from keyhole.imaging._order_statistics import balanced_median, median_efficiency
from keyhole.imaging._positions import Positions
from keyhole.imaging._rows import row_blocks
from keyhole.imaging._sampler import Scratch
from keyhole.imaging.bits import BAD, MASK_DTYPE, usable
from keyhole.imaging.geometry import Grid
from keyhole.imaging.resample import MAX_LOST, resample

__all__ = ["Expected", "Reference", "blot", "median_reference"]

_BAND: Final = 1 << 22
"""Values of all exposures together that are sorted at once."""
_BLOCK: Final = 1 << 15
"""Pixels that are computed together, so that what is computed on the way stays in the cache."""
_BRIGHT: Final = 5.0  # sigma from which on starlight tells the transparency
_WINGS: Final = 3  # pixels around it that belong to it whatever the seeing
_CERTAIN: Final = 30.0  # significance of the starlight from which on it is believed
_CLEAREST: Final = 10.0  # ratio of transparencies that is believed

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """Median of all exposures at one second, on their common grid.

    Attributes
    ----------
    data : (ny, nx) float32
    seen : (ny, nx) int16
        Exposures with a usable value there.
    origin : (x, y)
        First pixel on the reference grid.
    scratch : Scratch
    """

    data: Float32
    seen: NDArray[np.int16]
    origin: tuple[int, int]
    scratch: Scratch = field(default_factory=Scratch)

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        """Where an exposure tells."""
        return np.asarray(self.seen > 0)

    @cached_property
    def bridges(self) -> Bridges:
        """Over the pixels where none does."""
        return Bridges(self.good)

    @cached_property
    def growth(self) -> Float32:
        """Noise of an exposure less the median of those that have a value there, in units of its own."""
        counts = np.arange(1, int(self.seen.max(initial=0)) + 1)
        growth = np.ones(counts.size + 1, np.float32)
        growth[1:] = np.sqrt(1 + median_efficiency(counts) / counts)
        return growth[self.seen]

    def on(self, where: Positions) -> tuple[Float32, NDArray[np.bool_]]:
        """Interpolate the median to other pixels, and tell where it is known."""
        if where.separable and few_bad(self.good):
            box = where.box_near(self.good, KERNEL_REACH)
            data, known = where.nearest(self.data, but=box), np.zeros(where.shape, np.bool_)
            if data[box].size:
                moved = Moved(
                    *where.cut(box), self.bridges, interpolant=KERNEL, max_lost=MAX_LOST, scratch=self.scratch
                )
                moved.interpolate(self.bridges, Source(self.data), data[box])
                known[box] = True
                known[box][np.unravel_index(moved.kept, moved.sampler.shape)] = False
            return data, known
        out = resample(
            self.data,
            None,
            np.where(self.good, MASK_DTYPE(0), MASK_DTYPE(BAD)),
            shift=where.offset,
            matrix=where.matrix,
            output_shape=where.shape,
            interpolant=KERNEL,
            conserve=False,
            reasons=False,
        )
        return out.data, usable(out.mask)


class Expected(NamedTuple):
    """The median on the pixels of one exposure.

    Attributes
    ----------
    data : (ny, nx) float32
        Light in the time of the exposure.
    known : (ny, nx) bool
    seen : (ny, nx) int16
        Exposures with a usable value there.
    scale : float
        Transparency of the exposure in units of that of the median.
    where : Positions
        Places of the pixels in the median.
    """

    data: Float32
    known: NDArray[np.bool_]
    seen: NDArray[np.int16]
    scale: float
    where: Positions


def median_reference(exposures: Sequence[Exposure]) -> Reference:
    """Median of exposures, each less its own level and divided by its time, in bands of rows.

    Parameters
    ----------
    exposures : sequence of Exposure
        Each with at least one usable pixel; cut to what is lit.
    """
    grid = _grid(exposures)
    (ny, nx), (x0, y0) = grid
    data, count = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.int16)
    step = min(max(16, _BAND // (len(exposures) * nx)), ny)
    every, missing = np.empty((len(exposures), step * nx), np.float32), np.empty((step, nx), np.float32)
    scratch = Scratch()
    layers = [layer_of(exposure, grid, scratch) for exposure in exposures]
    for first in range(0, ny, step):
        height = min(step, ny - first)
        planes = every[:, : height * nx].reshape(-1, height, nx)
        there, nothing = count[first : first + height], missing[:height]
        nothing.fill(np.inf)
        for plane, layer in zip(planes, layers, strict=True):
            layer.add(slice(first, first + height), plane, there, nothing)
        middle = balanced_median(planes.reshape(len(planes), -1), there.ravel())
        data[first : first + height] = middle.reshape(height, nx)
    return Reference(data, count, (x0, y0), scratch)


def blot(reference: Reference, exposure: Exposure, sigma: Float32) -> Expected:
    """Map the median back onto the pixels of an exposure and measure how clear that exposure is."""
    inverse = np.linalg.inv(exposure.matrix).astype(np.float64, copy=False)
    shift = np.asarray(-inverse @ exposure.shift - reference.origin, np.float64)
    where = Positions(inverse, shift, exposure.data.shape, (0, 0), reference.data.shape)
    data, known = reference.on(where)
    bright = []
    for rows in row_blocks(data.shape, _BLOCK):
        data[rows] *= np.float32(exposure.seconds)
        bright.append(np.flatnonzero((data[rows] > _BRIGHT * sigma[rows]) & known[rows]) + rows.start * data.shape[1])
    clear = _clearness(exposure, sigma, data, known, np.concatenate(bright))
    return Expected(data, known, where.nearest(reference.seen), clear, where)


def _clearness(
    exposure: Exposure, sigma: Float32, expected: Float32, known: NDArray[np.bool_], bright: NDArray[np.intp]
) -> float:
    """Ratio of the light of stars in an exposure to what is expected; 1 where no star tells.

    `bright` are the flat indices of the known pixels with starlight. Sums over whole stars do not depend on the
    seeing.
    """
    bits = exposure.mask.ravel()
    # A whole star, to the last pixel of its wings.
    of_stars = near_places(bright[usable(bits[bright])], expected.shape, _WINGS)
    of_stars = of_stars[known.ravel()[of_stars] & usable(bits[of_stars])]
    if not of_stars.size:
        return 1.0
    light_there, noise = expected.ravel()[of_stars], sigma.ravel()[of_stars]
    light = float(light_there.sum(dtype=np.float64))
    if light < _CERTAIN * float(np.sqrt(np.square(noise, dtype=np.float64).sum())):
        return 1.0
    # A cosmic ray must not pass for starlight.
    most = _CLEAREST * np.maximum(light_there, 0) + _BRIGHT * noise
    seen = np.minimum(exposure.data[np.divmod(of_stars, known.shape[1])] - exposure.level, most).sum(dtype=np.float64)
    return float(np.clip(seen / light, 1 / _CLEAREST, _CLEAREST))


def _grid(exposures: Sequence[Exposure]) -> Grid:
    """Smallest grid of reference pixels that holds all exposures, however they are turned."""
    corners = []
    for exposure in exposures:
        ny, nx = exposure.data.shape
        own = np.array([(0, nx - 1, 0, nx - 1), (0, 0, ny - 1, ny - 1)], float)
        corners.append(np.linalg.inv(exposure.matrix) @ (own - np.reshape(exposure.shift, (2, 1))))
    places = np.concatenate(corners, axis=1)
    low = np.ceil(np.round(places.min(axis=1), 6)).astype(int)
    high = np.floor(np.round(places.max(axis=1), 6)).astype(int)
    width, height = np.maximum(high - low + 1, 1).tolist()
    return Grid((height, width), (int(low[0]), int(low[1])))
