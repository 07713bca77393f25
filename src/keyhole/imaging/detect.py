"""Finding the sources of a frame.

Sources are connected pixels above the noise, split where they blend (Bertin & Arnouts 1996, A&AS 117, 393,
in the form of the library sep: Barbary 2016, JOSS 1, 58). Everything happens in the bounding box of the
usable pixels: the dark surroundings of a keyhole hold no stars, but thousands of false ones. Unusable
pixels take no part; non-linear and saturated ones do, as without them a bright star would be a ring.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._measure import measure
from keyhole.imaging._survey import DetectionLimits, survey
from keyhole.imaging.bits import MASK_DTYPE, usable
from keyhole.imaging.catalogue import Catalogue, PixelToSky, empty_catalogue
from keyhole.imaging.scene import ApertureNoise, StarField
from keyhole.imaging.starfield import completed

__all__ = ["Detection", "detect_sources"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_LEAST_LIGHT: Final = 1.0
"""Signal to noise that the light of a source must have, with the doubt that its neighbours leave."""
_MIN_AREA: Final = 20
"""Isophotal area, pixels, that is required of a source when the detection asks for twice as many."""
_PEAK_RADIUS: Final = 0.75
"""Radius of the circle, in units of the seeing, whose noise grows like that of the filter for faint stars."""


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
    noise_correlation: float | ApertureNoise = 1.0,
    fwhm: float | None = None,
    peak_thresh: float = 4.5,
    total_flux: bool = True,
    pixel_to_sky: PixelToSky | None = None,
) -> Detection:
    """Detect and measure the sources of a frame.

    Changes its input: no. No source is not an error.

    Parameters
    ----------
    data : (ny, nx)
        Values, usually electrons, sky subtracted or not.
    variance : (ny, nx), optional
        Variance of each pixel; the scatter of the background when None. Where the measured noise is larger
        than this, the measured noise counts.
    mask : (ny, nx) uint16, optional
        Quality bits; all good when None.
    pixel_scale : float
        Arcsec per pixel.
    detect_thresh : float
        Threshold of the filtered frame, in sigma of a pixel. The filter is 3 x 3 pixels [1 2 1; 2 4 2; 1 2
        1], which lowers the noise of independent pixels to 0.375: 3 is a safe limit.
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
    noise_correlation : float or callable
        Noise of a circle over that which its independent pixels would have, for data whose pixels vary
        together; a function of the radii in pixels, or one number for all. See `keyhole.imaging.covariance`.
    fwhm : float, optional
        Width of the stars, pixels. With it, faint stars that the threshold on pixels misses are sought as
        peaks under a filter of that width (`keyhole.imaging.peaks`).
    peak_thresh : float
        Least signal to noise of such a peak.
    total_flux : bool
        With `fwhm`, add to FLUX_AUTO what a point source has beyond the aperture (`keyhole.imaging.photometry`).
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
    good = usable(bits)
    # Extremes are NaN if any value is: usually there is nothing to look at one by one.
    if data.size and not -np.inf < data.min() <= data.max() < np.inf:
        good &= np.isfinite(data)
    if variance is not None and variance.size and not 0 < variance.min() <= variance.max() < np.inf:
        good &= np.isfinite(variance) & (variance > 0)
    objmask = np.zeros(data.shape, np.uint8)
    if not good.any():
        return Detection(empty_catalogue(), objmask, 0.0, 0.0, None)
    limits = DetectionLimits(
        threshold=detect_thresh,
        analysis=analysis_thresh,
        min_area=detect_minarea,
        min_isophote=min(_MIN_AREA, max(detect_minarea // 2, 1)),
        contrast=deblend_mincont,
        back_size=back_size,
        back_filter=back_filtersize,
    )
    scene, objects, background, sigma = survey(data, variance, bits, good, limits)
    factors = noise_correlation if callable(noise_correlation) else _constant(noise_correlation)
    field: StarField | None = None
    if fwhm is not None:
        factor = float(factors(np.array([_PEAK_RADIUS * fwhm]))[0])
        scene, objects, field = completed(
            scene, objects, fwhm=fwhm, threshold=peak_thresh, correlation=factor, cell=2 * back_size + 1
        )
    catalogue, fwhm = measure(
        scene,
        objects,
        pixel_scale=pixel_scale,
        phot_min_radius=phot_min_radius,
        noise_factors=factors,
        min_area=min(_MIN_AREA, detect_minarea),
        pixel_to_sky=pixel_to_sky,
        field=field,
        total=total_flux,
    )
    kept = np.ones(len(objects), bool) if field is None else _with_light(catalogue)
    catalogue = _chosen(catalogue, kept)
    (x0, y0), (ny, nx) = scene.origin, scene.labels.shape
    on = scene.labels != 0 if kept.all() else np.concatenate([[False], kept])[scene.labels]
    objmask[y0 : y0 + ny, x0 : x0 + nx] = on
    return Detection(
        catalogue=catalogue,
        objmask=objmask,
        background=background,
        sigma=sigma,
        seeing_arcsec=None if fwhm is None else fwhm * pixel_scale,
    )


def _with_light(catalogue: Catalogue) -> Bool:
    """Sources whose light is more than what is left of their neighbours may be.

    Around a saturated star the model of its image fails, and leaves what looks like faint stars.
    """
    measured = catalogue["FLUXERR_AUTO"] > 0
    return np.asarray(~measured | (catalogue["FLUX_AUTO"] > _LEAST_LIGHT * catalogue["FLUXERR_AUTO"]))


def _chosen(catalogue: Catalogue, kept: Bool) -> Catalogue:
    """The chosen rows, numbered anew."""
    if kept.all():
        return catalogue
    rows = {name: values[kept] for name, values in catalogue.items()}
    rows["NUMBER"] = np.arange(1, np.count_nonzero(kept) + 1, dtype=rows["NUMBER"].dtype)
    return rows


def _constant(factor: float) -> ApertureNoise:
    return lambda radii: np.full(np.shape(radii), factor)
