"""The lit area by its light alone, for cameras whose keyhole nobody has recorded."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.noise import clipped_median_sigma

__all__ = ["lit_area"]

_SMOOTH_PX: Final = 5
_SAMPLE: Final = 100_000
_DETECT_SIGMA: Final = 5.0
_RING_PX: Final = 5
_EDGE_STEP: Final = 0.5
_SMALLEST: Final = 0.005
"""Part of the detector that a keyhole lights at least, ..."""
_LARGEST: Final = 0.6
"""... and at most."""


def lit_area(data: NDArray[np.float32], good: NDArray[np.bool_], *, margin: float = 0.0) -> NDArray[np.bool_] | None:
    """Find the one large area that is lit.

    Most pixels are taken to be dark. Of those clearly brighter, in a mean over 5 x 5 pixels, the largest
    connected region is the lit one; its border is where that mean crosses half its median light. Holes in it
    (dead pixels) are filled.

    Parameters
    ----------
    data : (ny, nx) float32
    good : (ny, nx) bool
    margin : float
        Pixels along the border that are left out; negative: added.

    Returns
    -------
    (ny, nx) bool or None
        None where no region is large and bright enough, or more than 60 per cent of the detector is lit.
    """
    from scipy import ndimage  # slow to load and rarely needed

    sample = data[good]
    if not sample.size:
        return None
    dark = clipped_median_sigma(sample[:: (sample.size // _SAMPLE) | 1])
    # A bad pixel shows the level of the dark, not its own.
    smooth = ndimage.uniform_filter(np.where(good, data, np.float32(dark.median)), _SMOOTH_PX, mode="nearest")
    seen = ndimage.uniform_filter(good.astype(np.float32), _SMOOTH_PX, mode="nearest")
    light = (smooth - dark.median) / np.maximum(seen, 1 / _SMOOTH_PX**2)
    region = _largest(light > _DETECT_SIGMA * dark.sigma / _SMOOTH_PX)
    if region is None:
        return None
    half = float(np.median(data[region & good]) - dark.median) / 2 if (region & good).any() else 0.0
    if not half > dark.sigma / 2:
        return None
    region = _largest(light > half)
    if region is None or not _SMALLEST < np.count_nonzero(region) / region.size < _LARGEST:
        return None
    filled = ndimage.binary_fill_holes(region)
    if not _has_edge(light, filled, 2 * half):
        return None
    steps = round(abs(margin))
    if steps:
        change = ndimage.binary_erosion if margin > 0 else ndimage.binary_dilation
        # The detector's own border is none of the keyhole.
        filled = change(filled, iterations=steps, border_value=int(margin > 0))
    return np.asarray(filled, bool)


def _has_edge(light: NDArray[np.float32], region: NDArray[np.bool_], level: float) -> bool:
    """Whether the light falls at the border of the region, as at the edge of an opening, and not slowly."""
    from scipy import ndimage

    inner = region & ~ndimage.binary_erosion(region, iterations=_RING_PX, border_value=1)
    outer = ndimage.binary_dilation(region, iterations=_RING_PX) & ~region
    # The smoothed edge itself is as wide as the box of the mean.
    inner &= ndimage.binary_erosion(region, iterations=_SMOOTH_PX // 2, border_value=1)
    outer &= ~ndimage.binary_dilation(region, iterations=_SMOOTH_PX // 2)
    if not (inner.any() and outer.any()):
        return False
    return bool(np.median(light[inner]) - np.median(light[outer]) > _EDGE_STEP * level)


def _largest(bright: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest region of neighbours along rows and columns."""
    from scipy import ndimage

    labels, number = ndimage.label(bright)
    if not number:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(np.argmax(sizes)))
