"""Small pictures of frames, and figures as plain values: what events carry to reports."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keyhole.errors import AlgorithmError, DataError
from keyhole.frames import Frame

__all__ = ["draw", "plain", "stated"]

_WCS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
# Pixels of the picture of a master, which shows patterns and needs no single pixel.
_OF_A_MASTER = 90_000
# Sigma about the median that the picture of a master shows.
_REACH = 4.0


def draw(frame: Frame) -> tuple[bytes, dict[str, Any]] | None:
    """A picture of the lit area of a frame and how to read it; None where no pixel is usable.

    The facts are described in docs/night.md.
    """
    # Needed only where a report is wanted.
    from keyhole.imaging import bits
    from keyhole.imaging.preview import make_preview

    usable = np.ones(frame.data.shape, bool) if frame.mask is None else bits.usable(frame.mask)
    usable &= np.isfinite(frame.data)
    master = bool(frame.tags & {"DARK", "FLAT", "BPM"})
    try:
        if master:
            drawn = make_preview(frame.data, usable, linear=_REACH, most_pixels=_OF_A_MASTER)
        else:
            drawn = make_preview(frame.data, usable)
    except AlgorithmError:
        return None
    (height, width), (y0, x0) = (frame.data.shape, (0, 0)) if frame.window is None else frame.window
    facts = {
        "width": drawn.width,
        "height": drawn.height,
        "x0": x0 + drawn.x0,
        "y0": y0 + drawn.y0,
        "binning": drawn.binning,
        "image_width": width,
        "image_height": height,
        "sky": plain(drawn.sky),
        "noise": plain(drawn.sigma),
        "black": plain(drawn.low),
        "white": plain(drawn.high),
        "stretch": "linear" if master else "asinh",
        # A normalised flat keeps the card of the light it was made of.
        "unit": None if "NORMLIZE" in frame.primary else str(frame.header.get("BUNIT", "")) or None,
        "pixel_scale": plain(stated(frame, "pixel_scale")),
        "object": str(frame.primary.get("OBJECT", "")),
        "filter": _text(stated(frame, "filter_name", pretty=True)),
        "wcs": None if master else _wcs(frame),
        "first_frame": _place_of_first(frame),
    }
    return drawn.png, facts


def stated(frame: Frame, name: str, **options: Any) -> Any:
    """What a descriptor answers; None where cards are missing, as a figure must never stop a run."""
    try:
        return frame.describe(name, **options)
    except DataError:
        return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _wcs(frame: Frame) -> dict[str, float] | None:
    """The cards of the tangent plane, of the whole image; None if one is missing or no number."""
    found = {key: plain(frame.header.get(key)) for key in _WCS}
    return found if all(isinstance(value, (int, float)) for value in found.values()) else None


def _place_of_first(frame: Frame) -> list[float] | None:
    """0-based pixel of a stack that holds the lower left pixel of its first frame."""
    corner = [plain(frame.header.get(f"AREA1_{axis}")) for axis in (1, 2)]
    return [float(value) - 1 for value in corner] if all(isinstance(v, (int, float)) for v in corner) else None


def plain(value: Any) -> Any:
    """A value as JSON knows it: numbers of Python, lists, None in place of what is not finite."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
