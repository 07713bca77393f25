"""Sky subtraction in two passes, so that no star takes part in a sky.

Subtract a first sky made without the stars that single frames show, find all objects on the sum of the
frames, and make the skies again without them. A third pass changes nothing that could be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._skysequence import (
    KnownObjects,
    Levels,
    PlaneSequence,
    Ticks,
    packed,
    skies_without,
    unpacked,
)
from keyhole.imaging.deep_objects import DeepSum
from keyhole.imaging.levels import fit_surface, lit_box
from keyhole.imaging.medians import median
from keyhole.imaging.objects import single_frame_objects
from keyhole.imaging.sky import (
    MASKED_MEAN,
    CombineRule,
    Sky,
    SkyMatch,
    check_numbers,
    match_sky,
    subtract,
    typical_value,
)
from keyhole.imaging.skynoise import model_variances

__all__ = ["FrameSky", "on_full_frame", "remaining_slope", "two_pass_skies"]


_BEYOND_DOUBT: Final = 2.5
"""Detection limit of a single frame in units of that of the sum."""
_SOME_COLUMNS: Final = 3
"""The first pass matches levels on one column in so many."""


class FrameSky(NamedTuple):
    """What `two_pass_skies` found for one frame.

    Attributes
    ----------
    number : int
        Place of the frame in the sequence.
    box : tuple of slices (rows, columns)
        The lit box of all frames, on which everything is given.
    sky : Sky
        `on_full_frame` enlarges it.
    match : SkyMatch
    slope : float32 array or None
        The remaining slope, if it was significant.
    variance : float32 array
        Of the frame before the subtraction.
    objects : bool array
        True on the objects that were left out of the skies.
    """

    number: int
    box: tuple[slice, slice]
    sky: Sky
    match: SkyMatch
    slope: NDArray[np.float32] | None
    variance: NDArray[np.float32]
    objects: NDArray[np.bool_]

    def subtracted(
        self, data: NDArray[np.float32], variance: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frame minus its sky, and the variance of the difference.

        Parameters
        ----------
        data, variance : float32 arrays (ny, nx)
            The frame as it was given to `two_pass_skies`. Not changed.
        """
        level, noise = _outside(self.sky)
        difference = data - np.float32(self.match.scale * level + self.match.offset)
        total = variance + np.float32(self.match.scale**2 * noise)
        difference[self.box], total[self.box] = subtract(data[self.box], self.variance, self.sky, self.match)
        if self.slope is not None:
            difference[self.box] -= self.slope
        return difference, total

    def sky_share(self) -> float:
        """Part of the variance of the frame, between the objects, that came with its sky."""
        quiet = (self.sky.count > 0) & ~self.objects
        if not quiet.any():
            return 0.0
        added = self.match.scale**2 * self.sky.variance[quiet]
        total = median(self.variance[quiet] + added)
        return min(median(added) / total, 1.0) if total > 0 else 0.0


