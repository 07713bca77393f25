"""One least squares solution for the shifts of all frames and the positions of all stars.

With ``z`` the position of star ``s`` in frame ``i``, turned back by the frame's rotation, the model is
``z = p_s + u_i``. Eliminating the stars leaves one small linear system for the offsets ``u``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._chances import chance_of_f
from keyhole.imaging._voting import Catalogue, nearest_pairs
from keyhole.imaging.medians import distinct, median

__all__ = ["Solution", "adjust", "rotation_matrix"]

_ROUNDS: Final = 6
_CLIP: Final = 4.0
_TIGHT: Final = 1.5
"""Largest distance of two detections of one star once the first solution is known, pixels."""
_MIN_LIMIT: Final = 0.05
"""Detections closer than this to the solution are never clipped, pixels."""
_MIN_SPREAD: Final = 30.0
"""Root mean square distance from their centre, pixels, that sources need to measure a rotation."""
_MIN_EFFECT: Final = 0.05
"""Displacement of the outermost source, pixels, below which a rotation is not worth an interpolation."""
_MIN_AGREEING: Final = 0.6
"""Share of a frame's stars that must agree with its rotation."""
_MAX_CHANCE: Final = 1e-3
"""Probability, for all frames together, of taking noise for a rotation."""

Float64 = NDArray[np.float64]
Index = NDArray[np.intp]


class Solution(NamedTuple):
    """Rotations (radians), offsets ``u`` (pixels), numbers of agreeing sources and their weighted scatter per axis."""

    angle: Float64
    offset: Float64
    n_matched: Index
    rms: Float64


class _Observations(NamedTuple):
    """Detections of stars that were seen in at least two frames."""

    frame: Index
    star: Index
    z: Float64
    weight: Float64

    def keep(self, chosen: NDArray[np.bool_]) -> _Observations:
        """Chosen detections of stars that two of them belong to, stars renumbered."""
        often = np.bincount(self.star[chosen], minlength=int(self.star.max(initial=0)) + 1) > 1
        kept = chosen & often[self.star]
        _, star = np.unique(self.star[kept], return_inverse=True)
        return _Observations(self.frame[kept], star, self.z[kept], self.weight[kept])


