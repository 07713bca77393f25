"""The keyhole of a frame: from the facts about its camera to the arguments of the drawing."""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
from numpy.typing import NDArray

from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.keyhole import KeyholeShape, draw_keyhole, lit_area, locate_keyhole
from keyhole.instruments import ExpectedKeyhole
from keyhole.primitives.base import Context

__all__ = ["expected_keyhole", "has_wings", "place_keyhole"]


def has_wings(frame: Frame) -> bool:
    """Whether the bar is lit out to its ends (all filters but the photometric ones)."""
    return "PHOT" not in str(frame.describe("filter_name", pretty=True))


def expected_keyhole(frame: Frame, context: Context) -> ExpectedKeyhole | None:
    """Where the keyhole of this camera and filter usually lies; None for a camera without a known shape."""
    camera = frame.describe("camera")
    return context.instrument(frame).keyhole_expected(str(camera), has_wings(frame))


def place_keyhole(
    frame: Frame, context: Context, *, xshift: int = 0, yshift: int = 0, margin: float = 0.0
) -> NDArray[np.bool_] | None:
    """Draw the keyhole where the light of this frame shows it.

    Parameters
    ----------
    xshift, yshift : int
        Shift by the user, pixels, after placement.
    margin : float
        Pixels along the soft edge that count as not lit.

    Returns
    -------
    (ny, nx) bool ndarray or None
        True where lit; for a camera whose keyhole is not known by the light alone, or None where that does not
        show it (a caveat is raised).
    """
    expected = expected_keyhole(frame, context)
    camera = str(frame.describe("camera"))
    if frame.mask is None:
        usable = np.ones(frame.data.shape, bool)
    else:
        usable = (frame.mask & bits.MASK_DTYPE(bits.UNUSABLE & ~bits.UNILLUMINATED)) == 0
    if expected is None:
        lit = lit_area(frame.data, usable & np.isfinite(frame.data), margin=margin)
        way = "no mask is drawn" if lit is None else "what is lit is taken from the light itself"
        context.caveat(f"no keyhole is known for camera {camera} with this filter; {way}", [frame])
        return None if lit is None else np.roll(lit, (yshift, xshift), axis=(0, 1))
    scale = float(frame.describe("pixel_scale"))
    wings, red = has_wings(frame), "Red" in camera
    numbers = asdict(context.instrument(frame).keyhole)
    shape = KeyholeShape(**{field.name: numbers[field.name] for field in fields(KeyholeShape)})
    centroid = expected.centroid
    if not usable.any():
        context.caveat("the keyhole is drawn at its usual place: no pixel is usable", [frame])
    else:
        placement = locate_keyhole(
            frame.data,
            usable,
            read_noise=None,
            expected_pixels=expected.expected_pixels,
            default_centroid=expected.centroid,
            geometry=shape,
            pixel_scale=scale,
            wings=wings,
            red=red,
        )
        centroid = placement.centroid
        if placement.trusted:
            context.note(f"keyhole {placement.dx:+.1f}, {placement.dy:+.1f} pixels from its usual place")
        else:
            context.caveat(f"the keyhole is drawn at its usual place: {placement.reason}", [frame])
    return draw_keyhole(
        frame.data.shape,
        geometry=shape,
        pixel_scale=scale,
        centroid=centroid,
        wings=wings,
        red=red,
        xshift=xshift,
        yshift=yshift,
        margin=margin,
    )
