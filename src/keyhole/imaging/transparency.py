"""How clear the sky was in each frame, from the stars that the frames have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.medians import median

__all__ = ["Transparency", "relative_transparency"]

_ROUNDS: Final = 30
_FAR: Final = 3.0
"""Residuals beyond that many robust sigma count less: variable stars, blends, edges."""
_LEAST_SCATTER: Final = 0.01
"""Relative error of a flux that no star falls below, as the seeing changes the light that is counted."""
_MARGIN: Final = 1.3

Float64 = NDArray[np.float64]


class Transparency(NamedTuple):
    """Transparency of frames, relative to their median.

    Attributes
    ----------
    factor : (n,) float64
        1 for the median frame; NaN for a frame without common stars.
    error : (n,) float64
        Of `factor`, from the errors of the fluxes, and from their scatter where that is larger; NaN likewise.
    stars : (n,) intp
        Number of common stars in each frame.
    """

    factor: Float64
    error: Float64
    stars: NDArray[np.intp]


def relative_transparency(lists: Sequence[NDArray[np.float64]], *, radius: float) -> Transparency:
    """Solve for the transparency of all frames and the light of all stars together.

    The logarithm of each flux is the sum of one term of the star and one of the frame; the terms are found by
    alternating means, weighted with the errors, and less for outlying measurements (Huber 1964, Ann. Math. Stat.
    35, 73).

    Parameters
    ----------
    lists : n arrays (m, 4)
        ``x, y, flux, error of the flux`` of the sources of each frame on a common grid; fluxes per exposure of
        equal length. Where the error is not known (NaN), the flux counts as exact to a hundredth. Changes its
        input: no.
    radius : float
        Largest distance of two detections of one star, in the unit of the positions.

    Returns
    -------
    Transparency
    """
    frame, star, value, noise = _measurements(lists, radius)
    n = len(lists)
    count = np.bincount(frame, minlength=n)
    nothing = np.full(n, np.nan)
    if not len(value):
        return Transparency(nothing, nothing.copy(), count)
    certain = 1 / (noise**2 + _LEAST_SCATTER**2)
    zero, weight, scatter = np.zeros(n), certain, 1.0
    for _ in range(_ROUNDS):
        light = _means(value - zero[frame], star, weight)
        zero = _means(value - light[star], frame, weight, n)
        residual = np.abs(value - light[star] - zero[frame]) * np.sqrt(certain)
        scatter = max(1.4826 * median(residual), 1.0)
        weight = certain * np.minimum(1.0, _FAR * scatter / np.maximum(residual, 1e-9))
    zero[count == 0] = np.nan
    factor = np.exp(zero)
    factor /= median(factor[count > 0])
    total = np.bincount(frame, certain, minlength=n)
    error = factor * scatter / np.sqrt(np.where(count > 0, total, 1))
    return Transparency(factor, np.where(count > 0, error, np.nan), count)


def _means(values: Float64, group: NDArray[np.intp], weight: Float64, number: int = 0) -> Float64:
    total = np.bincount(group, weight, minlength=number)
    return np.asarray(np.bincount(group, weight * values, minlength=number) / np.where(total > 0, total, 1))


def _measurements(
    lists: Sequence[NDArray[np.float64]], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Float64, Float64]:
    """Frame, star, logarithm of the flux and its error of each detection of a star that several frames see."""
    places = np.zeros((0, 2))
    frames, stars, values, errors = [], [], [], []
    for number, found in enumerate(lists):
        bright = found[found[:, 2] > 0]
        distance = np.hypot(*(bright[:, None, :2] - places[None]).transpose(2, 0, 1))
        star = np.full(len(bright), -1, np.intp)
        if distance.size:
            nearest = distance.argmin(axis=1)
            mutual = distance.argmin(axis=0)[nearest] == np.arange(len(bright))
            close = mutual & (distance.min(axis=1) <= radius)
            star[close] = nearest[close]
        new = star < 0
        star[new] = len(places) + np.arange(int(new.sum()))
        places = np.concatenate([places, bright[new, :2]])
        frames.append(np.full(len(bright), number, np.intp))
        stars.append(star)
        values.append(np.log(bright[:, 2]))
        errors.append(np.nan_to_num(bright[:, 3] / bright[:, 2]))
    frame, star, value, error = (np.concatenate(part) for part in (frames, stars, values, errors))
    common = np.bincount(star, minlength=1)[star] > 1 if len(star) else np.zeros(0, bool)
    _, star = np.unique(star[common], return_inverse=True)
    return frame[common], star.astype(np.intp), value[common], error[common]
