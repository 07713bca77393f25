"""Products: marked, named and written."""

from __future__ import annotations

import re

from pydantic import Field

from keyhole.errors import InputError
from keyhole.frames import Frame
from keyhole.primitives.base import Context, Params, primitive

__all__ = [
    "StoreCalibrationParams",
    "StoreScienceParams",
    "WriteOutputsParams",
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


class StoreScienceParams(Params):
    """Parameters of storeProcessedScience."""

    suffix: str | None = Field("_image", description="Ending of the output name")


class WriteOutputsParams(Params):
    """Parameters of writeOutputs."""

    suffix: str | None = Field(None, description="Ending of the output name; None = the current name")


@primitive("storeProcessedDark", StoreDarkParams, scope="frame", stamp="PROCDARK", writes=True)
def store_processed_dark(frames: list[Frame], params: StoreDarkParams, context: Context) -> list[Frame]:
    """Mark the frame as master dark and write it."""
    return [_mark(frame, "DARK", str(params.suffix), context) for frame in frames]


@primitive("storeProcessedFlat", StoreFlatParams, scope="frame", stamp="PROCFLAT", writes=True)
def store_processed_flat(frames: list[Frame], params: StoreFlatParams, context: Context) -> list[Frame]:
    """Mark the frame as master flat and write it."""
    return [_mark(frame, "FLAT", str(params.suffix), context) for frame in frames]


@primitive("storeProcessedScience", StoreScienceParams, scope="frame", stamp="PROCSCI", writes=True)
def store_processed_science(frames: list[Frame], params: StoreScienceParams, context: Context) -> list[Frame]:
    """Mark the frame as finished science image and write it."""
    for frame in frames:
        _label(frame, str(params.suffix), context)
    return frames


@primitive("writeOutputs", WriteOutputsParams, scope="frame", writes=True)
def write_outputs(frames: list[Frame], params: WriteOutputsParams, context: Context) -> list[Frame]:
    """Write the frames as they are now."""
    return frames


def _mark(frame: Frame, kind: str, suffix: str, context: Context) -> Frame:
    if kind not in frame.tags:
        raise InputError(f"{frame.name} is no {kind.lower()}; it cannot be stored as one")
    _label(frame, suffix, context)
    return frame


def _label(frame: Frame, suffix: str, context: Context) -> None:
    frame.primary["PROCMODE"] = (context.mode, "Processing mode")
    label = re.sub(r"(-[A-Za-z]+)+$", "", str(frame.primary.get("DATALAB", "")))
    frame.primary["DATALAB"] = f"{label}-{context.mode.upper()}-{suffix.strip('_').upper()}"
