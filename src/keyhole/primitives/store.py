"""Products: marked, named and written."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field

from keyhole.errors import InputError, ParameterError
from keyhole.frames import Frame
from keyhole.frames.frame import strip_extension
from keyhole.primitives.base import Context, Params, primitive

__all__ = [
    "StoreBPMParams",
    "StoreCalibrationParams",
    "StoreScienceParams",
    "WriteOutputsParams",
    "store_bpm",
    "store_processed_dark",
    "store_processed_flat",
    "store_processed_science",
    "write_outputs",
]


class StoreCalibrationParams(Params):
    """Parameters shared by the steps that store a master."""

    force: bool = Field(False, description="Accepted for compatibility; nothing is overwritten in the header")


class StoreDarkParams(StoreCalibrationParams):
    """Parameters of storeProcessedDark."""

    suffix: str | None = Field("_dark", description="Ending of the output name")


class StoreFlatParams(StoreCalibrationParams):
    """Parameters of storeProcessedFlat."""

    suffix: str | None = Field("_flat", description="Ending of the output name")


class StoreBPMParams(StoreCalibrationParams):
    """Parameters of storeBPM."""

    suffix: str | None = Field(None, description="Ending of the output name; None = the current name")


class StoreScienceParams(Params):
    """Parameters of storeProcessedScience."""

    suffix: str | None = Field("_image", description="Ending of the output name")


class WriteOutputsParams(Params):
    """Parameters of writeOutputs."""

    suffix: str | None = Field(None, description="Ending of the output name; None = the current name")
    outfilename: str | None = Field(None, description="Name of the output, for a single frame, without suffix")
    prefix: str | None = Field(None, description="Put before the current name, without suffix")
    overwrite: bool = Field(True, description="Accepted for compatibility; products are replaced, inputs never")
    strip: bool = Field(True, description="Accepted for compatibility; a suffix always replaces the previous one")


@primitive("storeProcessedDark", StoreDarkParams, scope="frame", stamp="PROCDARK", writes=True)
def store_processed_dark(frames: list[Frame], params: StoreDarkParams, context: Context) -> list[Frame]:
    """Mark the frame as master dark and write it."""
    return [_mark(frame, "DARK", str(params.suffix), context) for frame in frames]


@primitive("storeProcessedFlat", StoreFlatParams, scope="frame", stamp="PROCFLAT", writes=True)
def store_processed_flat(frames: list[Frame], params: StoreFlatParams, context: Context) -> list[Frame]:
    """Mark the frame as master flat and write it."""
    return [_mark(frame, "FLAT", str(params.suffix), context) for frame in frames]


@primitive("storeBPM", StoreBPMParams, scope="frame", stamp="PROCBPM", writes=True)
def store_bpm(frames: list[Frame], params: StoreBPMParams, context: Context) -> list[Frame]:
    """Mark the frame as bad-pixel mask and write it."""
    for frame in frames:
        _require(frame, "BPM", "bad-pixel mask")
    return frames


@primitive("storeProcessedScience", StoreScienceParams, scope="frame", stamp="PROCSCI", writes=True, windowed=True)
def store_processed_science(frames: list[Frame], params: StoreScienceParams, context: Context) -> list[Frame]:
    """Mark the frame as finished science image and write it."""
    for frame in frames:
        _label(frame, str(params.suffix), context)
    return frames


@primitive("writeOutputs", WriteOutputsParams, scope="list", writes=True, windowed=True)
def write_outputs(frames: list[Frame], params: WriteOutputsParams, context: Context) -> list[Frame]:
    """Write the frames as they are now."""
    if params.outfilename is not None and len(frames) > 1:
        raise ParameterError(f"writeOutputs: {params.outfilename} names one file, there are {len(frames)}; use prefix")
    given = params.outfilename or params.prefix
    if given is not None and params.suffix is not None:
        raise ParameterError(f"writeOutputs: {given!r} and suffix {params.suffix!r} both rename; give one of them")
    for frame in frames:
        if params.outfilename is not None:
            frame.name = f"{strip_extension(Path(params.outfilename).name)}.fits"
        elif params.prefix is not None:
            frame.name = f"{params.prefix}{frame.name}"
    return frames


def _mark(frame: Frame, kind: str, suffix: str, context: Context) -> Frame:
    _require(frame, kind, kind.lower())
    _label(frame, suffix, context)
    return frame


def _require(frame: Frame, tag: str, words: str) -> None:
    if tag not in frame.tags:
        raise InputError(f"{frame.name} is no {words}; it cannot be stored as one")


def _label(frame: Frame, suffix: str, context: Context) -> None:
    frame.primary["PROCMODE"] = (context.mode, "Processing mode")
    label = re.sub(r"(-[A-Za-z]+)+$", "", str(frame.primary.get("DATALAB", "")))
    frame.primary["DATALAB"] = f"{label}-{context.mode.upper()}-{suffix.strip('_').upper()}"
