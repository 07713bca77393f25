"""Light of sources in Kron apertures, and its error.

The aperture of a source follows its shape (Kron 1980, ApJS 43, 305; Bertin & Arnouts 1996, A&AS 117, 393). Where
the light of all stars is known, each source is measured after the others are taken away, and the light of a point
source beyond its aperture is added (Labbe et al. 2003, AJ 125, 1107): the apertures of faint sources are smaller
than those of bright ones, so that without it their light has another zero point.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.scene import ApertureNoise, Ellipses, Scene, StarField

__all__ = ["KronLight", "kron_light"]

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

_KRON_FACTOR: Final = 2.5
_KRON_REACH: Final = 6.0
"""Ellipse, in units of the axes, over which the Kron radius is averaged."""
_MOST_OF_REACH: Final = 0.98
"""Part of the reach from which on half of the light may lie beyond it."""
_MAX_KRON: Final = 10.0
"""Largest aperture, in units of the axes: noise and neighbours can drive the average without limit."""
_CUT_PIXELS: Final = 0.33
"""Pixels: the sum of squared shares of a circle's pixels falls short of that of the shares by this over radius."""
_FOREIGN: Final = 0.1
"""Part of an aperture that foreign pixels may cover, and of its light that may be that of others."""
_NEIGHBOUR_ERROR: Final = 0.05
"""Part by which the light of a neighbour that was taken away may be wrong."""
_DIFFERENT: Final = 4.0
"""Errors by which the light in the aperture may differ from that of the fitted star."""
_USUAL_DIFFERENCE: Final = 0.05
"""The same, as a part of the light."""


class KronLight(NamedTuple):
    """Light in apertures; arrays of shape (n,).

    Attributes
    ----------
    flux, error : float64
        NaN, or the unit of the scene.
    half_light : float64
        Radius of half of it, pixels; NaN where unknown.
    truncated : bool
        The aperture leaves the frame.
    neighbours : bool
        More than a tenth of the aperture, or of the light in it, belongs to others.
    unlike : bool
        It does not look like one star: the shape differs, or the light is not that of a star of this height.
    """

    flux: Float64
    error: Float64
    half_light: Float64
    truncated: Bool
    neighbours: Bool
    unlike: Bool


def kron_light(
    scene: Scene,
    objects: NDArray[Any],
    ellipses: Ellipses,
    *,
    min_radius: float,
    noise_factors: ApertureNoise,
    field: StarField | None = None,
    total: bool = True,
) -> KronLight:
    """Measure sources in Kron apertures.

    Parameters
    ----------
    scene : Scene
    objects : structured array (n,)
        Of sep; rows of the labels.
    ellipses : Ellipses
        Their shapes.
    min_radius : float
        Smallest aperture, in units of the axes.
    noise_factors : callable
        Noise of circles of some radii (pixels) over that of independent pixels.
    field : StarField, optional
        Light of all stars; without it the pixels of other sources are left out.
    total : bool
        Add the light of a point source beyond the aperture, if `field` is given.

    Returns
    -------
    KronLight
    """
    import sep

    n = len(objects)
    flux, error, half_light, radius = (np.zeros(n) for _ in range(4))
    truncated, neighbours = np.zeros(n, bool), np.zeros(n, bool)
    foreign_light = np.zeros(n)
    taken = np.zeros((0, 0) if field is None else scene.data.shape, np.float32)
    labels = _left_out(scene, field)
    covered_pixels = scene.hidden | (labels > 0)
    for image, members in _images(scene, ellipses, field):
        own = ellipses.of(members)
        masks = {"mask": scene.hidden, "seg_id": (members + 1).astype(np.int32), "segmap": labels}
        kron, _ = sep.kron_radius(image, *own, _KRON_REACH, **masks)
        kron = _KRON_FACTOR * np.where(np.isfinite(kron), kron, 0.0)
        radius[members] = kron = np.clip(kron, min_radius, max(min_radius, _MAX_KRON))
        flux[members], error[members], flag = sep.sum_ellipse(image, *own, kron, var=scene.variance, **masks)
        truncated[members] = (flag & sep.APER_TRUNC) != 0
        half_light[members] = _half_light(image, own, flux[members], masks)
        covered, _, _ = sep.sum_ellipse(covered_pixels, *own, kron)
        # A source whose pixels are not left out is not in the labels.
        there = np.array([field is None or field.images[k] is None for k in members.tolist()], bool)
        own_pixels = np.where(there, objects["npix"][members], 0)
        neighbours[members] = covered - own_pixels > _FOREIGN * own.area * kron**2
        if field is not None:
            foreign_light[members] = _foreign_error(scene, image, own, kron, taken)
    round_radius = radius * np.sqrt(ellipses.a * ellipses.b)
    area = np.pi * round_radius**2
    # The noise of an ellipse is about that of the circle of the same area.
    error = error * np.sqrt(1 - _CUT_PIXELS / np.maximum(round_radius, 1.0)) * noise_factors(round_radius)
    error = np.sqrt(error**2 + (area * _level_error(scene, ellipses, noise_factors)) ** 2 + foreign_light**2)
    neighbours |= foreign_light > _FOREIGN * _NEIGHBOUR_ERROR * np.abs(flux)
    unlike = np.zeros(n, bool)
    if field is not None:
        unlike = _unlike(field, round_radius, flux, error)
    if field is not None and total:
        missing = 1 / np.maximum(field.psf.growth(round_radius), 0.1)
        flux, error = flux * missing, error * missing
    return KronLight(flux, error, half_light, truncated, neighbours, unlike)


