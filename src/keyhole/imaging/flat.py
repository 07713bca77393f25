"""Flat field from lamp exposures: difference, normalisation, and what of it can be trusted."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging import bits
from keyhole.imaging._neighbours import outnumbered_near
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.medians import median
from keyhole.imaging.quality import weak_pixels

__all__ = [
    "NormalisedFlat",
    "Planes",
    "ThresholdedFlat",
    "divide_by_flat",
    "lamp_difference",
    "normalise",
    "threshold_flat",
]

_BLOCK: Final = 1 << 15
"""Pixels that are computed together: what is computed on the way stays in the cache."""
_LIT_RADIUS: Final = 15
"""How far is looked to tell whether a pixel without light is unlit or dead: farther than groups of dead pixels."""


class Planes(NamedTuple):
    """An image with its variance and quality bits, each (ny, nx)."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.uint16]


class NormalisedFlat(NamedTuple):
    """A flat whose typical response is 1, and the level (in the unit of the input) that became 1."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    level: float


class ThresholdedFlat(NamedTuple):
    """A flat that can be divided by, its mask, and how many pixels were found unlit and dead."""

    data: NDArray[np.float32]
    mask: NDArray[np.uint16]
    unlit: int
    dead: int


def lamp_difference(on: Planes, off: Planes) -> Planes:
    """Light of the lamp alone: exposures with it minus exposures without it.

    Dark current, thermal light and offsets cancel. Variances add, quality bits are OR-ed.

    Parameters
    ----------
    on, off : Planes
        Combined exposures with the lamp seen and with its shutter closed, in the same unit.

    Raises
    ------
    AlgorithmError
        Different shapes.
    """
    if on.data.shape != off.data.shape:
        raise AlgorithmError(f"Lamp-on {on.data.shape} and lamp-off {off.data.shape} images have different shapes.")
    return Planes(on.data - off.data, on.variance + off.variance, on.mask | off.mask)


def normalise(
    flat: NDArray[np.float32],
    variance: NDArray[np.float32],
    mask: NDArray[np.uint16],
    *,
    scale: Literal["median", "mean"] = "median",
) -> NormalisedFlat:
    """Divide a flat by the median or mean of its good pixels.

    Parameters
    ----------
    flat, variance : (ny, nx) float32
    mask : (ny, nx) uint16
        Good is what has no bit at all; if nothing is (a flat exposed into the non-linear range), what is
        usable.
    scale : {"median", "mean"}

    Raises
    ------
    AlgorithmError
        No usable pixel, or a level that is not positive: there is no light in the flat.
    """
    good = mask == 0
    if not good.any():
        good = bits.usable(mask)
    good &= np.isfinite(flat)
    if not good.any():
        raise AlgorithmError(f"The flat cannot be normalised: none of its {flat.size} pixels is usable.")
    level = median(flat[good]) if scale == "median" else float(np.mean(flat[good], dtype=np.float64))
    if not level > 0:
        raise AlgorithmError(
            f"The flat cannot be normalised: the {scale} of its {np.count_nonzero(good)} good pixels is "
            f"{level:.4g}; check that the lamp was on and its shutter open."
        )
    return NormalisedFlat(flat / np.float32(level), variance / np.float32(level**2), level)


def threshold_flat(
    flat: NDArray[np.float32],
    mask: NDArray[np.uint16],
    *,
    lower: float = 0.01,
    upper: float = 10.0,
    weak: float = 0.5,
    nsigma: float = 5.0,
    tolerance: float = 0.2,
) -> ThresholdedFlat:
    """Flag what cannot be divided by, and set it to 1 so that nothing is amplified.

    Parameters
    ----------
    flat : (ny, nx) float32
        Normalised.
    mask : (ny, nx) uint16
    lower, upper : float
        A pixel outside these limits (or not finite) that is not bad is unlit, bit 64; but where most of the 31 x
        31 usable pixels around it are within, it is dead.
    weak, nsigma, tolerance : float
        Limits of `keyhole.imaging.quality.weak_pixels`: usable and not unlit pixels that fail them are bad, bit 1.

    Returns
    -------
    ThresholdedFlat
        The data are 1 in all unusable pixels. The variance needs no change.
    """
    flags = mask.copy()
    outside = ~((flat >= lower) & (flat <= upper))
    usable = bits.usable(flags)
    lit, dim = usable & ~outside, usable & outside
    if dim.any():
        lit |= dim & outnumbered_near(dim, lit, _LIT_RADIUS)
    dead = weak_pixels(flat, lit, weak=weak, nsigma=nsigma, tolerance=tolerance)
    flags[dead] |= bits.MASK_DTYPE(bits.BAD)
    unlit = outside & ((flags & bits.MASK_DTYPE(bits.BAD)) == 0)
    flags[unlit] |= bits.MASK_DTYPE(bits.UNILLUMINATED)
    data = np.where(bits.usable(flags) & ~outside, flat, np.float32(1))
    return ThresholdedFlat(data, flags, int(np.count_nonzero(unlit)), int(np.count_nonzero(dead)))


def divide_by_flat(
    data: NDArray[np.float32],
    variance: NDArray[np.float32] | None,
    flat: NDArray[np.float32],
    flat_variance: NDArray[np.float32] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Divide an exposure by a flat; relative variances add.

    A flat value is divided by only where it means something, above 0; elsewhere it is taken as 1.

    Parameters
    ----------
    data, variance : (ny, nx) float32
        Variance may be None.
    flat, flat_variance : (ny, nx) float32
        Variance may be None: the flat is exact.

    Returns
    -------
    data, variance : (ny, nx) float32
        Variance None if the exposure has none. Changes its input: no.
    """
    quotient = np.empty(data.shape, np.float32)
    total = None if variance is None else np.empty(data.shape, np.float32)
    for rows in row_blocks(data.shape, _BLOCK):
        safe = flat[rows]
        # NaN is not above 0 either.
        if not safe.min() > 0:
            safe = np.where(safe > 0, safe, np.float32(1))
        np.divide(data[rows], safe, out=quotient[rows])
        if variance is None or total is None:
            continue
        out = total[rows]
        if flat_variance is None:
            out[...] = variance[rows]
        else:
            np.square(quotient[rows], out=out)
            out *= flat_variance[rows]
            out += variance[rows]
        out /= np.square(safe)
    return quotient, total
