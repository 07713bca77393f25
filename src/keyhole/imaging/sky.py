"""The sky of every frame, made from other frames, and its subtraction.

The sky of a frame is the combination of frames taken at other pointings, so that its stars fall on different
pixels. Stars that are not masked stay in the sky as a pattern and as a level that is too high, which is the
largest systematic error of faint photometry: mask them (see `keyhole.imaging.twopass`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging._skyfill import fill_uncovered
from keyhole.imaging._skymatch import SkyMatch, match_sky
from keyhole.imaging._skymean import Column, clipped_means, combine_members
from keyhole.imaging._skypool import CombineRule, SkyPool, make_pool
from keyhole.imaging.levels import fit_surface, sky_level
from keyhole.imaging.medians import median, sampled_median
from keyhole.imaging.objects import single_frame_objects

__all__ = [
    "MASKED_MEAN",
    "CombineRule",
    "Sky",
    "SkyMatch",
    "make_skies",
    "match_sky",
    "smooth_background",
    "subtract",
]

MASKED_MEAN: Final = CombineRule()
"""The best way once objects are masked: the mean of what lies within 3 sigma of the known noise."""


@dataclass(frozen=True, eq=False)
class Sky:
    """The sky of one frame.

    Attributes
    ----------
    data : float32 array (ny, nx)
        The sky; its level where no frame is lit.
    variance : float32 array (ny, nx)
        Of independent inputs: exact for means, with the small-number factor for medians; twice as large where
        frames from further away in time were used, that of the model where there is none.
    count : int16 array (ny, nx)
        Number of frames used; 0 where the value is a smooth model.
    notes : tuple of str
        Weaker ways that were taken, each a sentence.
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    count: NDArray[np.int16]
    notes: tuple[str, ...] = ()


def make_skies(
    frames: Sequence[NDArray[np.float32]],
    usables: Sequence[NDArray[np.bool_]],
    associations: Sequence[Sequence[int]],
    *,
    variances: Sequence[NDArray[np.float32]] | None = None,
    objects: Sequence[NDArray[np.bool_]] | None = None,
    scale: bool = True,
    zero: bool = False,
    rule: CombineRule = MASKED_MEAN,
) -> list[Sky]:
    """Make the sky of each frame from the frames associated with it.

    Each frame is brought to the common level once; a sky then is the combination of some of these planes. A
    pixel that no associated frame can give is taken from the other frames of the same association network,
    and if they cannot give it either, from a smooth model of the rest of the sky; in both cases its count is 0.

    Parameters
    ----------
    frames : n float32 arrays (ny, nx)
    usables : n bool arrays (ny, nx)
        True where a pixel is usable.
    associations : n lists of int
        The skies of each frame. A frame without any gets the smooth background of its own pixels.
    variances : n float32 arrays (ny, nx), optional
        Measured on each frame, one number for all pixels, if not given.
    objects : n bool arrays (ny, nx), optional
        True on objects, which are left out of the skies.
    scale, zero : bool
        Bring frames to the common level by factors, or (``zero``, which wins) by offsets, or not at all.
    rule : CombineRule
        Operation and rejection. ``mean`` with ``varclip`` clips in one pass about the median with limits that
        allow for its noise, and keeps the lower ones if the middle values disagree. ``minmax`` that would
        drop everything gives way to ``varclip``.

    Returns
    -------
    list of n Sky
        Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixel in any frame.
    """
    check_numbers(frames, usables=usables, associations=associations, variances=variances, objects=objects)
    if not any(usable.any() for usable in usables):
        msg = f"no usable pixel in any of {len(frames)} frames: no sky can be made; check their masks"
        raise AlgorithmError(msg)
    pool = make_pool(frames, variances, usables, objects, scale=scale, zero=zero)
    skies = skies_of_pool(pool, associations, rule, range(len(frames)))
    masks: Sequence[NDArray[np.bool_] | None] = [None] * len(frames) if objects is None else objects
    return [own_background(frames[i], usables[i], masks[i]) if sky is None else sky for i, sky in skies]


