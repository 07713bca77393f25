"""What the lamp gets wrong: its illumination, corrected by that of the sky."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.illumination import Illumination, fit_illumination
from keyhole.imaging.medians import distinct
from keyhole.imaging.objects import single_frame_objects
from keyhole.primitives.base import Context, Params, Positive, primitive
from keyhole.primitives.light import has_light

__all__ = ["IlluminationParams", "illumination_correct"]

_FEW = 3
"""Fewer frames cannot tell a pattern of the lamp from a slope of one sky."""
_MANY = 5
"""Frames whose median is free of stars; in fewer the stars are looked for."""
_WIDE_SEEING = 0.9  # arcsec: too wide is the safe side


class IlluminationParams(Params):
    """Parameters of illuminationCorrect."""

    suffix: str | None = Field("_illuminationCorrected", description="Ending of the output name")
    degree_x: int = Field(3, ge=0, le=6, description="Degree of the illumination in x")
    degree_y: int = Field(2, ge=0, le=6, description="Degree of the illumination in y")
    min_significance: float = Field(5.0, ge=0, description="Significance from which on it is corrected")
    min_frames: int = Field(1, ge=1, description="Fewer frames leave the flat as it is")
    max_frames: Positive = Field(60, description="Of more frames it is learnt from so many, evenly over the sequence")


@primitive("illuminationCorrect", IlluminationParams, scope="list", stamp="ILLUMCOR", windowed=True)
def illumination_correct(frames: list[Frame], params: IlluminationParams, context: Context) -> list[Frame]:
    """Divide by the large-scale illumination of the sky, where the lamp flat differs from it."""
    if not any("FLATCORR" in frame.primary and frame.mask is not None for frame in frames):
        return frames
    lit = [frame for frame, light in zip(frames, has_light(frames), strict=True) if light]
    if len(lit) < params.min_frames:
        context.caveat(
            f"illumination unchecked with {len(lit)} frame{'s' * (len(lit) != 1)}; fluxes may be some per cent off"
        )
        return frames
    lit = [lit[k] for k in distinct(np.linspace(0, len(lit) - 1, min(len(lit), params.max_frames)).round().astype(int))]
    usables = [bits.usable(f.mask) if f.mask is not None else np.ones(f.data.shape, bool) for f in lit]
    fit = _fit(lit, usables, params)
    percent = 100 * fit.amplitude
    if fit.significance < params.min_significance:
        context.note(f"lamp and sky illumination agree within {percent:.1f} %; nothing to correct")
        return frames
    factor = np.reciprocal(fit.model)
    square = np.square(factor)
    for frame in frames:
        frame.data = frame.data * factor
        if frame.variance is not None:
            frame.variance = frame.variance * square
        context.settle(frame, len(frames))
        frame.header["ILLUMAMP"] = (round(fit.amplitude, 5), "Half range of the illumination divided by")
    context.note(f"illumination of the sky differs from the lamp's by +-{percent:.1f} %; corrected")
    if len(lit) < _FEW:
        context.caveat(
            f"illumination taken from {len(lit)} frame{'s' * (len(lit) != 1)}: a slope of the sky itself counts as one"
        )
    return frames


def _fit(frames: list[Frame], usables: list[NDArray[np.bool_]], params: IlluminationParams) -> Illumination:
    """The illumination that frames show; where they are too few to tell stars by their medians, without their stars."""
    planes = [frame.data for frame in frames]
    fit = partial(fit_illumination, planes, usables, degree_x=params.degree_x, degree_y=params.degree_y)
    if len(frames) >= _MANY:
        return fit()
    # Next to the end of the keyhole a steep pattern would pass for a star.
    model = fit().model
    return fit(objects=_stars(frames, [plane / model for plane in planes], usables))


def _stars(
    frames: list[Frame], planes: list[NDArray[np.float32]], usables: list[NDArray[np.bool_]]
) -> list[NDArray[np.bool_]]:
    """Pixels that show a star in each frame, one by one: in bins the level of the sky and the stars would mix."""
    masks = []
    for frame, plane, usable in zip(frames, planes, usables, strict=True):
        fwhm = _WIDE_SEEING / float(frame.describe("pixel_scale") or _WIDE_SEEING)
        masks.append(single_frame_objects(plane, usable, grow=fwhm, fwhm=max(fwhm, 1.0), bins=False))
    return masks
