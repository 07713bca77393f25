"""Afterglow: charge that bright light leaves in the pixels and that leaks into the exposures that follow.

It is a part in some thousand of the earlier light and fades within minutes (Smith et al. 2008, *Proc. SPIE*
7021, 70210J; Long et al. 2012, *Proc. SPIE* 8442, 84421W). Which part depends on the array, so what is left
is not subtracted but flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging import bits
from keyhole.imaging.medians import distinct, median, sampled_median

__all__ = ["BrightPixels", "afterglow", "bright_pixels"]

_SKY_SAMPLE = 20_000


class BrightPixels(NamedTuple):
    """Pixels of an exposure that may glow afterwards: flat indices, and the light in each."""

    pixels: NDArray[np.intp]
    light: NDArray[np.float32]


def bright_pixels(
    data: NDArray[np.float32],
    mask: NDArray[np.uint16] | None,
    *,
    saturation: float,
    fluence: float | None,
    flags: int = bits.SATURATED,
) -> BrightPixels:
    """List the pixels that may glow after an exposure.

    Parameters
    ----------
    data : (ny, nx) float32
        Raw exposure.
    mask : (ny, nx) uint16, optional
        Quality bits; bad and unlit pixels are never listed.
    saturation : float
        Saturation level, unit of `data`.
    fluence : float, optional
        Part of the range from the level of the exposure to saturation from which on a pixel glows: the glow of
        the sky is everywhere, and goes with the sky. Where most pixels are listed, it is the sky that is
        bright, and none is. None: flagged pixels glow, and no others.
    flags : int
        Bits of pixels that glow whatever they read: far beyond saturation they read low again, and count as
        saturated.
    """
    flagged = np.zeros(data.shape, bool) if mask is None else (mask & bits.MASK_DTYPE(flags)) != 0
    chosen = flagged if fluence is None else flagged | (data >= fluence * saturation)
    if mask is not None:
        chosen = chosen & ((mask & bits.MASK_DTYPE(bits.BAD | bits.UNILLUMINATED)) == 0)
    pixels = np.flatnonzero(chosen)
    if fluence is not None and pixels.size:
        usable = np.isfinite(data) if mask is None else (mask & bits.MASK_DTYPE(bits.UNUSABLE)) == 0
        level = max(sampled_median(data, usable, number=_SKY_SAMPLE), 0.0)
        bright = data.reshape(-1)[pixels] >= level + fluence * max(saturation - level, 0.0)
        pixels = pixels[bright | flagged.reshape(-1)[pixels]]
        if 2 * pixels.size > np.count_nonzero(usable):
            pixels = pixels[:0]
    light = data.reshape(-1)[pixels]
    if mask is not None:
        burnt = (mask.reshape(-1)[pixels] & bits.MASK_DTYPE(bits.SATURATED)) != 0
        light = np.where(burnt, np.maximum(light, np.float32(saturation)), light)
    return BrightPixels(pixels, light.astype(np.float32, copy=False))


def afterglow(
    data: NDArray[np.float32],
    mask: NDArray[np.uint16] | None,
    earlier: Sequence[BrightPixels],
    *,
    outshone: float | None = None,
) -> NDArray[np.intp]:
    """Find the pixels of an exposure in which the afterglow of earlier ones is to be feared.

    Parameters
    ----------
    data : (ny, nx) float32
        The exposure, in the unit of the earlier ones.
    mask : (ny, nx) uint16, optional
    earlier : sequence of BrightPixels
        Of the exposures that ended shortly before.
    outshone : float, optional
        Part of the earlier light above which the light of now (above the level of the lit pixels) makes the
        glow irrelevant; None: it never does. The core of a saturated star that hardly moved is such a place.

    Returns
    -------
    (n,) flat indices, each once, in order.
    """
    found = [np.zeros(0, np.intp)]
    if not any(pixels.pixels.size for pixels in earlier):
        return found[0]
    usable = np.flatnonzero(np.isfinite(data) if mask is None else bits.usable(mask))
    sample = data.reshape(-1)[usable[:: max(1, usable.size // _SKY_SAMPLE)]]
    sky = np.float32(median(sample)) if sample.size else np.float32(0)
    for pixels, light in earlier:
        if outshone is None:
            found.append(pixels)
        else:
            now = data.reshape(-1)[pixels] - sky
            found.append(pixels[~(now > np.float32(outshone) * light)])
    return distinct(np.concatenate(found))
