"""One of some registered exposures, as cosmic rays are looked for in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.bits import BAD, MASK_DTYPE, usable
from keyhole.imaging.medians import median
from keyhole.imaging.noise import clipped_median_sigma

__all__ = ["Exposure"]

_SAMPLE: Final = 50_000
"""So many pixels are enough for a median, ..."""
_FEWEST: Final = 5000
"""... if so many of them are usable; ..."""
_STEP: Final = 7
"""... one in so many rows at the most."""

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
            for rows in _samples(self.variance.size):
                known = self.variance[rows][usable(self.mask[rows]) & (self.variance[rows] > 0)]
                if known.size:
                    least = np.float32(median(known) * 1e-3)
                    if self.variance.min() >= least:
                        return np.sqrt(self.variance)
                    noise = np.maximum(self.variance, least)
                    return np.sqrt(noise, out=noise)
        good = usable(self.mask)
        scatter = clipped_median_sigma(self.data, good).sigma if good.any() else 1.0
        return np.full(self.data.shape, scatter or 1.0, np.float32)

    @cached_property
    def level(self) -> np.float32:
        """Median of the usable pixels; a fair sample gives it as well as all."""
        for rows in _samples(self.data.size):
            values = self.data[rows][usable(self.mask[rows])]
            if values.size >= _FEWEST:
                break
        return np.float32(median(values))


def _samples(pixels: int) -> Iterator[slice]:
    """Rows that make a fair sample, more and more of them.

    The steps are odd, as the patterns of detectors repeat at even distances.
    """
    for step in (max(pixels // _SAMPLE, _STEP) | 1, _STEP, 1):
        yield slice(None, None, step)
