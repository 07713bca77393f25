"""Judging the WCS of raw frames without changing them."""

from __future__ import annotations

from pydantic import Field

from keyhole.frames import Frame
from keyhole.primitives.base import Arcsec, Context, Params, primitive
from keyhole.primitives.wcs import WCS_KEYS, mend_axes, move_wcs, pointing_error

__all__ = ["CheckWCSParams", "check_wcs"]


class CheckWCSParams(Params):
    """Parameters of checkWCS."""

    debug_consistency_limit: Arcsec = Field(
        30.0, ge=2, description="Largest accepted distance (arcsec) of the WCS from target plus offset"
    )


@primitive("checkWCS", CheckWCSParams, scope="list", bookkeeping=True)
def check_wcs(frames: list[Frame], params: CheckWCSParams, context: Context) -> list[Frame]:
    """Compare the WCS of each raw frame with target, offsets and pixel scale; nothing is changed or written."""
    limit = params.debug_consistency_limit
    errors: list[float] = []
    for frame in frames:
        if "PREPARED" in frame.tags or not frame.tags & {"IMAGE"}:
            context.caveat(f"{frame.name} is no raw image; its WCS is not checked")
            continue
        words, error = _judge(frame, limit, context)
        if words:
            context.caveat(f"{frame.name}: {words}; prepare mends it")
        elif error is not None:
            errors.append(error)
    if errors:
        context.note(f"the WCS of {len(errors)} frames agrees with target and offsets within {max(errors):.1f} arcsec")
    return frames


def _judge(frame: Frame, limit: float, context: Context) -> tuple[str, float | None]:
    """What is wrong with a WCS in words, else its distance from where it should be, in arcsec."""
    probe = frame.copy()
    move_wcs(probe)
    if any(key not in probe.header for key in WCS_KEYS):
        return "there is no complete WCS", None
    useless, mended = mend_axes(probe, context)
    if useless:
        return useless, None
    for text in mended:
        context.note(text)
    error = pointing_error(probe, context)
    if error is None:
        return "the header knows no target", None
    return (f"it is {error:.0f} arcsec off", None) if error > limit else ("", error)
