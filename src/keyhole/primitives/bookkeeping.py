"""Steps that choose, order and show frames and move them between streams; no pixel is computed.

A stream is a named list of frames; ``main`` holds the inputs of the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from keyhole.errors import InputError, ParameterError
from keyhole.frames import Frame
from keyhole.headers import meaning
from keyhole.primitives.base import Context, NonNegative, Params, primitive

__all__ = [
    "AppendParams",
    "CopyParams",
    "PurposeParams",
    "RejectParams",
    "SliceParams",
    "SortParams",
    "TagParams",
    "TransferParams",
    "append_stream",
    "clear_all_streams",
    "clear_stream",
    "flush_pixels",
    "merge_inputs",
    "reject_inputs",
    "remove_from_inputs",
    "select_from_inputs",
    "show_inputs",
    "slice_into_streams",
    "sort_inputs",
    "transfer_attribute",
]


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    # Recipes give sets and tuples, too; a set has no order of its own.
    return sorted(value) if isinstance(value, set | frozenset) else value


def _known_descriptor(name: str) -> str:
    try:
        meaning(name)
    except ParameterError as error:
        # The form in which a parameter model wants to be told.
        raise ValueError(str(error)) from error
    return name


TagList = Annotated[list[str], BeforeValidator(_names)]

# What transferAttribute calls the planes of a frame.
_PLANES = {"data": "data", "variance": "variance", "mask": "mask", "dq": "mask", "var": "variance"}


class TagParams(Params):
    """Parameters of selectFromInputs and removeFromInputs."""

    tags: TagList = Field(default_factory=list, description="Tags that all must be there, separated by commas")


class RejectParams(Params):
    """Parameters of rejectInputs."""

    at_start: NonNegative = Field(0, description="Frames left out at the beginning of the list")
    at_end: NonNegative = Field(0, description="Frames left out at its end")


class SortParams(Params):
    """Parameters of sortInputs."""

    descriptor: Annotated[str, BeforeValidator(_known_descriptor)] = Field(
        "ut_datetime", description="Descriptor by which the frames are sorted, such as exposure_time"
    )
    reverse: bool = Field(False, description="The largest first")


with warnings.catch_warnings():
    # The published name of the parameter is also that of a method of models, which nobody calls here.
    warnings.filterwarnings("ignore", 'Field name "copy"')

    class CopyParams(Params):
        """Parameters shared by the steps that fill a stream from another."""

        # Frames of two streams never share what a step changes.
        copy: bool = Field(  # type: ignore[assignment]  # see above
            True, description="Accepted for compatibility; frames are always copied"
        )


class AppendParams(CopyParams):
    """Parameters of appendStream."""

    from_stream: str | None = Field(None, description="Stream whose frames are added")


class TransferParams(Params):
    """Parameters of transferAttribute."""

    source: str | None = Field(None, description="Stream that holds, frame by frame, what is taken over")
    attribute: str | None = Field(None, description="What: data, variance, mask, or a plane or table such as OBJCAT")


class SliceParams(CopyParams):
    """Parameters of sliceIntoStreams."""

    root_stream_name: str = Field("ext", description="Name of the new streams, before the number of the extension")


class PurposeParams(Params):
    """Parameters of showInputs."""

    purpose: str | None = Field(None, description="Words before the list")


@primitive("selectFromInputs", TagParams, scope="list", bookkeeping=True, windowed=True)
def select_from_inputs(frames: list[Frame], params: TagParams, context: Context) -> list[Frame]:
    """Keep the frames that carry all of the tags."""
    chosen = [frame for frame in frames if frame.tags.issuperset(params.tags)]
    context.note(f"{len(chosen)} of {len(frames)} frames are {' '.join(params.tags) or 'of any kind'}")
    return chosen


@primitive("removeFromInputs", TagParams, scope="list", bookkeeping=True, windowed=True)
def remove_from_inputs(frames: list[Frame], params: TagParams, context: Context) -> list[Frame]:
    """Leave out the frames that carry all of the tags; without tags nothing is left out."""
    chosen = [frame for frame in frames if not params.tags or not frame.tags.issuperset(params.tags)]
    context.note(f"{len(frames) - len(chosen)} of {len(frames)} frames left out")
    return chosen


@primitive("rejectInputs", RejectParams, scope="list", bookkeeping=True, windowed=True)
def reject_inputs(frames: list[Frame], params: RejectParams, context: Context) -> list[Frame]:
    """Leave out frames at the beginning and the end of the list."""
    chosen = frames[params.at_start : len(frames) - params.at_end]
    context.note(f"{len(chosen)} of {len(frames)} frames kept")
    return chosen


@primitive("sortInputs", SortParams, scope="list", bookkeeping=True, windowed=True)
def sort_inputs(frames: list[Frame], params: SortParams, context: Context) -> list[Frame]:
    """Sort the frames by what a descriptor says; those of which it says nothing come last."""
    values = {id(frame): frame.describe(params.descriptor) for frame in frames}
    known = [frame for frame in frames if values[id(frame)] is not None]
    silent = [frame for frame in frames if values[id(frame)] is None]
    try:
        known.sort(key=lambda frame: values[id(frame)], reverse=params.reverse)
    except TypeError as error:
        raise ParameterError(f"frames cannot be sorted by {params.descriptor}; its values have no order") from error
    return [*known, *silent]


@primitive("appendStream", AppendParams, scope="list", bookkeeping=True, windowed=True)
def append_stream(frames: list[Frame], params: AppendParams, context: Context) -> list[Frame]:
    """Add the frames of another stream to this one."""
    return [*frames, *(frame.copy() for frame in _stream(params.from_stream, "from_stream", context))]


@primitive("mergeInputs", Params, scope="list", bookkeeping=True, windowed=True)
def merge_inputs(frames: list[Frame], params: Params, context: Context) -> list[Frame]:
    """Merge the frames into one with several extensions: possible for a single frame only."""
    if len(frames) > 1:
        raise InputError(
            f"mergeInputs: {len(frames)} frames would become one of {len(frames)} extensions, and a frame holds one "
            "image here; combine them with stackFrames"
        )
    return frames


@primitive("clearStream", Params, scope="list", bookkeeping=True, windowed=True)
def clear_stream(frames: list[Frame], params: Params, context: Context) -> list[Frame]:
    """Empty a stream."""
    return []


@primitive("clearAllStreams", Params, scope="list", bookkeeping=True, windowed=True)
def clear_all_streams(frames: list[Frame], params: Params, context: Context) -> list[Frame]:
    """Empty all streams but main."""
    for name in [name for name in context.streams if name != "main"]:
        del context.streams[name]
    return frames


@primitive("transferAttribute", TransferParams, scope="list")
def transfer_attribute(frames: list[Frame], params: TransferParams, context: Context) -> list[Frame]:
    """Take over a plane or table from the frames of another stream, one by one."""
    sources = _stream(params.source, "source", context)
    name = params.attribute
    if name is None:
        raise ParameterError("transferAttribute needs attribute=, such as mask or OBJCAT")
    if len(sources) != len(frames):
        raise InputError(f"transferAttribute: {len(sources)} frames in {params.source!r} for {len(frames)} frames")
    return [_with_attribute(frame, source, name) for frame, source in zip(frames, sources, strict=True)]


def _with_attribute(frame: Frame, source: Frame, name: str) -> Frame:
    out = frame.copy()
    if name.lower() in _PLANES:
        attribute = _PLANES[name.lower()]
        setattr(out, attribute, getattr(source, attribute))
    elif name in source.planes:
        out.planes[name] = source.planes[name]
    elif name in source.tables:
        out.tables[name] = source.copy().tables[name]
    else:
        there = ", ".join(["data", "variance", "mask", *source.planes, *source.tables])
        raise ParameterError(f"transferAttribute: {source.name} has no {name!r}; it has {there}")
    return out


@primitive("sliceIntoStreams", SliceParams, scope="list", bookkeeping=True, windowed=True)
def slice_into_streams(frames: list[Frame], params: SliceParams, context: Context) -> list[Frame]:
    """Put each extension into a stream of its own: ext1, for the one that frames have here."""
    context.streams[f"{params.root_stream_name}1"] = [frame.copy() for frame in frames]
    return frames


@primitive("showInputs", PurposeParams, scope="list", bookkeeping=True, windowed=True)
def show_inputs(frames: list[Frame], params: PurposeParams, context: Context) -> list[Frame]:
    """Show the names of the frames."""
    title = f"{params.purpose}: " if params.purpose else ""
    context.note(title + (", ".join(frame.name for frame in frames) or "no frames"))
    return frames


@primitive("flushPixels", Params, scope="list", bookkeeping=True, windowed=True)
def flush_pixels(frames: list[Frame], params: Params, context: Context) -> list[Frame]:
    """Do nothing: memory is looked after without it."""
    return frames


def _stream(name: str | None, parameter: str, context: Context) -> Sequence[Frame]:
    if name is None or name not in context.streams:
        there = ", ".join(context.streams)
        what = "is missing" if name is None else f"names no stream: {name!r}"
        raise ParameterError(f"{parameter} {what}; there are {there}")
    return context.streams[name]
