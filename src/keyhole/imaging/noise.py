"""Noise of one exposure: level of its unlit pixels, variance, and robust measures of level and scatter."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.bits import UNILLUMINATED, UNUSABLE
from keyhole.imaging.medians import median, spread_places

__all__ = ["Level", "clipped_median_sigma", "pedestal", "robust_sigma", "variance_model"]

_SIGMA_PER_MAD: Final = 1.482602218505602
"""Standard deviation of a normal distribution over its median absolute deviation."""

_CLIP: Final = 4.0
_CLIPPED_SCATTER: Final = 0.9994643
"""Standard deviation of a unit normal distribution cut at plus and minus 4."""

_FEWEST_DARK_PIXELS: Final = 100
_PIECE: Final = 1 << 14
_BLOCK: Final = 1 << 15
"""Pixels that are computed together in the cache."""
_PEDESTAL_SAMPLE: Final = 30_000
_SCANNED: Final = 60_000
"""So many pixels are looked at; all of them where too few of these are dark and sound."""
_SPOILED: Final = np.uint16(UNUSABLE & ~UNILLUMINATED)
"""Bits that forbid to use a pixel even where no light is wanted."""


class Level(NamedTuple):
    """Robust level and scatter of some pixels.

    Attributes
    ----------
    median : float
        Median of the pixels that were kept.
    sigma : float
        Standard deviation of one pixel.
    pixels : int
        Number of pixels kept.
    """

    median: float
    sigma: float
    pixels: int


def robust_sigma(values: NDArray[Any]) -> float:
    """Standard deviation from the median absolute deviation, blind to up to half of outliers.

    Parameters
    ----------
    values : array of any shape, at least one value, finite

    Returns
    -------
    float
        In the unit of `values`; normal deviates give their standard deviation.
    """
    values = np.asarray(values)
    return _SIGMA_PER_MAD * median(np.abs(values - median(values)))


def clipped_median_sigma(
    data: NDArray[Any], usable: NDArray[np.bool_] | None = None, *, at_most: int | None = None
) -> Level:
    """Median and standard deviation of the pixels without stars, cosmic rays and hot pixels.

    Starts from the median absolute deviation and rejects beyond 4 sigma of the median until nothing changes;
    the standard deviation is corrected for what a normal distribution loses by that.

    Parameters
    ----------
    data : array of any shape
    usable : bool array of the same shape, optional
        False: leave out. Values that are not finite are always left out.
    at_most : int, optional
        So many values, evenly spread, are enough: of 200 000 the median is good to 0.003 sigma.

    Returns
    -------
    Level
        In the unit of `data`.

    Raises
    ------
    AlgorithmError
        No usable pixel.
    """
    chosen = np.ones(np.shape(data), bool) if usable is None else usable
    values = np.asarray(data)[chosen] if at_most is None else np.ravel(data)[spread_places(chosen, at_most)]
    values = values[np.isfinite(values)]
    if not values.size:
        raise AlgorithmError(f"No level can be measured: none of {np.size(data)} pixels is usable.")
    middle = median(values)
    # In coarse digits more than half of the pixels can have the same value: then the deviation is no measure.
    sigma = robust_sigma(values) or float(np.std(values, dtype=np.float64))
    for round_ in range(20):
        near = np.abs(values - middle) <= _CLIP * sigma
        all_kept = bool(near.all())
        if all_kept and round_ > 0:
            break
        values = values if all_kept else values[near]
        middle = median(values)
        sigma = _deviation(values, middle) / _CLIPPED_SCATTER
        if all_kept:
            break
    return Level(middle, sigma, int(values.size))


def _deviation(values: NDArray[Any], near: float) -> float:
    """Standard deviation, given a number near the mean: ``np.std(values, dtype=float)`` to 12 digits.

    Pieces that stay in the cache are converted, where numpy writes two double copies of everything.
    """
    total = squares = 0.0
    for first in range(0, values.size, _PIECE):
        offsets = values[first : first + _PIECE].astype(np.float64)
        offsets -= near
        total += float(offsets.sum())
        # Not a dot product: the threads of its library wait for each other longer than one needs for the sum.
        squares += float(np.square(offsets, out=offsets).sum())
    mean = total / values.size
    return math.sqrt(max(squares / values.size - mean * mean, 0.0))


def pedestal(
    data: NDArray[np.float32],
    dark_region: NDArray[np.bool_] | None,
    mask: NDArray[np.uint16] | None = None,
) -> float:
    """Electronic offset of one exposure: the robust level of the pixels that no light reaches.

    Parameters
    ----------
    data : (ny, nx) float32
    dark_region : (ny, nx) bool, optional
        True where no light falls; None: nowhere (a dark exposure).
    mask : (ny, nx) uint16, optional
        Quality bits. Unusable pixels are left out, unilluminated ones are not: they are what is wanted.

    Returns
    -------
    float
        In the unit of `data`.

    Raises
    ------
    AlgorithmError
        Fewer than 100 pixels to measure.
    """
    for step in ((data.size // _SCANNED) | 1, 1):
        # A fair sample gives the level as well as all pixels do. The step is odd, as the array's own pattern repeats
        # every 16 pixels.
        values = data.ravel()[::step]
        good = np.isfinite(values)
        if dark_region is not None:
            good &= dark_region.ravel()[::step]
        if mask is not None:
            good &= (mask.ravel()[::step] & _SPOILED) == 0
        count = int(np.count_nonzero(good))
        if count >= _PEDESTAL_SAMPLE:
            break
    if count < _FEWEST_DARK_PIXELS:
        raise AlgorithmError(
            f"The offset cannot be measured on {count} unlit pixels; {_FEWEST_DARK_PIXELS} are needed."
        )
    return clipped_median_sigma(values[good][:: (count // _PEDESTAL_SAMPLE) | 1]).median


def variance_model(
    data: NDArray[np.float32],
    *,
    read_noise: float,
    pedestal: float = 0.0,
    gain: float = 1.0,
    read: bool = True,
    poisson: bool = True,
) -> NDArray[np.float32]:
    """Variance of one exposure from read noise and photon statistics.

    ``(read_noise / gain)**2 + max(data - pedestal, 0) / gain``: the electronic offset is no light and adds no
    photon noise, so it is taken off first.

    Parameters
    ----------
    data : (ny, nx) float32
        Sum of the coadds, electrons (or ADU with `gain`).
    read_noise : float
        Electrons, of the sum of the coadds (one coadd times the root of their number).
    pedestal : float
        Offset of unlit pixels in the unit of `data`; 0 counts everything as light.
    gain : float
        Electrons per unit of `data`.
    read, poisson : bool
        Which of the two terms to include.

    Returns
    -------
    (ny, nx) float32
        In the unit of `data`, squared.
    """
    of_read = np.float32((read_noise / gain) ** 2 if read else 0)
    if not poisson:
        return np.full(data.shape, of_read)
    variance = np.empty(data.shape, np.float32)
    nothing = np.zeros(data.shape[1], np.float32)
    for rows in row_blocks(data.shape, _BLOCK):
        part = np.subtract(data[rows], np.float32(pedestal), out=variance[rows])
        # A minimum or maximum with a number takes four times as long as with an array.
        np.maximum(part, nothing, out=part)
        if gain != 1.0:
            part /= np.float32(gain)
        if read:
            part += of_read
    return variance
