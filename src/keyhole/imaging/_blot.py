"""The median of registered exposures, and what it lets expect of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import near
from keyhole.imaging._order_statistics import median_efficiency, sort_planes, sorted_median
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.bits import BAD, MASK_DTYPE, usable
from keyhole.imaging.geometry import Grid
from keyhole.imaging.medians import median
from keyhole.imaging.noise import clipped_median_sigma
from keyhole.imaging.resample import resample

__all__ = ["Expected", "Exposure", "Reference", "blot", "median_reference"]

_KERNEL: Final = "poly3"
_BAND: Final = 1 << 22
"""Values of all exposures together that are sorted at once."""
_BLOCK: Final = 1 << 15
"""Pixels that are computed together, so that what is computed on the way stays in the cache."""
_SAMPLE: Final = 7
"""One in so many rows is enough for a median, ..."""
_FEWEST: Final = 5000
"""... if so many of their pixels are usable."""
_BEYOND: Final = 8
"""Pixels around a part of the reference that its interpolation may touch."""
_BRIGHT: Final = 5.0  # sigma from which on starlight tells the transparency
_WINGS: Final = 3  # pixels around it that belong to it whatever the seeing
_CERTAIN: Final = 30.0  # significance of the starlight from which on it is believed
_CLEAREST: Final = 10.0  # ratio of transparencies that is believed

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Exposure:
    """One exposure and its place among the others.

    Attributes
    ----------
    data : (ny, nx) float32
        Sky-subtracted.
    variance : (ny, nx) float32 or None
        None: the scatter of the pixels is their noise.
    mask : (ny, nx) uint16
        Quality bits.
    shift : (dx, dy)
        Pixels: position in the exposure = matrix @ position on the reference grid + shift.
    matrix : 2 x 2, optional
    seconds : float
        Exposure time, or any factor to which the light is proportional.
    fwhm : float
        Width of a star, pixels; 2, the sharpest that pixels can show, where it is not known.
    """

    data: Float32
    variance: Float32 | None
    mask: NDArray[np.uint16]
    shift: Float64 = field(default_factory=lambda: np.zeros(2))
    matrix: Float64 = field(default_factory=lambda: np.eye(2))
    seconds: float = 1.0
    fwhm: float = 2.0

    def cut(self, box: tuple[slice, slice]) -> Exposure:
        """The part of the exposure inside a box, at the same place of the sky; values that are no numbers are bad."""
        rows, columns = box
        data, mask = self.data[box], self.mask[box]
        variance = None if self.variance is None else self.variance[box]
        finite = np.isfinite(data) if variance is None else np.isfinite(data) & np.isfinite(variance)
        if not finite.all():
            data = np.where(finite, data, np.float32(0))
            variance = None if variance is None else np.where(finite, variance, np.float32(0))
            mask = np.where(finite, mask, mask | MASK_DTYPE(BAD))
        shift = np.asarray(self.shift, float) - [columns.start, rows.start]
        return replace(self, data=data, variance=variance, mask=mask, shift=shift)

    def sigma(self) -> Float32:
        """Noise of each pixel, positive."""
        if self.variance is not None:
            for rows in (slice(None, None, _SAMPLE), slice(None)):
                known = self.variance[rows][usable(self.mask[rows]) & (self.variance[rows] > 0)]
                if known.size:
                    noise = np.maximum(self.variance, np.float32(median(known) * 1e-3))
                    return np.sqrt(noise, out=noise)
        good = usable(self.mask)
        scatter = clipped_median_sigma(self.data, good).sigma if good.any() else 1.0
        return np.full(self.data.shape, scatter or 1.0, np.float32)

    @cached_property
    def level(self) -> np.float32:
        """Median of the usable pixels; a fair sample gives it as well as all."""
        for rows in (slice(None, None, _SAMPLE), slice(None)):
            values = self.data[rows][usable(self.mask[rows])]
            if values.size >= _FEWEST:
                break
        return np.float32(median(values))


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
    """

    data: Float32
    seen: NDArray[np.int16]
    origin: tuple[int, int]

    @cached_property
    def mask(self) -> NDArray[np.uint16]:
        """Bad where no exposure tells."""
        return np.where(self.seen > 0, MASK_DTYPE(0), MASK_DTYPE(BAD))

    @cached_property
    def growth(self) -> Float32:
        """Noise of an exposure less the median of those that have a value there, in units of its own."""
        counts = np.arange(1, int(self.seen.max(initial=0)) + 1)
        growth = np.ones(counts.size + 1, np.float32)
        growth[1:] = np.sqrt(1 + median_efficiency(counts) / counts)
        return growth[self.seen]


