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
from keyhole.imaging._neighbours import bounding_box
from keyhole.imaging.bits import MASK_DTYPE, usable
from keyhole.imaging.catalogue import Catalogue, PixelToSky, empty_catalogue
from keyhole.imaging.medians import median
from keyhole.imaging.scene import ApertureNoise, Scene, StarField
from keyhole.imaging.starfield import completed

__all__ = ["Detection", "detect_sources"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_KERNEL: Final = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32)
_DEBLEND_LEVELS: Final = 32
_MAX_AXIS_RATIO: Final = 50.0
_MIN_SEMI_MINOR: Final = 0.8
"""Pixels. The filter widens a single hot pixel to 0.7; the faintest stars above the threshold measure 0.9."""
_MAX_UNUSABLE: Final = 0.95
_LEAST_LIGHT: Final = 1.0
"""Signal to noise that the light of a source must have, with the doubt that its neighbours leave."""
_MIN_AREA: Final = 20
"""Isophotal area, pixels, that is required of a source when the detection asks for twice as many."""
_PEAK_RADIUS: Final = 0.75
"""Radius of the circle, in units of the seeing, whose noise grows like that of the filter for faint stars."""
_GROW: Final = 4
"""Pixels by which sources are grown before the background is measured again: their wings."""
_MODE_LOSS: Final = 4.6 * np.pi / 2
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
    good = usable(bits) & np.isfinite(data)
    if variance is not None:
        good &= np.isfinite(variance) & (variance > 0)
    objmask = np.zeros(data.shape, np.uint8)
    if not good.any():
        return Detection(empty_catalogue(), objmask, 0.0, 0.0, None)
    settings = _Settings(detect_thresh, detect_minarea, deblend_mincont, back_size, back_filtersize)
    scene, objects, covered = _survey(data, variance, bits, good, settings)
    scene, objects = _cleaned(scene, objects, analysis_thresh, min(_MIN_AREA, max(detect_minarea // 2, 1)))
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
    objmask[bounding_box(good)] = np.concatenate([[False], kept])[scene.labels]
    empty = ~scene.hidden if covered.all() else ~covered
    return Detection(
        catalogue=catalogue,
        objmask=objmask,
        background=median(scene.background[empty]),
        sigma=float(np.sqrt(np.float32(median(scene.variance[empty])))),
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


class _Settings(NamedTuple):
    threshold: float
    min_area: int
    contrast: float
    back_size: int
    back_filter: int


class _Sky(NamedTuple):
    level: Float32
    noise: Float32


def _survey(
    data: NDArray[Any],
    variance: NDArray[Any] | None,
    bits: NDArray[np.uint16],
    good: Bool,
    settings: _Settings,
) -> tuple[Scene, NDArray[Any], Bool]:
    """Background and objects of the box of the good pixels; also which pixels are no sky."""
    box = bounding_box(good)
    hidden = np.ascontiguousarray(~good[box])
    values = _plane(data[box], hidden)
    formal = None if variance is None else np.sqrt(_plane(variance[box], hidden))
    sky = _estimate_sky(values, formal, hidden, settings)
    objects, labels = _extract(values - sky.level, sky.noise, hidden, settings)
    covered = hidden | _grown(labels > 0, _GROW)
    # Wings raise the first background; where sources leave too little sky it has to do.
    if len(objects) and np.count_nonzero(~covered) >= _MIN_SKY * np.count_nonzero(~hidden):
        sky = _estimate_sky(values, formal, covered, settings)
        objects, labels = _extract(values - sky.level, sky.noise, hidden, settings)
        covered = hidden | (labels > 0)
    scene = Scene(
        data=np.where(hidden, np.float32(0), values - sky.level),
        variance=np.where(hidden, np.float32(0), sky.noise**2),
        background=sky.level,
        bits=np.ascontiguousarray(bits[box]),
        hidden=hidden,
        labels=labels,
        empty=_told_by(covered, settings),
        origin=(box[1].start, box[0].start),
        frame_shape=(int(data.shape[0]), int(data.shape[1])),
    )
    return scene, objects, covered


def _told_by(covered: Bool, settings: _Settings) -> Float32:
    """How many pixels between the sources told the background of each pixel, in effect.

    The mode of a cell, and the median of the cells, are as good as the mean of a seventh of their pixels: variances
    of 2.5 median - 1.5 mean (4.6 times that of the mean) and of a median.
    """
    from scipy import ndimage  # slow import

    width = min(settings.back_size * settings.back_filter, 2 * max(covered.shape) + 1)
    share = ndimage.uniform_filter((~covered).astype(np.float32), width, mode="constant")
    return np.asarray(np.maximum(share * width**2 / _MODE_LOSS, 1), dtype=np.float32)


def _plane(values: NDArray[Any], hidden: Bool) -> Float32:
    """A plane as sep wants it: float32, native, contiguous; 0 where hidden."""
    return np.ascontiguousarray(np.where(hidden, 0, values), dtype=np.float32)


def _estimate_sky(values: Float32, formal: Float32 | None, covered: Bool, settings: _Settings) -> _Sky:
    """Background and noise of each pixel; a formal noise is raised to the measured one."""
    sky = values[~covered]
    if sky.size < settings.back_size**2 / 2:
        # Too few pixels for cells.
        level = np.full_like(values, median(sky) if sky.size else 0.0)
        scatter = np.full_like(values, max(_robust_sigma(sky - median(sky)) if sky.size else 0.0, 1e-30))
    else:
        # sep costs 0.1 s to import.
        import sep

        cells = {"bw": settings.back_size, "bh": settings.back_size}
        width = {"fw": settings.back_filter, "fh": settings.back_filter}
        try:
            background = sep.Background(values, mask=covered, **cells, **width)
        except Exception as error:  # sep raises nothing narrower
            raise AlgorithmError(
                f"the background in cells of {settings.back_size} pixels failed ({error}); change back_size"
            ) from error
        level = background.back(dtype=np.float32)
        if formal is None:
            scatter = np.maximum(background.rms(dtype=np.float32), np.float32(1e-30))
    if formal is None:
        return _Sky(level, scatter)
    formal = np.where(formal > 0, formal, np.float32(1))
    excess = _robust_sigma(((values - level) / formal)[~covered]) if sky.size else 1.0
    return _Sky(level, formal * np.float32(max(excess, 1.0)))


def _robust_sigma(values: Float32) -> float:
    """Standard deviation about zero of the bulk of a normal sample."""
    return 1.4826 * median(np.abs(values))


def _extract(
    values: Float32, noise: Float32, hidden: Bool, settings: _Settings
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Objects of sep and the label (row + 1) of each pixel."""
    import sep

    stack, blends = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    contrast = settings.contrast
    try:
        # Once with the library's buffers, once with buffers for every pixel, last without splitting blends.
        for attempt in range(3):
            try:
                objects, labels = sep.extract(
                    np.ascontiguousarray(values),
                    settings.threshold,
                    err=np.ascontiguousarray(noise),
                    mask=hidden,
                    minarea=settings.min_area,
                    filter_kernel=_KERNEL,
                    filter_type="conv",
                    deblend_nthresh=_DEBLEND_LEVELS,
                    deblend_cont=contrast,
                    segmentation_map=True,
                )
            except Exception as error:  # sep raises nothing narrower
                if attempt == 2:
                    raise AlgorithmError(
                        f"source detection failed on {values.shape[1]} x {values.shape[0]} pixels ({error}); "
                        f"use a detect_thresh above {settings.threshold:g}"
                    ) from error
                sep.set_extract_pixstack(max(stack, 2 * values.size))
                sep.set_sub_object_limit(max(blends, 65536))
                contrast = settings.contrast if attempt == 0 else 1.0
            else:
                return objects, np.asarray(labels, dtype=np.int32)
    finally:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(blends)
    raise AssertionError("the last attempt returns or raises")


def _cleaned(scene: Scene, objects: NDArray[Any], analysis_thresh: float, min_area: int) -> tuple[Scene, NDArray[Any]]:
    """Leave out what is too small, too sharp or too thin to be a source."""
    if not len(objects):
        return scene, objects
    number = len(objects) + 1
    counted = (scene.labels > 0) & (scene.data > analysis_thresh * np.sqrt(scene.variance))
    area = np.bincount(scene.labels[counted], minlength=number)[1:]
    lost = np.bincount(scene.labels[scene.hidden], minlength=number)[1:]
    with_shape = objects["a"] <= _MAX_AXIS_RATIO * objects["b"]
    chosen = (area >= min_area) & (objects["b"] >= _MIN_SEMI_MINOR) & with_shape & (lost <= _MAX_UNUSABLE * area)
    renumbered = np.zeros(number, np.int32)
    renumbered[1:][chosen] = np.arange(1, chosen.sum() + 1)
    return scene._replace(labels=renumbered[scene.labels], areas=area[chosen]), objects[chosen]


def _constant(factor: float) -> ApertureNoise:
    return lambda radii: np.full(np.shape(radii), factor)


def _grown(region: Bool, pixels: int) -> Bool:
    """A region with a square margin."""
    grown = region.copy()
    for axis in (0, 1):
        source = grown.copy()
        for step in range(1, pixels + 1):
            low, high = (slice(None, -step), slice(step, None))
            if axis == 0:
                grown[low] |= source[high]
                grown[high] |= source[low]
            else:
                grown[:, low] |= source[:, high]
                grown[:, high] |= source[:, low]
    return grown