def skies_of_pool(
    pool: SkyPool, associations: Sequence[Sequence[int]], rule: CombineRule, wanted: Sequence[int]
) -> Iterator[tuple[int, Sky | None]]:
    """Make the skies of some frames of a pool, one after the other; None for a frame without any other.

    Parameters
    ----------
    pool : SkyPool
        **Changed**: its planes become those of the skies.
    associations : lists of int, one for each frame of the pool
    rule : CombineRule
    wanted : sequence of int
        Frames whose skies are made.
    """
    networks = _Networks(associations)
    lists = [tuple(sorted(associations[i])) for i in wanted]
    columns = _combined(pool, list(dict.fromkeys(members for members in lists if members)), rule)
    known: dict[tuple[int, ...], Sky] = {}
    ready: dict[tuple[int, ...], Column] = {}
    # What no later frame needs is not kept.
    needed = Counter(lists)
    for i, members in zip(wanted, lists, strict=True):
        if not members:
            yield i, None
            continue
        while members not in ready:
            ready.update([next(columns)])
        # The pixels of the wider network never include the frame itself, so only equal frames share a sky.
        wider = networks.beyond(i)
        key = (*members, -1, *wider)
        combined = ready[members] if needed[members] == 1 else ready[members].copy()
        sky = known[key] if key in known else _one_sky(pool, combined, len(members), wider, rule)
        yield i, sky
        needed[members] -= 1
        known = {key: sky} if needed[members] else {}
        if not needed[members]:
            del ready[members]


def _combined(
    pool: SkyPool, lists: Sequence[tuple[int, ...]], rule: CombineRule
) -> Iterator[tuple[tuple[int, ...], Column]]:
    """Combine lists of frames; neighbouring ones that are clipped with the known noise together."""
    if (rule.operation, rule.reject_method) == ("mean", "varclip"):
        yield from zip(lists, clipped_means(pool, lists, rule, spend=True), strict=True)
        return
    gentle = CombineRule(rule.operation, "varclip", rule.lsigma, rule.hsigma)
    for members in lists:
        yield members, combine_members(pool, members, gentle if _gives_way(rule, len(members)) else rule)


def check_numbers(frames: Sequence[Any], **others: Sequence[Any] | None) -> None:
    if not len(frames):
        raise ParameterError("no frame was given to make skies from; give at least one")
    for name, values in others.items():
        if values is not None and len(values) != len(frames):
            msg = f"{name} has {len(values)} entries for {len(frames)} frames; give one for each frame"
            raise ParameterError(msg)


class _Networks:
    """Which frames serve as sky together with those of a frame."""

    def __init__(self, associations: Sequence[Sequence[int]]) -> None:
        self._sets = [frozenset(members) for members in associations]
        self._users: dict[int, set[frozenset[int]]] = {}
        for members in self._sets:
            for j in members:
                self._users.setdefault(j, set()).add(members)

    def beyond(self, frame: int) -> list[int]:
        """The others of the network of a frame, without its own and itself."""
        own = self._sets[frame]
        linked = frozenset().union(*(members for j in own for members in self._users[j]))
        return sorted(linked - own - {frame})


def _gives_way(rule: CombineRule, number: int) -> bool:
    """Whether minmax would drop all of so many frames."""
    return rule.reject_method == "minmax" and rule.nlow + rule.nhigh >= number


def _one_sky(pool: SkyPool, combined: Column, number: int, wider: list[int], rule: CombineRule) -> Sky:
    """The sky of a frame, made of the combined values of its list, which become part of it."""
    notes = list(pool.notes)
    if _gives_way(rule, number):
        notes.append(
            f"minmax with nlow={rule.nlow} and nhigh={rule.nhigh} needs more than "
            f"{rule.nlow + rule.nhigh} skies, there are {number}: clipped with the known noise instead"
        )
    data, variance, count = combined.data, combined.variance, combined.count
    covered = count > 0
    missing = np.flatnonzero(~covered)
    if not covered.any() and wider:
        notes.append("the associated frames have no usable pixel: other frames of the sequence were used")
    if missing.size and wider:
        more = combine_members(pool, wider, CombineRule(), missing)
        found = more.count > 0
        data[missing[found]] = more.data[found]
        # Frames further away in time know this sky less well than their noise says.
        variance[missing[found]] = 2 * more.variance[found]
        covered[missing[found]] = True
    return _on_frame(pool, Column(data, variance, count), covered, tuple(notes))


