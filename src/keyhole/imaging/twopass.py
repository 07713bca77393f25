"""Sky subtraction in two passes, so that no star takes part in a sky.

Subtract a first sky made without the stars that single frames show, find all objects on the sum of the frames
(`keyhole.imaging._skyobjects`), and make the skies again without them. A third pass changes nothing that could be
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.imaging._skyobjects import Detection, KnownObjects, find_all_objects
from keyhole.imaging._skypool import SharedVariance
from keyhole.imaging._skyrest import rest_of
from keyhole.imaging._skysequence import Levels, PlaneSequence, Ticks, skies_without
from keyhole.imaging._slope import remaining_slope
from keyhole.imaging.medians import sampled_median
from keyhole.imaging.sky import MASKED_MEAN, CombineRule, Sky, SkyMatch, check_numbers
from keyhole.imaging.skynoise import NoiseModel

__all__ = ["FrameSky", "on_full_frame", "remaining_slope", "two_pass_skies"]


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
    rest : float32 array
        The frame less its sky and its slope.
    """

    number: int
    box: tuple[slice, slice]
    sky: Sky
    match: SkyMatch
    slope: NDArray[np.float32] | None
    variance: NDArray[np.float32]
    objects: NDArray[np.bool_]
    rest: NDArray[np.float32]

    def subtracted(
        self, data: NDArray[np.float32], variance: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frame minus its sky, and the variance of the difference.

        Parameters
        ----------
        data, variance : float32 arrays (ny, nx)
            The frame as it was given to `two_pass_skies`. Not changed.

        Returns
        -------
        data, variance : float32 arrays (ny, nx)
            The first is `rest` itself, not a copy, if its box is the whole frame.
        """
        noise = np.float32(self.match.scale**2) * self.sky.variance
        noise += self.variance
        if self.rest.shape == data.shape:
            return self.rest, noise
        level, beyond = _outside(self.sky)
        difference = data - np.float32(self.match.scale * level + self.match.offset)
        total = variance + np.float32(self.match.scale**2 * beyond)
        difference[self.box], total[self.box] = self.rest, noise
        return difference, total

    def sky_share(self) -> float:
        """Part of the variance of the frame, between the objects, that came with its sky."""
        quiet = (self.sky.count > 0) & ~self.objects
        if not quiet.any():
            return 0.0
        scale = self.match.scale**2
        added = scale * sampled_median(self.sky.variance, quiet)
        total = sampled_median(self.variance, quiet) + added
        return min(added / total, 1.0) if total > 0 else 0.0


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
    sloping: Any = {"slope_degree": slope_degree, "slope_significance": slope_significance}
    number = len(frames) if wanted is None else wanted
    tick = Ticks(progress, 2 * len(frames) + number if mask_objects else number)
    masks = KnownObjects(sequence.shape)
    if mask_objects:
        detection = Detection(threshold, min_pixels, grow, fwhm, wing_sigma)
        masks = find_all_objects(sequence, levels, shifts, detection, matching=matching, tick=tick)
    for part, chosen in sequence.parts(number):
        planes, objects = sequence.planes(part), [masks.of(i) for i in part]
        noise, common = None, None
        if model_noise and len(part) > 1:
            shared = None if shared_noise is None else [shared_noise[i] for i in part]
            noise = NoiseModel.of(planes.variance, planes.usable, objects, shared=shared)
            common = SharedVariance(noise.shape, noise.factors)
        wanted_here = [part.index(i) for i in chosen]
        for k, sky in skies_without(planes, objects, sequence.within(part), levels, wanted_here, noise=common):
            data, variance, usable = planes.one(k)
            if noise is not None:
                variance = noise.variance(k, variance, usable, objects[k])
            rest, match, slope = rest_of(data, sky.data, usable, objects[k], **matching, **sloping)
            yield FrameSky(part[k], sequence.box, sky, match, slope, variance, objects[k], rest)
            tick()


def _outside(sky: Sky) -> tuple[np.float32, np.float32]:
    """Constant sky and variance beyond the box of a sky."""
    lit = sky.count > 0
    some = lit if lit.any() else None
    return np.float32(sampled_median(sky.data, some)), np.float32(sampled_median(sky.variance, some))


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
