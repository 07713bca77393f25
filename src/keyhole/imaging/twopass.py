"""Sky subtraction in two passes, so that no star takes part in a sky.

Subtract a first sky made without the stars that single frames show, find all objects on the sum of the
frames, and make the skies again without them. A third pass changes nothing that could be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging.levels import fit_surface, lit_box
from keyhole.imaging.objects import deep_object_masks, single_frame_objects
from keyhole.imaging.sky import (
    MASKED_MEAN,
    CombineRule,
    Sky,
    SkyMatch,
    check_numbers,
    make_skies,
    match_sky,
    subtract,
    typical_value,
)
from keyhole.imaging.skynoise import model_variances

__all__ = ["TwoPass", "on_full_frame", "remaining_slope", "two_pass_skies"]


_BEYOND_DOUBT: Final = 2.5
"""Detection limit of a single frame in units of that of the sum."""
_SOME_COLUMNS: Final = 3
"""The first pass matches levels on one column in so many."""


class TwoPass(NamedTuple):
    """Result of `two_pass_skies`; all lists have one entry per frame.

    Attributes
    ----------
    box : tuple of slices (rows, columns)
        The lit box, on which everything is given.
    skies : list of Sky
        `on_full_frame` enlarges them.
    factors : list of SkyMatch
    slopes : list of float32 arrays or None
        The remaining slope, where it was significant.
    variances : list of float32 arrays
        Of the frames before the subtraction.
    object_masks : list of bool arrays
        True on the objects that were left out of the skies.
    """

    box: tuple[slice, slice]
    skies: list[Sky]
    factors: list[SkyMatch]
    slopes: list[NDArray[np.float32] | None]
    variances: list[NDArray[np.float32]]
    object_masks: list[NDArray[np.bool_]]

    def subtracted(
        self, index: int, data: NDArray[np.float32], variance: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frame minus its sky, and the variance of the difference.

        Parameters
        ----------
        index : int
        data, variance : float32 arrays (ny, nx)
            The frame as it was given to `two_pass_skies`. Not changed.
        """
        box, sky, match, slope = self.box, self.skies[index], self.factors[index], self.slopes[index]
        level, noise = _outside(sky)
        difference = data - np.float32(match.scale * level + match.offset)
        total = variance + np.float32(match.scale**2 * noise)
        difference[box], total[box] = subtract(data[box], self.variances[index], sky, match)
        if slope is not None:
            difference[box] -= slope
        return difference, total

    def sky_share(self, index: int) -> float:
        """Part of the variance of a frame, between the objects, that came with its sky."""
        sky = self.skies[index]
        quiet = (sky.count > 0) & ~self.object_masks[index]
        if not quiet.any():
            return 0.0
        added = self.factors[index].scale ** 2 * sky.variance[quiet]
        total = float(np.median(self.variances[index][quiet] + added))
        return min(float(np.median(added)) / total, 1.0) if total > 0 else 0.0


class _Planes(NamedTuple):
    """The planes of all frames on their common lit box."""

    data: list[NDArray[np.float32]]
    variance: list[NDArray[np.float32]]
    usable: list[NDArray[np.bool_]]


