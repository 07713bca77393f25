"""Finding the sources of a frame.

Sources are connected pixels above the noise, split where they blend (Bertin & Arnouts 1996, A&AS 117, 393, in the
form of the library sep: Barbary 2016, JOSS 1, 58). Everything happens in the bounding box of the usable pixels: the
dark surroundings of a keyhole hold no stars, but thousands of false ones. Unusable pixels take no part; non-linear
and saturated ones do, as without them a bright star would be a ring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._measure import Scene, measure
from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging.bits import MASK_DTYPE, usable
from keyhole.imaging.catalogue import Catalogue, empty_catalogue, select_rows

__all__ = ["Detection", "detect_sources"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
PixelToSky = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[Any, Any]]

_KERNEL: Final = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32)
_DEBLEND_LEVELS: Final = 32
_MAX_AXIS_RATIO: Final = 50.0
_MIN_SEMI_MINOR: Final = 0.8
"""Pixels. The filter widens a single hot pixel to 0.7; the faintest stars above the threshold measure 0.9."""
_MAX_UNUSABLE: Final = 0.95
_MIN_AREA: Final = 20
"""Isophotal area, pixels, that is required of a source when the detection asks for twice as many."""
_GROW: Final = 4
"""Pixels by which sources are grown before the background is measured again: their wings."""
_MIN_SKY: Final = 0.3
"""Share of the usable pixels that must remain sky for the background to be measured without the sources."""


class Detection(NamedTuple):
    """Sources of a frame and what they stand on.

    Attributes
    ----------
    catalogue : dict of arrays
        Columns of `keyhole.imaging.catalogue.COLUMNS`; zero rows when there is no source.
    objmask : (ny, nx) uint8
        1 on the pixels of the sources.
    background : float
        Median level between the sources, unit of the data; 0 without usable pixels.
    sigma : float
        Measured noise of one pixel between the sources, unit of the data; 0 without usable pixels.
    seeing_arcsec : float or None
        Full width at half maximum of the stars; None when no source is fit to tell.
    """

    catalogue: Catalogue
    objmask: NDArray[np.uint8]
    background: float
    sigma: float
    seeing_arcsec: float | None


def detect_sources(
    data: NDArray[Any],
    variance: NDArray[Any] | None = None,
    mask: NDArray[np.uint16] | None = None,
    *,
    pixel_scale: float,
    detect_thresh: float = 3.0,
    analysis_thresh: float = 2.0,
    detect_minarea: int = 10,
    deblend_mincont: float = 0.001,
    back_size: int = 32,
    back_filtersize: int = 3,
    phot_min_radius: float = 3.5,
    noise_correlation: float = 1.0,
    pixel_to_sky: PixelToSky | None = None,
) -> Detection:
    """Detect and measure the sources of a frame.

    Changes its input: no. No source is not an error.

    Parameters
    ----------
    data : (ny, nx)
        Values, usually electrons, sky subtracted or not.
    variance : (ny, nx), optional
        Variance of each pixel; the scatter of the background when None. Where the measured noise is larger than
        this, the measured noise counts.
    mask : (ny, nx) uint16, optional
        Quality bits; all good when None.
    pixel_scale : float
        Arcsec per pixel.
    detect_thresh : float
        Threshold of the filtered frame, in sigma of a pixel. The filter is 3 x 3 pixels [1 2 1; 2 4 2; 1 2 1], which
        lowers the noise of independent pixels to 0.375: 3 is a safe limit.
    analysis_thresh : float
        Threshold, in sigma, of the pixels that count for the isophotal area.
    detect_minarea : int
        Fewest connected pixels above the threshold.
    deblend_mincont : float
        Smallest share of the flux that splits a blend.
    back_size : int
        Width of the cells of the background, pixels.
    back_filtersize : int
        Width of the median filter over these cells.
    phot_min_radius : float
        Smallest Kron aperture, in units of the axes of the source; the Kron factor is 2.5.
    noise_correlation : float
        Factor of the errors of aperture sums for resampled data, see `kernels.correlation_factor`.
    pixel_to_sky : callable, optional
        ``(x, y)`` 0-based arrays to ``(ra, dec)`` in degrees; world columns are undefined without.

    Returns
    -------
    Detection

    Raises
    ------
    AlgorithmError
        When the planes differ in shape or the detector fails.
    """
    for name, plane in (("variance", variance), ("mask", mask)):
        if plane is not None and plane.shape != data.shape:
            raise AlgorithmError(f"detection: {name} has shape {plane.shape}, the data have {data.shape}")
    bits = np.zeros(data.shape, MASK_DTYPE) if mask is None else mask.astype(MASK_DTYPE, copy=False)
    good = usable(bits) & np.isfinite(data)
    if variance is not None:
        good &= np.isfinite(variance) & (variance > 0)
    objmask = np.zeros(data.shape, np.uint8)
    if not good.any():
        return Detection(empty_catalogue(), objmask, 0.0, 0.0, None)
    box = bounding_box(good)
    hidden = np.ascontiguousarray(~good[box])
    values = _plane(data[box], hidden)
    limits = _Limits(detect_thresh, detect_minarea, deblend_mincont)
    sky, noise, stretch, objects, labels = _find(
        values,
        None if variance is None else np.sqrt(_plane(variance[box], hidden)),
        hidden,
        limits,
        (back_size, back_filtersize),
    )
    ...
