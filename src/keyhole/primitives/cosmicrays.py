"""Flagging cosmic rays and noisy pixels on registered frames, before any interpolation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.cosmicrays import Exposure, HitRule, find_hits
from keyhole.primitives.base import Context, NonNegative, Params, Sigma, primitive
from keyhole.primitives.wcs import pixel_map, plane_of

__all__ = ["CosmicRayParams", "flag_cosmic_rays"]

_FEWEST_COMPARED = 3
# Share of a frame's pixels that no number of cosmic rays reaches in an exposure of minutes.
_TOO_MANY = 0.01
_SHARPEST = 2.0  # pixels


class CosmicRayParams(Params):
    """Parameters of flagCosmicRays."""

    suffix: str | None = Field("_cosmicRaysFlagged", description="Ending of the output name")
    method: Literal["compare", "single", "none"] = Field(
        "compare",
        description="compare with the other frames where three overlap; single: each frame alone; none, as published",
    )
    sigma: Sigma = Field(4.5, gt=0, description="Limit in sigma of the known noise")
    gradient: float = Field(0.5, ge=0, description="Part of the local gradient that is allowed besides")
    sharpness: float = Field(1.5, ge=0, description="How far a hit stands out of its neighbours, peak of a star = 1")
    signal: float = Field(0.05, ge=0, description="Part of the signal that is allowed besides: errors of the flat")
    contrast: float = Field(2.0, ge=0, description="How much sharper than a star a hit is in a frame by itself")
    grow: NonNegative = Field(2, description="Pixels by which a hit may grow into fainter neighbours")
    grow_sigma: Sigma = Field(2.0, gt=0, description="Limit in sigma for those neighbours")
    noisy_pixels: bool = Field(True, description="Flag pixels that vary far more than their noise in all frames (1)")


@primitive("flagCosmicRays", CosmicRayParams, scope="list", stamp="FLAGCR", windowed=True)
def flag_cosmic_rays(frames: list[Frame], params: CosmicRayParams, context: Context) -> list[Frame]:
    """Flag cosmic rays (8) and noisy pixels (1): compared with the other frames, and sharper than any star."""
    if params.method == "none":
        context.note("cosmic rays are not looked for, as asked")
        return frames
    if len(frames) < _FEWEST_COMPARED:
        context.caveat(
            f"with {len(frames)} frame{'s' * (len(frames) > 1)} cosmic rays are recognised by their sharpness alone"
        )
    found = find_hits(
        _exposures(frames),
        HitRule(
            sigma=params.sigma,
            gradient=params.gradient,
            sharpness=params.sharpness,
            signal=params.signal,
            contrast=params.contrast,
            grow=params.grow,
            grow_sigma=params.grow_sigma,
            noisy=HitRule.noisy if params.noisy_pixels else 0.0,
            compare=params.method == "compare",
        ),
        same_array=not any("NCOMBINE" in frame.primary for frame in frames),
    )
    numbers, noisy = [], 0
    for frame, hits in zip(frames, found, strict=True):
        mask = np.zeros(frame.data.shape, bits.MASK_DTYPE) if frame.mask is None else frame.mask.copy()
        hit, bad = hits.mark(mask)
        frame.mask = mask
        context.settle(frame, len(frames))
        numbers.append(hit)
        noisy = max(noisy, bad)
        frame.header["NCRPIX"] = (numbers[-1], "Pixels flagged as hit by cosmic rays")
        context.measure("cosmic_ray_pixels", numbers[-1], unit="pix", frame=frame)
        if numbers[-1] > _TOO_MANY * max(1, hits.mask.size):
            share = 100 * numbers[-1] / hits.mask.size
            context.caveat(f"{share:.1f} % of the pixels look like cosmic rays; check its alignment", [frame])
    also = f", {noisy} noisy pixels" if noisy else ""
    context.note(f"{sum(numbers)} pixels hit by cosmic rays, at most {max(numbers)} in one frame{also}")
    return frames


def _exposures(frames: list[Frame]) -> list[Exposure]:
    reference = plane_of(frames[0]) if len(frames) > 1 else None
    exposures = []
    for frame in frames:
        matrix, shift = None, np.zeros(2)
        if reference is not None:
            matrix, shift = pixel_map(reference, plane_of(frame), frame.data.shape)
        scale = frame.describe("pixel_scale")
        width = frame.primary.get("MEANFWHM")
        exposures.append(
            Exposure(
                frame.data,
                frame.variance,
                np.zeros(frame.data.shape, bits.MASK_DTYPE) if frame.mask is None else frame.mask,
                shift=shift,
                matrix=np.eye(2) if matrix is None else matrix,
                seconds=float(frame.describe("exposure_time") or 1.0),
                fwhm=float(width) / scale if isinstance(width, (int, float)) and scale else _SHARPEST,
            )
        )
    return exposures
