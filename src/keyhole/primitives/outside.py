"""What lies outside of the light: left out of the work, emptied, and cut off where that is wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.frames import Frame, cut, whole
from keyhole.imaging import bits
from keyhole.imaging.geometry import TangentPlane
from keyhole.imaging.levels import lit_box
from keyhole.primitives.base import Context, NonNegative, Params, primitive
from keyhole.primitives.wcs import plane_of, set_plane

__all__ = ["ClearUnlitParams", "CropParams", "LimitParams", "clear_unlit", "crop_to_light", "limit_to_light"]

Box = tuple[slice, slice]

# Windows begin at a multiple of this, so that odd rows, and the 16 columns of the read-out, stay what they were.
_ALIGNED = 16


class LimitParams(Params):
    """Parameters of limitToLight."""

    suffix: str | None = Field(None, description="Ending of the output name; None = as it is")
    rows: NonNegative | None = Field(8, description="Rows kept below and above the light; None = all")
    columns: NonNegative | None = Field(8, description="Columns kept on both sides of the light; None = all")


class ClearUnlitParams(Params):
    """Parameters of clearUnlit."""

    suffix: str | None = Field(None, description="Ending of the output name; None = as it is")
    replace_flags: NonNegative = Field(
        bits.UNILLUMINATED | bits.NO_DATA,
        description="Pixels with any of these bits become 0 in SCI and VAR (80 = 16 and 64); 0 = none, as published",
    )


class CropParams(Params):
    """Parameters of cropToLight."""

    suffix: str | None = Field(None, description="Ending of the output name; None = as it is")
    crop: bool = Field(True, description="Cut to the smallest box that holds all light; False = keep the whole array")
    margin: NonNegative = Field(0, description="Pixels kept around that box, as far as the image reaches")


@primitive("limitToLight", LimitParams, scope="frame", windowed=True)
def limit_to_light(frames: list[Frame], params: LimitParams, context: Context) -> list[Frame]:
    """Leave out of the work what lies far from the light; products are written with all pixels, 0 and flagged there.

    Without this step all pixels go through all steps, as published, which takes several times as long.
    """
    for frame in frames:
        if frame.mask is None:
            continue
        lit = (frame.mask & bits.MASK_DTYPE(bits.UNILLUMINATED)) == 0
        if not lit.any() or lit.all():
            continue
        ny, nx = lit.shape
        rows, columns = lit_box(lit)
        rows = slice(0, ny) if params.rows is None else _widened(rows, params.rows, ny)
        columns = slice(0, nx) if params.columns is None else _widened(columns, params.columns, nx)
        if (rows, columns) != (slice(0, ny), slice(0, nx)):
            cut(frame, rows, columns)
    return frames


def _widened(part: slice, margin: int, length: int) -> slice:
    start = max(part.start - margin, 0)
    return slice(start - start % _ALIGNED, min(part.stop + margin, length))


@primitive("clearUnlit", ClearUnlitParams, scope="frame", windowed=True)
def clear_unlit(frames: list[Frame], params: ClearUnlitParams, context: Context) -> list[Frame]:
    """Set SCI and VAR to zero where no light fell; the flags stay.

    What stands there otherwise is left over from earlier steps and looks like a flat sky.
    """
    for frame in frames:
        if frame.mask is None:
            continue
        outside = (frame.mask & bits.MASK_DTYPE(params.replace_flags & 0xFFFF)) != 0
        frame.data = np.where(outside, np.float32(0), frame.data)
        if frame.variance is not None:
            frame.variance = np.where(outside, np.float32(0), frame.variance)
    return frames


@primitive("cropToLight", CropParams, scope="list", windowed=True)
def crop_to_light(frames: list[Frame], params: CropParams, context: Context) -> list[Frame]:
    """Cut the frames to the smallest box that holds the light of all of them; WCS and catalogue follow.

    All frames of one size are cut alike, so that frames on one grid stay on one.
    """
    if not params.crop:
        return frames
    frames = [whole(frame) for frame in frames]
    for shape in dict.fromkeys(frame.data.shape for frame in frames):
        alike = [frame for frame in frames if frame.data.shape == shape]
        lit = np.logical_or.reduce([_lit(frame) for frame in alike])
        box = lit_box(lit, margin=params.margin)
        if not lit.any():
            context.caveat("no pixel is lit; nothing is cut off", alike)
            continue
        for frame in alike:
            _cut(frame, box)
        (rows, columns), (ny, nx) = box, shape
        context.note(f"{columns.stop - columns.start} x {rows.stop - rows.start} of {nx} x {ny} pixels kept")
    return frames


def _lit(frame: Frame) -> NDArray[np.bool_]:
    if frame.mask is None:
        return np.ones(frame.data.shape, bool)
    return np.asarray((frame.mask & bits.MASK_DTYPE(bits.UNILLUMINATED | bits.NO_DATA)) == 0)


def _cut(frame: Frame, box: Box) -> None:
    """Cut all planes of a frame to a box; positions in headers and catalogue follow. Changes `frame`."""
    x0, y0 = box[1].start, box[0].start
    cut(frame, *box)
    # What is left is an image of its own.
    frame.window = None
    if "CRVAL1" in frame.header:
        wcs = plane_of(frame)
        set_plane(frame, TangentPlane(crval=wcs.crval, crpix=(wcs.crpix[0] - x0, wcs.crpix[1] - y0), cd=wcs.cd))
    _move_cards(frame, x0, y0)


def _move_cards(frame: Frame, x0: int, y0: int) -> None:
    """Sections and polygons of the header on the new pixels, and where these were before. Changes `frame`."""
    header, (ny, nx) = frame.header, frame.data.shape
    # A second cut adds to the first.
    before_x, before_y = int(header.get("CROPX", 0)), int(header.get("CROPY", 0))
    header["CROPX"] = (before_x + x0, "Columns cut off before the first")
    header["CROPY"] = (before_y + y0, "Rows cut off below the first")
    header["DATASEC"] = f"[1:{nx},1:{ny}]"
    for vertex in range(1, 5):
        for axis, shift in ((1, x0), (2, y0)):
            key = f"AREA{vertex}_{axis}"
            if key in header:
                header[key] = round(float(header[key]) - shift, 3)
