"""From the light of the lamp to a flat that can be divided by."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.flat import normalise, threshold_flat
from keyhole.imaging.medians import median
from keyhole.primitives.bad_pixels import flats_in_words, name_learnt, write_history
from keyhole.primitives.base import Context, Params, Response, primitive
from keyhole.primitives.figures import tell_master

__all__ = ["NormalizeFlatParams", "ThresholdFlatParams", "normalize_flat", "threshold_flatfield"]


class NormalizeFlatParams(Params):
    """Parameters of normalizeFlat."""

    suffix: str | None = Field("_normalized", description="Ending of the output name")
    scale: Literal["median", "mean"] = Field("median", description="What becomes 1: median or mean of the lit pixels")
    separate_ext: bool = Field(False, description="Accepted for compatibility; there is a single extension")


class ThresholdFlatParams(Params):
    """Parameters of thresholdFlatfield."""

    suffix: str | None = Field("_thresholdFlatfielded", description="Ending of the output name")
    upper: float = Field(10.0, ge=1, description="Values above are unlit, not flat")
    lower: float = Field(0.01, lt=1, description="Values below are unlit, not flat")
    weak: Response = Field(0.5, description="A lit pixel with less response is bad")
    tolerance: Response = Field(
        0.2, description="A lit pixel that differs from its neighbours by a larger part (and by 5 sigma) is bad"
    )


@primitive("normalizeFlat", NormalizeFlatParams, scope="frame", stamp="NORMLIZE")
def normalize_flat(frames: list[Frame], params: NormalizeFlatParams, context: Context) -> list[Frame]:
    """Divide by the level of the lit pixels, so that the flat is 1 in the keyhole."""
    for frame in frames:
        variance = frame.variance if frame.variance is not None else np.zeros_like(frame.data)
        mask = frame.mask if frame.mask is not None else np.zeros(frame.data.shape, np.uint16)
        flat = normalise(frame.data, variance, mask, scale=params.scale)
        frame.data = flat.data
        frame.variance = None if frame.variance is None else flat.variance
        frame.header["FLATLEV"] = (round(flat.level, 3), "Level that became 1 (electron)")
        context.note(f"level {flat.level:.0f} e-")
    return frames


@primitive("thresholdFlatfield", ThresholdFlatParams, scope="frame", stamp="TRHFLAT")
def threshold_flatfield(frames: list[Frame], params: ThresholdFlatParams, context: Context) -> list[Frame]:
    """Flag what cannot be divided by, and set it to 1 so that nothing is amplified."""
    for frame in frames:
        mask = frame.mask if frame.mask is not None else np.zeros(frame.data.shape, np.uint16)
        flat = threshold_flat(
            frame.data, mask, lower=params.lower, upper=params.upper, weak=params.weak, tolerance=params.tolerance
        )
        frame.data, frame.mask = flat.data, flat.mask
        _level_good_pixels(frame)
        _tell_dead_pixels(frame, flat.dead)
        context.note(f"{flat.dead} dead or weak pixels in the keyhole flagged")
        lamps = {"lamp_level": frame.header.get("FLATLEV"), "lamp_off_frames": frame.primary.get("NLAMPOFF")}
        tell_master(frame, context, **lamps, dead_pixels=flat.dead)
    return frames


def _tell_dead_pixels(frame: Frame, count: int) -> None:
    origin = flats_in_words(frame)
    frame.primary["NDEADPIX"] = (count, "Dead or weak pixels learnt from the flats")
    if count:
        name_learnt(frame, origin)
    write_history(frame, f"{count} dead or weak, learnt from {origin}, in DQ bit 1.")


def _level_good_pixels(frame: Frame) -> None:
    """Make the median of the pixels that passed exactly 1; the dim rim had its share in the first level."""
    if frame.mask is None:
        return
    good = np.asarray(frame.mask == 0)
    if not good.any():
        return
    level = np.float32(median(frame.data[good]))
    unlit = (frame.mask & (bits.UNILLUMINATED | bits.BAD)) != 0
    frame.data = np.where(unlit, frame.data, frame.data / level)
    if frame.variance is not None:
        frame.variance = np.where(unlit, frame.variance, frame.variance / level**2)
