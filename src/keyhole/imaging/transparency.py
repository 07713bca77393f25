"""How clear the sky was in each frame, from the stars that the frames have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Transparency", "relative_transparency", "seeing_tolerance"]

_ROUNDS: Final = 30
_FAR: Final = 3.0
"""Residuals beyond that many robust sigma count less: variable stars, blends, edges."""
_LEAST_SCATTER: Final = 0.01
"""Magnitude-like scatter (natural logarithm) below which all measurements count the same."""
_MARGIN: Final = 1.3

Float64 = NDArray[np.float64]


class Transparency(NamedTuple):
    """Transparency of frames, relative to their median.

    Attributes
    ----------
    factor : (n,) float64
        1 for the median frame; NaN for a frame without common stars.
    error : (n,) float64
        Of `factor`, from the scatter of the stars; NaN likewise.
    stars : (n,) intp
        Number of common stars in each frame.
    """

    factor: Float64
    error: Float64
    stars: NDArray[np.intp]


def relative_transparency(lists: Sequence[NDArray[np.float64]], *, radius: float) -> Transparency:
    """Solve for the transparency of all frames and the light of all stars together.

    The logarithm of each flux is the sum of one term of the star and one of the frame; the terms are found by
    alternating weighted means with weights that fall for outlying measurements (Huber 1964, Ann. Math. Stat.
    35, 73).

    Parameters
    ----------
    lists : n arrays (m, 3)
        ``x, y, flux`` of the sources of each frame on a common grid; fluxes per exposure of equal length.
        Changes its input: no.
    radius : float
        Largest distance of two detections of one star, in the unit of the positions.

    Returns
    -------
    Transparency
    """
    frame, star, value = _measurements(lists, radius)
    n = len(lists)
    count = np.bincount(frame, minlength=n)
    nothing = np.full(n, np.nan)
    if not len(value):
        return Transparency(nothing, nothing.copy(), count)
    zero, weight = np.zeros(n), np.ones(len(value))
    scatter = _LEAST_SCATTER
    for _ in range(_ROUNDS):
        light = _means(value - zero[frame], star, weight)
        zero = _means(value - light[star], frame, weight, n)
        residual = value - light[star] - zero[frame]
        scatter = max(1.4826 * float(np.median(np.abs(residual))), _LEAST_SCATTER)
        weight = np.minimum(1.0, _FAR * scatter / np.maximum(np.abs(residual), 1e-12))
    zero[count == 0] = np.nan
    factor = np.exp(zero - np.nanmedian(zero))
    error = factor * scatter / np.sqrt(np.maximum(count, 1))
    return Transparency(factor, np.where(count > 0, error, np.nan), count)


def seeing_tolerance(widths: Sequence[float]) -> float:
    """Part of its median by which the light in the core of a star may change with the seeing.

    The height of a star goes with the inverse square of its width.

    Parameters
    ----------
    widths : n floats
        Width of the stars in each frame, any unit; what is not positive is ignored.

    Returns
    -------
    float
        Of the sharpest and the most blurred frame the one that is further from the median frame, with a margin
        for the error of the widths; 0 for fewer than two widths.
    """
    known = np.asarray(widths, dtype=np.float64)
    known = known[known > 0]
    if known.size < 2:
        return 0.0
    middle = float(np.median(known))
    return _MARGIN * (max(middle / float(known.min()), float(known.max()) / middle) ** 2 - 1)


def _means(values: Float64, group: NDArray[np.intp], weight: Float64, number: int = 0) -> Float64:
    total = np.bincount(group, weight, minlength=number)
    return np.asarray(np.bincount(group, weight * values, minlength=number) / np.where(total > 0, total, 1))


def _measurements(
    lists: Sequence[NDArray[np.float64]], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Float64]:
    """Frame, star and logarithm of the flux of each detection of a star that several frames see."""
    places = np.zeros((0, 2))
    frames, stars, values = [], [], []
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
    frame, star, value = np.concatenate(frames), np.concatenate(stars), np.concatenate(values)
    common = np.bincount(star, minlength=1)[star] > 1 if len(star) else np.zeros(0, bool)
    _, star = np.unique(star[common], return_inverse=True)
    return frame[common], star.astype(np.intp), value[common]
