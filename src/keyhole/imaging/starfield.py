"""Faint stars beside bright ones: the light of the bright ones is taken away first."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._filters import doubled, summed_in_twos
from keyhole.imaging._smooth import running_sum
from keyhole.imaging.bits import NONLINEAR, SATURATED
from keyhole.imaging.medians import median
from keyhole.imaging.peaks import faint_peaks, with_peaks
from keyhole.imaging.psf import PointSpread, empirical_psf, moffat_psf
from keyhole.imaging.scene import Scene, SkyPixels, StarField
from keyhole.imaging.starfit import StarFit, ring_medians

__all__ = ["completed"]

Float64 = NDArray[np.float64]

_CLIP: Final = 3.0
"""Sigma up to which pixels, and light taken from them, may stand out where the background is measured."""
_AROUND: Final = 1.5
"""Radius, in units of the seeing, of the circle in which a new star must have some of its light,"""
_LEAST_LIGHT: Final = 0.25
"""and how much of it."""
_MOST_STARS: Final = 15
"""Brightest stars that tell the image of a star."""
_LEAST_SNR: Final = 20.0
_ALONE: Final = 1.5
"""Distance from a brighter source that such a star must have, in units of the seeing."""
_LIKE: Final = 0.2
"""Part by which such a star may be wider or narrower than most."""
_TRUSTED: Final = 0.01
"""Part of the light taken away that may be wrong at the least."""
_MOST_DOUBT: Final = 0.2
"""And at the most."""
_NO_STAR: Final = 0.5
"""The same of a light that is not that of a star, or cut."""
_CONFIRMED: Final = 0.8
"""Signal to noise, in units of the threshold, that a new star must have in a fit together with all others."""
_CHANCE: Final = 4.0
"""Relative error of a variance from a median of deviations, times the root of their number: about two and a half."""
_CORE: Final = 0.8
"""Radius, in units of the seeing, within which no second star is sought."""
_FEWEST: Final = 100
"""Pixels that tell a background."""


def completed(
    scene: Scene, objects: NDArray[Any], *, fwhm: float, threshold: float, correlation: float, cell: int
) -> tuple[Scene, NDArray[Any], StarField]:
    """Add the stars that only a filter as wide as they are shows, after the light of the others is taken away.

    Parameters
    ----------
    scene : Scene
    objects : structured array (n,)
        Of sep; rows of `scene.labels`.
    fwhm : float
        Seeing, pixels.
    threshold : float
        Least signal to noise of the stars that are added.
    correlation : float
        Noise under the filter over that of independent pixels.
    cell : int
        Width of the square that tells the background of a pixel.

    Returns
    -------
    scene : Scene
        With the labels of the stars that were added.
    objects : structured array (n + m,)
    field : StarField
        Of all these sources.
    """
    places, heights = _places(objects), objects["peak"].astype(np.float64)
    psf = _psf(scene, objects, places, heights, fwhm)
    fit = StarFit(scene.data, scene.variance, scene.hidden | ((scene.bits & SATURATED) != 0), psf)
    fit.add(places, heights)
    fit.run(2)
    scene = _levelled(scene, fit, cell)
    scene, objects = _with_faint(scene, objects, fit, fwhm=fwhm, threshold=threshold, correlation=correlation)
    # Where a star has a hole, its image stands in.
    residual = np.where(scene.hidden, np.float32(0), fit.residual)
    return scene, objects, StarField(psf, fit.images, residual)


def _with_faint(
    scene: Scene, objects: NDArray[Any], fit: StarFit, *, fwhm: float, threshold: float, correlation: float
) -> tuple[Scene, NDArray[Any]]:
    """Add what is found in that which the stars leave, and is there in a fit of all together, too."""
    number, residual = len(objects), fit.residual
    found = faint_peaks(
        _without_cores(fit, fwhm),
        scene.variance,
        scene.hidden,
        fwhm=fwhm,
        threshold=threshold,
        correlation=correlation,
        doubtful=_doubtful(scene, fit),
    )
    taken = np.array([image is not None and image.good for image in fit.images], bool)
    objects, labels = with_peaks(objects, scene.labels, residual, found, fwhm=fwhm, taken=taken)
    fit.add(_places(objects[number:]), objects["peak"][number:].astype(np.float64))
    fit.run(1, first=number)
    least = _CONFIRMED * threshold * correlation
    objects, labels = _confirmed(scene, objects, labels, fit, number=number, least=least)
    if len(objects) > number:
        # Peaks are whole pixels, and the slope of a bright star moves them.
        new = objects[number:]
        moved = _places(new) + fit.offsets(number)
        fit.remove(np.arange(number, len(objects)))
        fit.add(moved, new["peak"].astype(np.float64))
        fit.run(1)
        new["x"], new["y"] = moved.T
        objects, labels = _confirmed(scene, objects, labels, fit, number=number, least=least)
    areas = np.bincount(labels.ravel(), minlength=len(objects) + 1)[1:]
    areas[:number] = np.minimum(areas[:number], scene.areas)
    return scene._replace(labels=labels, areas=areas), objects


def _confirmed(
    scene: Scene, objects: NDArray[Any], labels: NDArray[np.int32], fit: StarFit, *, number: int, least: float
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Leave out the sources after the first `number` that are too faint in the fit, or have no light around a peak."""
    faint = np.array([image is None or image.snr < least for image in fit.images[number:]], bool)
    weak = number + np.flatnonzero(faint | (fit.wide_light(number, _AROUND * fit.fwhm) < _LEAST_LIGHT))
    if not weak.size:
        return objects, labels
    fit.remove(weak)
    kept = np.ones(len(objects), bool)
    kept[weak] = False
    name = np.zeros(len(objects) + 1, np.int32)
    name[1:][kept] = np.arange(1, np.count_nonzero(kept) + 1)
    return objects[kept], name[np.where(np.isin(labels, weak + 1), scene.labels, labels)]


