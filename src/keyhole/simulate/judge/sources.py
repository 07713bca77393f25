"""The verdict on what is found, and on what became of saturated stars."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.judge.scene import Scene, on_good, values_at
from keyhole.simulate.stars import MOFFAT_BETA, moffat_alpha

__all__ = ["Detections", "Saturation", "detections", "saturation"]

_FOUND = 5.0  # S/N from which a star should be found
_LIMIT = (5.0, 10.0)  # S/N of the stars that tell the completeness at the limit
_FLAG_REACH = 3.0  # pixels


class Detections(NamedTuple):
    """What is found.

    Attributes
    ----------
    share, stars : float, int
        Share of the stars with S/N > 5 that are found, and number of these stars.
    share_at_limit, stars_at_limit : float, int
        The same for S/N from 5 to 10.
    by : str
        The finder.
    false : int
        Sources that are no stars, and second sources of one star.
    snr : ndarray of float64, shape (n,)
        Light of each star over its noise under optimal weights.
    found : ndarray of bool, shape (n,)
    """

    share: float
    stars: int
    share_at_limit: float
    stars_at_limit: int
    by: str
    false: int
    snr: NDArray[np.float64]
    found: NDArray[np.bool_]


class Saturation(NamedTuple):
    """True saturated stars on the image, flagged ones, ones whose light is still there."""

    stars: int
    flagged: int
    kept: int


def detections(scene: Scene) -> Detections:
    """Judge whether the stars are found, and nothing else."""
    stars, product = scene.stars, scene.product
    catalogue = product.catalogue
    found = scene.sources[:, :2] if catalogue is None else catalogue[:, :2]
    # Light of a star over its noise under optimal weights: noise pixels = 1 / integral of the squared
    # profile.
    area = np.pi * moffat_alpha(stars.mean_fwhm) ** 2 * (2 * MOFFAT_BETA - 1) / (MOFFAT_BETA - 1) ** 2
    noise = np.sqrt(values_at(scene.variance, scene.places) * area) * product.noise_factor(stars.mean_fwhm)
    snr = np.divide(stars.electrons, noise, out=np.zeros(len(noise)), where=scene.inside & (noise > 0))
    near, false = _pairs(scene.places, stars.electrons, found, reach=max(stars.mean_fwhm, 2.0))
    detectable = snr > _FOUND
    limit = (snr > _LIMIT[0]) & (snr < _LIMIT[1])
    return Detections(
        share=_share(near, detectable),
        stars=int(detectable.sum()),
        share_at_limit=_share(near, limit),
        stars_at_limit=int(limit.sum()),
        by="own detection" if catalogue is None else "OBJCAT",
        false=int(false.sum()),
        snr=snr,
        found=near,
    )


def saturation(scene: Scene) -> Saturation:
    """Judge what became of the saturated stars."""
    product, stars = scene.product, scene.stars
    on_image = stars.saturated & on_good(np.isfinite(product.data), scene.places)
    flagged = kept = 0
    y, x = np.ogrid[: product.data.shape[0], : product.data.shape[1]]
    for number in np.flatnonzero(on_image):
        near = np.hypot(x - scene.places[number, 0], y - scene.places[number, 1]) <= _FLAG_REACH
        flagged += bool((product.saturated | product.nonlinear)[near].any())
        light = product.data[near & product.usable].sum(dtype=np.float64)
        kept += bool(light > 0.3 * scene.model[near].sum(dtype=np.float64))
    return Saturation(int(on_image.sum()), flagged, kept)


def _pairs(
    places: NDArray[np.float64], light: NDArray[np.float64], found: NDArray[np.float64], *, reach: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Give the nearest free source to each star, bright ones first; which stars have one, which sources are free."""
    has, free = np.zeros(len(places), bool), np.ones(len(found), bool)
    for number in np.argsort(-light):
        gaps = np.where(free, np.hypot(*(found - places[number]).T), np.inf)
        if gaps.size and gaps.min() < reach:
            free[gaps.argmin()] = False
            has[number] = True
    return has, free


def _share(found: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(found[among].mean()) if among.any() else math.nan
