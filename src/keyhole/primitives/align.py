"""Registered frames: one grid for all, counts on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.errors import InputError
from keyhole.frames import Frame, Window
from keyhole.frames.window import move_catalogue
from keyhole.imaging.covariance import correlation_factor
from keyhole.imaging.geometry import Grid, TangentPlane, common_grid
from keyhole.imaging.resample import Resampled, resample
from keyhole.imaging.transparency import Transparency, relative_transparency
from keyhole.primitives.base import Arcsec, Context, Params, primitive
from keyhole.primitives.figures import tell_transparency
from keyhole.primitives.noise import record_interpolation
from keyhole.primitives.source_list import source_list
from keyhole.primitives.wcs import pixel_map, plane_of, set_plane

_Map = tuple[NDArray[np.float64] | None, NDArray[np.float64]]

__all__ = [
    "ResampleParams",
    "ScaleParams",
    "resample_to_common_frame",
    "scale_counts",
]


# Errors by which a change of transparency is beyond doubt, and stars that prove it.
_SURE = 5.0
_FEWEST_STARS = 2


class ResampleParams(Params):
    """Parameters of resampleToCommonFrame."""

    suffix: str | None = Field("_align", description="Ending of the output name")
    interpolant: Literal["nearest", "linear", "poly3", "poly5", "lanczos3", "spline3", "spline5"] = Field(
        "poly3", description="Interpolation kernel"
    )
    trim_data: bool = Field(False, description="Cut the output to the frame of the reference")
    clean_data: bool = Field(False, description="Accepted for compatibility; bad pixels carry no weight")
    conserve: bool = Field(True, description="Multiply by the ratio of pixel areas, so that flux is kept")
    force_affine: bool = Field(True, description="Accepted for compatibility; the mapping is affine")
    reference: str | None = Field(None, description="Name of the input whose grid is the output grid; trims")
    dq_threshold: float = Field(0.001, ge=0, description="Weight of flagged pixels above which a bit is set")
    max_lost: float = Field(
        0.3, ge=0, lt=1, description="Share of the kernel on bad pixels above which a pixel is lost; published: 0.001"
    )


class ScaleParams(Params):
    """Parameters of scaleCountsToReference."""

    suffix: str | None = Field("_countsScaled", description="Ending of the output name")
    tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0 = ratio of exposure times; 1 = ratio of stars; between = stars if so near",
    )
    clouds: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Follow the stars, whatever the tolerance, if the transparency of a frame differs by more than "
        "this part (and 5 times its error) from the median frame; 1 = never, as published",
    )
    use_common: bool = Field(True, description="Accepted for compatibility; all sources of two frames or more count")
    radius: Arcsec = Field(0.5, ge=0.1, description="Radius (arcsec) for pairing sources")


@primitive("resampleToCommonFrame", ResampleParams, scope="list", stamp="ALIGN", windowed=True)
def resample_to_common_frame(frames: list[Frame], params: ResampleParams, context: Context) -> list[Frame]:
    """Put all frames on the pixel grid of the first, extended to hold every pixel of every frame."""
    if len(frames) < 2:
        return frames
    index = 0
    if params.reference is not None:
        names = [i for i, f in enumerate(frames) if params.reference.removesuffix(".fits") in f.name]
        if not names:
            raise InputError(f"no input is called {params.reference}; name one of the inputs as reference")
        index = names[0]
    reference = plane_of(frames[index])
    maps = [pixel_map(reference, plane_of(frame), frame.data.shape) for frame in frames]
    shifts = np.array([offset for _, offset in maps])
    grid, window = _grids(frames, index, maps, trim=params.trim_data or params.reference is not None)
    first = (0, 0) if (held := frames[0].window) is None else held.origin
    factor = correlation_factor(shifts, params.interpolant)
    for number, (frame, (matrix, offset)) in enumerate(zip(frames, maps, strict=True), start=1):
        out = resample(
            frame.data,
            frame.variance,
            frame.mask,
            shift=offset,
            matrix=matrix,
            output_shape=grid.shape,
            output_origin=grid.origin,
            interpolant=params.interpolant,
            conserve=params.conserve,
            dq_threshold=params.dq_threshold,
            max_lost=params.max_lost,
            planes={key: plane for key, plane in frame.planes.items() if key in ("OBJMASK", "COVERAGE")},
        )
        _place(frame, out, grid, window, reference=reference, offset=offset)
        record_interpolation(frame, params.interpolant, factor, turned=matrix is not None)
        context.settle(frame, len(frames))
        context.progress(number, len(frames))
    ny, nx = window.shape
    x, y = window.origin[1] - grid.origin[0], window.origin[0] - grid.origin[1]
    context.note(f"grid of {nx} x {ny} pixels, the first frame at x+{x - first[1]}, y+{y - first[0]}")
    return frames


def _grids(frames: list[Frame], index: int, maps: Sequence[_Map], *, trim: bool) -> tuple[Grid, Window]:
    """The grid that is computed, in pixels that the reference holds, and where it lies in the new image.

    The new image holds all images, also where nothing is computed as no light fell there.
    """
    windows = [frame.window or Window((frame.data.shape[0], frame.data.shape[1]), (0, 0)) for frame in frames]
    places = [np.array(window.origin[::-1], np.float64) for window in windows]
    shifts = np.array([offset for _, offset in maps])
    moves = np.array(
        [
            offset + place - (places[index] if matrix is None else matrix @ places[index])
            for (matrix, offset), place in zip(maps, places, strict=True)
        ]
    )
    if trim:
        image = Grid(windows[index].shape, (0, 0))
    else:
        image = common_grid([window.shape for window in windows], moves - moves[index])
    held = common_grid([(frame.data.shape[0], frame.data.shape[1]) for frame in frames], shifts - shifts[index])
    x0, y0 = places[index].astype(int).tolist()
    left, low = max(held.origin[0], image.origin[0] - x0), max(held.origin[1], image.origin[1] - y0)
    right = min(held.origin[0] + held.shape[1], image.origin[0] - x0 + image.shape[1])
    top = min(held.origin[1] + held.shape[0], image.origin[1] - y0 + image.shape[0])
    grid = Grid((top - low, right - left), (left, low))
    return grid, Window(image.shape, (low + y0 - image.origin[1], left + x0 - image.origin[0]))


def _place(
    frame: Frame, out: Resampled, grid: Grid, window: Window, *, reference: TangentPlane, offset: NDArray[np.float64]
) -> None:
    """Give a frame its new pixels and the cards that tell where they lie. Changes `frame`."""
    ny, nx = frame.data.shape if frame.window is None else frame.window.shape
    before_y, before_x = (0, 0) if frame.window is None else frame.window.origin
    frame.data, frame.variance, frame.mask = out.data, out.variance, out.mask
    frame.planes.update(out.planes)
    frame.window = None if grid.shape == window.shape else window
    crpix = (reference.crpix[0] - grid.origin[0], reference.crpix[1] - grid.origin[1])
    set_plane(frame, TangentPlane(crval=reference.crval, crpix=crpix, cd=reference.cd))
    left, low = -float(offset[0]) - grid.origin[0], -float(offset[1]) - grid.origin[1]
    move_catalogue(frame, low, left)
    # Where the first pixel of the image that was comes to lie in the image that is.
    left, low = left + window.origin[1] - before_x, low + window.origin[0] - before_y
    corners = ((left, low), (left + nx - 1, low), (left + nx - 1, low + ny - 1), (left, low + ny - 1))
    header = frame.header
    header["AREATYPE"] = ("P4", "Polygon with 4 vertices")
    for i, (x, y) in enumerate(corners, start=1):
        header[f"AREA{i}_1"] = (round(x + 1, 3), f"Vertex {i} of the input frame, x (1-based)")
        header[f"AREA{i}_2"] = (round(y + 1, 3), f"Vertex {i} of the input frame, y (1-based)")
    header["DATASEC"] = f"[1:{window.shape[1]},1:{window.shape[0]}]"
    for key in ("FRMNAME", "FRAMEID", "LOWROW", "LOWCOL", "HIROW", "HICOL"):
        header.remove(key, ignore_missing=True)


@primitive("scaleCountsToReference", ScaleParams, scope="list", stamp="SCALEOBJ", windowed=True)
def scale_counts(frames: list[Frame], params: ScaleParams, context: Context) -> list[Frame]:
    """Bring the counts of all frames to one exposure time, and through clouds to the median transparency."""
    if len(frames) < 2:
        return frames
    t0 = frames[0].describe("exposure_time")
    clear = _clearness(frames, params)
    dim = _dimmed(clear, params)
    by_stars = params.tolerance > 0 or bool(dim.any())
    _tell_clouds(frames, clear, dim, context)
    tell_transparency(frames, clear, context)
    for frame, transparency in zip(frames, clear.factor.tolist(), strict=True):
        t = frame.describe("exposure_time")
        factor = t0 / t if t0 and t else 1.0
        low = 0.0 if dim.any() else 1 - params.tolerance
        if by_stars and np.isfinite(transparency) and low <= 1 / transparency <= 1 / max(low, 1e-9):
            factor /= transparency
        if by_stars:
            frame.header["FLUXREF"] = ("MEDIAN", "Counts are at the transparency of the median frame")
        if factor != 1:
            _scale(frame, factor)
            context.settle(frame, len(frames))
            frame.primary.setdefault("ORIGTEXP", t)
            frame.primary["EXPTIME"] = t0
            context.note(f"{frame.name}: counts times {factor:.4f}")
    unknown = [frame for frame, known in zip(frames, np.isfinite(clear.factor), strict=True) if not known]
    if by_stars and unknown:
        context.caveat("no common star tells the transparency; taken to be that of the median frame", unknown)
    return frames


def _scale(frame: Frame, factor: float) -> None:
    """Multiply the counts, with all that is known of their noise. Changes `frame`."""
    frame.data = frame.data * np.float32(factor)
    frame.variance = None if frame.variance is None else frame.variance * np.float32(factor**2)
    for card, usual, change in (("EFFRDN", "RDNOISE", factor), ("EFFGAIN", "GAIN", 1 / factor)):
        value = frame.header.get(card, frame.header.get(usual))
        if value is not None:
            frame.header[card] = float(value) * change


def _clearness(frames: list[Frame], params: ScaleParams) -> Transparency:
    """Light of the stars in one second of each frame, relative to the median frame."""
    radius = params.radius / (frames[0].describe("pixel_scale") or 1.0)
    lists = []
    for frame in frames:
        sources = source_list(frame, stars_only=False)
        sources = sources[np.isnan(sources[:, 3])][:, [0, 1, 2, 4]]
        sources[:, 2:] /= frame.describe("exposure_time") or 1.0
        lists.append(sources)
    return relative_transparency(lists, radius=radius)


def _dimmed(clear: Transparency, params: ScaleParams) -> NDArray[np.bool_]:
    """Frames whose stars are brighter or fainter than the error of their light allows."""
    change = np.abs(np.log(clear.factor))
    limit = np.maximum(np.log1p(params.clouds), _SURE * clear.error / clear.factor)
    return np.asarray((change > limit) & (clear.stars >= _FEWEST_STARS) & (params.clouds < 1))


def _tell_clouds(frames: list[Frame], clear: Transparency, dim: NDArray[np.bool_], context: Context) -> None:
    for frame, factor in zip(frames, clear.factor.tolist(), strict=True):
        if np.isfinite(factor):
            frame.header["TRANSPAR"] = (round(factor, 4), "Light of the stars over that of the median frame")
    cloudy = [f"{frame.root} {factor:.2f}" for frame, factor, d in zip(frames, clear.factor, dim, strict=True) if d]
    if cloudy:
        some = ", ".join(cloudy[:3]) + (f" and {len(cloudy) - 3} more" if len(cloudy) > 3 else "")
        context.caveat(f"the transparency changed ({some}); counts were brought to that of the median frame")
