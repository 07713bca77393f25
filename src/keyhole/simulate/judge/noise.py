"""The verdict on pixels without stars: level, noise, what remains of cosmic rays."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.judge.scene import Scene
from keyhole.simulate.measure import empty_aperture_noise
from keyhole.simulate.statistics import robust_width
from keyhole.simulate.streams import stream
from keyhole.simulate.true_frames import TrueRays
from keyhole.simulate.truth import APERTURE_FWHM

__all__ = ["APERTURE_RADII", "ApertureNoise", "Background", "Rays", "background", "remaining_rays"]

APERTURE_RADII = (1.5, 3.0, 5.0, 9.0)
"""Radii of the empty apertures, pixels."""

_EMPTY = 0.05  # a pixel is empty if the stars leave less than this many sigma in it
_QUIET = 0.5  # pixels of empty apertures may hold that much of a star's wing: it is taken out
_LEAST_EMPTY = 100
_NEBULA_CELL = 32  # pixels
_JUDGED = 10.0  # sigma of starlight up to which a leftover of a cosmic ray is told from a star
_LEFT = 5.0  # sigma
_FEWEST_FRAMES = 3  # where an outlier can be told by comparison


class ApertureNoise(NamedTuple):
    """Noise of empty apertures of a radius (pixels) over the predicted one; number of independent ones."""

    radius: float
    ratio: float
    number: float


class Background(NamedTuple):
    """Pixels without stars.

    Attributes
    ----------
    electrons, level : float
        Median, in electrons and in units of their scatter. On a nebula, which belongs there, everything is measured
        above the levels of cells of 32 pixels.
    sigma : float
        Their scatter, electrons.
    noise_ratio : float
        Scatter over sqrt(VAR).
    aperture_noise_ratio : float
        The same for circles of 2.5 times the seeing, correlation not included.
    apertures : tuple of ApertureNoise
        Circles over VAR and the file's correlation factor.
    outliers : int
        Pixels beyond 5 sigma of VAR where at least three frames overlap.
    """

    electrons: float
    level: float
    sigma: float
    noise_ratio: float
    aperture_noise_ratio: float
    apertures: tuple[ApertureNoise, ...]
    outliers: int


class Rays(NamedTuple):
    """Cosmic ray hits that would show above 5 sigma where at least three frames overlap, and those that do."""

    number: int
    left: int


def background(scene: Scene) -> Background:
    """Judge the pixels without stars."""
    sigma, usable = scene.sigma, scene.product.usable
    residual = scene.product.data - scene.model
    empty = usable & (scene.model < _EMPTY * sigma)
    if empty.sum() < _LEAST_EMPTY:
        nothing = tuple(ApertureNoise(radius, math.nan, 0.0) for radius in APERTURE_RADII)
        return Background(math.nan, math.nan, math.nan, math.nan, math.nan, nothing, 0)
    if scene.stars.nebulous:
        residual = residual - _nebula(residual, empty)
    values = residual[empty].astype(np.float64)
    scatter = robust_width(values)
    quiet = usable & (scene.model < _QUIET * sigma)
    rng = stream(scene.stars.seed, "empty apertures")
    known = scene.product.variance is not None

    def in_circles(radius: float) -> ApertureNoise:
        found = empty_aperture_noise(residual, scene.variance, quiet, radius=radius, rng=rng)
        return ApertureNoise(radius, found.ratio if known else math.nan, found.number)

    apertures = []
    for radius in APERTURE_RADII:
        found = in_circles(radius)
        apertures.append(found._replace(ratio=found.ratio / scene.product.noise_factor(radius)))
    beyond = (np.abs(residual) > _LEFT * sigma) & _compared(scene) & (scene.model < _JUDGED * sigma)
    return Background(
        electrons=float(np.median(values)),
        level=float(np.median(values) / scatter),
        sigma=scatter,
        noise_ratio=robust_width(values / sigma[empty]) if known else math.nan,
        aperture_noise_ratio=in_circles(APERTURE_FWHM * scene.stars.mean_fwhm).ratio,
        apertures=tuple(apertures),
        outliers=int(beyond.sum()) if known else 0,
    )


def _nebula(residual: NDArray[np.float32], empty: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the light of a nebula: the levels of cells of the image.  It belongs there and is no error of the sky."""
    import sep

    clean = np.ascontiguousarray(np.where(empty, residual, 0), np.float32)
    found = sep.Background(clean, mask=np.ascontiguousarray(~empty), bw=_NEBULA_CELL, bh=_NEBULA_CELL)
    return np.asarray(found.back(dtype=np.float32))


def remaining_rays(scene: Scene, rays: TrueRays | None) -> Rays:
    """Count the cosmic ray hits that comparison with other frames should have removed, and those still there."""
    if rays is None or scene.frames is None or scene.seen is None or scene.product.variance is None:
        return Rays(0, 0)
    names = {name: k for k, name in enumerate(scene.frames.names)}
    frame = np.array([names.get(str(name), -1) for name in rays.name], dtype=int)
    used = frame >= 0
    if not used.any():
        return Rays(0, 0)
    frame, hit, electrons = frame[used], rays.hit[used], rays.electrons[used]
    places = np.rint(rays.xy[used] - scene.frames.dither[frame] + scene.origin).astype(int)
    ny, nx = scene.product.data.shape
    margin = 2
    inside = (places >= margin).all(axis=1) & (places[:, 0] < nx - margin) & (places[:, 1] < ny - margin)
    frame, hit, electrons, (x, y) = frame[inside], hit[inside], electrons[inside], places[inside].T
    sigma = scene.sigma
    shows = electrons / np.maximum(scene.seen[y, x], 1) > _LEFT * sigma[y, x]
    shows &= _compared(scene)[y, x] & (scene.model[y, x] < _JUDGED * sigma[y, x])
    significance = np.where(scene.product.usable, (scene.product.data - scene.model) / sigma, 0)
    around = np.max([significance[y + j, x + i] for j in (-1, 0, 1) for i in (-1, 0, 1)], axis=0)
    names_of_hits = np.column_stack([frame, hit])
    number = len(np.unique(names_of_hits[shows], axis=0))
    left = len(np.unique(names_of_hits[shows & (around > _LEFT)], axis=0))
    return Rays(number, left)


def _compared(scene: Scene) -> NDArray[np.bool_]:
    """Usable pixels that at least three frames see; all usable ones if the frames are not known."""
    if scene.seen is None:
        return scene.product.usable
    return scene.product.usable & (scene.seen >= _FEWEST_FRAMES)
