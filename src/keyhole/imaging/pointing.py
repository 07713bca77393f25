"""What the headers of a sequence know about its place on the sky.

Once the frames are registered, every header states where one and the same point of the sky lies. Headers that
follow the telescope agree up to the pointing errors, and their mean is better than each of them. Headers that
do not follow it, inherited from another frame, are recognised by how their statements move with the dither
pattern.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging.medians import median, median_image

__all__ = ["Place", "axis_signs", "common_place"]

_CLEARLY: Final = 3.0
"""Factor by which one explanation must leave less scatter than another."""
_CLIP: Final = 4.0

Float64 = NDArray[np.float64]
Evidence = Literal["all", "most", "first", "undithered", "none"]


class Place(NamedTuple):
    """Where a sequence lies, as its headers tell.

    Attributes
    ----------
    position : (2,) float64
        ``(x, y)``, unit and origin of what was stated.
    scatter : float
        Root mean square distance of the statements from their mean, per axis; NaN where one had to do.
    number : int
        Statements the position rests on.
    evidence : str
        'all' or 'most' of the headers agree; 'first': all carry the position of the first frame;
        'undithered': they move against the frames, and agree about a frame without offset; 'none': they
        disagree, the median is taken.
    outliers : tuple of int
        Frames whose header says something else than the position taken.
    """

    position: Float64
    scatter: float
    number: int
    evidence: Evidence
    outliers: tuple[int, ...]


def axis_signs(found: ArrayLike, commanded: ArrayLike) -> tuple[int, int]:
    """Signs with which commanded shifts become those that were found.

    Parameters
    ----------
    found, commanded : (n, 2) array_like
        Shifts of the same frames, pixels; what is common to all does not count.

    Returns
    -------
    pair of int
        -1 for an axis along which the frames clearly moved against the command; 1 also where the pattern is
        too small to tell, or where the frames moved neither with the command nor against it: a telescope that
        jumped moves in one of two frames by any distance, and sometimes back.
    """
    measured, told = (_centred(np.asarray(v, dtype=np.float64).reshape(-1, 2)) for v in (found, commanded))
    with_it, against = (np.sqrt(((measured - sign * told) ** 2).mean(axis=0)) for sign in (1, -1))
    turned = against * _CLEARLY < with_it
    if np.linalg.norm(np.where(turned, against, with_it)) * _CLEARLY >= np.linalg.norm(with_it):
        return 1, 1
    x, y = np.where(turned, -1, 1).tolist()
    return int(x), int(y)


def common_place(
    stated: ArrayLike, shifts: ArrayLike, *, tolerance: float, undithered: ArrayLike | None = None
) -> Place:
    """Combine the statements of headers about the place of one point of the sky.

    Parameters
    ----------
    stated : (n, 2) array_like
        Where each header puts the point, on the grid of the reference; frames in the order of time.
    shifts : (n, 2) array_like
        True shifts of the frames, as they were found, unit of `stated`.
    tolerance : float
        Distance up to which two headers agree.
    undithered : (2,) array_like, optional
        The shift that a frame without offset would have; None where the headers do not tell their offsets.

    Returns
    -------
    Place

    Raises
    ------
    AlgorithmError
        When there is no statement, or the numbers differ.
    """
    places = np.asarray(stated, dtype=np.float64).reshape(-1, 2)
    if not len(places):
        raise AlgorithmError("no header states where the frames lie; give them a WCS")
    moves = np.asarray(shifts, dtype=np.float64).reshape(-1, 2)
    if len(moves) != len(places):
        raise AlgorithmError(f"{len(places)} stated places do not fit {len(moves)} shifts")
    if len(places) == 1:
        return Place(places[0], float("nan"), 1, "all", ())
    if _spread(moves) > tolerance and _spread(places - moves) * _CLEARLY < _spread(places):
        # A header that stands still on the sky moves with the frames.
        return Place(places[0], float("nan"), 1, "first", ())
    agreeing = _largest_group(places, tolerance)
    if 2 * agreeing.sum() > len(places):
        return _mean_place(places, agreeing)
    if undithered is not None:
        still = _undithered(places, moves - np.asarray(undithered, dtype=np.float64), tolerance)
        if still is not None:
            return still
    return Place(median_image(places), _spread(places), len(places), "none", ())


def _mean_place(places: Float64, agreeing: NDArray[np.bool_]) -> Place:
    chosen = agreeing
    for _ in range(3):
        distance = np.hypot(*(places - median_image(places[chosen])).T)
        # Median of a Rayleigh distribution: 1.1774 sigma.
        chosen = agreeing & (distance <= _CLIP * max(median(distance[chosen]) / 1.1774, 1e-9))
    if chosen.sum() < 2:
        chosen = agreeing
    others = tuple(np.flatnonzero(~agreeing).tolist())
    return Place(
        places[chosen].mean(axis=0), _spread(places[chosen]), int(chosen.sum()), "most" if others else "all", others
    )


def _undithered(places: Float64, moves: Float64, tolerance: float) -> Place | None:
    """Position without offset of headers that are some linear function of the offsets; None when they are not."""
    terms = np.column_stack([np.ones(len(moves)), moves])
    # An axis along which nothing was moved has no slope.
    slopes = np.linalg.lstsq(terms, places, rcond=1e-6)[0]
    left = places - terms @ slopes
    if len(places) < 5 or _spread(left) > tolerance:
        return None
    return Place(slopes[0], _spread(left), len(places), "undithered", ())


def _largest_group(places: Float64, tolerance: float) -> NDArray[np.bool_]:
    """The places round the one that has most others near it."""
    near = np.hypot(*(places[:, np.newaxis] - places).transpose(2, 0, 1)) <= tolerance
    centre = median_image(places[near[int(near.sum(axis=1).argmax())]])
    return np.asarray(np.hypot(*(places - centre).T) <= tolerance)


def _centred(values: Float64) -> Float64:
    return np.asarray(values - values.mean(axis=0))


def _spread(values: Float64) -> float:
    """Root mean square distance from the mean, per axis."""
    return float(np.sqrt((_centred(values) ** 2).mean()))
