"""Registration: where each frame lies, from its sources, its light or its header."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.frames import Frame
from keyhole.imaging.diffuse import register_on_light
from keyhole.imaging.match import SourceList
from keyhole.imaging.medians import median, median_image
from keyhole.imaging.registration import Account, Confirmed, accounts, register_by_accounts
from keyhole.primitives.astrometry import (
    Errors,
    FrameMap,
    mend_axes_by_stars,
    place_on_sky,
    relative_axes,
    tell_single,
)
from keyhole.primitives.base import Arcsec, Context, Params, Positive, primitive
from keyhole.primitives.figures import tell_registration
from keyhole.primitives.source_list import source_list
from keyhole.primitives.wcs import commanded_shifts, keyhole_centre, knows_offsets, plane_of, stated_shifts

__all__ = ["AdjustParams", "adjust_wcs"]

# Pixels; the centre of a star that is cut may be so far from where its light is, and is good enough if so near.
_CUT_REACH, _CUT_NEAR = 4.0, 0.3
# Pointing errors, in units of the usual one, that light alone is believed.
_PLAUSIBLE = 5.0
# Frames that show how large the pointing errors are.
_ENOUGH = 5
# A pointing error is named beyond so many times the usual one, and beyond so many arcsec.
_OUTLYING, _NOTEWORTHY = 6.0, 1.0
_SHORT_CAMERA = 0.15

Method = Literal["sources", "light", "offsets"]
Float64 = NDArray[np.float64]


class AdjustParams(Params):
    """Parameters of adjustWCSToReference."""

    suffix: str | None = Field("_wcsCorrected", description="Ending of the output name")
    method: Literal["sources", "offsets"] = Field("sources", description="Align on sources or header offsets")
    fallback: Literal["offsets"] | None = Field(
        "offsets", description="What to use where alignment on sources is impossible"
    )
    first_pass: Arcsec = Field(2.0, gt=0, description="Half-width (arcsec) of the search round the commanded offset")
    jump: Arcsec = Field(8.0, gt=0, description="Half-width (arcsec) of the search for frames not found by the first")
    match_radius: Arcsec = Field(0.5, gt=0, description="Radius (arcsec) for pairing sources")
    min_sources: Positive = Field(1, description="Fewest paired sources for a solution to be accepted")
    cull_sources: bool = Field(False, description="Use only sources that look like stars")
    rotate: bool = Field(True, description="Fit a rotation too where three sources or more prove it (F-test)")
    light: bool = Field(True, description="Correlate the light of frames that whole sources do not place")
    doubt_offsets: bool = Field(
        True, description="Where sources contradict the commanded offsets, try the WCS and reversed offsets"
    )
    pointing_error: Arcsec = Field(0.15, description="Usual error (arcsec, each axis) of a commanded offset")
    absolute_error: Arcsec = Field(
        0.4, description="Error (arcsec) that all headers of a night share: pointing model and flexure"
    )
    scale: bool = Field(False, description="Accepted for compatibility; the scale is the camera's")
    debug_ignore_wcs: bool = Field(False, description="Accepted for compatibility")


class _Frames(NamedTuple):
    """Registered frames: maps from the first frame, and how each was found.

    ``shifts`` and ``expected`` are in the axes of the first frame, pixels, up to a common shift.
    """

    maps: list[FrameMap]
    method: list[Method]
    matched: list[int]
    rms: list[float | None]
    shifts: Float64
    expected: Float64
    reference: int


@primitive("adjustWCSToReference", AdjustParams, scope="list", stamp="CORRWCS", windowed=True)
def adjust_wcs(frames: list[Frame], params: AdjustParams, context: Context) -> list[Frame]:
    """Bring the WCS of all frames together by their sources, at the place on which the headers agree."""
    errors = Errors(params.pointing_error, params.absolute_error)
    if len(frames) < 2:
        for frame in frames:
            tell_single(frame, errors)
        return frames
    scale = float(frames[0].describe("pixel_scale") or 1.0)
    commanded = commanded_shifts(frames, context)
    if params.method == "sources":
        found = _register(frames, commanded, scale, params, context)
        jumped = _tell(frames, found, scale, params, context)
        placed = [i for i, method in enumerate(found.method) if method != "offsets"]
        if params.doubt_offsets:
            mend_axes_by_stars(frames, found.shifts, found.expected, placed, context)
        maps = found.maps
    else:
        jumped = []
        context.note("aligned by the commanded offsets, as asked")
        centre = np.array(keyhole_centre(frames[0], context))
        axes = relative_axes(frames, context)
        maps = [FrameMap(m, centre + shift - m @ centre) for m, shift in zip(axes, commanded, strict=True)]
    place_on_sky(frames, maps, errors, context, jumped=jumped)
    for frame in frames:
        _update_world(frame)
    return frames


def _register(frames: list[Frame], commanded: Float64, scale: float, params: AdjustParams, context: Context) -> _Frames:
    """Register in the axes of the first frame, so that the shifts of turned frames are shifts."""
    axes = relative_axes(frames, context)
    centre = np.array(keyhole_centre(frames[0], context))
    lists, expected = [], []
    for frame, matrix, shift in zip(frames, axes, commanded, strict=True):
        sources = source_list(frame, stars_only=params.cull_sources)
        places = np.linalg.solve(matrix, sources[:, :2].T)
        lists.append(SourceList(*places, *sources[:, 2:4].T))
        expected.append(np.linalg.solve(matrix, centre + shift) - centre)
    turned = any(not np.array_equal(matrix, np.eye(2)) for matrix in axes)
    radius = params.first_pass / scale
    possible = [Account("the headers", np.array(expected))]
    if params.doubt_offsets and not turned:
        possible = accounts(commanded, stated_shifts(frames, context), tolerance=radius)
    reference = _best(frames, lists)
    confirmed = register_by_accounts(
        lists,
        possible,
        reference=reference,
        search_radius=radius,
        match_radius=params.match_radius / scale,
        min_sources=params.min_sources,
        rotate=params.rotate or turned,
        jump_radius=max(params.jump, params.first_pass) / scale,
    )
    if confirmed.rank:
        context.caveat(f"the sources contradict the commanded offsets and confirm {confirmed.account.words}")
    if not all(map(knows_offsets, frames)) and not turned:
        context.note("the headers do not tell the offsets P and Q; those of the telescope or the WCS are used")
    found = _from_first(confirmed, axes, np.array(expected))
    return _on_light(frames, lists, found, params, scale) if params.light and not turned else found


def _best(frames: list[Frame], lists: list[SourceList]) -> int:
    """The frame with most whole sources; among equals the one with the best seeing."""

    def merit(i: int) -> tuple[int, float]:
        whole = np.count_nonzero(np.isnan(np.asarray(lists[i].error)))
        return int(whole), -float(frames[i].primary.get("MEANFWHM", np.inf))

    return max(range(len(frames)), key=merit)


def _from_first(confirmed: Confirmed, axes: list[Float64], expected: Float64) -> _Frames:
    """The same with the first frame as origin: the output grid is its own, whatever the reference was."""
    registration = confirmed.registration
    first = registration.frames[0]
    back = np.linalg.inv(first.matrix)
    maps = []
    for frame, own in zip(registration.frames, axes, strict=True):
        matrix = np.eye(2) if frame is first else frame.matrix @ back
        shift = np.array([frame.dx, frame.dy]) - matrix @ [first.dx, first.dy]
        maps.append(FrameMap(own @ matrix, own @ shift))
    return _Frames(
        maps=maps,
        method=[frame.method for frame in registration.frames],
        matched=[frame.n_matched for frame in registration.frames],
        rms=[frame.rms for frame in registration.frames],
        shifts=registration.shifts,
        expected=expected,
        reference=registration.reference,
    )


def _on_light(
    frames: list[Frame], lists: list[SourceList], found: _Frames, params: AdjustParams, scale: float
) -> _Frames:
    """Register frames without whole sources on all their light."""
    whole = [bool(np.isnan(np.asarray(sources.error)).any()) for sources in lists]
    known = [i for i, method in enumerate(found.method) if method == "sources" and whole[i]]
    wanted = [i for i in range(len(frames)) if i not in known]
    if not wanted:
        return found
    # Nothing but the offsets tells where light that all frames show belongs.
    reach = params.first_pass if known else min(params.first_pass, _PLAUSIBLE * params.pointing_error)
    seen = register_on_light(
        [frame.data for frame in frames],
        [frame.mask for frame in frames],
        found.shifts,
        wanted=wanted,
        known=known,
        search_radius=reach / scale,
        binning=max(1, round(_SHORT_CAMERA / scale)),
    )
    shifts, method, maps = found.shifts.copy(), list(found.method), list(found.maps)
    for i, light in seen.items():
        place = np.array([light.dx, light.dy])
        if method[i] == "offsets" or _CUT_NEAR < np.hypot(*(place - shifts[i])) <= _CUT_REACH:
            shifts[i], method[i] = place, "light"
    for i in range(len(frames)):
        if method[i] == "light" or method[0] == "light":
            maps[i] = FrameMap(maps[i].matrix, shifts[i] - maps[i].matrix @ shifts[0])
    return found._replace(maps=maps, method=method, shifts=shifts)


def _tell(frames: list[Frame], found: _Frames, scale: float, params: AdjustParams, context: Context) -> list[int]:
    """Tell how well the frames were registered; returns those that lie far from their commanded place."""
    for frame, method, number, rms in zip(frames, found.method, found.matched, found.rms, strict=True):
        frame.primary["REGMETH"] = (method, "How the frame was registered")
        frame.primary["REGNSRC"] = (number, "Sources that agree with it")
        if method == "sources" and rms is not None:
            frame.primary["REGRMS"] = (round(rms, 4), "Scatter of these sources per axis (pixel)")
        frame.primary["REGREF"] = (frames[found.reference].root, "Best frame of the sequence")
    quality = list(zip(found.method, found.matched, found.rms, strict=True))
    tell_registration(frames, found.shifts, found.expected, quality, context, scale=scale)
    errors = (found.shifts - found.expected) * scale
    placed = [i for i, method in enumerate(found.method) if method != "offsets"]
    size = np.hypot(*(errors - median_image(errors[placed or range(len(frames))])).T)
    usual = median(size[placed]) if len(placed) >= _ENOUGH else params.pointing_error * np.sqrt(2)
    lost = [frame for frame, method in zip(frames, found.method, strict=True) if method == "offsets"]
    if lost:
        context.caveat(
            "too few sources to align by; the commanded offset is used, "
            f"wrong by about {usual:.2f} arcsec ({usual / scale:.1f} pixel)",
            lost,
        )
    jumped = [i for i in placed if size[i] > max(_OUTLYING * usual, _NOTEWORTHY)]
    for i in jumped:
        context.caveat(f"{frames[i].root} lies {size[i]:.1f} arcsec from its commanded place")
    if placed:
        _tell_scatter(frames, found, float(size[placed].max()), context)
    return jumped


def _tell_scatter(frames: list[Frame], found: _Frames, largest: float, context: Context) -> None:
    on_sources = [i for i, method in enumerate(found.method) if method == "sources"]
    scatter = [rms for i in on_sources if (rms := found.rms[i]) is not None]
    rms = float(np.sqrt(np.mean(np.square(scatter)))) if scatter else 0.0
    if on_sources:
        context.note(
            f"{len(on_sources)} of {len(frames)} frames aligned on sources, scatter {rms:.3f} pixel; "
            f"pointing errors up to {largest:.2f} arcsec; best frame {frames[found.reference].root}"
        )
    on_light = [frame for frame, method in zip(frames, found.method, strict=True) if method == "light"]
    if on_light:
        context.caveat("no whole sources to align by; aligned on all light, to about a tenth of a pixel", on_light)
    turned = [np.degrees(np.arctan2(one.matrix[1, 0], one.matrix[0, 0])) for one in found.maps]
    turned = [angle for angle in turned if angle != 0]
    if turned:
        context.note(f"{len(turned)} frames are rotated, up to {max(map(abs, turned)):.3f} degree")


def _update_world(frame: Frame) -> None:
    table = frame.tables.get("OBJCAT")
    if table is None:
        return
    x = np.asarray(table.columns["X_IMAGE"], dtype=np.float64) - 1
    y = np.asarray(table.columns["Y_IMAGE"], dtype=np.float64) - 1
    table.columns["X_WORLD"], table.columns["Y_WORLD"] = plane_of(frame).pixel_to_sky(x, y)
