"""Registration: offsets from matched sources, one grid for all frames, counts on one scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.errors import InputError
from keyhole.frames import Frame
from keyhole.imaging.covariance import correlation_factor
from keyhole.imaging.geometry import Grid, TangentPlane, common_grid
from keyhole.imaging.match import Registration, SourceList, register
from keyhole.imaging.resample import Resampled, resample
from keyhole.imaging.transparency import Transparency, relative_transparency
from keyhole.primitives.base import Arcsec, Context, Params, Positive, primitive
from keyhole.primitives.noise import INTERPOLANT_KEY, TURNED_KEY
from keyhole.primitives.wcs import commanded_shifts, pixel_map, plane, plane_of, position_angle, set_plane

__all__ = [
    "AdjustParams",
    "ResampleParams",
    "ScaleParams",
    "adjust_wcs",
    "resample_to_common_frame",
    "scale_counts",
]


# Degrees; below this a change of the header's position angle is the noise of its recording.
_SAME_ANGLE = 0.05
# Bit of FLAGS for sources whose pixels are cut off, and how far off their centre may be, pixels.
_CUT = 8
_CUT_ERROR = 1.5
# Natural logarithm of a transparency that is worth a word, and stars that prove it.
_CLOUDY = 0.15
_FEWEST_STARS = 2


class AdjustParams(Params):
    """Parameters of adjustWCSToReference."""

    suffix: str | None = Field("_wcsCorrected", description="Ending of the output name")
    method: Literal["sources", "offsets"] = Field("sources", description="Align on sources or header offsets")
    fallback: Literal["offsets"] | None = Field(
        "offsets", description="What to use where alignment on sources is impossible"
    )
    first_pass: Arcsec = Field(2.0, gt=0, description="Half-width (arcsec) of the search round the commanded offset")
    jump: Arcsec = Field(8.0, gt=0, description="Half-width (arcsec) of the search for frames not found by the first")
    match_radius: Arcsec = Field(0.5, gt=0, description="Radius (arcsec) for pairing sources")
    min_sources: Positive = Field(1, description="Fewest paired sources for a solution to be accepted")
    cull_sources: bool = Field(False, description="Use only sources that look like stars")
    rotate: bool = Field(
        False, description="Fit a rotation too; frames of another position angle are rotated in any case"
    )
    scale: bool = Field(False, description="Accepted for compatibility; the scale is the camera's")
    debug_ignore_wcs: bool = Field(False, description="Accepted for compatibility")


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
    use_common: bool = Field(True, description="Accepted for compatibility; all sources of two frames or more count")
    radius: Arcsec = Field(0.5, ge=0.1, description="Radius (arcsec) for pairing sources")


@primitive("adjustWCSToReference", AdjustParams, scope="list", stamp="CORRWCS")
def adjust_wcs(frames: list[Frame], params: AdjustParams, context: Context) -> list[Frame]:
    """Bring the WCS of all frames together by their sources, at the median of the headers' positions."""
    if len(frames) < 2:
        return frames
    scale = frames[0].describe("pixel_scale") or 1.0
    expected = commanded_shifts(frames, context)
    unit = np.eye(2)
    maps = [(unit, shift) for shift in expected]
    if params.method == "sources":
        lists = [source_list(frame, stars_only=params.cull_sources) for frame in frames]
        solution = register(
            [SourceList(*found.T) for found in lists],
            expected,
            search_radius=params.first_pass / scale,
            match_radius=params.match_radius / scale,
            min_sources=params.min_sources,
            rotate=params.rotate or _turned(frames),
            jump_radius=max(params.jump, params.first_pass) / scale,
        )
        maps = [(f.matrix, np.array([f.dx, f.dy])) for f in solution.frames]
        _tell(frames, solution, (solution.shifts - expected) * scale, params, context)
    else:
        context.note("aligned by the commanded offsets, as asked")
    reference = _mean_plane(frames, maps)
    origin = np.array(reference.crpix) - 1
    for frame, (matrix, shift) in zip(frames, maps, strict=True):
        x, y = matrix @ origin + shift + 1
        cd = np.asarray(reference.cd) @ np.linalg.inv(matrix)
        set_plane(frame, TangentPlane(crval=reference.crval, crpix=(float(x), float(y)), cd=cd))
        _update_world(frame)
    return frames


def _turned(frames: list[Frame]) -> bool:
    """Whether the position angle was changed within the sequence."""
    known = [angle for angle in map(position_angle, frames) if angle is not None]
    return bool(known) and max(known) - min(known) > _SAME_ANGLE