def rotation_matrix(angle: float) -> Float64:
    """Matrix that turns ``(x, y)`` by an angle in radians, from x towards y."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def adjust(catalogues: Sequence[Catalogue], start: Float64, *, match_radius: float, rotate: bool) -> Solution:
    """Solve for all frames together, starting from shifts good to about a pixel.

    Parameters
    ----------
    catalogues : sequence of Catalogue
        Sources of each frame.
    start : (k, 2) float64
        First shifts.
    match_radius : float
        Largest distance of two detections of one star in the first round, pixels.
    rotate : bool
        Allow rotations where they are significant.

    Returns
    -------
    Solution
        Undetermined by a shift and a rotation common to all frames.
    """
    angle, offset = np.zeros(len(catalogues)), start.copy()
    for step in range(_ROUNDS):
        radius = match_radius if step == 0 else min(match_radius, _TIGHT)
        observed = _associate(catalogues, angle, offset, radius)
        # A frame that is turned would lose its outer stars before its rotation is known.
        tolerance = match_radius if rotate and step == 0 else _MIN_LIMIT
        observed, residual, offset = _robust_solution(observed, offset, tolerance)
        turned = _rotations(observed, residual, angle) if rotate else {}
        for i, (turn, move) in turned.items():
            angle[i] += turn
            offset[i] += move
        if step > 0 and not any(abs(turn) > 1e-7 for turn, _ in turned.values()):
            break
    squares = observed.weight * (residual**2).mean(axis=1)
    total, weight = (
        np.bincount(observed.frame, values, minlength=len(catalogues)) for values in (squares, observed.weight)
    )
    number = np.bincount(observed.frame, minlength=len(catalogues))
    return Solution(angle, offset, number, np.sqrt(total / np.where(number > 0, weight, 1.0)))


def _associate(catalogues: Sequence[Catalogue], angle: Float64, offset: Float64, radius: float) -> _Observations:
    """Decide which detections are one star, frame by frame against the mean positions so far."""
    z = [c.xy @ rotation_matrix(a) for c, a in zip(catalogues, angle, strict=True)]
    order = sorted(range(len(catalogues)), key=lambda i: -len(z[i]))
    position, weight = np.empty((0, 2)), np.empty(0)
    star_of: dict[int, Index] = {}
    for i in order:
        here, own = z[i] - offset[i], catalogues[i].weight
        known, seen = nearest_pairs(position, here, radius)
        star = np.full(len(here), -1, np.intp)
        star[seen] = known
        total = weight[known] + own[seen]
        position[known] += (own[seen] / total)[:, np.newaxis] * (here[seen] - position[known])
        weight[known] = total
        new = star < 0
        star[new] = len(position) + np.arange(new.sum())
        position, weight = np.concatenate([position, here[new]]), np.concatenate([weight, own[new]])
        star_of[i] = star
    frames = range(len(catalogues))
    every = _Observations(
        np.concatenate([np.full(len(z[i]), i, np.intp) for i in frames]),
        np.concatenate([star_of[i] for i in frames]),
        np.concatenate(z),
        np.concatenate([catalogues[i].weight for i in frames]),
    )
    return every.keep(np.ones(len(every.frame), bool))


def _robust_solution(
    observed: _Observations, offset: Float64, tolerance: float
) -> tuple[_Observations, Float64, Float64]:
    """Offsets from the detections that agree; returns these, their residuals and the offsets."""
    every = observed
    for _ in range(5):
        offset, star_position = _solve(observed, offset)
        if not len(observed.frame):
            break
        residual = observed.z - offset[observed.frame] - star_position[observed.star]
        misfit = np.hypot(residual[:, 0], residual[:, 1])
        normal = misfit * np.sqrt(observed.weight)
        # Median of a Rayleigh distribution: 1.1774 sigma.
        limit = _CLIP * median(normal) / 1.1774
        agrees = (normal <= limit) | (misfit <= tolerance)
        if agrees.all():
            break
        observed = observed.keep(agrees)
    if not len(observed.frame):
        return every.keep(np.zeros(len(every.frame), bool)), np.empty((0, 2)), offset
    offset, star_position = _solve(observed, offset)
    return observed, observed.z - offset[observed.frame] - star_position[observed.star], offset


def _solve(observed: _Observations, offset: Float64) -> tuple[Float64, Float64]:
    """Offsets and star positions of least squares; frames without tie to the others keep their offset."""
    frames, stars = len(offset), int(observed.star.max(initial=-1)) + 1
    weight = np.zeros((frames, stars))
    np.add.at(weight, (observed.frame, observed.star), observed.weight)
    per_star = weight.sum(axis=0)
    normal = np.diag(weight.sum(axis=1)) - (weight / per_star) @ weight.T

    def star_means(u: Float64) -> Float64:
        total = np.zeros((stars, 2))
        np.add.at(total, observed.star, observed.weight[:, np.newaxis] * (observed.z - u[observed.frame]))
        return np.asarray(total / per_star[:, np.newaxis])

    residual = observed.z - offset[observed.frame] - star_means(offset)[observed.star]
    pull = np.zeros((frames, 2))
    np.add.at(pull, observed.frame, observed.weight[:, np.newaxis] * residual)
    # The shift that frames tied to each other have in common is free: the smallest correction is the one wanted.
    # Held at zero it leaves a system with one solution, which takes a hundredth of the time of a decomposition.
    tied = _components(observed, frames, stars)
    common = (tied[:, np.newaxis] == tied) / np.bincount(tied, minlength=frames)[tied][:, np.newaxis]
    typical = float(np.diag(normal).max(initial=0.0)) or 1.0
    solved = offset + np.linalg.solve(normal + typical * common, pull)
    return solved, star_means(solved)


def _components(observed: _Observations, frames: int, stars: int) -> Index:
    """For each frame the first of the frames it is tied to by stars, over however many others."""
    group = np.arange(frames)
    while True:
        lowest = np.full(stars, frames)
        np.minimum.at(lowest, observed.star, group[observed.frame])
        joined = group.copy()
        np.minimum.at(joined, observed.frame, lowest[observed.star])
        if np.array_equal(joined, group):
            return group
        group = joined


def _rotations(observed: _Observations, residual: Float64, angle: Float64) -> dict[int, tuple[float, Float64]]:
    """Significant rotations of frames, each with the change of offset that belongs to it."""
    found = {}
    frames = distinct(observed.frame)
    for i in frames:
        own = observed.frame == i
        fit = _fit_rotation(observed.z[own], residual[own], observed.weight[own])
        if fit is None or abs(angle[i] + fit.turn) * fit.reach < _MIN_EFFECT:
            continue
        # Once accepted, a rotation is refined without asking again.
        if angle[i] != 0 or _is_certain(
            observed.z[own], residual[own], observed.weight[own], fit, _MAX_CHANCE / len(frames)
        ):
            found[int(i)] = (fit.turn, fit.move)
    return found


def _is_certain(z: Float64, residual: Float64, weight: Float64, fit: _Rotation, limit: float) -> bool:
    """Whether a rotation is significant, and remains so whichever source is left out.

    Where the seeing blends two stars, one position alone can feign a rotation.
    """
    if chance_of_f(fit.statistic, fit.freedom) >= limit:
        return False
    for one in range(len(z)):
        rest = np.arange(len(z)) != one
        again = _fit_rotation(z[rest], residual[rest], weight[rest])
        if again is None or again.turn * fit.turn <= 0 or chance_of_f(again.statistic, again.freedom) >= limit:
            return False
    return True


class _Rotation(NamedTuple):
    turn: float
    move: Float64
    """Change of the offset when the frame is turned back about pixel (0, 0)."""
    reach: float
    statistic: float
    """F of the model with rotation against a shift alone."""
    freedom: int


def _fit_rotation(z: Float64, residual: Float64, weight: Float64) -> _Rotation | None:
    """Rotation of one frame from those of its stars that agree; None when they are too few or too close."""
    keep = np.ones(len(z), bool)
    for _ in range(4):
        if keep.sum() < 3:
            return None
        fit = _least_squares_rotation(z[keep], residual[keep], weight[keep])
        if fit is None:
            return None
        # The offset of the fit holds for positions that are turned about pixel (0, 0).
        left = residual - fit.move - fit.turn * np.column_stack([-z[:, 1], z[:, 0]])
        misfit = np.hypot(left[:, 0], left[:, 1])
        agrees = misfit <= max(_CLIP * median(misfit[keep]) / 1.1774, _MIN_LIMIT)
        if agrees.sum() < _MIN_AGREEING * len(z) or np.array_equal(agrees, keep):
            break
        keep = agrees
    return fit


def _least_squares_rotation(z: Float64, residual: Float64, weight: Float64) -> _Rotation | None:
    share = weight / weight.sum()
    centre, mean = share @ z, share @ residual
    arm, rest = z - centre, residual - mean
    spread2 = float(share @ (arm**2).sum(axis=1))
    if spread2 < _MIN_SPREAD**2:
        return None
    torque = float(share @ (arm[:, 0] * rest[:, 1] - arm[:, 1] * rest[:, 0]))
    turn = torque / spread2
    unexplained = float(share @ (rest**2).sum(axis=1)) - turn * torque
    freedom = 2 * len(z) - 3
    return _Rotation(
        turn=turn,
        move=mean - turn * np.array([-centre[1], centre[0]]),
        reach=float(np.hypot(arm[:, 0], arm[:, 1]).max()),
        statistic=turn * torque * freedom / max(unexplained, 1e-30),
        freedom=freedom,
    )
