"""Which frames show the target, which show the sky, and which skies serve which frame.

Only positions, times and flags are looked at, no pixel but those of one map of the lit area. Positions are
pairs ``(x, y)`` on a common tangent plane; all answers are lists of frame indices.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import ParameterError
from keyhole.imaging.levels import lit_box

__all__ = ["Associations", "Separation", "associate", "overlap", "separate"]


class Associations(NamedTuple):
    """Skies of every frame.

    Attributes
    ----------
    skies : list of lists of int
        For each frame the indices of its skies, in order of time; empty for frames that are not objects.
    beyond_time : list of int
        Object frames with fewer than ``min_skies`` skies within the time limit, for which the limit was
        ignored.
    without : list of int
        Object frames for which no sky exists.
    """

    skies: list[list[int]]
    beyond_time: list[int]
    without: list[int]


class Separation(NamedTuple):
    """Object and sky frames.

    Attributes
    ----------
    objects, skies : list of int
        Indices of the frames of each class, ascending; a frame may be in both.
    dropped : list of int
        Frames in neither class.
    groups : list of int
        Number of each frame's group, from 0, in order of first appearance.
    reasons : list of str
        For each frame the rule that decided, in words.
    conflicts : list of int
        Frames that were forced to be both.
    """

    objects: list[int]
    skies: list[int]
    dropped: list[int]
    groups: list[int]
    reasons: list[str]
    conflicts: list[int]


def associate(
    times_s: ArrayLike,
    positions_arcsec: ArrayLike,
    configs: Sequence[Hashable],
    is_object: Sequence[bool],
    is_sky: Sequence[bool],
    *,
    time: float = 600.0,
    distance: float = 1.0,
    min_skies: int | None = 3,
    max_skies: int | None = None,
    use_all: bool = False,
) -> Associations:
    """Choose the skies of every object frame: same configuration, another pointing, near in time.

    Parameters
    ----------
    times_s : (n,) floats
        Start times in seconds, from any zero.
    positions_arcsec : (n, 2) floats
        Pointing of the array centre, ``(x, y)`` in arcsec on a common tangent plane.
    configs : n hashable values
        Frames with different configurations never serve each other.
    is_object, is_sky : n booleans
        Classes; a frame may be in both.
    time : float
        Largest difference of start times, seconds. It gives way when fewer than ``min_skies`` skies are
        within it.
    distance : float
        A sky must point more than this many arcsec away, or its stars would be subtracted from themselves.
        The frame itself is never its own sky.
    min_skies, max_skies : int or None
        The nearest ``min_skies`` are taken whatever their time; never more than ``max_skies``.
    use_all : bool
        Take every object or sky frame further away than ``distance``, whatever its time and configuration.

    Returns
    -------
    Associations
    """
    times = np.asarray(times_s, dtype=np.float64)
    n = times.size
    positions = np.asarray(positions_arcsec, dtype=np.float64).reshape(n, 2)
    _check_lengths(n, configs=configs, is_object=is_object, is_sky=is_sky)
    codes: dict[Hashable, int] = {}
    config = np.array([codes.setdefault(value, len(codes)) for value in configs], dtype=int)
    objects = np.asarray(is_object, dtype=bool)
    candidates = np.asarray(is_sky, dtype=bool) | (objects & use_all)
    skies: list[list[int]] = [[] for _ in range(n)]
    beyond: list[int] = []
    for frame in np.flatnonzero(objects).tolist():
        apart = np.hypot(*(positions - positions[frame]).T)
        allowed = candidates & (apart > distance)
        allowed[frame] = False
        delay = np.abs(times - times[frame])
        if not use_all:
            allowed &= config == config[frame]
        chosen = np.flatnonzero(allowed)
        chosen = chosen[np.argsort(delay[chosen], kind="stable")]
        if not use_all:
            in_time = int((delay[chosen] <= time).sum())
            least = min_skies or 0
            if in_time < least and chosen.size:
                beyond.append(frame)
            chosen = chosen[:max_skies][: max(least, in_time)]
        skies[frame] = chosen[np.argsort(times[chosen], kind="stable")].tolist()
    without = [frame for frame in np.flatnonzero(objects).tolist() if not skies[frame]]
    return Associations(skies, beyond, without)


def overlap(lit: NDArray[np.bool_], shift_xy_pixels: tuple[float, float], frac_fov: float) -> bool:
    """Whether the lit area and its shifted copy have a pixel in common.

    Parameters
    ----------
    lit : bool array (ny, nx)
        True where light falls.
    shift_xy_pixels : (float, float)
        Shift along x (columns) and y (rows) between two frames, pixels.
    frac_fov : float
        The shift is divided by this number: 1 lets any overlap count, a smaller number demands more of it.

    Returns
    -------
    bool
    """
    box = lit_box(lit)
    return _crosses(lit[box], _whole_shift(shift_xy_pixels, frac_fov))


def _whole_shift(shift_xy: Sequence[float], frac_fov: float) -> tuple[int, int]:
    return round(float(shift_xy[0]) / frac_fov), round(float(shift_xy[1]) / frac_fov)


def _crosses(lit: NDArray[np.bool_], shift: tuple[int, int]) -> bool:
    dx, dy = shift
    ny, nx = lit.shape
    if abs(dx) >= nx or abs(dy) >= ny:
        return False
    here = lit[max(dy, 0) : ny + min(dy, 0), max(dx, 0) : nx + min(dx, 0)]
    there = lit[max(-dy, 0) : ny + min(-dy, 0), max(-dx, 0) : nx + min(-dx, 0)]
    return bool((here & there).any())


def separate(
    lit: NDArray[np.bool_],
    positions_pixels: ArrayLike,
    *,
    target_pixels: tuple[float, float],
    forced_object: Sequence[bool],
    forced_sky: Sequence[bool],
    unguided: Sequence[bool],
    frac_fov: float = 0.9,
) -> Separation:
    """Divide frames into those on the target and those on the sky.

    Frames whose lit areas overlap, directly or through others, form a group. What is forced on one frame
    holds for its group; then frames without guiding are skies; then, if only one class is populated, the
    unassigned frames (or, if there are none, the same frames) make the other. If nothing is known, the groups
    nearest to the target are objects until these are half of all frames, and the rest are skies.

    Parameters
    ----------
    lit : bool array (ny, nx)
        The lit area of one frame, taken for all.
    positions_pixels : (n, 2) floats
        Pointing of each frame's centre, ``(x, y)`` in pixels on a common grid oriented like the array.
    target_pixels : (float, float)
        Position of the target on the same grid.
    forced_object, forced_sky : n booleans
        Classes given by header or user; a frame may be forced to be both.
    unguided : n booleans
        True where it is known that no wavefront sensor was guiding.
    frac_fov : float
        See `overlap`.

    Returns
    -------
    Separation
    """
    positions = np.asarray(positions_pixels, dtype=np.float64).reshape(-1, 2)
    n = len(positions)
    _check_lengths(n, forced_object=forced_object, forced_sky=forced_sky, unguided=unguided)
    if not 0 < frac_fov <= 1:
        msg = f"frac_fov={frac_fov} is not in (0, 1]; the usual value is 0.9"
        raise ParameterError(msg)
    groups = _groups(lit, positions, frac_fov)
    reasons = [""] * n
    is_object = _extend(forced_object, groups, "object", reasons)
    is_sky = _extend(forced_sky, groups, "sky", reasons)
    for frame in np.flatnonzero(np.asarray(unguided, dtype=bool) & ~is_object & ~is_sky).tolist():
        is_sky[frame] = True
        reasons[frame] = "sky: not guided"
    if not (is_object.any() or is_sky.any()):
        _classify_by_target(groups, positions - np.asarray(target_pixels), is_object, is_sky, reasons)
    elif not is_sky.any():
        _fill_class(is_sky, is_object, "sky", reasons)
    elif not is_object.any():
        _fill_class(is_object, is_sky, "object", reasons)
    dropped = np.flatnonzero(~is_object & ~is_sky).tolist()
    for frame in dropped:
        reasons[frame] = "dropped: neither object nor sky"
    both = np.asarray(forced_object, dtype=bool) & np.asarray(forced_sky, dtype=bool)
    return Separation(
        np.flatnonzero(is_object).tolist(),
        np.flatnonzero(is_sky).tolist(),
        dropped,
        groups.tolist(),
        reasons,
        np.flatnonzero(both).tolist(),
    )


def _groups(lit: NDArray[np.bool_], positions: NDArray[np.float64], frac_fov: float) -> NDArray[np.int_]:
    """Group number of every frame: connected through overlapping lit areas."""
    area = lit[lit_box(lit)]
    known: dict[tuple[int, int], bool] = {}
    group = np.arange(len(positions))
    for i in range(len(positions)):
        for j in range(i):
            if group[i] == group[j]:
                continue
            shift = _whole_shift((positions[j] - positions[i]).tolist(), frac_fov)
            if shift not in known:
                known[shift] = _crosses(area, shift)
            if known[shift]:
                group[group == group[i]] = group[j]
    _, first, numbers = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return np.asarray(order[numbers], dtype=np.int_)


def _extend(forced: Sequence[bool], groups: NDArray[np.int_], name: str, reasons: list[str]) -> NDArray[np.bool_]:
    """A class forced on one frame holds for its whole group."""
    given = np.asarray(forced, dtype=bool)
    extended = np.isin(groups, groups[given])
    for frame in np.flatnonzero(extended).tolist():
        reason = f"{name}: given" if given[frame] else f"{name}: in the group of a given {name} frame"
        reasons[frame] = f"{reasons[frame]}; {reason}" if reasons[frame] else reason
    return extended


def _fill_class(empty: NDArray[np.bool_], full: NDArray[np.bool_], name: str, reasons: list[str]) -> None:
    """Populate the empty class (in place) from the unassigned frames, or else with the same frames."""
    unassigned = ~full
    empty[:] = unassigned if unassigned.any() else full
    for frame in np.flatnonzero(empty).tolist():
        if reasons[frame]:
            reasons[frame] += f"; also {name}: no frame is left for that"
        else:
            reasons[frame] = f"{name}: not of the other class"


def _classify_by_target(
    groups: NDArray[np.int_],
    from_target: NDArray[np.float64],
    is_object: NDArray[np.bool_],
    is_sky: NDArray[np.bool_],
    reasons: list[str],
) -> None:
    """Make the groups nearest to the target objects until these are half of the frames (in place)."""
    n_groups = int(groups.max()) + 1 if groups.size else 0
    centres = np.array([from_target[groups == group].mean(axis=0) for group in range(n_groups)]).reshape(-1, 2)
    order = np.argsort(np.hypot(centres[:, 0], centres[:, 1]), kind="stable")
    for group in order.tolist():
        # Of two groups exactly the nearer one is the target, however few its frames.
        if (n_groups == 2 and is_object.any()) or 2 * int(is_object.sum()) >= groups.size:
            break
        is_object[groups == group] = True
    is_sky[:] = ~is_object if not is_object.all() else True
    alone = n_groups == 1
    for frame in range(groups.size):
        if is_object[frame] and is_sky[frame]:
            reasons[frame] = "object and sky: " + ("one field only" if alone else "no frame is left for the sky")
        else:
            reasons[frame] = "object: near the target" if is_object[frame] else "sky: away from the target"


def _check_lengths(n: int, **lists: Sequence[object]) -> None:
    for name, values in lists.items():
        if len(values) != n:
            msg = f"{name} has {len(values)} entries for {n} frames; give one for each frame"
            raise ParameterError(msg)