def source_list(frame: Frame, *, stars_only: bool) -> NDArray[np.float64]:
    """Positions (0-based), fluxes and position errors of the catalogue of a frame, ``(n, 4)``.

    The error is given for sources that reach beyond the lit area alone: their centre is that of what is left
    of them.
    """
    table = frame.tables.get("OBJCAT")
    if table is None:
        return np.zeros((0, 4))
    columns = [table.columns[name] for name in ("X_IMAGE", "Y_IMAGE", "FLUX_AUTO")]
    error = np.where(table.columns["FLAGS"] & _CUT, _CUT_ERROR, np.nan)
    values = np.column_stack([*columns, error]).astype(np.float64) - [1.0, 1.0, 0.0, 0.0]
    kept = np.isfinite(values[:, :3]).all(axis=1)
    if stars_only:
        kept &= table.columns["CLASS_STAR"] > 0.8
    return np.asarray(values[kept])


def _tell(
    frames: list[Frame],
    solution: Registration,
    errors: NDArray[np.float64],
    params: AdjustParams,
    context: Context,
) -> None:
    """Tell how well the frames were registered; `errors` are those of the pointing, arcsec."""
    for frame, found in zip(frames, solution.frames, strict=True):
        frame.primary["REGMETH"] = (found.method, "How the frame was registered")
        frame.primary["REGNSRC"] = (found.n_matched, "Sources that agree with it")
    lost = [f for f, found in zip(frames, solution.frames, strict=True) if found.method != "sources"]
    if lost:
        context.caveat("too few sources to align by; the commanded offset is used", lost)
    matched = [i for i, found in enumerate(solution.frames) if found.method == "sources"]
    if not matched:
        return
    jump = np.hypot(*(errors[matched] - np.median(errors[matched], axis=0)).T)
    for i, size in zip(matched, jump.tolist(), strict=True):
        if size > params.first_pass:
            context.caveat(f"{frames[i].root} lies {size:.1f} arcsec from its commanded place")
    scatter = [found.rms for found in solution.frames if found.method == "sources" and found.rms is not None]
    rms = float(np.sqrt(np.mean(np.square(scatter)))) if scatter else 0.0
    context.note(
        f"{len(matched)} of {len(frames)} frames aligned on sources, scatter {rms:.3f} pixel; "
        f"pointing errors up to {jump.max():.2f} arcsec"
    )
    turned = [found.rotation for found in solution.frames if abs(found.rotation) > 0]
    if turned:
        context.note(f"{len(turned)} frames are rotated, up to {max(map(abs, turned)):.3f} degree")


Map = tuple[NDArray[np.float64], NDArray[np.float64]]


def _mean_plane(frames: list[Frame], maps: list[Map]) -> TangentPlane:
    """The WCS on which most headers agree, on the pixels of the first frame: median axes, median position."""
    first = plane_of(frames[0])
    axes = [np.array(plane_of(frame).cd) @ matrix for frame, (matrix, _) in zip(frames, maps, strict=True)]
    usual = plane(crval=first.crval, crpix=first.crpix, cd=np.median(axes, axis=0))
    ny, nx = frames[0].data.shape
    centre = np.array([(nx - 1) / 2, (ny - 1) / 2])
    ra0, dec0 = (float(v[0]) for v in usual.pixel_to_sky(centre[:1], centre[1:]))
    moves = []
    for frame, (matrix, shift) in zip(frames, maps, strict=True):
        x, y = matrix @ centre + shift
        ra, dec = plane_of(frame).pixel_to_sky(np.array([x]), np.array([y]))
        moves.append(((float(ra[0]) - ra0 + 180) % 360 - 180, float(dec[0]) - dec0))
    d_ra, d_dec = np.median(moves, axis=0).tolist()
    return TangentPlane(crval=((first.crval[0] + d_ra) % 360, first.crval[1] + d_dec), crpix=first.crpix, cd=usual.cd)


def _update_world(frame: Frame) -> None:
    table = frame.tables.get("OBJCAT")
    if table is None:
        return
    x = np.asarray(table.columns["X_IMAGE"], dtype=np.float64) - 1
    y = np.asarray(table.columns["Y_IMAGE"], dtype=np.float64) - 1
    table.columns["X_WORLD"], table.columns["Y_WORLD"] = plane_of(frame).pixel_to_sky(x, y)


@primitive("resampleToCommonFrame", ResampleParams, scope="list", stamp="ALIGN")
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
    if params.trim_data or params.reference is not None:
        grid = Grid(frames[index].data.shape, (0, 0))
    else:
        grid = common_grid([frame.data.shape for frame in frames], shifts - shifts[index])
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
        _place(frame, out, grid, reference, offset)
        frame.header["CORRNOIS"] = (round(factor, 4), "Noise of wide apertures over that of their pixels")
        frame.header[INTERPOLANT_KEY] = (params.interpolant, "Kernel of the interpolation")
        frame.header[TURNED_KEY] = (matrix is not None, "Whether the frame was rotated")
        context.progress(number, len(frames))
    ny, nx = grid.shape
    context.note(f"grid of {nx} x {ny} pixels, the first frame at x+{-grid.origin[0]}, y+{-grid.origin[1]}")
    return frames


