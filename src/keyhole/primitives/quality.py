"""Data quality: bad, non-linear, saturated and unlit pixels, and what to do with them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.frames import Frame, add_provenance
from keyhole.imaging import bits
from keyhole.imaging.levels import lit_box
from keyhole.imaging.quality import apply_dq, flag_saturation, full_share
from keyhole.primitives.bad_pixels import bad_pixels_for, name_masks, write_history
from keyhole.primitives.base import Context, NonNegative, Params, PixelRadius, Positive, primitive
from keyhole.primitives.keyhole import place_keyhole

__all__ = [
    "AddDQParams",
    "AddIllumMaskParams",
    "ApplyDQParams",
    "add_dq",
    "add_illum_mask",
    "apply_dq_plane",
]

_NO_COUNTS = 2.0**31
"""Raw values are sums of integers of at most so many bits; what exceeds them was damaged, and its square overflows."""

_SPARSE = 64
"""Every so many rows are looked at before all of them."""

_MANY_FULL = 0.1
"""Part of the lit pixels that stars alone do not fill."""

Shift = Annotated[int, Field(ge=-100, le=100)]


class AddIllumMaskParams(Params):
    """Parameters of addIllumMaskToDQ."""

    suffix: str | None = Field("_illumMaskAdded", description="Ending of the output name")
    illum_mask: str | None = Field(None, description="Accepted, has no effect: the keyhole is drawn from geometry")
    xshift: Shift = Field(0, description="Extra shift (pixels) of the keyhole mask in x, after placement")
    yshift: Shift = Field(0, description="Extra shift (pixels) of the keyhole mask in y, after placement")
    margin: PixelRadius = Field(2.0, description="Pixels along the soft edge of the keyhole that are flagged too")


class AddDQParams(AddIllumMaskParams):
    """Parameters of addDQ."""

    suffix: str | None = Field("_dqAdded", description="Ending of the output name")
    static_bpm: str | None = Field(
        "default", description="Bad-pixel mask: a file, 'default' = ask the databases, None = none"
    )
    user_bpm: str | None = Field(None, description="Additional bad-pixel mask, a file")
    add_illum_mask: bool = Field(True, description="Also flag pixels outside the keyhole (64); never for darks")


@primitive("addDQ", AddDQParams, scope="frame", stamp="ADDDQ", calibrations=("processed_bpm",))
def add_dq(frames: list[Frame], params: AddDQParams, context: Context) -> list[Frame]:
    """Flag bad, non-linear, saturated and unlit pixels."""
    for frame in frames:
        missing = _fill_missing(frame, context)
        mask = flag_saturation(
            frame.data,
            saturation_level=float(frame.describe("saturation_level")),
            nonlinear_level=float(frame.describe("non_linear_level")),
        )
        if missing is not None:
            mask = np.where(missing, mask | np.uint16(bits.BAD), mask)
        named = []
        for origin, master in _bad_pixel_masks(frame, params, context):
            bad, hidden = bad_pixels_for(frame, master)
            if hidden:
                context.caveat(
                    f"bad-pixel mask {master.name} calls most pixels bad; its large groups, {hidden} pixels, are taken "
                    "for what the keyhole hides, and are not flagged bad",
                    [frame],
                )
            mask = np.where(bad, mask | np.uint16(bits.BAD), mask)
            name = master.name if master.path is None else master.path.name
            named.append(f"{origin}: {name}")
            write_history(frame, f"{np.count_nonzero(bad)} of mask {name} joined DQ bit 1.")
            if master.path is not None:
                add_provenance(frame, context.timestamp(), name, context.checksum(master.path), "addDQ")
        name_masks(frame, named)
        frame.mask = mask
        if not frame.tags & {"DARK", "BIAS"}:
            if params.add_illum_mask:
                # The plane is this step's own.
                _flag_unlit(mask, frame, params, context)
            _tell_full_wells(mask, frame, context)
    return frames


def _fill_missing(frame: Frame, context: Context) -> NDArray[np.bool_] | None:
    """Pixels that hold no number of counts; they become 0, as NaN would spread. Changes `frame`."""
    # NaN is neither above nor below.
    if frame.data.min() > -_NO_COUNTS and frame.data.max() < _NO_COUNTS:
        return None
    missing = ~(np.abs(frame.data) < _NO_COUNTS)
    context.caveat("pixels of the raw frame hold no number of counts; they are flagged bad", [frame])
    frame.data = np.where(missing, np.float32(0), frame.data)
    return missing


def _tell_full_wells(mask: NDArray[np.uint16], frame: Frame, context: Context) -> None:
    """Say so where not the stars but the sky or the lamp is too bright."""
    if full_share(mask) > _MANY_FULL:
        context.caveat(
            "more than a tenth of the lit pixels are beyond the linear range, as sky or lamp fill the wells: what is "
            "measured there cannot be trusted; take shorter exposures",
            [frame],
        )


def _bad_pixel_masks(frame: Frame, params: AddDQParams, context: Context) -> list[tuple[str, Frame]]:
    """The masks for a frame, and what each was given as."""
    masks = []
    if params.static_bpm == "default":
        found = context.calibration(frame, "processed_bpm")
        masks += [("processed_bpm", found)] if found is not None else []
    for origin, file in (("static_bpm", params.static_bpm), ("user_bpm", params.user_bpm)):
        if file is not None and file != "default":
            masks.append((origin, context.read_calibration(file, "processed_bpm")))
    return masks


@primitive("addIllumMaskToDQ", AddIllumMaskParams, scope="frame")
def add_illum_mask(frames: list[Frame], params: AddIllumMaskParams, context: Context) -> list[Frame]:
    """Flag the pixels outside the keyhole (64), each frame by its own light."""
    for frame in frames:
        mask = np.zeros(frame.data.shape, bits.MASK_DTYPE) if frame.mask is None else frame.mask.copy()
        if _flag_unlit(mask, frame, params, context):
            frame.mask = mask
    return frames


def _flag_unlit(mask: NDArray[np.uint16], frame: Frame, params: AddIllumMaskParams, context: Context) -> bool:
    """Flag what is not lit, if that is known. Changes `mask`."""
    lit = place_keyhole(frame, context, xshift=params.xshift, yshift=params.yshift, margin=params.margin)
    if lit is None:
        return False
    rows, _ = lit_box(lit)
    for dark in (slice(0, rows.start), slice(rows.stop, None)):
        mask[dark] |= bits.MASK_DTYPE(bits.UNILLUMINATED)
    mask[rows] |= np.multiply(~lit[rows], bits.MASK_DTYPE(bits.UNILLUMINATED))
    return True


class ApplyDQParams(Params):
    """Parameters of applyDQPlane."""

    suffix: str | None = Field("_dqPlaneApplied", description="Ending of the output name")
    replace_flags: NonNegative = Field(
        65529, description="Pixels with any of these bits are overwritten (65529 = all but 2 and 4)"
    )
    replace_value: Literal["median", "mean"] | float = Field(
        "median", description="median or mean of the good pixels, or a number"
    )
    inner: PixelRadius | None = Field(None, ge=1, description="Inner radius (pixels) of a ring for local values")
    outer: PixelRadius | None = Field(None, ge=1, description="Outer radius (pixels) of that ring")
    max_iters: Positive = Field(1, description="Repeats of the ring filter, so that larger holes fill in")


@primitive("applyDQPlane", ApplyDQParams, scope="frame", stamp="APLDQPLN", windowed=True)
def apply_dq_plane(frames: list[Frame], params: ApplyDQParams, context: Context) -> list[Frame]:
    """Overwrite flagged pixels by the median of the good ones; their flags stay."""
    flags = bits.MASK_DTYPE(params.replace_flags & 0xFFFF)
    for frame in frames:
        if frame.mask is None:
            context.caveat("no mask to apply; frames pass unchanged", [frame])
            continue
        # Some rows tell of nearly every frame that not all is flagged.
        if all(not (part & flags == 0).any() for part in (frame.mask[::_SPARSE], frame.mask)):
            context.caveat("every pixel is flagged; the frame passes unchanged", [frame])
            continue
        frame.data = apply_dq(
            frame.data,
            frame.mask,
            replace_flags=params.replace_flags,
            replace_value=params.replace_value,
            inner=params.inner,
            outer=params.outer,
            max_iters=params.max_iters,
        )
    return frames