class Expected(NamedTuple):
    """The median on the pixels of one exposure.

    Attributes
    ----------
    data : (ny, nx) float32
        Light in the time of the exposure.
    seen : (ny, nx) int16
    growth : (ny, nx) float32
        Noise of the difference to it in units of that of the exposure; anything where it is not known.
    known : (ny, nx) bool
    scale : float
        Transparency of the exposure in units of that of the median.
    """

    data: Float32
    seen: NDArray[np.int16]
    growth: Float32
    known: NDArray[np.bool_]
    scale: float


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
    every = np.empty((len(exposures), step * nx), np.float32)
    for first in range(0, ny, step):
        height = min(step, ny - first)
        planes = every[:, : height * nx]
        there = np.zeros(height * nx, np.int16)
        for plane, exposure in zip(planes, exposures, strict=True):
            part = _part_near(exposure, Grid((height, nx), (x0, y0 + first)))
            if part is None:
                plane.fill(np.inf)
                continue
            out = resample(
                (part.data - exposure.level) / np.float32(exposure.seconds),
                None,
                part.mask,
                shift=part.shift,
                matrix=part.matrix,
                output_shape=(height, nx),
                output_origin=(x0, y0 + first),
                interpolant=_KERNEL,
                conserve=False,
                reasons=False,
            )
            good = usable(out.mask).ravel()
            plane[:] = out.data.ravel()
            plane[np.flatnonzero(~good)] = np.inf
            there += good
        middle = sorted_median(sort_planes(planes), np.maximum(there, 1))
        data[first : first + height] = np.where(there > 0, middle, 0).reshape(height, nx)
        count[first : first + height] = there.reshape(height, nx)
    return Reference(data, count, (x0, y0))


def _part_near(exposure: Exposure, grid: Grid) -> Exposure | None:
    """The part of an exposure from which a part of the reference is interpolated; None where they do not meet."""
    (height, width), (x0, y0) = grid
    corners = np.array([(x0, x0 + width - 1, x0, x0 + width - 1), (y0, y0, y0 + height - 1, y0 + height - 1)], float)
    own = exposure.matrix @ corners + np.reshape(exposure.shift, (2, 1))
    low, high = np.floor(own.min(axis=1)) - _BEYOND, np.ceil(own.max(axis=1)) + _BEYOND + 1
    ny, nx = exposure.data.shape
    (left, bottom), (right, top) = np.maximum(low, 0).astype(int), np.minimum(high, (nx, ny)).astype(int)
    if right <= left or top <= bottom:
        return None
    rows, columns = slice(int(bottom), int(top)), slice(int(left), int(right))
    shift = np.asarray(exposure.shift, float) - [columns.start, rows.start]
    return replace(
        exposure, variance=None, data=exposure.data[rows, columns], mask=exposure.mask[rows, columns], shift=shift
    )


def blot(reference: Reference, exposure: Exposure, sigma: Float32) -> Expected:
    """Map the median back onto the pixels of an exposure and measure how clear that exposure is."""
    inverse = np.linalg.inv(exposure.matrix)
    shift = -inverse @ exposure.shift - reference.origin
    out = resample(
        reference.data,
        None,
        reference.mask,
        shift=shift,
        matrix=inverse,
        output_shape=exposure.data.shape,
        interpolant=_KERNEL,
        conserve=False,
        reasons=False,
        # Noise must not be interpolated: whole numbers are copied from the nearest pixel.
        planes={"seen": reference.seen, "growth": reference.growth.view(np.int32)},
    )
    data = out.data
    known = usable(out.mask)
    growth = out.planes["growth"].view(np.float32)
    bright = []
    for rows in row_blocks(data.shape, _BLOCK):
        np.maximum(growth[rows], 1, out=growth[rows])
        data[rows] *= np.float32(exposure.seconds)
        bright.append(np.flatnonzero((data[rows] > _BRIGHT * sigma[rows]) & known[rows]) + rows.start * data.shape[1])
    clear = _clearness(exposure, sigma, data, known, np.concatenate(bright))
    return Expected(data, out.planes["seen"], growth, known, clear)


def _clearness(
    exposure: Exposure, sigma: Float32, expected: Float32, known: NDArray[np.bool_], bright: NDArray[np.intp]
) -> float:
    """Ratio of the light of stars in an exposure to what is expected; 1 where no star tells.

    `bright` are the flat indices of the known pixels with starlight. Sums over whole stars do not depend on the
    seeing.
    """
    stars = np.zeros(known.shape, np.bool_)
    good = usable(exposure.mask)
    stars.ravel()[bright] = good.ravel()[bright]
    if not stars.any():
        return 1.0
    good &= known
    # A whole star, to the last pixel of its wings.
    of_stars = np.flatnonzero(near(stars, _WINGS) & good)
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