def _place(frame: Frame, out: Resampled, grid: Grid, reference: TangentPlane, offset: NDArray[np.float64]) -> None:
    ny, nx = frame.data.shape
    frame.data, frame.variance, frame.mask = out.data, out.variance, out.mask
    frame.planes.update(out.planes)
    crpix = (reference.crpix[0] - grid.origin[0], reference.crpix[1] - grid.origin[1])
    set_plane(frame, TangentPlane(crval=reference.crval, crpix=crpix, cd=reference.cd))
    left, low = -float(offset[0]) - grid.origin[0], -float(offset[1]) - grid.origin[1]
    corners = ((left, low), (left + nx - 1, low), (left + nx - 1, low + ny - 1), (left, low + ny - 1))
    header = frame.header
    header["AREATYPE"] = ("P4", "Polygon with 4 vertices")
    for i, (x, y) in enumerate(corners, start=1):
        header[f"AREA{i}_1"] = (round(x + 1, 3), f"Vertex {i} of the input frame, x (1-based)")
        header[f"AREA{i}_2"] = (round(y + 1, 3), f"Vertex {i} of the input frame, y (1-based)")
    header["DATASEC"] = f"[1:{grid.shape[1]},1:{grid.shape[0]}]"
    for key in ("FRMNAME", "FRAMEID", "LOWROW", "LOWCOL", "HIROW", "HICOL"):
        header.remove(key, ignore_missing=True)
    table = frame.tables.get("OBJCAT")
    if table is not None:
        table.columns["X_IMAGE"] = table.columns["X_IMAGE"] + left
        table.columns["Y_IMAGE"] = table.columns["Y_IMAGE"] + low


@primitive("scaleCountsToReference", ScaleParams, scope="list", stamp="SCALEOBJ")
def scale_counts(frames: list[Frame], params: ScaleParams, context: Context) -> list[Frame]:
    """Bring the counts of all frames to the scale of the first, by exposure time or by stars."""
    if len(frames) < 2:
        return frames
    first = frames[0]
    t0 = first.describe("exposure_time")
    clear = _clearness(frames, params)
    _tell_clouds(frames, clear, params, context)
    stars = _star_ratios(clear) if params.tolerance > 0 else [None] * len(frames)
    for frame, ratio in zip(frames[1:], stars[1:], strict=True):
        t = frame.describe("exposure_time")
        factor = t0 / t if t0 and t else 1.0
        if ratio is not None:
            low, high = 1 - params.tolerance, 1 / max(1 - params.tolerance, 1e-9)
            if params.tolerance == 1 or low <= ratio <= high:
                factor *= ratio
        if factor == 1:
            continue
        frame.data = frame.data * np.float32(factor)
        frame.variance = None if frame.variance is None else frame.variance * np.float32(factor**2)
        frame.primary.setdefault("ORIGTEXP", t)
        frame.primary["EXPTIME"] = t0
        context.note(f"{frame.name}: counts times {factor:.4f}")
    return frames


def _clearness(frames: list[Frame], params: ScaleParams) -> Transparency:
    """Light of the stars in one second of each frame, relative to the median frame."""
    radius = params.radius / (frames[0].describe("pixel_scale") or 1.0)
    lists = []
    for frame in frames:
        sources = source_list(frame, stars_only=False)
        sources = sources[np.isnan(sources[:, 3]), :3]
        sources[:, 2] /= frame.describe("exposure_time") or 1.0
        lists.append(sources)
    return relative_transparency(lists, radius=radius)


def _tell_clouds(frames: list[Frame], clear: Transparency, params: ScaleParams, context: Context) -> None:
    change = np.abs(np.log(clear.factor))
    dim = (change > _CLOUDY) & (change > 5 * clear.error / clear.factor) & (clear.stars >= _FEWEST_STARS)
    for frame, factor in zip(frames, clear.factor.tolist(), strict=True):
        if np.isfinite(factor):
            frame.header["TRANSPAR"] = (round(factor, 4), "Light of the stars over that of the median frame")
    cloudy = [f"{frame.root} {factor:.2f}" for frame, factor, d in zip(frames, clear.factor, dim, strict=True) if d]
    if cloudy:
        some = ", ".join(cloudy[:3]) + (f" and {len(cloudy) - 3} more" if len(cloudy) > 3 else "")
        way = "" if params.tolerance > 0 else "; -p scaleCountsToReference:tolerance=1 brings all to one scale"
        context.caveat(f"the transparency changed (1 is the median frame: {some}){way}")


def _star_ratios(clear: Transparency) -> list[float | None]:
    """Factors that bring the light of the stars to that of the first frame, exposure times not included."""
    return [float(clear.factor[0] / f) if np.isfinite(clear.factor[0] / f) else None for f in clear.factor]