def _psf(scene: Scene, objects: NDArray[Any], places: Float64, heights: Float64, fwhm: float) -> PointSpread:
    """Image of a star from the best ones; in the second round it is known what they look like."""
    psf = moffat_psf(fwhm)
    chosen = _exemplary(objects, heights, scene, fwhm)
    owner, core = np.where(scene.hidden, -1, scene.labels), min(math.ceil(1.5 * fwhm), psf.half)
    for _ in range(2 if chosen.size else 0):
        fit = StarFit(scene.data, scene.variance, scene.hidden, psf)
        # Beyond their cores nothing needs to be taken away: the pixels of others are left out.
        fit.add(places[chosen], heights[chosen], reach=core)
        fit.run(1, profiles=False)
        widths = np.array([image.width if image is not None and image.bright else 0.0 for image in fit.images])
        known = widths[widths > 0]
        if not known.size:
            break
        alike = np.abs(widths / median(known) - 1) < _LIKE
        images = [image if like else None for image, like in zip(fit.images, alike.tolist(), strict=True)]
        psf = empirical_psf(
            fit.residual,
            scene.variance,
            owner,
            names=chosen + 1,
            places=places[chosen],
            images=images,
            start=psf,
        )
    return psf


def _levelled(scene: Scene, fit: StarFit, cell: int) -> Scene:
    """Take away the background that the stars hid: the clipped mean of what they leave in a square around a pixel."""
    residual = fit.residual
    limit = np.float32(_CLIP) * np.sqrt(scene.variance)
    empty = ~scene.hidden & (np.abs(residual) < limit) & (scene.data - residual < limit)
    unlike = np.array([False, *(image is None or not image.good for image in fit.images)])
    if unlike.any():
        empty &= ~unlike[scene.labels]
    # The level changes on the scale of the square: bins of 4 x 4 pixels tell it.
    number, total = (
        running_sum(summed_in_twos(summed_in_twos(plane)), cell / 4)
        for plane in (empty.view(np.uint8), np.where(empty, residual, np.float32(0)))
    )
    level = np.divide(total, number, out=np.zeros_like(total), where=number > _FEWEST)
    ny, nx = scene.data.shape
    level = doubled(doubled(level, (-(-ny // 2), -(-nx // 2))), (ny, nx))
    level[scene.hidden] = 0
    fit.lower(level)
    sky = SkyPixels(empty, cell, 1.0, _FEWEST, scene.sky)
    return scene._replace(data=scene.data - level, background=scene.background + level, sky=sky)


def _without_cores(fit: StarFit, fwhm: float) -> NDArray[np.float32]:
    """What stars leave, but for their cores: a hole there would look like a bright ring to a filter of volume zero."""
    residual = fit.residual
    for image in fit.images:
        if image is not None and image.bright:
            part = residual[image.rows, image.columns]
            part[image.radius <= _CORE * fwhm] = 0.0
    return residual


def _doubtful(scene: Scene, fit: StarFit) -> NDArray[np.float32]:
    """Light that may be left of the stars that were taken away: as much as their surroundings tell of each."""
    doubt, residual = np.zeros_like(scene.data), np.abs(fit.residual)
    for image in fit.images:
        if image is None:
            continue
        box = image.rows, image.columns
        part = (_TRUSTED if image.good else _NO_STAR) * np.abs(image.light)
        if image.bright and image.good:
            ring = np.rint(image.radius).astype(np.intp)
            seen = ~scene.hidden[box]
            middle, number = ring_medians(ring, residual[box], seen)
            some = np.maximum(number, 1)
            noise = np.bincount(ring[seen], weights=scene.variance[box][seen], minlength=len(number)) / some
            # What the noise of so many pixels could be by chance is none.
            excess = (1.4826 * middle) ** 2 - noise * (1 + _CHANCE / np.sqrt(some))
            part = np.maximum(part, np.minimum(np.sqrt(np.maximum(excess, 0.0))[ring], _MOST_DOUBT * image.light))
        doubt[box] += part
    return doubt


def _exemplary(objects: NDArray[Any], heights: Float64, scene: Scene, fwhm: float) -> NDArray[np.intp]:
    """The sources that tell the image of a star: bright, whole, alone, and as wide as the seeing."""
    import sep

    places = _places(objects)
    gaps = np.hypot(*(places[:, np.newaxis] - places).transpose(2, 0, 1))
    alone = np.where(heights > heights[:, np.newaxis], gaps, np.inf).min(axis=1, initial=np.inf) > _ALONE * fwhm
    snr = objects["flux"] / (scene.noise * fwhm)
    doubtful = (scene.bits & (NONLINEAR | SATURATED)) != 0
    linear = np.bincount(scene.labels[doubtful], minlength=len(objects) + 1)[1:] == 0
    whole = linear & ((objects["flag"] & sep.OBJ_TRUNC) == 0)
    fit = (heights > 0) & alone & whole & (snr > _LEAST_SNR)
    chosen = np.flatnonzero(fit)
    return chosen[np.argsort(-heights[chosen])][:_MOST_STARS]


def _places(objects: NDArray[Any]) -> Float64:
    return np.column_stack([objects["x"], objects["y"]]).astype(np.float64)