def _left_out(scene: Scene, field: StarField | None) -> NDArray[np.int32]:
    """Labels of the sources whose pixels are left out when others are measured."""
    if field is None:
        return scene.labels
    kept = np.arange(len(field.images) + 1, dtype=np.int32)
    kept[1:][[image is not None for image in field.images]] = 0
    return np.asarray(kept[scene.labels])


def _images(scene: Scene, ellipses: Ellipses, field: StarField | None) -> Iterator[tuple[NDArray[np.float32], Index]]:
    """Images with the sources to be measured on each; the next one may be the same array.

    Sources that are far from each other are measured on one image.
    """
    n = len(ellipses.x)
    if field is None:
        yield scene.data, np.arange(n)
        return
    there = np.array([image is not None for image in field.images], bool)
    reach = np.array([0.0 if image is None else max(image.light.shape) / 2 for image in field.images])
    gaps = np.hypot(ellipses.x[:, np.newaxis] - ellipses.x, ellipses.y[:, np.newaxis] - ellipses.y)
    near = gaps < _KRON_REACH * ellipses.a[:, np.newaxis] + 1.5 * reach
    near = (near | near.T) & there & there[:, np.newaxis]
    group = np.full(n, -1)
    for k in range(n):
        taken = set(group[near[k] & (group >= 0)].tolist())
        group[k] = next(g for g in range(n + 1) if g not in taken)
    alone = field.residual.copy()
    for g in range(int(group.max()) + 1):
        members = np.flatnonzero(group == g)
        images = [image for image in (field.images[k] for k in members.tolist()) if image is not None]
        for image in images:
            alone[image.rows, image.columns] += image.light.astype(np.float32)
        yield alone, members
        for image in images:
            alone[image.rows, image.columns] = field.residual[image.rows, image.columns]


def _half_light(image: NDArray[np.float32], own: Ellipses, flux: Float64, masks: dict[str, Any]) -> Float64:
    """Radius of half of the light, NaN where unknown."""
    import sep

    found = np.full(len(flux), np.nan)
    # Half of the light of most lies far within the reach, and the sums out to it cost time.
    for reach in (_KRON_REACH / 2, _KRON_REACH):
        open_ = np.flatnonzero((flux > 0) & ~(found > 0))
        if open_.size:
            some = own.of(open_)
            radius, _ = sep.flux_radius(
                image,
                some.x,
                some.y,
                reach * some.a,
                0.5,
                normflux=flux[open_],
                **{**masks, "seg_id": masks["seg_id"][open_]},
            )
            known = (radius < _MOST_OF_REACH * reach * some.a) | (reach == _KRON_REACH)
            found[open_] = np.where(known, radius, np.nan)
    found[~(found > 0)] = np.nan
    return found


def _foreign_error(
    scene: Scene, image: NDArray[np.float32], own: Ellipses, radius: Float64, taken: NDArray[np.float32]
) -> Float64:
    """Error of the light of neighbours that was taken out of apertures. Changes `taken`, room for that light."""
    import sep

    ny, nx = image.shape
    reach = np.ceil(radius * np.maximum(own.a, own.b)) + 2
    # What lies beyond has no part in the apertures.
    edges = [
        np.clip(np.rint(middle + sign * reach), 0, last).astype(np.intp).tolist()
        for middle, last in ((own.y, ny), (own.x, nx))
        for sign in (-1, 1)
    ]
    for top, bottom, left, right in zip(*edges, strict=True):
        box = slice(top, bottom + 1), slice(left, right + 1)
        taken[box] = np.abs(scene.data[box] - image[box]) * np.float32(_NEIGHBOUR_ERROR)
    total, _, _ = sep.sum_ellipse(taken, *own, radius, mask=scene.hidden)
    return np.asarray(total, np.float64)


def _unlike(field: StarField, radii: Float64, flux: Float64, error: Float64) -> Bool:
    """Which sources differ from a star: one that is hidden beside another is found in no other way."""
    share = field.psf.growth(radii)
    unlike = np.zeros(len(flux), bool)
    for k, image in enumerate(field.images):
        if image is not None:
            expected = image.flux * share[k]
            differs = abs(flux[k] - expected) > _DIFFERENT * error[k] + _USUAL_DIFFERENCE * expected
            unlike[k] = differs or (image.bright and not image.good)
    return unlike


def _level_error(scene: Scene, ellipses: Ellipses, noise_factors: ApertureNoise) -> Float64:
    """Error of the background at each source: noise of the mean of the empty pixels that told it."""
    ny, nx = scene.data.shape
    at = (
        np.clip(np.rint(ellipses.y).astype(np.intp), 0, ny - 1),
        np.clip(np.rint(ellipses.x).astype(np.intp), 0, nx - 1),
    )
    number = scene.sky.at(*at)
    return np.asarray(scene.noise * noise_factors(np.sqrt(number / np.pi)) / np.sqrt(number))
