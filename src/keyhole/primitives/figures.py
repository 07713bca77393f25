"""Telling the figures of frames, masters and stacks, by which people judge a reduction.

Names, units and meanings stand in docs/night.md. What costs time is measured only if it is wanted; the algorithms for
it are imported where they are used, as most runs want none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keyhole.frames import Frame, Table
from keyhole.imaging import bits
from keyhole.imaging.medians import median_image
from keyhole.primitives.base import Context
from keyhole.primitives.previews import stated

if TYPE_CHECKING:
    from keyhole.imaging.transparency import Transparency

__all__ = [
    "tell_conditions",
    "tell_growth",
    "tell_image",
    "tell_level",
    "tell_master",
    "tell_registration",
    "tell_sky",
    "tell_sources",
    "tell_transparency",
    "tell_weights",
]

_TILE_ARCSEC = 5.0
_CELL_ARCSEC = 0.6
_WIDE_SEEING = 0.75  # arcsec, where it is not known
_USUAL_PIXELS = 5.0  # width of a star where the scale is not known, either
_WING_SIGMA = 0.1  # of a pixel: starlight that is not empty sky
_STEP = 3  # pixels: a fair sample tells the median
_UNITS = {"lamp_level": "electron", "frame_noise": "electron"}
_WORDS = ("object", "filter_name", "camera", "read_mode", "airmass", "coadds")

Float64 = NDArray[np.float64]


class Teller(Protocol):
    """Who is told of figures: a run, or who looks at a product later."""

    @property
    def details(self) -> bool:
        """Whether figures that cost time are wanted."""
        ...

    def measure(
        self, name: str, value: Any, *, error: float | None = None, unit: str = "", frame: Frame | None = None
    ) -> None:
        """Tell a figure; see `keyhole.primitives.base.Context`."""
        ...


def tell_conditions(frame: Frame, context: Context) -> None:
    """When and how a frame was taken."""
    if not context.details:
        return
    start, exposure = stated(frame, "ut_datetime"), stated(frame, "exposure_time")
    if start is not None:
        middle = start + timedelta(seconds=(exposure or 0.0) / 2)
        context.measure("mid_time", middle.isoformat(timespec="milliseconds"), unit="UT", frame=frame)
    context.measure("exposure", exposure, unit="s", frame=frame)
    context.measure("position_angle", stated(frame, "position_angle"), unit="deg", frame=frame)
    for name in _WORDS:
        value = stated(frame, name, pretty=True) if name == "filter_name" else stated(frame, name)
        context.measure(name, value, frame=frame)


def tell_level(frame: Frame, offset: float, context: Context) -> None:
    """Median of the lit pixels of a frame over the electronic offset; of a dark, of all pixels."""
    if not context.details:
        return
    part = np.s_[::_STEP, ::_STEP]
    values = frame.data[part] if frame.mask is None else frame.data[part][bits.usable(frame.mask[part])]
    if values.size:
        context.measure("level", float(np.median(values)) - offset, unit="electron", frame=frame)


def tell_sky(
    frame: Frame,
    box: tuple[slice, slice],
    objects: NDArray[np.bool_],
    slope: NDArray[np.float32] | None,
    context: Context,
) -> None:
    """What the sky was, and what its subtraction left between the stars.

    Parameters
    ----------
    box : tuple of slices (rows, columns)
        The part of the frame that is lit.
    objects : bool array of the shape of the box
        True on stars.
    slope : float32 array of the shape of the box, or None
        What was taken out besides the sky, electron.
    """
    if not context.details:
        return
    from keyhole.imaging.figures import background_left

    data, mask = frame.data[box], None if frame.mask is None else frame.mask[box]
    good = np.ones(data.shape, bool) if mask is None else bits.usable(mask)
    left = background_left(data, good & ~objects)
    unit = "electron"
    context.measure("sky_level", frame.header.get("SKYLEVEL"), error=left.error, unit=unit, frame=frame)
    context.measure("sky_residual", left.level, error=left.error, unit=unit, frame=frame)
    error = left.noise / math.sqrt(2 * left.n) if left.n else None
    context.measure("noise", left.noise, error=error, unit=unit, frame=frame)
    size = 0.5 * float(np.ptp(slope[good])) if slope is not None and good.any() else 0.0
    context.measure("sky_slope", size, unit=unit, frame=frame)
    context.measure("sky_frames", frame.header.get("NSKY"), frame=frame)
    if mask is not None:
        for name, bit in (("nonlinear_pixels", bits.NONLINEAR), ("saturated_pixels", bits.SATURATED)):
            context.measure(name, np.count_nonzero(good & ((mask & bit) != 0)), unit="pix", frame=frame)


def tell_registration(
    frames: list[Frame],
    shifts: Float64,
    expected: Float64,
    quality: Sequence[tuple[str, int, float | None]],
    context: Context,
    *,
    scale: float,
) -> None:
    """Where each frame lies, where it was sent, and how well that is known.

    Parameters
    ----------
    shifts, expected : (n, 2) float64
        Measured and commanded, pixels, up to a common shift.
    quality : n tuples
        How a frame was registered, sources that agree, and their scatter per axis in pixels.
    scale : float
        Arcsec per pixel.
    """
    placed = [i for i, (method, _, _) in enumerate(quality) if method != "offsets"] or list(range(len(frames)))
    offset = median_image((shifts - expected)[placed])
    for i, (frame, (method, matched, rms)) in enumerate(zip(frames, quality, strict=True)):
        error = rms / math.sqrt(matched) if rms is not None and matched else None
        found, sent = shifts[i] - shifts[0], expected[i] - expected[0]
        pointing = (shifts[i] - expected[i] - offset) * scale
        for axis, name in enumerate(("dx", "dy")):
            context.measure(f"{name}_commanded", sent[axis], unit="pix", frame=frame)
            if method != "offsets":
                context.measure(f"{name}_measured", found[axis], error=error, unit="pix", frame=frame)
                context.measure(f"pointing_error_{name}", pointing[axis], unit="arcsec", frame=frame)
        context.measure("registration", method, frame=frame)
        context.measure("registration_error", error, unit="pix", frame=frame)
        context.measure("registration_scatter", rms if method == "sources" else None, unit="pix", frame=frame)
        context.measure("stars_matched", matched, frame=frame)


def tell_transparency(frames: list[Frame], clear: Transparency, context: Context) -> None:
    """Light of the stars of each frame over that of the median frame."""
    for frame, factor, error, stars in zip(frames, *clear, strict=True):
        context.measure("transparency", factor, error=error, frame=frame)
        context.measure("transparency_stars", stars, frame=frame)


def tell_weights(
    frames: list[Frame], sigmas: Sequence[float], weights: Sequence[float] | None, context: Context
) -> None:
    """The part of each frame in the mean, and the noise that it follows from."""
    share = np.ones(len(frames)) if weights is None else np.asarray(weights, np.float64)
    for frame, part, sigma in zip(frames, share / share.sum(), sigmas, strict=True):
        context.measure("weight", part, frame=frame)
        context.measure("noise_expected", sigma or None, unit="electron", frame=frame)


def tell_growth(out: Frame, frames: list[Frame], weights: Sequence[float] | None, context: Context) -> None:
    """Noise of the mean of the first N aligned frames."""
    if not context.details or len(frames) < 2 or any(frame.mask is None for frame in frames):
        return
    from keyhole.imaging.figures import noise_growth

    quiet = np.ones(out.data.shape, bool) if out.mask is None else bits.usable(out.mask)
    for frame in frames:
        if "OBJMASK" in frame.planes:
            quiet &= frame.planes["OBJMASK"] == 0
    scale = float(stated(out, "pixel_scale") or _CELL_ARCSEC / 4)
    grown = noise_growth(
        (np.asarray(frame.data) for frame in frames),
        (bits.usable(np.asarray(frame.mask)) for frame in frames),
        quiet,
        weights=weights if weights is not None else [1.0] * len(frames),
        cell=max(2, round(_CELL_ARCSEC / scale)),
    )
    context.measure("growth_frames", grown.number)
    context.measure("growth_noise", grown.noise, unit="electron")
    context.measure("growth_expected", grown.expected, unit="electron")


def tell_sources(frame: Frame, seeing: float | None, context: Teller, *, combined: bool) -> None:
    """Number and width of the sources; of a combination also its depth and how flat its background is."""
    from keyhole.imaging.catalogue import seeing_error

    where = None if combined else frame
    table = frame.tables.get("OBJCAT")
    context.measure("sources", 0 if table is None else len(table), frame=where)
    scale = float(stated(frame, "pixel_scale") or math.nan)
    error = seeing_error(table.columns) if table is not None else None
    context.measure("fwhm", seeing, error=None if error is None else error * scale, unit="arcsec", frame=where)
    if combined and context.details:
        _tell_depth(frame, seeing, scale, context)
        _tell_flatness(frame, scale, context)


def tell_image(frame: Frame, context: Teller) -> None:
    """Figures of a stack that was made earlier or elsewhere; what its headers lack is measured."""
    from keyhole.imaging.catalogue import seeing as seeing_of
    from keyhole.imaging.detect import detect_sources

    scale = stated(frame, "pixel_scale")
    found = detect_sources(frame.data, frame.variance, frame.mask, pixel_scale=float(scale or 1.0))
    shown = frame.copy()
    shown.planes.setdefault("OBJMASK", found.objmask)
    if "SKYNOISE" not in shown.header and found.sigma > 0:
        shown.header["SKYNOISE"] = found.sigma
    if "OBJCAT" not in shown.tables:
        shown.tables["OBJCAT"] = Table(dict(found.catalogue))
    seeing = seeing_of(shown.tables["OBJCAT"].columns) if scale else None
    tell_sources(shown, None if seeing is None else seeing * float(scale), context, combined=True)
    context.measure("sky_level", frame.header.get("SKYLEVEL"), unit="electron")


def _tell_depth(frame: Frame, seeing: float | None, scale: float, context: Teller) -> None:
    from keyhole.imaging.figures import limiting_flux
    from keyhole.primitives.noise import ApertureNoise

    noise, exposure = frame.header.get("SKYNOISE"), stated(frame, "exposure_time")
    context.measure("pixel_noise", noise, unit="electron")
    for name, card, unit in (
        ("frames_combined", "NCOMBINE", ""),
        ("total_exposure", "TOTEXP", "s"),
        ("mid_time", "DATE-MID", "UT"),
        ("correlation_factor", "CORRNOIS", ""),
        ("illumination_amplitude", "ILLUMAMP", ""),
        ("position_error", "WCSERR", "arcsec"),
    ):
        context.measure(name, frame.primary.get(card, frame.header.get(card)), unit=unit)
    if not noise or seeing is None or not math.isfinite(scale):
        return
    radius = seeing / scale
    factor = float(ApertureNoise.of(frame).at(np.array([radius]))[0])
    flux = limiting_flux(float(noise), radius, correlation=factor)
    context.measure("depth_radius", seeing, unit="arcsec")
    context.measure("depth_flux", flux, unit="electron")
    if exposure:
        context.measure("depth_rate", flux / exposure, unit="electron / s")
        zero = stated(frame, "nominal_photometric_zeropoint")
        if zero is not None:
            context.measure("depth_magnitude", zero - 2.5 * math.log10(flux / exposure), unit="mag")


def _tell_flatness(frame: Frame, scale: float, context: Teller) -> None:
    from keyhole.imaging.figures import background_left, background_tiles
    from keyhole.imaging.objects import single_frame_objects

    good = np.ones(frame.data.shape, bool) if frame.mask is None else bits.usable(frame.mask)
    fwhm = float(frame.primary.get("MEANFWHM", _WIDE_SEEING)) / scale if math.isfinite(scale) else _USUAL_PIXELS
    # The wings of a star reach far beyond the pixels that are counted as its own.
    quiet = good & ~single_frame_objects(frame.data, good, grow=fwhm, wing_sigma=_WING_SIGMA, fwhm=max(fwhm, 1.0))
    if "OBJMASK" in frame.planes:
        quiet &= frame.planes["OBJMASK"] == 0
    left = background_left(frame.data, quiet)
    context.measure("background", left.level, error=left.error, unit="electron")
    context.measure("noise", left.noise, unit="electron")
    size = max(8, round(_TILE_ARCSEC / scale)) if math.isfinite(scale) else 32
    tiles = background_tiles(frame.data, quiet, size=size, correlation=float(frame.header.get("CORRNOIS", 1.0)))
    context.measure("tile_size", size * scale, unit="arcsec")
    context.measure("tile_rms", tiles.rms, unit="electron")
    context.measure("tile_rms_expected", tiles.expected, unit="electron")
    y0, x0 = (0, 0) if frame.window is None else frame.window.origin
    for name, values, unit in (
        ("tile_x", tiles.x + x0, "pix"),
        ("tile_y", tiles.y + y0, "pix"),
        ("tile_level", tiles.level, "electron"),
        ("tile_error", tiles.error, "electron"),
    ):
        context.measure(name, values, unit=unit)


def tell_master(frame: Frame, context: Teller, **counts: Any) -> None:
    """Level, spread and noise of the usable pixels of a master, and what its step counted."""
    for name, value in counts.items():
        context.measure(name, value, unit=_UNITS.get(name, ""))
    context.measure("frames_combined", frame.primary.get("NCOMBINE"))
    if not context.details:
        return
    from keyhole.imaging.figures import background_left

    part = np.s_[::_STEP, ::_STEP]
    good = np.ones(frame.data[part].shape, bool) if frame.mask is None else bits.usable(frame.mask[part])
    left = background_left(frame.data[part], good)
    unit = "" if "NORMLIZE" in frame.primary else "electron"
    context.measure("median", left.level, error=left.error, unit=unit)
    context.measure("spread", left.noise, unit=unit)
    if frame.variance is not None and left.n:
        context.measure("pixel_noise", math.sqrt(float(np.median(frame.variance[part][good]))), unit=unit)