def two_pass_skies(
    frames: Sequence[NDArray[np.float32]],
    variances: Sequence[NDArray[np.float32]],
    usables: Sequence[NDArray[np.bool_]],
    associations: Sequence[Sequence[int]],
    shifts: ArrayLike,
    *,
    wanted: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    scale: bool = True,
    zero: bool = False,
    scale_sky: bool = True,
    offset_sky: bool = False,
    rule: CombineRule = MASKED_MEAN,
    slope_degree: int | None = 1,
    slope_significance: float = 1.0,
    model_noise: bool = True,
    shared_noise: Sequence[float] | None = None,
    mask_objects: bool = True,
    threshold: float = 2.5,
    min_pixels: int = 8,
    grow: float = 4.0,
    wing_sigma: float = 0.15,
    fwhm: float = 5.0,
) -> Iterator[FrameSky]:
    """Find for every frame the sky made of others, without the objects that the sum of all frames shows.

    A sequence of more than 64 frames is treated in parts that overlap as its associations do, if these are much
    shorter: a part is brought to one level by itself, and what is kept of all frames is a bit per pixel and the sum.

    Parameters
    ----------
    frames, variances : n float32 arrays (ny, nx)
        Flat-corrected frames with their sky. They may come from disk whenever they are asked for.
    usables : n bool arrays (ny, nx)
        True where a pixel is usable; may be made whenever they are asked for.
    associations : n lists of int
        The skies of each frame; see `keyhole.imaging.sky.make_skies` for frames without any.
    shifts : (n, 2) floats
        ``(dx, dy)`` in pixels: a star at ``(x, y)`` of the common grid is at ``(x + dx, y + dy)`` in the
        frame.
    wanted : int, optional
        Only the first so many frames are of interest in the end; all if None.
    progress : callable, optional
        Told the number of steps done and of all steps.
    scale, zero, rule
        See `keyhole.imaging.sky.make_skies`.
    scale_sky, offset_sky
        See `keyhole.imaging.sky.match_sky`.
    slope_degree : int or None
        Degree of the surface that is removed where the sky changed its slope between a frame and its skies;
        only if it is significant (`remaining_slope`). None: never.
    slope_significance : float
        See `remaining_slope`.
    model_noise, shared_noise
        Make the variances anew from the sky and the source light that all frames show, without the variance
        `shared_noise` that they have in common (`keyhole.imaging.skynoise.model_variances`); or leave them as
        they are given.
    mask_objects : bool
        False: one pass only, with all objects in the skies.
    threshold, min_pixels, grow, wing_sigma, fwhm
        See `keyhole.imaging.objects.deep_object_masks`.

    Yields
    ------
    FrameSky
        One for each wanted frame, in order. Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixel in any frame.
    """
    check_numbers(frames, variances=variances, usables=usables, associations=associations)
    sequence = PlaneSequence.of(frames, variances, usables, associations)
    levels = Levels(scale, zero, rule)
    matching = {"scale_sky": scale_sky, "offset_sky": offset_sky}
    number = len(frames) if wanted is None else wanted
    tick = Ticks(progress, 2 * len(frames) + number if mask_objects else number)
    masks = KnownObjects(sequence.shape)
    if mask_objects:
        limits: dict[str, Any] = {"threshold": threshold, "min_pixels": min_pixels, "grow": grow, "fwhm": fwhm}
        masks = _all_objects(sequence, levels, shifts, matching, tick=tick, wing_sigma=wing_sigma, **limits)
    for part, chosen in sequence.parts(number):
        planes, objects = sequence.planes(part), [masks.of(i) for i in part]
        if model_noise:
            shared = None if shared_noise is None else [shared_noise[i] for i in part]
            planes = planes._replace(variance=model_variances(planes.variance, planes.usable, objects, shared=shared))
        for k, sky in skies_without(planes, objects, sequence.within(part), levels, [part.index(i) for i in chosen]):
            data, variance, usable = planes.one(k)
            match = _match(data, usable, sky, objects[k], **matching)
            slope = None
            if slope_degree is not None:
                rest, quiet = _difference(data, sky, match), usable & ~objects[k]
                slope = remaining_slope(rest, quiet, degree=slope_degree, significance=slope_significance)
            yield FrameSky(part[k], sequence.box, sky, match, slope, variance, objects[k])
            tick()


def _all_objects(
    sequence: PlaneSequence,
    levels: Levels,
    shifts: ArrayLike,
    matching: dict[str, bool],
    *,
    tick: Ticks,
    wing_sigma: float,
    **limits: Any,
) -> KnownObjects:
    """Objects on the sum of the frames less a first sky, and those that a frame shows by itself.

    The latter are elsewhere where a frame does not lie at its commanded place.
    """
    shape, number = sequence.shape, len(sequence.frames)
    boxes, shown = [], []
    for i in range(number):
        data, _, usable = sequence.planes([i]).one(0)
        boxes.append(lit_box(usable))
        shown.append(packed(single_frame_objects(data, usable, **limits)))
        tick()
    moves = np.rint(np.asarray(shifts, dtype=np.float64).reshape(-1, 2)).astype(int)
    deep = DeepSum(boxes, moves, fwhm=limits["fwhm"])
    # Peaks of the noise that are masked in a single frame would bias its skies: only what is beyond doubt counts.
    sure = limits | {"threshold": _BEYOND_DOUBT * limits["threshold"]}
    own = []
    for part, chosen in sequence.parts(number):
        planes, objects = sequence.planes(part), [unpacked(shown[i], shape) for i in part]
        portion = []
        for k, sky in skies_without(planes, objects, sequence.within(part), levels, [part.index(i) for i in chosen]):
            data, variance, usable = planes.one(k)
            rest = _difference(data, sky, _match(data, usable, sky, objects[k], columns=_SOME_COLUMNS, **matching))
            portion.append(deep.binned(part[k], rest, usable, variance))
            own.append(packed(single_frame_objects(rest, usable, **sure)))
            tick()
        deep.add(portion)
    deep.search(**{key: value for key, value in limits.items() if key != "fwhm"}, wing_sigma=wing_sigma)
    return KnownObjects(shape, deep, own)


