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
from keyhole.imaging.medians import distinct, median

__all__ = ["BrightPixels", "afterglow", "bright_pixels"]

_SKY_SAMPLE = 20_000
_MANY = 1000  # one of so many pixels: fewer are not most of those that are usable


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
    flat, quality = data.reshape(-1), None if mask is None else mask.reshape(-1)
    chosen = np.zeros(flat.shape, bool) if quality is None else (quality & bits.MASK_DTYPE(flags)) != 0
    if fluence is not None:
        chosen |= flat >= fluence * saturation
    pixels = np.flatnonzero(chosen)
    if quality is not None:
        pixels = pixels[(quality[pixels] & bits.MASK_DTYPE(bits.BAD | bits.UNILLUMINATED)) == 0]
    if fluence is not None and pixels.size:
        level = max(_level(data, mask), 0.0)
        bright = flat[pixels] >= level + fluence * max(saturation - level, 0.0)
        if quality is not None:
            bright |= (quality[pixels] & bits.MASK_DTYPE(flags)) != 0
        pixels = pixels[bright]
        if pixels.size > data.size // _MANY:
            usable = np.isfinite(data) if mask is None else bits.usable(mask)
            if 2 * pixels.size > np.count_nonzero(usable):
                pixels = pixels[:0]
    light = data.reshape(-1)[pixels]
    if mask is not None:
        burnt = (mask.reshape(-1)[pixels] & bits.MASK_DTYPE(bits.SATURATED)) != 0
        light = np.where(burnt, np.maximum(light, np.float32(saturation)), light)
    return BrightPixels(pixels, light.astype(np.float32, copy=False))


def _level(data: NDArray[np.float32], mask: NDArray[np.uint16] | None) -> float:
    """Median of the usable pixels, of a sample if that holds enough of them; 0 without any."""
    values = np.zeros(0, np.float32)
    # The step is odd, as the patterns of detectors repeat at even distances.
    for step in ((data.size // _SKY_SAMPLE) | 1, 1):
        values = data.reshape(-1)[::step]
        values = values[np.isfinite(values) if mask is None else bits.usable(mask.reshape(-1)[::step])]
        if 8 * values.size > _SKY_SAMPLE:
            break
    return median(values) if values.size else 0.0


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
    sky = np.float32(_level(data, mask))
    for pixels, light in earlier:
        if outshone is None:
            found.append(pixels)
        else:
            now = data.reshape(-1)[pixels] - sky
            found.append(pixels[~(now > np.float32(outshone) * light)])
    return distinct(np.concatenate(found))