def two_pass_skies(
    frames: Sequence[NDArray[np.float32]],
    variances: Sequence[NDArray[np.float32]],
    usables: Sequence[NDArray[np.bool_]],
    associations: Sequence[Sequence[int]],
    shifts: ArrayLike,
    *,
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
) -> TwoPass:
    """Subtract from every frame the sky made of others, without the objects that the sum of all frames shows.

    Parameters
    ----------
    frames, variances : n float32 arrays (ny, nx)
        Flat-corrected frames with their sky.
    usables : n bool arrays (ny, nx)
        True where a pixel is usable.
    associations : n lists of int
        The skies of each frame; see `keyhole.imaging.sky.make_skies` for frames without any.
    shifts : (n, 2) floats
        ``(dx, dy)`` in pixels: a star at ``(x, y)`` of the common grid is at ``(x + dx, y + dy)`` in the
        frame.
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

    Returns
    -------
    TwoPass
        Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixel in any frame.
    """
    check_numbers(frames, variances=variances, usables=usables, associations=associations)
    # Nothing but the lit box matters until the end.
    box = lit_box(np.logical_or.reduce(usables))
    near = _Planes([d[box] for d in frames], [v[box] for v in variances], [u[box] for u in usables])

    def skies_without(masks: list[NDArray[np.bool_]]) -> list[Sky]:
        options: dict[str, Any] = {"scale": scale, "zero": zero, "rule": rule}
        return make_skies(near.data, near.usable, associations, variances=near.variance, objects=masks, **options)

    matching = {"scale_sky": scale_sky, "offset_sky": offset_sky}
    if mask_objects:
        limits: dict[str, Any] = {"threshold": threshold, "min_pixels": min_pixels, "grow": grow, "fwhm": fwhm}
        shown = [single_frame_objects(*pair, **limits) for pair in zip(near.data, near.usable, strict=True)]
        skies = skies_without(shown)
        matches = _match_all(near, skies, shown, columns=_SOME_COLUMNS, **matching)
        subtracted = [_difference(*frame) for frame in zip(near.data, skies, matches, strict=True)]
        masks = _all_objects(near._replace(data=subtracted), shifts, wing_sigma, limits)
    else:
        masks = [np.zeros(usable.shape, dtype=bool) for usable in near.usable]
    if model_noise:
        near = near._replace(variance=model_variances(near.variance, near.usable, masks, shared=shared_noise))
    skies = skies_without(masks)
    matches = _match_all(near, skies, masks, **matching)
    slopes = _slopes(near, skies, matches, masks, degree=slope_degree, significance=slope_significance)
    return TwoPass(box, skies, matches, slopes, near.variance, masks)


def _all_objects(
    subtracted: _Planes, shifts: ArrayLike, wing_sigma: float, limits: dict[str, Any]
) -> list[NDArray[np.bool_]]:
    """Objects on the sum of subtracted frames, and those that a frame shows by itself.

    The latter are elsewhere where a frame does not lie at its commanded place.
    """
    frames, variances, usables = subtracted
    deep = deep_object_masks(frames, usables, shifts, variances, wing_sigma=wing_sigma, **limits)
    # Peaks of the noise that are masked in a single frame would bias its skies: only what is beyond doubt counts.
    sure = limits | {"threshold": _BEYOND_DOUBT * limits["threshold"]}
    own = [single_frame_objects(data, usable, **sure) for data, usable in zip(frames, usables, strict=True)]
    return [together | alone for together, alone in zip(deep, own, strict=True)]


def _difference(data: NDArray[np.float32], sky: Sky, match: SkyMatch) -> NDArray[np.float32]:
    rest = np.float32(-match.scale) * sky.data
    rest += data
    rest -= np.float32(match.offset)
    return rest


def _match_all(
    near: _Planes,
    skies: Sequence[Sky],
    masks: Sequence[NDArray[np.bool_]],
    *,
    scale_sky: bool,
    offset_sky: bool,
    columns: int = 1,
) -> list[SkyMatch]:
    """Match each sky to its frame, on one column in so many."""
    matches = []
    for data, usable, sky, mask in zip(near.data, near.usable, skies, masks, strict=True):
        part = np.s_[:, ::columns] if usable[:, ::columns].any() else np.s_[:, :]
        if usable.any():
            options = {"scale_sky": scale_sky, "offset_sky": offset_sky}
            matches.append(match_sky(data[part], sky.data[part], usable[part], objects=mask[part], **options))
        else:
            matches.append(SkyMatch(1.0, 0.0))
    return matches


def _slopes(
    near: _Planes,
    skies: Sequence[Sky],
    matches: Sequence[SkyMatch],
    masks: Sequence[NDArray[np.bool_]],
    *,
    degree: int | None,
    significance: float,
) -> list[NDArray[np.float32] | None]:
    if degree is None:
        return [None] * len(skies)
    return [
        remaining_slope(_difference(data, sky, match), usable & ~mask, degree=degree, significance=significance)
        for data, usable, sky, match, mask in zip(near.data, near.usable, skies, matches, masks, strict=True)
    ]


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
