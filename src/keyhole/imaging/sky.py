"""The sky of every frame, made from other frames, and its subtraction.

The sky of a frame is the combination of frames taken at other pointings, so that its stars fall on different
pixels. Stars that are not masked stay in the sky as a pattern and as a level that is too high, which is the
largest systematic error of faint photometry: mask them (see `keyhole.imaging.twopass`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging._skypool import Column, CombineRule, SkyPool, combine_members, fill_uncovered, make_pool
from keyhole.imaging.levels import fit_surface, sky_level
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

_MATCH_PASSES: Final = 20
_MATCHED: Final = 0.002


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


class SkyMatch(NamedTuple):
    """What to subtract: ``scale * sky + offset``."""

    scale: float
    offset: float


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
    known: dict[tuple[int, ...], Sky] = {}
    skies = []
    for i, members in enumerate(associations):
        if not len(members):
            skies.append(_own_background(frames[i], usables[i], None if objects is None else objects[i]))
            continue
        # The pixels of the wider network never include the frame itself, so only equal frames share a sky.
        wider = _network(associations, i)
        key = (*sorted(members), -1, *wider)
        if key not in known:
            known[key] = _one_sky(pool, sorted(members), wider, rule)
        skies.append(known[key])
    return skies


def check_numbers(frames: Sequence[Any], **others: Sequence[Any] | None) -> None:
    if not len(frames):
        raise ParameterError("no frame was given to make skies from; give at least one")
    for name, values in others.items():
        if values is not None and len(values) != len(frames):
            msg = f"{name} has {len(values)} entries for {len(frames)} frames; give one for each frame"
            raise ParameterError(msg)


def _network(associations: Sequence[Sequence[int]], frame: int) -> list[int]:
    """Frames that serve as sky together with those of `frame`, but are not among them."""
    own = set(associations[frame])
    linked = {j for members in associations if own.intersection(members) for j in members}
    return sorted(linked - own - {frame})


def _one_sky(pool: SkyPool, members: list[int], wider: list[int], rule: CombineRule) -> Sky:
    notes = list(pool.notes)
    if rule.reject_method == "minmax" and rule.nlow + rule.nhigh >= len(members):
        notes.append(
            f"minmax with nlow={rule.nlow} and nhigh={rule.nhigh} needs more than "
            f"{rule.nlow + rule.nhigh} skies, there are {len(members)}: clipped with the known noise instead"
        )
        rule = CombineRule(rule.operation, "varclip", rule.lsigma, rule.hsigma)
    combined = combine_members(pool, members, rule)
    data, variance, count = combined.data.copy(), combined.variance.copy(), combined.count
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
        data, variance = np.full_like(data, pool.level), pool.variances.mean(axis=0)
        notes = (*notes, "no pixel of the sky frames is usable: the sky is a constant")
    level = float(np.median(data[covered])) if covered.any() else pool.level
    typical = float(np.median(variance[covered])) if covered.any() else float(np.median(variance))
    image = np.full(pool.lit.shape, level, dtype=np.float32)
    noise = np.full(pool.lit.shape, typical, dtype=np.float32)
    known = np.zeros(pool.lit.shape, dtype=bool)
    image[pool.lit], noise[pool.lit], known[pool.lit] = data, variance, covered
    fill_uncovered(image, noise, known, pool.lit)
    whole = Sky(
        np.full(pool.shape, level, dtype=np.float32),
        np.full(pool.shape, typical, dtype=np.float32),
        np.zeros(pool.shape, dtype=np.int16),
        notes,
    )
    whole.data[pool.box], whole.variance[pool.box] = image, noise
    whole.count[pool.box][pool.lit] = combined.count
    return whole


def _own_background(frame: NDArray[np.float32], usable: NDArray[np.bool_], objects: NDArray[np.bool_] | None) -> Sky:
    note = "no other frame serves as sky: the frame's own smooth background was subtracted"
    if not usable.any():
        nothing = np.zeros(frame.shape, dtype=np.float32)
        return Sky(nothing, nothing.copy(), np.zeros(frame.shape, dtype=np.int16), (note,))
    background = smooth_background(frame, usable, objects=objects)
    return Sky(background, np.zeros_like(background), np.zeros(frame.shape, dtype=np.int16), (note,))


def match_sky(
    data: NDArray[np.float32],
    sky: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    objects: NDArray[np.bool_] | None = None,
    scale_sky: bool = True,
    offset_sky: bool = False,
) -> SkyMatch:
    """Factor (or offset) that makes the level of the frame minus its sky zero.

    Parameters
    ----------
    data, sky : float32 arrays (ny, nx)
    usable : bool array (ny, nx)
        True where a pixel is usable.
    objects : bool array (ny, nx), optional
        True on known objects, left out of the level.
    scale_sky : bool
        Find the factor ``f`` with ``level(data - f sky) = 0``, to a few thousandths of the noise of a pixel.
    offset_sky : bool
        If ``scale_sky`` is off: find the offset ``level(data - sky)``.

    Returns
    -------
    SkyMatch
        ``(1, 0)`` if both are off. A sky whose level is not positive cannot be scaled, then the offset is
        found. Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixel.
    """
    if not (scale_sky or offset_sky):
        return SkyMatch(1.0, 0.0)
    # A frame full of stars has its level under them: then the unmasked level is the only one there is.
    quiet = usable if objects is None or not (usable & ~objects).any() else usable & ~objects
    frame, model = data[quiet], sky[quiet]
    everything = np.ones(frame.shape, dtype=bool)
    nothing = None if objects is None else ~everything
    sky_value = sky_level(model, everything).value
    if frame.size == 0:
        raise AlgorithmError("sky cannot be matched to a frame without a usable pixel; check its mask")
    if not scale_sky or sky_value <= 0:
        return SkyMatch(1.0, sky_level(frame - model, everything, objects=nothing).value)
    factor = sky_level(frame, everything, objects=nothing).value / sky_value
    for _ in range(_MATCH_PASSES):
        rest = sky_level(frame - np.float32(factor) * model, everything, objects=nothing)
        factor += rest.value / sky_value
        if abs(rest.value) <= _MATCHED * rest.sigma:
            break
    return SkyMatch(factor, 0.0)


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
    background = np.full(data.shape, np.median(inside), dtype=np.float32)
    background[surface.box] = np.clip(values, inside.min(), inside.max())
    return background
