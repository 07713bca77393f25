"""Sky: which frames see it, which serve which, and its subtraction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.frames import Frame, Table
from keyhole.imaging import bits
from keyhole.imaging.combine import Operation, RejectMethod
from keyhole.imaging.medians import sampled_median
from keyhole.imaging.sky import CombineRule
from keyhole.imaging.skygroups import Associations, associate, separate
from keyhole.imaging.twopass import FrameSky, on_full_frame, two_pass_skies
from keyhole.primitives.base import (
    Arcsec,
    CommaList,
    Context,
    NonNegative,
    Params,
    PixelRadius,
    Positive,
    Seconds,
    Sigma,
    primitive,
)
from keyhole.primitives.figures import tell_sky
from keyhole.primitives.light import has_light
from keyhole.primitives.noise import keep_sky_shares, shared_noise
from keyhole.primitives.stacking import StackParams
from keyhole.primitives.wcs import commanded_shifts

_FramePlanes = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.uint16] | None]

__all__ = [
    "AssociateSkyParams",
    "SeparateSkyParams",
    "SkyCorrectParams",
    "associate_sky",
    "separate_sky",
    "sky_correct",
]

_SKY_TABLE = "SKYTABLE"
_SHORT_CAMERA = 0.15  # arcsec per pixel
_LEVEL_PIXELS = 100_000
_WIDE_SEEING = 0.75  # arcsec; masks made for it hold the stars of most nights
_GUIDERS = ("PWFS1_ST", "PWFS2_ST", "OIWFS_ST")
_CONFIGURATION = (
    "read_mode",
    "well_depth_setting",
    "coadds",
    "camera",
    "filter_name",
    "focal_plane_mask",
    "disperser",
)


class SeparateSkyParams(Params):
    """Parameters of separateSky."""

    suffix: str | None = Field("_skySeparated", description="Ending of the output name")
    ref_obj: CommaList = Field(None, description="Names of frames that are on target (comma-separated)")
    ref_sky: CommaList = Field(None, description="Names of frames that are on the sky (comma-separated)")
    frac_FOV: float = Field(  # noqa: N815  (published name)
        0.9, ge=0.3, lt=1, description="Factor on the field in the test of overlap (1 = any overlap joins)"
    )


class AssociateSkyParams(Params):
    """Parameters of associateSky."""

    suffix: str | None = Field("_skyAssociated", description="Ending of the output name")
    time: Seconds = Field(600.0, description="Largest time difference (s) between science and sky frame")
    distance: Arcsec = Field(1.0, description="Smallest separation (arcsec) of a frame that serves as sky")
    min_skies: NonNegative | None = Field(3, description="At least so many skies, beyond the time limit if need be")
    max_skies: Positive | None = Field(None, description="At most so many skies, the nearest in time")
    use_all: bool = Field(False, description="Use every frame further away than distance, whatever its time")
    sky: CommaList = Field(None, description="Names of frames to serve as sky, instead of those found")


class SkyCorrectParams(StackParams):
    """Parameters of skyCorrect."""

    suffix: str | None = Field("_skyCorrected", description="Ending of the output name")
    operation: Operation = Field("mean", description="Estimator of the sky; objects are masked, so a mean is best")
    reject_method: RejectMethod = Field("varclip", description="Outlier rejection before combining")
    reset_sky: bool = Field(False, description="Add the level of the removed sky back as a constant")
    scale_sky: bool = Field(True, description="Multiply the sky to match the level of the frame")
    offset_sky: bool = Field(False, description="Add a constant to the sky instead (if scale_sky is off)")
    sky: CommaList = Field(None, description="Accepted for compatibility; name skies in associateSky")
    save_sky: bool = Field(False, description="Write each sky as <root>_sky.fits")
    debug_threshold: float = Field(0.001, description="Accepted for compatibility")
    scale: bool = Field(True, description="Scale the sky frames to a common level first")
    zero: bool = Field(False, description="Offset the sky frames to a common level first")
    mask_objects: bool = Field(True, description="Mask the objects, found on the sum of all frames, in a second pass")
    dilation: PixelRadius = Field(4.0, description="Radius (pixels) by which object masks grow")
    slope_significance: Sigma | None = Field(
        1.0,
        description="Remove the slope by which a frame differs from its sky if it is that many times its noise; "
        "None = never, as published",
    )
    model_noise: bool = Field(
        True,
        description="Variance from the sky and source light that all frames show, without the noise of the masters, "
        "which leaves with the sky; False = from the counts, as published",
    )


@primitive("separateSky", SeparateSkyParams, scope="list", stamp="SEPSKY", windowed=True)
def separate_sky(frames: list[Frame], params: SeparateSkyParams, context: Context) -> list[Frame]:
    """Divide the frames into those on target and those on the sky; one field is both."""
    frames = _with_light(frames, context)
    if not frames:
        return frames
    lit = _lit(frames[0])
    result = separate(
        lit,
        -commanded_shifts(frames, context, absolute=True),
        target_pixels=(0.0, 0.0),
        forced_object=_forced(frames, params.ref_obj, "OBJFRAME", context),
        forced_sky=_forced(frames, params.ref_sky, "SKYFRAME", context),
        unguided=[_unguided(frame) for frame in frames],
        frac_fov=params.frac_FOV,
    )
    for index in result.conflicts:
        context.caveat(f"{frames[index].name} is named both on target and on the sky; used as both")
    for index in result.dropped:
        context.caveat(f"{frames[index].name} is neither on target nor on the sky; left out")
        context.measure("left_out", "neither on target nor on the sky", frame=frames[index])
    for index, frame in enumerate(frames):
        frame.primary["EXPGROUP"] = (int(result.groups[index]), "Group of overlapping pointings")
        for indices, key in ((result.objects, "OBJFRAME"), (result.skies, "SKYFRAME")):
            if index in indices:
                frame.primary[key] = ("TRUE", f"Frame serves as {'object' if key == 'OBJFRAME' else 'sky'}")
    context.streams["sky"] = [frames[i] for i in result.skies]
    for index in set(result.skies) - set(result.objects):
        context.measure("left_out", "serves as sky only", frame=frames[index])
    fields = len(set(result.groups))
    context.note(f"{len(result.objects)} on target, {len(result.skies)} serve as sky, {fields} field(s)")
    return [frames[i] for i in result.objects]


def _with_light(frames: list[Frame], context: Context) -> list[Frame]:
    kept = []
    for frame, light in zip(frames, has_light(frames), strict=True):
        if light:
            kept.append(frame)
        else:
            context.caveat(f"{frame.root}: hardly any light reached the detector; left out")
            context.measure("left_out", "hardly any light reached the detector", frame=frame)
    return kept


def _lit(frame: Frame) -> NDArray[np.bool_]:
    if frame.mask is None:
        return np.ones(frame.data.shape, bool)
    return np.asarray((frame.mask & bits.UNILLUMINATED) == 0)


def _forced(frames: list[Frame], names: list[str] | None, key: str, context: Context) -> list[bool]:
    forced = [key in frame.primary for frame in frames]
    for name in names or []:
        stem = name.removesuffix(".fits")
        hits = [i for i, frame in enumerate(frames) if stem in frame.name]
        if hits:
            forced[hits[0]] = True
        else:
            context.caveat(f"no input is called {name}; it was named in separateSky")
    return forced


def _unguided(frame: Frame) -> bool:
    if not all(key in frame.primary for key in _GUIDERS):
        return False
    return frame.describe("wavefront_sensor") is None


@primitive("associateSky", AssociateSkyParams, scope="list", stamp="ASSOCSKY", windowed=True)
def associate_sky(frames: list[Frame], params: AssociateSkyParams, context: Context) -> list[Frame]:
    """Choose for each frame the skies: same configuration, another pointing, near in time."""
    skies = context.streams.get("sky", [])
    if params.sky:
        skies = [f for f in [*frames, *skies] if any(n.removesuffix(".fits") in f.name for n in params.sky)]
    everything = _union(frames, skies)
    scale = frames[0].describe("pixel_scale") or 1.0 if frames else 1.0
    found = associate(
        _seconds(everything),
        -commanded_shifts(everything, context, absolute=True) * scale if everything else np.zeros((0, 2)),
        [_configuration(frame) for frame in everything],
        [any(frame is f for f in frames) for frame in everything],
        [any(frame is s for s in skies) for frame in everything],
        time=params.time,
        distance=params.distance,
        min_skies=params.min_skies,
        max_skies=params.max_skies,
        use_all=params.use_all,
    )
    for frame, indices in zip(everything, found.skies, strict=True):
        names = np.array([everything[i].root for i in indices], dtype=np.str_)
        frame.tables[_SKY_TABLE] = Table({"SKYNAME": names})
    _tell_few_skies(found, everything, params, context)
    counts = sorted(len(s) for s, f in zip(found.skies, everything, strict=True) if any(f is x for x in frames))
    if counts and counts[-1]:
        span = f"{counts[0]} to {counts[-1]}" if counts[0] != counts[-1] else f"{counts[0]}"
        word = "sky" if counts[-1] == 1 else "skies"
        context.note(f"{span} {word} per frame within {params.time:g} s")
    return frames


def _tell_few_skies(found: Associations, frames: list[Frame], params: AssociateSkyParams, context: Context) -> None:
    seconds = _seconds(frames)
    few: list[Frame] = []
    late: list[Frame] = []
    for i in found.beyond_time:
        apart = [abs(seconds[j] - seconds[i]) for j in found.skies[i]]
        (late if apart and max(apart) > params.time else few).append(frames[i])
    if late:
        context.caveat(
            f"fewer than {params.min_skies} skies within {params.time:g} s; ones further in time are used", late
        )
    if few:
        context.caveat(f"fewer than {params.min_skies} skies exist; the noise of the sky is high", few)


def _union(first: list[Frame], second: list[Frame]) -> list[Frame]:
    return [*first, *(s for s in second if not any(s is f for f in first))]


def _seconds(frames: list[Frame]) -> NDArray[np.float64]:
    times = [frame.describe("ut_datetime") for frame in frames]
    known = [t for t in times if t is not None]
    return np.array([0.0 if t is None else (t - min(known)).total_seconds() for t in times])


def _configuration(frame: Frame) -> tuple[Any, ...]:
    exposure = frame.describe("exposure_time")
    values = tuple(frame.describe(name) for name in _CONFIGURATION)
    return (frame.data.shape, None if exposure is None else round(exposure, 2), *values)


@primitive("skyCorrect", SkyCorrectParams, scope="list", stamp="SUBSKY", windowed=True)
def sky_correct(frames: list[Frame], params: SkyCorrectParams, context: Context) -> list[Frame]:
    """Subtract from each frame the sky made of its associated frames, objects masked."""
    skies = context.streams.get("sky", [])
    everything = _union(frames, skies)
    if not everything:
        return frames
    scale = float(frames[0].describe("pixel_scale") or _SHORT_CAMERA) if frames else _SHORT_CAMERA
    positions = {frame.root: i for i, frame in enumerate(everything)}
    associations = [
        [positions[str(name)] for name in _sky_names(frame) if str(name) in positions] for frame in everything
    ]
    context.preview(frames[0] if frames else everything[0], "before")
    planes = [(frame.data, frame.variance, frame.mask if params.apply_dq else None) for frame in everything]
    found = two_pass_skies(
        [data for data, _, _ in planes],
        _Made(planes, lambda data, variance, _: np.ones_like(data) if variance is None else variance),
        _Made(planes, lambda data, _, mask: np.ones(data.shape, bool) if mask is None else bits.usable(mask)),
        associations,
        commanded_shifts(everything, context),
        wanted=len(frames),
        progress=context.progress,
        scale=params.scale,
        zero=params.zero,
        scale_sky=params.scale_sky,
        offset_sky=params.offset_sky,
        rule=CombineRule(
            params.operation,
            params.reject_method,
            params.lsigma,
            params.hsigma,
            params.nlow,
            params.nhigh,
            params.mclip,
            params.max_iters,
        ),
        slope_degree=None if params.slope_significance is None else 1,
        slope_significance=params.slope_significance or 0.0,
        model_noise=params.model_noise,
        shared_noise=shared_noise(everything, associations),
        mask_objects=params.mask_objects,
        # The published radius is that of a short camera; a long one spreads a star over three times the pixels.
        grow=params.dilation * max(1.0, _SHORT_CAMERA / scale),
        fwhm=_WIDE_SEEING / scale,
    )
    roots = [frame.root for frame in everything]
    for frame, sky in zip(frames, found, strict=True):
        _take(frame, sky, params, context)
        if not params.reset_sky:
            tell_sky(frame, sky.box, sky.objects, sky.slope, context)
        keep_sky_shares(frame, [roots[j] for j in associations[sky.number]], sky.sky_share())
        context.settle(frame, len(frames))
    context.streams.pop("sky", None)
    return frames


def _sky_names(frame: Frame) -> list[str]:
    table = frame.tables.get(_SKY_TABLE)
    return [] if table is None else [str(name) for name in table.columns["SKYNAME"]]


class _Made(Sequence[Any]):
    """Planes that are made of those of a frame whenever they are asked for."""

    def __init__(self, planes: list[_FramePlanes], make: Callable[..., NDArray[Any]]) -> None:
        self._planes, self._make = planes, make

    def __len__(self) -> int:
        return len(self._planes)

    def __getitem__(self, index: Any) -> Any:
        return self._make(*self._planes[index])


def _take(frame: Frame, found: FrameSky, params: SkyCorrectParams, context: Context) -> None:
    sky, factor = found.sky, found.match
    for text in sky.notes:
        context.caveat(text, [frame])
    lit = _lit(frame)[found.box]
    level = factor.scale * sampled_median(sky.data, lit, number=_LEVEL_PIXELS) + factor.offset if lit.any() else 0.0
    if params.save_sky:
        saved = frame.copy()
        whole = on_full_frame(sky, found.box, frame.data.shape)
        saved.data, saved.variance = whole.data, whole.variance
        saved.tables.pop(_SKY_TABLE, None)
        saved.name = f"{frame.root}_sky.fits"
        context.write(saved, final=False)
    before = np.ones_like(frame.data) if frame.variance is None else frame.variance
    frame.data, variance = found.subtracted(frame.data, before)
    frame.variance = None if frame.variance is None else variance
    if params.reset_sky:
        frame.data = frame.data + np.float32(level)
    frame.header["SKYLEVEL"] = (round(level, 3), "Level of the sky that was subtracted (electron)")
    frame.header["SKYSCALE"] = (round(float(factor.scale), 6), "Factor on that sky")
    frame.header["NSKY"] = (len(_sky_names(frame)), "Frames in that sky")
    frame.tables.pop(_SKY_TABLE, None)