def _difference(data: NDArray[np.float32], sky: Sky, match: SkyMatch) -> NDArray[np.float32]:
    rest = np.float32(-match.scale) * sky.data
    rest += data
    rest -= np.float32(match.offset)
    return rest


def _match(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_],
    sky: Sky,
    objects: NDArray[np.bool_],
    *,
    scale_sky: bool,
    offset_sky: bool,
    columns: int = 1,
) -> SkyMatch:
    """Match a sky to its frame, on one column in so many."""
    if not usable.any():
        return SkyMatch(1.0, 0.0)
    part = np.s_[:, ::columns] if usable[:, ::columns].any() else np.s_[:, :]
    options = {"scale_sky": scale_sky, "offset_sky": offset_sky}
    return match_sky(data[part], sky.data[part], usable[part], objects=objects[part], **options)


def remaining_slope(
    subtracted: NDArray[np.float32], quiet: NDArray[np.bool_], *, degree: int = 1, significance: float = 1.0
) -> NDArray[np.float32] | None:
    """Low-order surface that is left after the sky subtraction, if there is one.

    Parameters
    ----------
    subtracted : float32 array (ny, nx)
        A frame whose sky was subtracted.
    quiet : bool array (ny, nx)
        True on usable pixels without objects.
    degree : int
        Degree along each axis.
    significance : float
        The surface counts if its scatter on quiet pixels is that many times what the noise alone makes of it.
        A slope below 4 times the noise shows in no single frame, but in a stack it is the largest part of what
        the noise of wide apertures has in excess of that of the pixels.

    Returns
    -------
    float32 array (ny, nx) or None
        The surface, of mean zero on quiet pixels; None if it is not significant or cannot be fitted. It is
        never continued beyond its extremes on quiet pixels. Changes its input: no.
    """
    try:
        surface = fit_surface(subtracted, quiet, degree_x=degree, degree_y=degree, iterations=4)
    except AlgorithmError:
        return None
    values = surface.over_box().astype(np.float32)
    inside = values[quiet[surface.box]]
    expected = surface.sigma * ((surface.coefficients.size - 1) / surface.used.size) ** 0.5
    if float(np.std(inside)) <= significance * expected:
        return None
    middle = np.mean(inside)
    slope = np.zeros(subtracted.shape, dtype=np.float32)
    slope[surface.box] = np.clip(values, inside.min(), inside.max()) - middle
    return slope


def _outside(sky: Sky) -> tuple[np.float32, np.float32]:
    """Constant sky and variance beyond the box of a sky."""
    lit = sky.count > 0
    some = lit if lit.any() else np.ones(sky.data.shape, dtype=bool)
    return np.float32(typical_value(sky.data[some])), np.float32(typical_value(sky.variance[some]))


def on_full_frame(sky: Sky, box: tuple[slice, slice], shape: tuple[int, int]) -> Sky:
    """A sky made on a box, on the whole frame; outside the box it is its median, with count 0."""
    level, noise = _outside(sky)
    whole = Sky(
        np.full(shape, level, dtype=np.float32),
        np.full(shape, noise, dtype=np.float32),
        np.zeros(shape, dtype=np.int16),
        sky.notes,
    )
    whole.data[box], whole.variance[box], whole.count[box] = sky.data, sky.variance, sky.count
    return whole
