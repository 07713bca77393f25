"""Noise of a master dark, measured on the darks themselves.

The model of read noise and photons does not know what a detector really does. From three darks on the scatter
between them tells the noise of an ordinary pixel; hot pixels add the photon noise of their excess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.bits import any_of, usable
from keyhole.imaging.medians import median, spread_places
from keyhole.imaging.noise import clipped_median_sigma

__all__ = ["NoiseFloor", "dark_variance", "measured_floor"]

_FEWEST_FRAMES: Final = 3
_FEWEST_PIXELS: Final = 100
_SAMPLE: Final = 60_000
"""Pixels that are looked at: the floor is then good to half a per cent, a quarter for ten darks."""

_LEVEL_SAMPLE: Final = 200_000
"""Pixels from which level and scatter of a dark are taken."""

_BLOCK: Final = 1 << 15
"""Pixels that are computed together in the cache."""

_EXCESS_SIGMA: Final = 3.0
"""A pixel this far above the level of the dark, in units of its scatter, is a hot one."""

# Median of chi-square per degree of freedom, 1 .. 9 degrees; beyond, the Wilson-Hilferty formula is good to
# 1e-4.
_MEDIAN_CHI_SQUARE: Final = (0.45494, 0.69315, 0.78866, 0.83917, 0.87029, 0.89135, 0.90654, 0.91802, 0.92698)


class NoiseFloor(NamedTuple):
    """Variance of an ordinary pixel in one dark.

    Attributes
    ----------
    variance : float
        Electrons squared (the unit of the darks, squared).
    measured : bool
        False: too few darks or pixels, the fallback was taken.
    pixels : int
        Pixels that were measured.
    """

    variance: float
    measured: bool
    pixels: int


def measured_floor(
    data: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    mask: Sequence[NDArray[np.uint16]] | NDArray[np.uint16] | None,
    combined: NDArray[np.float32],
    *,
    fallback: float,
) -> NoiseFloor:
    """Variance of an ordinary pixel in one dark, from the scatter between darks.

    The sample variance of each pixel follows chi-square with n - 1 degrees of freedom; the median over the
    pixels, over the median of that distribution, is the floor. Nothing is clipped, so nothing is lost to
    clipping, and the few pixels with a cosmic ray cannot move a median. An offset of a whole dark against the
    others is taken out first: it is common to all pixels and no noise of one.

    Parameters
    ----------
    data : n planes (ny, nx) float32
        The darks that were combined.
    mask : n planes (ny, nx) uint16, optional
    combined : (ny, nx) float32
        Their combination; tells the ordinary pixels from the hot ones.
    fallback : float
        Variance to return for fewer than 3 darks or 100 pixels, usually that of the noise model.

    Returns
    -------
    NoiseFloor
    """
    n = len(data)
    ordinary = np.isfinite(combined)
    if mask is not None:
        ordinary &= usable(any_of(mask))
    if n < _FEWEST_FRAMES or np.count_nonzero(ordinary) < _FEWEST_PIXELS:
        return NoiseFloor(float(fallback), measured=False, pixels=0)
    level = clipped_median_sigma(combined, ordinary, at_most=_LEVEL_SAMPLE)
    ordinary &= np.abs(combined - level.median) <= _EXCESS_SIGMA * level.sigma
    positions = spread_places(ordinary, _SAMPLE)
    if len(positions) < _FEWEST_PIXELS:
        return NoiseFloor(float(fallback), measured=False, pixels=len(positions))
    sample = np.stack([np.asarray(plane, np.float32).ravel()[positions] for plane in data]).astype(np.float64)
    sample -= np.array([[median(row)] for row in sample])
    scatter = sample.var(axis=0, ddof=1)
    return NoiseFloor(median(scatter) / _median_chi_square(n - 1), measured=True, pixels=len(positions))


def dark_variance(
    combined: NDArray[np.float32],
    *,
    floor: float,
    used: NDArray[np.integer[Any]] | int,
    mask: NDArray[np.uint16] | None = None,
) -> NDArray[np.float32]:
    """Variance of a mean of darks: ``(floor + excess) / used``.

    The excess is the signal of hot pixels above the level of the dark. Ordinary pixels have none: what they
    collect is in the measured floor, and the pattern of electronic offsets among them is no light.

    Parameters
    ----------
    combined : (ny, nx) float32
        Electrons.
    floor : float
        Variance of an ordinary pixel in one dark, electrons squared.
    used : (ny, nx) int, or int
        Darks that were used in each pixel.
    mask : (ny, nx) uint16, optional

    Returns
    -------
    (ny, nx) float32
        Electrons squared; 0 where no dark was used.

    Raises
    ------
    AlgorithmError
        A floor that is not positive.
    """
    if not (np.isfinite(floor) and floor > 0):
        raise AlgorithmError(f"A dark cannot have a noise of {floor} electrons squared in an ordinary pixel.")
    level = clipped_median_sigma(combined, None if mask is None else usable(mask), at_most=_LEVEL_SAMPLE)
    number = np.broadcast_to(np.asarray(used), combined.shape)
    variance = np.zeros(combined.shape, np.float32)
    for rows in row_blocks(combined.shape, _BLOCK):
        above = combined[rows] - np.float32(level.median)
        excess = np.where(above > _EXCESS_SIGMA * level.sigma, above, 0)
        np.divide(floor + excess, number[rows], out=variance[rows], where=number[rows] > 0, casting="unsafe")
    return variance


def _median_chi_square(degrees: int) -> float:
    """Median of chi-square over its number of degrees of freedom."""
    if degrees <= len(_MEDIAN_CHI_SQUARE):
        return _MEDIAN_CHI_SQUARE[degrees - 1]
    return float((1 - 2 / (9 * degrees)) ** 3)
