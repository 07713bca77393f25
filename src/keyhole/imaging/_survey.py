"""First look at a frame: background, noise and objects of the part that holds usable pixels.

The background is a smooth surface through the modes of cells (Bertin & Arnouts 1996, A&AS 117, 393), measured between
the objects. Where these are, and on large frames the surface itself, need no pixel-sized samples: they come from bins
of 2 x 2 pixels, which know the level of a cell as well as the pixels do. The objects that count are found pixel by
pixel.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._bins import number_in_twos, unbinned
from keyhole.imaging._filters import doubled, summed_in_twos
from keyhole.imaging._masked import Chosen
from keyhole.imaging._neighbours import bounding_box, near
from keyhole.imaging.medians import fair_sample, median
from keyhole.imaging.scene import Scene, SkyPixels

__all__ = ["DetectionLimits", "Surveyed", "survey"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_KERNEL: Final = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32)
_DEBLEND_LEVELS: Final = 32
_MAX_AXIS_RATIO: Final = 50.0
_MIN_SEMI_MINOR: Final = 0.8
"""Pixels. The filter widens a single hot pixel to 0.7; the faintest stars above the threshold measure 0.9."""
_MAX_UNUSABLE: Final = 0.95
_MODE_LOSS: Final = 4.6 * np.pi / 2
"""Pixels that tell as much as one of a mean: variances of 2.5 median - 1.5 mean (4.6 times that of the mean) of a cell,
and of the median of cells."""
_MIN_SKY: Final = 0.3
"""Share of the usable pixels that must remain sky for the background to be measured without the sources."""
_BIN: Final = 2
_GROW: Final = 2
"""Bins by which sources are grown before the background is measured again: their wings."""
_FEW: Final = 150_000
"""Pixels up to which the background between the sources is measured pixel by pixel: that takes no time."""
_HOPELESS: Final = np.float32(1e30)
"""Noise that sep gives masked pixels."""
_FEWEST_SAMPLES: Final = 6
"""Samples along the side of a cell that tell its mode."""
_FAIR: Final = 100_000
"""Pixels that tell a noise: to 0.4 per cent."""
_SMOOTH_SAMPLE: Final = 30_000
"""Pixels that tell the median of what is smooth."""


class DetectionLimits(NamedTuple):
    """What counts as a source, and the cells of the background; see `keyhole.imaging.detect.detect_sources`."""

    threshold: float
    analysis: float
    min_area: int
    min_isophote: int
    contrast: float
    back_size: int
    back_filter: int


class Surveyed(NamedTuple):
    """What `survey` finds.

    Attributes
    ----------
    scene : Scene
    objects : structured array (n,)
        Of sep; rows of the labels of the scene.
    background, sigma : float
        Median level and noise of a pixel between the sources.
    """

    scene: Scene
    objects: NDArray[Any]
    background: float
    sigma: float


class _Sky(NamedTuple):
    level: Float32
    noise: Float32


class _Planes(NamedTuple):
    """Values, formal noise (None: not known) and the pixels without either, as sep wants them."""

    values: Float32
    noise: Float32 | None
    without: Chosen

    @property
    def hidden(self) -> Bool:
        return self.without.mask


def survey(
    data: NDArray[Any], variance: NDArray[Any] | None, bits: NDArray[np.uint16], good: Bool, limits: DetectionLimits
) -> Surveyed:
    """Background, noise and objects of the box of the good pixels.

    Parameters
    ----------
    data, variance : (ny, nx)
        Finite on good pixels. Changes its input: no.
    bits : (ny, nx) uint16
        Quality bits.
    good : (ny, nx) bool
        Pixels that take part, at least one.
    limits : DetectionLimits

    Raises
    ------
    AlgorithmError
        When the detector fails.
    """
    box = bounding_box(good)
    hidden = np.ascontiguousarray(~good[box])
    without = Chosen.of(hidden)
    formal = None if variance is None else _plane(variance[box], without)
    if formal is not None:
        np.sqrt(formal, out=formal)
    planes = _Planes(_plane(data[box], without), formal, without)
    level, noise = _sky(planes, limits)
    left = np.subtract(planes.values, level, out=planes.values)
    without.put(left, 0)
    objects, labels = _extract(left, noise, without, limits)
    free = labels == 0
    on = np.flatnonzero(~free)
    without.put(free, False)
    typical = median(fair_sample(~hidden, noise, number=_SMOOTH_SAMPLE)[0])
    empty = fair_sample(free if free.any() else ~hidden, level, noise, number=_SMOOTH_SAMPLE)
    background, sigma = (median(values) for values in empty)
    objects, areas = _cleaned(objects, (labels, on), _Planes(left, noise, without), limits)
    spread = np.square(noise)
    without.put(spread, 0)
    scene = Scene(
        data=left,
        variance=spread,
        background=level,
        bits=np.ascontiguousarray(bits[box]),
        hidden=hidden,
        labels=labels,
        sky=SkyPixels(free, min(limits.back_size * limits.back_filter, 2 * max(left.shape) + 1), _MODE_LOSS),
        noise=typical,
        origin=(box[1].start, box[0].start),
        frame_shape=(int(data.shape[0]), int(data.shape[1])),
        areas=areas,
    )
    return Surveyed(scene, objects, background, sigma)


def _plane(values: NDArray[Any], without: Chosen) -> Float32:
    """A copy of a plane as sep wants it: float32, native, contiguous; 0 where hidden."""
    plane = np.array(values, dtype=np.float32, order="C")
    without.put(plane, 0)
    return plane


def _sky(planes: _Planes, limits: DetectionLimits) -> _Sky:
    """Background and noise of each pixel, measured between the sources. Changes the noise of `planes`."""
    bins = _binned(planes)
    if planes.noise is not None:
        planes.without.put(planes.noise, 1)
    cell = max(limits.back_size // _BIN, 2)
    sky = _first_sky(bins, limits, cell)
    covered = bins.hidden | near(_outlines(bins.values - sky.level, sky.noise, bins.hidden, limits), _GROW)
    # Wings raise the first background; where sources leave too little sky it has to do.
    enough = np.count_nonzero(~covered) >= _MIN_SKY * np.count_nonzero(~bins.hidden)
    if not enough:
        covered = bins.hidden
    if planes.noise is None or planes.values.size <= _FEW:
        wide = unbinned(covered, _BIN, planes.hidden.shape) | planes.hidden
        return _estimate(planes, wide, limits, limits.back_size)
    # The noise is that of the pixels: here the level alone is wanted.
    level = doubled(_surface(bins.values, covered, limits, cell).level, planes.hidden.shape)
    return _Sky(level, _raised(planes, level, covered, bin_size=_BIN))


def _first_sky(bins: _Planes, limits: DetectionLimits, cell: int) -> _Sky:
    """Background and noise of each bin as they are before sources are known. Changes the noise of `bins`."""
    if bins.noise is None or bins.values.size <= _FEW or cell < 2 * _FEWEST_SAMPLES:
        return _estimate(bins, bins.hidden, limits, cell)
    # It only serves to find the outlines of sources: bins of twice the size tell it.
    wider = _binned(bins._replace(noise=None))
    level = doubled(_surface(wider.values, wider.hidden, limits, cell // 2).level, bins.hidden.shape)
    return _Sky(level, _raised(bins, level, bins.hidden))


def _binned(planes: _Planes) -> _Planes:
    """Means of the usable pixels in bins, with their noise."""
    number = number_in_twos(planes.without)
    values, noise = summed_in_twos(planes.values), None
    # Nearly all bins are whole: what is divided by their number first is put right where it is another.
    other = np.flatnonzero(number != _BIN**2)
    others = number.ravel()[other]
    hidden = Chosen(np.zeros(number.shape, np.bool_), other[others == 0])
    hidden.mask.ravel()[hidden.places] = True
    others = np.maximum(others, 1)
    sums = values.ravel()[other]
    values *= np.float32(1 / _BIN**2)
    values.ravel()[other] = sums / others
    if planes.noise is not None:
        noise = summed_in_twos(planes.noise)
        sums = noise.ravel()[other]
        noise *= np.float32(1 / _BIN**3)
        noise.ravel()[other] = sums / (others * np.sqrt(others))
        noise.ravel()[hidden.places] = 1
    return _Planes(values, noise, hidden)


def _estimate(planes: _Planes, covered: Bool, limits: DetectionLimits, cell: int) -> _Sky:
    """Background and noise of each sample; a formal noise is raised to the measured one."""
    level, scatter = _surface(planes.values, covered, limits, cell, noise=planes.noise is None)
    return _Sky(level, scatter if planes.noise is None else _raised(planes, level, covered))


def _surface(values: Float32, covered: Bool, limits: DetectionLimits, cell: int, *, noise: bool = False) -> _Sky:
    """A smooth surface through the modes of cells, and with `noise` through their scatters."""
    n_sky = covered.size - np.count_nonzero(covered)
    if n_sky < cell**2 / 2:
        # Too few pixels for cells.
        sky = values[~covered]
        middle = median(sky) if sky.size else 0.0
        scatter = max(_robust_sigma(sky - middle) if sky.size else 0.0, 1e-30)
        return _Sky(np.full_like(values, middle), np.full_like(values, scatter))
    # sep costs 0.1 s to import.
    import sep

    width = limits.back_filter
    try:
        background = sep.Background(values, mask=covered, bw=cell, bh=cell, fw=width, fh=width)
    except Exception as error:  # sep raises nothing narrower
        raise AlgorithmError(
            f"the background in cells of {limits.back_size} pixels failed ({error}); change back_size"
        ) from error
    level = background.back(dtype=np.float32)
    rms = np.maximum(background.rms(dtype=np.float32), np.float32(1e-30)) if noise else level
    return _Sky(level, rms)


def _raised(planes: _Planes, level: Float32, covered: Bool, *, bin_size: int = 1) -> Float32:
    """The formal noise, raised to the measured one if that is larger. Changes it in `planes`.

    Parameters
    ----------
    covered : bool array
        True in bins of so many pixels on a side whose pixels do not tell the noise; nor do the hidden ones.
    """
    formal = planes.noise
    assert formal is not None
    known = planes.values, level, formal
    ny, nx = formal.shape
    if bin_size > 1:
        # Only some rows are asked for.
        step = max(formal.size // _FAIR, 1) | 1
        rows = np.arange(0, ny, step)
        free = ~(np.repeat(covered[rows // bin_size], bin_size, axis=1)[:, :nx] | planes.hidden[::step])
        if free.any():
            known = known[0][::step], known[1][::step], known[2][::step]
        else:
            free = ~(unbinned(covered, bin_size, (ny, nx)) | planes.hidden)
        values, expected, noise = (plane[free] for plane in known)
    else:
        values, expected, noise = fair_sample(~covered, *known, number=_FAIR)
    np.subtract(values, expected, out=values)
    values /= noise
    excess = _robust_sigma(values) if values.size else 1.0
    if excess > 1:
        formal *= np.float32(excess)
    return formal


def _robust_sigma(values: Float32) -> float:
    """Standard deviation about zero of the bulk of a normal sample."""
    return 1.4826 * median(np.abs(values))


def _outlines(values: Float32, noise: Float32, hidden: Bool, limits: DetectionLimits) -> Bool:
    """Bins on sources: a mean of four pixels above the threshold of a pixel, as the filter for pixels would have it."""
    fewest = max(limits.min_area // _BIN**2, 1)
    if fewest <= 2:
        # Two that touch: no need to follow regions.
        above = values > np.float32(_BIN * limits.threshold) * noise
        np.copyto(above, False, where=hidden)
        return above if fewest == 1 else above & _beside_another(above)
    _, labels = _extracted(
        values / noise,
        hidden,
        limits,
        thresh=_BIN * limits.threshold,
        minarea=fewest,
        filter_kernel=None,
        deblend_nthresh=1,
        clean=False,
    )
    return np.asarray(labels > 0)


def _beside_another(region: Bool) -> Bool:
    """Pixels with one of the region among their eight neighbours."""
    beside = np.zeros_like(region)
    beside[:, 1:] |= region[:, :-1]
    beside[:, :-1] |= region[:, 1:]
    three = beside | region
    beside[1:] |= three[:-1]
    beside[:-1] |= three[1:]
    return beside


def _extract(
    values: Float32, noise: Float32, without: Chosen, limits: DetectionLimits
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Objects of sep and the label (row + 1) of each pixel."""
    # What a mask does to hidden pixels, which are 0, a hopeless noise does in less time.
    places, flat = without.places, noise.reshape(-1)
    usual = flat[places]
    flat[places] = _HOPELESS
    try:
        return _extracted(
            values,
            None,
            limits,
            thresh=limits.threshold,
            err=noise,
            minarea=limits.min_area,
            filter_kernel=_KERNEL,
            filter_type="conv",
            deblend_nthresh=_DEBLEND_LEVELS,
        )
    finally:
        flat[places] = usual


