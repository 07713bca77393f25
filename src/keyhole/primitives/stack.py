"""The steps that combine frames into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.errors import InputError
from keyhole.frames import Frame, into_memory, merge_provenance
from keyhole.imaging import bits
from keyhole.imaging.bad_pixels import noisy_pixels
from keyhole.imaging.combine import Combined, Middle
from keyhole.imaging.dark import dark_variance, measured_floor
from keyhole.imaging.flat import Planes, lamp_difference
from keyhole.imaging.holes import fill_holes
from keyhole.imaging.levels import pair_scales, sky_level
from keyhole.imaging.medians import median
from keyhole.imaging.quality import hot_pixels
from keyhole.imaging.readout import PatternRules, measure_readout, quadrants
from keyhole.imaging.starlight import starlight
from keyhole.primitives.bad_pixels import darks_in_words, name_learnt, write_history
from keyhole.primitives.base import Arcsec, Context, Sigma, primitive
from keyhole.primitives.figures import tell_growth, tell_master, tell_weights
from keyhole.primitives.keyhole import place_keyhole
from keyhole.primitives.noise import coverage, describe_noise, exposure_shares, stack_inputs
from keyhole.primitives.stacking import Rejection, StackParams, combine_frames, combined_header, count_inputs
from keyhole.primitives.wcs import plane_of

__all__ = [
    "LampFlatParams",
    "StackDarksParams",
    "StackFramesParams",
    "make_lamp_flat",
    "stack_darks",
    "stack_frames",
]


# Pixels next to the keyhole that may still see some light.
_SOFT_EDGE = 5.0
# Part of the lamp's light that pixels may hold which are taken to be unlit.
_DARK_SHARE = 0.1
# Pixels by which frames on one grid may differ.
_ONE_GRID = 0.1
# Electrons by which a dark pixel may differ from its neighbours where nothing is known about noise.
_HARMLESS_EXCESS = 100.0
# The range of weights that is worth a word.
_WORTH_A_WORD = 0.2


class StackDarksParams(StackParams):
    """Parameters of stackDarks."""

    reject_method: Rejection = Field("varclip", description="Outlier rejection before combining")
    learn_bad_pixels: bool = Field(True, description="Flag hot, cold and noisy pixels as bad")
    hot_sigma: Sigma = Field(
        6.0, description="A hot or cold pixel differs from its neighbours by more than so many sigma"
    )
    hot_minimum: float | None = Field(
        None,
        ge=0,
        description="and by more electrons than these; None = the variance of an ordinary pixel, so that the photon "
        "noise of the excess exceeds the noise of a dark",
    )


class LampFlatParams(StackParams):
    """Parameters of makeLampFlat."""

    suffix: str | None = Field("_lampstack", description="Ending of the output name")


class StackFramesParams(StackParams):
    """Parameters of stackFrames."""

    scale: bool = Field(False, description="Scale the frames to a common level first")
    zero: bool = Field(False, description="Offset the frames to a common level first")
    reject_method: Rejection = Field("varclip", description="Outlier rejection before combining; published: sigclip")
    hsigma: Sigma = Field(4.0, description="Upper clipping limit in sigma; published: 3")
    lsigma: Sigma = Field(4.0, description="Lower clipping limit in sigma; published: 3")
    signal_tolerance: float = Field(
        3.0,
        ge=0,
        description="Part of the light of a star by which a frame may differ without being rejected, as seeing and "
        "clouds make it; 0 = none, as published",
    )
    signal_reach: Arcsec = Field(1.0, description="Distance (arcsec) within which a star's light counts for that")
    weights: Literal["noise", "seeing", "equal"] = Field(
        "noise",
        description="Weights of a mean: inverse variance of a pixel without stars; divided by the area of the seeing "
        "as well; equal, as published",
    )
    fill_holes: bool = Field(
        True, description="Fill pixels without any good value from around, flagged and with a large variance"
    )


@primitive("stackDarks", StackDarksParams, scope="list", stamp="STACKFRM")
def stack_darks(frames: list[Frame], params: StackDarksParams, context: Context) -> list[Frame]:
    """Combine darks; the variance is that measured between them, hot and noisy pixels are flagged.

    Darks of several exposures, as a bad-pixel mask may be made of, become one master each.
    """
    not_dark = [frame.name for frame in frames if "DARK" not in frame.tags]
    if not_dark:
        raise InputError(f"{not_dark[0]} is no dark; leave it out")
    alike: dict[tuple[float, int], list[Frame]] = {}
    for frame in frames:
        key = (round(float(frame.describe("exposure_time") or 0), 2), int(frame.describe("coadds") or 1))
        alike.setdefault(key, []).append(frame)
    return [_master_dark(group, params, context) for group in alike.values()]


def _master_dark(frames: list[Frame], params: StackDarksParams, context: Context) -> Frame:
    """Combine darks of one exposure."""
    if len(frames) == 1:
        context.caveat("a master dark of a single dark keeps its noise and cosmic rays; give several")
    combined = combine_frames(frames, params)
    out = combined_header(frames, combined, params)
    planes = [frame.data for frame in frames]
    masks = [frame.mask for frame in frames if frame.mask is not None]
    flags = masks if len(masks) == len(frames) else None
    floor = measured_floor(planes, flags, combined.data, fallback=0.0)
    if not floor.measured:
        models = [median(frame.variance) for frame in frames if frame.variance is not None]
        floor = floor._replace(variance=float(np.median(models)) if models else 0.0)
    if floor.variance > 0:
        out.variance = dark_variance(
            combined.data, floor=floor.variance, used=len(frames) - combined.unused, mask=combined.mask
        )
    words = f"{floor.variance**0.5:.2f} e- {'measured' if floor.measured else 'by the noise model'}"
    context.note(f"{len(frames)} darks, noise of one {words}")
    if params.learn_bad_pixels:
        noisy = noisy_pixels(planes, flags, variance=floor.variance) if floor.measured else None
        _learn(out, noisy, floor.variance, params, context)
    noise = {"frame_noise": floor.variance**0.5, "noise_measured": floor.measured}
    tell_master(out, context, **noise, hot_pixels=out.primary.get("NHOTPIX"), noisy_pixels=out.primary.get("NNOISYPX"))
    return out


def _learn(
    out: Frame, noisy: NDArray[np.bool_] | None, variance: float, params: StackDarksParams, context: Context
) -> None:
    """Flag the hot, cold and noisy pixels of a master dark, and say so in its header. Changes `out`."""
    least = params.hot_minimum if params.hot_minimum is not None else variance or _HARMLESS_EXCESS
    hot = hot_pixels(out.data, out.variance, out.mask, nsigma=params.hot_sigma, minimum=least)
    bad = hot if noisy is None else hot | noisy
    counts = int(hot.sum()), int(bad.sum() - hot.sum())
    mask = np.zeros(out.data.shape, np.uint16) if out.mask is None else out.mask
    out.mask = np.where(bad, mask | np.uint16(bits.BAD), mask)
    origin = darks_in_words(out)
    out.primary["NHOTPIX"] = (counts[0], "Hot or cold pixels learnt from the darks")
    out.primary["NNOISYPX"] = (counts[1], "Noisy pixels learnt from the darks")
    if bad.any():
        name_learnt(out, origin)
    words = f"{counts[0]} hot or cold, {counts[1]} noisy"
    write_history(out, f"{words}, learnt from {origin}, in DQ bit 1.")
    context.note(f"{words} pixels flagged")


@primitive("makeLampFlat", LampFlatParams, scope="list", stamp="STACKFRM")
def make_lamp_flat(frames: list[Frame], params: LampFlatParams, context: Context) -> list[Frame]:
    """Combine lamp-on and lamp-off flats and subtract: the light of the lamp alone."""
    on = [frame for frame in frames if "LAMPON" in frame.tags]
    off = [frame for frame in frames if "LAMPOFF" in frame.tags]
    if not on:
        raise InputError("none of the flats has the lamp on; a flat cannot be made of lamp-off frames alone")
    exposures = {round(float(frame.describe("exposure_time") or 0), 2) for frame in [*on, *off]}
    if off and len(exposures) > 1:
        context.caveat(f"lamp-on and lamp-off flats differ in exposure time ({sorted(exposures)} s)")
    lit = combine_frames(on, params)
    out = combined_header(on, lit, params)
    if off:
        dark = combine_frames(off, params)
        planes = lamp_difference(_planes(lit), _planes(dark))
        out.data, out.variance, out.mask = planes
        merge_provenance(out, [*on, *off])
        out.primary["NLAMPOFF"] = (len(off), "Number of lamp-off frames subtracted")
    else:
        _subtract_unlit_level(out, context)
    context.note(f"{len(on)} lamp on, {len(off)} lamp off")
    return [out]


def _subtract_unlit_level(flat: Frame, context: Context) -> None:
    """Take off what the electronics add, as seen by unlit pixels, in place of lamp-off flats. Changes `flat`.

    What is left is dark current beyond the usual, of hot pixels, which the dark flags, and thermal light, which
    is light as good as that of the lamp.
    """
    usable = np.ones(flat.data.shape, bool) if flat.mask is None else bits.usable(flat.mask)
    lit = place_keyhole(flat, context, margin=-_SOFT_EDGE)
    dark = usable if lit is None else usable & ~lit
    inside = usable & ~dark
    known = inside.any() and dark.any()
    if not known or median(flat.data[dark]) > _DARK_SHARE * median(flat.data[inside]):
        context.caveat("no lamp-off flats: electronic offset, dark current and thermal light stay in the flat")
        return
    shape = (flat.data.shape[0], flat.data.shape[1])
    rules = PatternRules(rows=np.inf)
    flat.data = flat.data - measure_readout(flat.data, dark, parts=quadrants(shape), rules=rules).offsets
    context.caveat("no lamp-off flats: the level of unlit pixels is subtracted; hot pixels and thermal light stay")


def _planes(combined: Combined) -> Planes:
    return Planes(combined.data, combined.variance, combined.mask)


@primitive("stackFrames", StackFramesParams, scope="list", stamp="STACKFRM", windowed=True, by_rows=True)
def stack_frames(frames: list[Frame], params: StackFramesParams, context: Context) -> list[Frame]:
    """Combine frames on one grid; every pixel of every frame has its place."""
    if len(frames) == 1:
        frame = frames[0]
        into_memory(frame)
        count_inputs(frame, frames)
        _fill(frame, params, context)
        describe_noise(frame, stack_inputs(frames))
        tell_weights(frames, [item.sigma for item in stack_inputs(frames)], None, context)
        frame.planes["COVERAGE"] = coverage(frames, None)
        frame.planes.pop("OBJMASK", None)
        frame.tables.pop("OBJCAT", None)
        context.note("one frame: nothing to combine")
        return frames
    if not _on_one_grid(frames):
        context.caveat("the frames are not on one grid and are stacked as they are; resampleToCommonFrame aligns them")
    if params.scale or params.zero:
        frames = _levelled(frames, params)
    inputs = stack_inputs(frames)
    weights = _weights(frames, [item.sigma for item in inputs], params, context)
    shares = None if weights is None else exposure_shares(frames)
    combined = combine_frames(frames, params, weights, allowed=_allowance(frames, params), shares=shares)
    out = combined_header(frames, combined, params, weights)
    if out.mask is not None and combined.burnt is not None:
        # Where the value of a saturated frame was rejected, the star is wrong all the same.
        out.mask = out.mask | combined.burnt
    out.planes["COVERAGE"] = coverage(frames, combined)
    if weights is not None:
        inputs = [item._replace(weight=weight) for item, weight in zip(inputs, weights, strict=True)]
    describe_noise(out, inputs)
    tell_weights(frames, [item.sigma for item in inputs], weights, context)
    tell_growth(out, frames, weights, context)
    _fill(out, params, context)
    widths = [float(frame.primary["MEANFWHM"]) for frame in frames if "MEANFWHM" in frame.primary]
    if widths:
        out.primary["MEANFWHM"] = (round(median(widths), 4), "Median stellar FWHM of the inputs (arcsec)")
    seen = out.planes["COVERAGE"][bits.usable(combined.mask)]
    if seen.size:
        context.note(f"{len(frames)} frames, {int(seen.min())} to {int(seen.max())} per pixel")
    return [out]


def _fill(frame: Frame, params: StackFramesParams, context: Context) -> None:
    """Fill what no frame shows. Changes `frame`."""
    if not (params.fill_holes and params.apply_dq) or frame.mask is None:
        return
    filled = fill_holes(frame.data, frame.variance, frame.mask)
    if filled.number:
        frame.data, frame.variance = filled.data, filled.variance
        context.note(f"{filled.number} pixels without a good value are filled from around and stay flagged")


def _allowance(frames: list[Frame], params: StackFramesParams) -> Callable[[Middle], NDArray[np.float32]] | None:
    """What clipping leaves to seeing and clouds: a part of the light of stars; None: nothing."""
    clips = params.reject_method in ("sigclip", "varclip")
    if params.signal_tolerance == 0 or not clips:
        return None
    reach = params.signal_reach / (frames[0].describe("pixel_scale") or 1.0)
    return lambda middle: starlight(middle, reach=reach) * np.float32(params.signal_tolerance)


def _weights(
    frames: list[Frame], sigmas: list[float], params: StackFramesParams, context: Context
) -> list[float] | None:
    """Weight of each frame, 1 on average, from the noise before interpolation; None: equal ones."""
    if params.weights == "equal" or params.operation != "mean":
        return None
    variances = np.square(sigmas)
    widths = np.array([float(frame.primary.get("MEANFWHM", np.nan)) for frame in frames])
    if not (variances > 0).all():
        context.caveat("the noise of a frame is not known: all frames have the same weight")
        return None
    weights = 1 / variances
    if params.weights == "seeing":
        if np.isfinite(widths).all():
            weights /= widths**2
        else:
            context.caveat("the seeing of a frame is not known: the weights follow the noise alone")
    weights /= weights.mean()
    if np.ptp(weights) > _WORTH_A_WORD:
        context.note(f"weights of the frames {weights.min():.2f} to {weights.max():.2f}")
    return [float(weight) for weight in weights]


def _on_one_grid(frames: list[Frame]) -> bool:
    """Whether the same pixel of all frames sees the same sky, to a tenth of a pixel; true where no WCS tells."""
    if not all("CRVAL1" in frame.header for frame in frames):
        return True
    ny, nx = frames[0].data.shape
    x, y = np.array([0.0, nx - 1.0]), np.array([0.0, ny - 1.0])
    sky = plane_of(frames[0]).pixel_to_sky(x, y)
    places = [plane_of(frame).sky_to_pixel(*sky) for frame in frames[1:]]
    return all(float(np.hypot(u - x, v - y).max()) < _ONE_GRID for u, v in places)


def _levelled(frames: list[Frame], params: StackFramesParams) -> list[Frame]:
    """Bring frames to the level of the first by factor or offset."""
    for frame in frames:
        into_memory(frame)
    usables = [bits.usable(f.mask) if f.mask is not None else np.ones(f.data.shape, bool) for f in frames]
    out = []
    factors = [1.0] * len(frames)
    if not params.zero:
        factors = [float(f) for f in pair_scales([f.data for f in frames], usables)]
    first = sky_level(frames[0].data, usables[0]).value
    for frame, usable, factor in zip(frames, usables, factors, strict=True):
        changed = frame.copy()
        if params.zero:
            changed.data = frame.data + np.float32(first - sky_level(frame.data, usable).value)
        else:
            changed.data = frame.data * np.float32(factor)
            changed.variance = None if frame.variance is None else frame.variance * np.float32(factor**2)
        out.append(changed)
    return out
