"""The WCS of a registered sequence, from what all its headers say."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.frames import Frame
from keyhole.imaging.geometry import TangentPlane
from keyhole.imaging.medians import median_image
from keyhole.imaging.orientation import reversal_words
from keyhole.imaging.pointing import Place, axis_signs, common_place
from keyhole.primitives.base import Context
from keyhole.primitives.wcs import (
    detector_offset,
    keyhole_centre,
    matrix_of_angle,
    moved_to,
    plane,
    plane_of,
    pointing_pixel,
    position_angle,
    set_plane,
    with_axes,
)

__all__ = ["Errors", "FrameMap", "mend_axes_by_stars", "place_on_sky", "relative_axes", "tell_single"]

# Degrees; below this a change of the header's position angle is the noise of its recording.
_SAME_ANGLE = 0.05
# Arcsec; headers that follow the telescope differ by its pointing errors.
_AGREEING = 1.5

Float64 = NDArray[np.float64]


class FrameMap(NamedTuple):
    """Position in a frame = ``matrix`` @ position in the first frame + ``shift``, 0-based pixels."""

    matrix: Float64
    shift: Float64


class Errors(NamedTuple):
    """What is expected of the headers: scatter per axis of a pointing, and what all of a night share, arcsec."""

    pointing: float
    absolute: float


def relative_axes(frames: list[Frame], context: Context) -> list[Float64]:
    """Matrix from pixel steps in the first frame to those in each frame, by position angles, ports and cameras.

    The unit matrix where nothing was changed: the matrices of the headers are too noisy to tell a rotation.
    """
    unit = np.eye(2)
    angles = [position_angle(frame) for frame in frames]
    if any(frame.describe("pixel_scale") is None for frame in frames):
        return [unit for _ in frames]
    axes = [matrix_of_angle(frame, context) for frame in frames]
    found = []
    for angle, own in zip(angles, axes, strict=True):
        matrix = np.linalg.inv(own) @ axes[0]
        unknown = angle is None or angles[0] is None
        found.append(unit if unknown or np.abs(matrix - unit).max() < math.radians(_SAME_ANGLE) else matrix)
    return found


def mend_axes_by_stars(
    frames: list[Frame], found: Float64, commanded: Float64, known: list[int], context: Context
) -> None:
    """Reverse the axes of all headers where the stars moved against the offsets. Changes `frames`.

    The offsets are known on the sky, so that stars that move the other way are on a detector that lies the other
    way.
    """
    signs = axis_signs(found[known], commanded[known]) if len(known) > 1 else (1, 1)
    if signs == (1, 1):
        return
    for frame in frames:
        given = plane_of(frame)
        cd = np.array(given.cd) * np.array(signs)
        anchor = pointing_pixel(frame, given, cd, context, limit=max(frame.data.shape) / 4)
        anchor = anchor or keyhole_centre(frame, context)
        set_plane(frame, with_axes(given, cd, *anchor))
    context.caveat(
        f"the stars move against the commanded offsets: the detector is {reversal_words(signs)} "
        "against what the headers tell; the WCS follows the stars"
    )


def place_on_sky(
    frames: list[Frame], maps: list[FrameMap], errors: Errors, context: Context, *, jumped: list[int]
) -> None:
    """Give all frames one WCS: median axes, and the position on which the headers agree. Changes `frames`.

    `jumped` are the frames that lie elsewhere than the telescope was told: their headers are not to blame.
    """
    first = plane_of(frames[0])
    axes = [np.array(plane_of(frame).cd) @ one.matrix for frame, one in zip(frames, maps, strict=True)]
    usual = plane(crval=first.crval, crpix=first.crpix, cd=median_image(axes))
    centre = np.array(keyhole_centre(frames[0], context))
    # Positions from the target are good to some arcsec, those of headers to some tenths.
    rebuilt = [str(frame.header.get("WCSFROM", "")) == "target" for frame in frames]
    chosen = [i for i, poor in enumerate(rebuilt) if not poor] or list(range(len(frames)))
    chosen.sort(key=lambda i: str(frames[i].describe("ut_datetime") or ""))
    place = _common_place([frames[i] for i in chosen], [maps[i] for i in chosen], usual, centre)
    ra, dec = usual.pixel_to_sky(*place.position[:, np.newaxis])
    reference = moved_to(usual, (float(centre[0]), float(centre[1])), (float(ra[0]), float(dec[0])))
    origin = np.array(reference.crpix) - 1
    for frame, one in zip(frames, maps, strict=True):
        x, y = one.matrix @ origin + one.shift + 1
        cd = np.asarray(reference.cd) @ np.linalg.inv(one.matrix)
        set_plane(frame, plane(crval=reference.crval, crpix=(float(x), float(y)), cd=cd))
    others = [frames[chosen[i]] for i in place.outliers if chosen[i] not in jumped]
    _tell_place(frames, others, place, errors, context)


def _common_place(frames: list[Frame], maps: list[FrameMap], usual: TangentPlane, centre: Float64) -> Place:
    """Where the headers put the sky that lies on the middle of the keyhole in the first frame, pixels of that."""
    stated, moves = [], []
    for frame, (matrix, shift) in zip(frames, maps, strict=True):
        x, y = matrix @ centre + shift
        ra, dec = plane_of(frame).pixel_to_sky(np.array([x]), np.array([y]))
        stated.append(np.ravel(usual.sky_to_pixel(ra, dec)))
        moves.append(np.linalg.solve(matrix, np.array([x, y]) - centre))
    offsets = [detector_offset(frame) for frame in frames]
    alike = all(np.array_equal(one.matrix, maps[0].matrix) for one in maps)
    known = alike and not any("NCOMBINE" in frame.primary for frame in frames)
    told = [offset for offset in offsets if offset is not None]
    undithered = None
    if known and len(told) == len(frames):
        undithered = median_image(np.array(moves) - np.array(told))
    scale = float(frames[0].describe("pixel_scale") or 1.0)
    return common_place(np.array(stated), np.array(moves), tolerance=_AGREEING / scale, undithered=undithered)


def _tell_place(frames: list[Frame], others: list[Frame], place: Place, errors: Errors, context: Context) -> None:
    scale = float(frames[0].describe("pixel_scale") or 1.0)
    scatter = place.scatter * scale if math.isfinite(place.scatter) else errors.pointing
    if not any(frame.primary.get("REGMETH", "offsets") != "offsets" for frame in frames):
        # Headers that are compared with themselves agree.
        scatter = max(scatter, errors.pointing)
    random = scatter * math.sqrt(2 / place.number) if place.evidence != "none" else scatter * math.sqrt(2)
    known = [float(frame.header["WCSERR"]) for frame in frames if "WCSERR" in frame.header]
    shared = float(np.median(known)) if len(known) == len(frames) else errors.absolute
    total = math.hypot(random, shared)
    headers = f"{place.number} headers" if place.number > 1 else "one header"
    words = {
        "most": f"the WCS of {len(others)} headers disagrees with that of the others, which is taken",
        "first": "the WCS of the headers does not follow the offsets; that of the first frame is taken for all",
        "undithered": "the WCS of the headers does not follow the offsets; the position is that of a frame without",
        "none": f"the WCS of the headers disagree by {scatter:.1f} arcsec; their median is taken",
    }
    if place.evidence in words and (others or place.evidence != "most"):
        context.caveat(words[place.evidence], others or None)
    context.note(f"position from {headers}, which scatter by {scatter:.2f} arcsec; expected error {total:.1f} arcsec")
    for frame in frames:
        frame.header["WCSERR"] = (round(total, 3), "Expected error of the absolute position (arcsec)")
        frame.header["WCSSCAT"] = (round(scatter, 3), "Scatter of the headers' positions per axis (arcsec)")
        frame.header["WCSNHDR"] = (place.number, "Headers that the position rests on")


def tell_single(frame: Frame, errors: Errors) -> None:
    """Write the expected error of a frame that stands alone into its header."""
    if "WCSERR" not in frame.header and "CRVAL1" in frame.header:
        total = math.hypot(errors.absolute, errors.pointing * math.sqrt(2))
        frame.header["WCSERR"] = (round(total, 3), "Expected error of the absolute position (arcsec)")
        frame.header["WCSNHDR"] = (1, "Headers that the position rests on")
