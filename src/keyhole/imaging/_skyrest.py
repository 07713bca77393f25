"""A frame less its sky: the factor on the sky, the slope that is left, and the difference, in two passes over them.

What is left by the factor that a sample of the pixels tells gives both the rest of the factor and the slope.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._masked import zero_except
from keyhole.imaging._rows import row_blocks
from keyhole.imaging._skymatch import Beginning, SkyMatch, match_sky
from keyhole.imaging._slope import CLIP, Field, Sums, fitted, remaining_slope, significant
from keyhole.imaging.levels import level_from_sums, level_limits

__all__ = ["Rest", "difference", "rest_of"]

_BLOCK: Final = 1 << 14

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class Rest(NamedTuple):
    """A frame less its matched sky and its slope, the match, and the slope if it was significant."""

    data: Float32
    match: SkyMatch
    slope: Float32 | None


def difference(data: Float32, sky: Float32, match: SkyMatch, slope: Float32 | None = None) -> Float32:
    """Frame minus its matched sky, and minus a slope; planes (ny, nx)."""
    rest = np.empty_like(data)
    for rows in row_blocks(data.shape, _BLOCK):
        np.multiply(sky[rows], np.float32(-match.scale), out=rest[rows])
        rest[rows] += data[rows]
        if match.offset:
            rest[rows] -= np.float32(match.offset)
        if slope is not None:
            rest[rows] -= slope[rows]
    return rest


def rest_of(
    data: Float32,
    sky: Float32,
    usable: Bool,
    objects: Bool,
    *,
    scale_sky: bool = True,
    offset_sky: bool = False,
    slope_degree: int | None = 1,
    slope_significance: float = 1.0,
) -> Rest:
    """Match a sky to its frame and subtract it and the slope that is left.

    Equal to `match_sky`, then `difference`, then `remaining_slope`, but for what is lost in the noise of both.

    Parameters
    ----------
    data, sky : float32 arrays (ny, nx)
    usable, objects : bool arrays (ny, nx)
        True on usable pixels, and on objects.
    scale_sky, offset_sky
        See `match_sky`.
    slope_degree, slope_significance
        See `keyhole.imaging.twopass.two_pass_skies`.
    """
    quiet = usable & ~objects
    begun = Beginning.of(data, sky, quiet, masked=True) if scale_sky and slope_degree is not None else None
    if begun is not None and begun.is_sampled and slope_degree is not None:
        found = _in_one(data, sky, begun, Field.of(quiet, slope_degree), slope_significance)
        if found is not None:
            return Rest(difference(data, sky, *found), *found)
    match = SkyMatch(1.0, 0.0)
    if usable.any():
        match = match_sky(data, sky, usable, objects=objects, scale_sky=scale_sky, offset_sky=offset_sky)
    rest, slope = difference(data, sky, match), None
    if slope_degree is not None:
        slope = remaining_slope(rest, quiet, degree=slope_degree, significance=slope_significance)
        if slope is not None:
            rest -= slope
    return Rest(rest, match, slope)


def _in_one(
    data: Float32, sky: Float32, begun: Beginning, field: Field | None, significance: float
) -> tuple[SkyMatch, Float32 | None] | None:
    """Match and slope from the same sums; None if one look at all pixels does not tell both."""
    if field is None:
        return None
    slopes, (number, total, squares) = _sums(data[field.box], sky[field.box], begun, field)
    surface, fits_once = fitted(slopes, begun.sigma)
    if surface is None or not number:
        return None
    matched, is_last = begun.after(*level_from_sums(number, total, squares, masked=begun.masked))
    if not (fits_once and is_last):
        return None
    return SkyMatch(matched.factor, 0.0), significant(surface, slopes, begun.sigma, significance, field)


def _sums(data: Float32, sky: Float32, begun: Beginning, field: Field) -> tuple[Sums, tuple[int, float, float]]:
    """Sums for the slope, and number, sum and sum of squares for the level, of what a factor leaves."""
    sums, number, total, squares = Sums(field.along), 0, 0.0, 0.0
    below, above = level_limits(masked=begun.masked)
    reach, low, high = (np.float32(limit * begun.sigma) for limit in (CLIP, -below, above))
    for rows in row_blocks(data.shape, _BLOCK):
        rest = sky[rows] * np.float32(-begun.factor)
        rest += data[rows]
        used = np.abs(rest) <= reach
        used &= field.quiet[rows]
        sums.add(rows, zero_except(rest, used), used.astype(np.float32))
        # What the level is without: few of all.
        line = rest.ravel()
        outside = line > high
        if below < CLIP:
            outside |= line < low
        beyond = line[np.flatnonzero(outside)]
        number += int(np.count_nonzero(used)) - beyond.size
        total += float(line.sum()) - float(beyond.sum())
        squares += float(np.vdot(line, line)) - float(np.vdot(beyond, beyond))
    return sums, (number, total, squares)