def _extracted(
    values: Float32, hidden: Bool | None, limits: DetectionLimits, **settings: Any
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Objects and labels that sep finds with some settings."""
    import sep

    stack, blends = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    contrast = limits.contrast
    try:
        # Once with the library's buffers, once with buffers for every pixel, last without splitting blends.
        for attempt in range(3):
            try:
                objects, labels = sep.extract(
                    values, mask=hidden, deblend_cont=contrast, segmentation_map=True, **settings
                )
            except Exception as error:  # sep raises nothing narrower
                if attempt == 2:
                    raise AlgorithmError(
                        f"source detection failed on {values.shape[1]} x {values.shape[0]} pixels ({error}); "
                        f"use a detect_thresh above {limits.threshold:g}"
                    ) from error
                sep.set_extract_pixstack(max(stack, 2 * values.size))
                sep.set_sub_object_limit(max(blends, 65536))
                contrast = limits.contrast if attempt == 0 else 1.0
            else:
                return objects, np.asarray(labels, dtype=np.int32)
    finally:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(blends)
    raise AssertionError("the last attempt returns or raises")


def _cleaned(
    objects: NDArray[Any],
    labelled: tuple[NDArray[np.int32], NDArray[np.intp]],
    planes: _Planes,
    limits: DetectionLimits,
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Leave out what is too small, too sharp or too thin to be a source; also the areas.

    Changes the labels, the first of `labelled`; the second are the flat indices of the pixels that have one.
    """
    number = len(objects) + 1
    labels, pixels = labelled
    names, hidden = labels.ravel()[pixels], planes.hidden.ravel()[pixels]
    assert planes.noise is not None
    counted = planes.values.ravel()[pixels] > np.float32(limits.analysis) * planes.noise.ravel()[pixels]
    area = np.bincount(names[counted & ~hidden], minlength=number)[1:]
    lost = np.bincount(names[hidden], minlength=number)[1:]
    with_shape = objects["a"] <= _MAX_AXIS_RATIO * objects["b"]
    chosen = (
        (area >= limits.min_isophote) & (objects["b"] >= _MIN_SEMI_MINOR) & with_shape & (lost <= _MAX_UNUSABLE * area)
    )
    if not chosen.all():
        renumbered = np.zeros(number, np.int32)
        renumbered[1:][chosen] = np.arange(1, chosen.sum() + 1)
        labels.ravel()[pixels] = renumbered[names]
    return objects[chosen], area[chosen]