def _on_frame(pool: SkyPool, combined: Column, covered: NDArray[np.bool_], notes: tuple[str, ...]) -> Sky:
    """Put the lit pixels back on the frame, with a model where there is no value."""
    data, variance = combined.data, combined.variance
    if not covered.any():
        everywhere = pool.variances_at(np.arange(len(pool.planes)), slice(None))
        data, variance = np.full_like(data, pool.level), everywhere.mean(axis=0)
        notes = (*notes, "no pixel of the sky frames is usable: the sky is a constant")
    level = sampled_median(data, covered) if covered.any() else pool.level
    typical = sampled_median(variance, covered) if covered.any() else sampled_median(variance)
    if pool.planes.shape[1] == pool.shape[0] * pool.shape[1]:
        shape = pool.shape
        whole = Sky(data.reshape(shape), variance.reshape(shape), combined.count.reshape(shape), notes)
        dark = np.flatnonzero(~pool.lit)
        whole.data.reshape(-1)[dark], whole.variance.reshape(-1)[dark] = level, typical
        fill_uncovered(whole.data, whole.variance, covered.reshape(pool.shape), pool.lit)
        return whole
    whole = Sky(
        np.full(pool.shape, level, dtype=np.float32),
        np.full(pool.shape, typical, dtype=np.float32),
        np.zeros(pool.shape, dtype=np.int16),
        notes,
    )
    known = np.zeros(pool.lit.shape, dtype=bool)
    image, noise = np.full_like(whole.data[pool.box], level), np.full_like(whole.data[pool.box], typical)
    for plane, values in ((image, data), (noise, variance), (known, covered)):
        plane[pool.taken] = values
    fill_uncovered(image, noise, known, pool.lit)
    whole.data[pool.box], whole.variance[pool.box] = image, noise
    whole.count[pool.box][pool.taken] = combined.count
    return whole


def own_background(frame: NDArray[np.float32], usable: NDArray[np.bool_], objects: NDArray[np.bool_] | None) -> Sky:
    """The sky of a frame without others: its own smooth background."""
    note = "no other frame serves as sky: the frame's own smooth background was subtracted"
    if not usable.any():
        nothing = np.zeros(frame.shape, dtype=np.float32)
        return Sky(nothing, nothing.copy(), np.zeros(frame.shape, dtype=np.int16), (note,))
    background = smooth_background(frame, usable, objects=objects)
    return Sky(background, np.zeros_like(background), np.zeros(frame.shape, dtype=np.int16), (note,))


def subtract(
    data: NDArray[np.float32], variance: NDArray[np.float32], sky: Sky, match: SkyMatch
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frame minus its matched sky, and the variance of the difference.

    Returns
    -------
    data, variance : float32 arrays (ny, nx)
        ``data - (scale sky + offset)`` and ``variance + scale**2 variance_sky``. Changes its input: no.
    """
    scale = np.float32(match.scale)
    difference = scale * sky.data
    difference += np.float32(match.offset)
    np.subtract(data, difference, out=difference)
    total = (scale * scale) * sky.variance
    total += variance
    return difference, total


def smooth_background(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    degree: int = 2,
    objects: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Background of a single frame: a low-order surface through the pixels without objects.

    Parameters
    ----------
    data : float32 array (ny, nx)
    usable : bool array (ny, nx)
        True where a pixel is usable.
    degree : int
        Degree along x and along y.
    objects : bool array (ny, nx), optional
        Known objects; found on the frame if not given.

    Returns
    -------
    float32 array (ny, nx)
        The surface on the bounding box of the lit area, never beyond its extremes on lit pixels; their median
        elsewhere. Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixel.
    """
    if not usable.any():
        raise AlgorithmError("a frame without a usable pixel has no background; check its mask")
    found = single_frame_objects(data, usable) if objects is None else objects
    quiet = usable & ~found
    # Too few pixels between the stars: the surface goes through everything, and rejects what it can.
    quiet = quiet if int(quiet.sum()) >= 3 * (degree + 1) ** 2 else usable
    enough = int(quiet.sum()) >= 3 * (degree + 1) ** 2
    if not enough:
        return np.full(data.shape, sky_level(data, quiet).value, dtype=np.float32)
    surface = fit_surface(data, quiet, degree_x=degree, degree_y=degree, upper=2.5, lower=2.5)
    values = surface.over_box()
    inside = values[quiet[surface.box]]
    background = np.full(data.shape, median(inside), dtype=np.float32)
    background[surface.box] = np.clip(values, inside.min(), inside.max())
    return background
