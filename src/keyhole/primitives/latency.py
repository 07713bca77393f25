"""Afterglow: pixels that were bright shortly before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.persistence import BrightPixels, afterglow, bright_pixels
from keyhole.primitives.base import Context, Params, Seconds, primitive

__all__ = ["LatencyParams", "add_latency"]


class LatencyParams(Params):
    """Parameters of addLatencyToDQ."""

    suffix: str | None = Field("_latencyAdded", description="Ending of the output name")
    time: Seconds = Field(120.0, description="Seconds for which a bright pixel stays flagged in later frames")
    non_linear: bool = Field(
        True, description="Treat non-linear pixels like saturated ones; False = saturated alone, as published"
    )
    fluence: float | None = Field(
        0.35,
        gt=0,
        description="Part of the way from the sky to the saturation level above which a pixel glows later; None = by "
        "its flags alone, as published",
    )
    outshone: float | None = Field(
        0.1,
        gt=0,
        description="A pixel that now holds more than this part of the earlier light is not flagged, as the glow "
        "is lost in it; None = flagged all the same, as published",
    )


class _Time(NamedTuple):
    start: datetime
    end: datetime


@primitive("addLatencyToDQ", LatencyParams, scope="list", stamp="ADDLAT", windowed=True)
def add_latency(frames: list[Frame], params: LatencyParams, context: Context) -> list[Frame]:
    """Flag (8) the pixels that were bright in a frame of the sequence that ended shortly before."""
    times = [_time(frame) for frame in frames]
    bright = []
    for frame in frames:
        bright.append(_bright(frame, params))
        context.settle(frame, len(frames))
    flagged, touched = 0, 0
    for frame, time in zip(frames, times, strict=True):
        if frame.mask is None or time is None:
            continue
        earlier = [
            pixels
            for pixels, other in zip(bright, times, strict=True)
            if other is not None and 0 <= (time.start - other.end).total_seconds() < params.time
        ]
        glow = afterglow(frame.data, frame.mask, earlier, outshone=params.outshone)
        context.settle(frame, len(frames))
        if glow.size:
            mask = frame.mask.copy()
            mask.reshape(-1)[glow] |= bits.MASK_DTYPE(bits.COSMIC_RAY)
            frame.mask = mask
            context.settle(frame, len(frames))
            flagged, touched = flagged + glow.size, touched + 1
    if flagged:
        context.note(f"{flagged} pixels in {touched} frames were bright less than {params.time:g} s before; flagged")
    return frames


def _time(frame: Frame) -> _Time | None:
    start = frame.describe("ut_datetime")
    exposure = frame.describe("exposure_time")
    if start is None or exposure is None:
        return None
    return _Time(start, start + timedelta(seconds=float(exposure)))


def _bright(frame: Frame, params: LatencyParams) -> BrightPixels:
    return bright_pixels(
        frame.data,
        frame.mask,
        saturation=float(frame.describe("saturation_level")),
        fluence=params.fluence,
        flags=bits.SATURATED | (bits.NONLINEAR if params.non_linear else 0),
    )
