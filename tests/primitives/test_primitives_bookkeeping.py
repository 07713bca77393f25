from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from tiny_frames import DARK, FLAT

from keyhole.engine.parameters import resolve
from keyhole.errors import InputError, ParameterError
from keyhole.frames import Frame, Table
from keyhole.primitives import REGISTRY


class Book:
    """The part of a run that these steps use."""

    mode = "sq"

    def __init__(self, **streams: list[Frame]) -> None:
        self.streams = streams
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def frame(name: str, cards: dict[str, Any] = DARK, **changes: Any) -> Frame:
    primary = fits.Header()
    for key, value in (cards | changes).items():
        primary[key] = value
    return Frame(name, primary, fits.Header(), np.zeros((3, 4), np.float32), mask=np.zeros((3, 4), np.uint16))


def call(step: str, frames: list[Frame], book: Book | None = None, **parameters: Any) -> list[Frame]:
    book = Book(main=frames) if book is None else book
    values = resolve(step, mode_defaults={}, call=parameters, settings={}).values
    return REGISTRY[step].function(frames, values, book)


def names(frames: list[Frame]) -> list[str]:
    return [item.name for item in frames]


NIGHT = [frame("d1", UT="03:00:00"), frame("f1", FLAT, UT="01:00:00"), frame("d2", UT="02:00:00", EXPTIME=10.0)]


@pytest.mark.parametrize(
    ("tags", "kept"),
    [("DARK", "d1 d2"), ("CAL, FLAT", "f1"), (["FLAT"], "f1"), ({"CAL", "DARK"}, "d1 d2"), ("", "d1 f1 d2"), ("X", "")],
)
def test_tags_select_and_remove(tags: Any, kept: str) -> None:
    selected = call("selectFromInputs", NIGHT, tags=tags)
    assert names(selected) == kept.split()
    removed = call("removeFromInputs", NIGHT, tags=tags)
    assert names(removed) == (names(NIGHT) if not tags else [n for n in names(NIGHT) if n not in kept.split()])
    assert all(any(item is old for old in NIGHT) for item in selected)


@pytest.mark.parametrize(
    ("at_start", "at_end", "kept"), [(0, 0, "d1 f1 d2"), (1, 0, "f1 d2"), (0, 2, "d1"), (1, 1, "f1"), (2, 2, "")]
)
def test_ends_of_the_list_are_rejected(at_start: int, at_end: int, kept: str) -> None:
    assert names(call("rejectInputs", NIGHT, at_start=at_start, at_end=at_end)) == kept.split()
    with pytest.raises(ParameterError, match=r"\[0"):
        call("rejectInputs", NIGHT, at_start=-1)


def test_frames_are_sorted_and_those_without_a_value_come_last() -> None:
    # The flat is of a later night.
    assert names(call("sortInputs", NIGHT)) == ["d2", "d1", "f1"]
    assert names(call("sortInputs", NIGHT, reverse=True)) == ["f1", "d1", "d2"]
    unknown = frame("d0")
    del unknown.primary["EXPTIME"]
    assert names(call("sortInputs", [unknown, *NIGHT], descriptor="exposure_time")) == ["f1", "d2", "d1", "d0"]
    with pytest.raises(ParameterError, match="did you mean 'exposure_time'"):
        call("sortInputs", NIGHT, descriptor="exposuretime")


def test_stream_is_appended_as_copies() -> None:
    book = Book(main=NIGHT[:1], other=NIGHT[1:])
    out = call("appendStream", NIGHT[:1], book, from_stream="other", copy=False)
    assert names(out) == ["d1", "f1", "d2"]
    out[1].name = "changed"
    out[1].primary["OBJECT"] = "changed"
    assert names(book.streams["other"]) == ["f1", "d2"]
    assert NIGHT[1].primary["OBJECT"] != "changed"
    with pytest.raises(ParameterError, match="there are main, other"):
        call("appendStream", NIGHT, book, from_stream="othr")


def test_streams_are_cleared() -> None:
    book = Book(main=NIGHT, a=NIGHT[:1], b=[])
    assert call("clearStream", NIGHT[:1], book) == []
    assert names(call("clearAllStreams", NIGHT, book)) == names(NIGHT)
    assert list(book.streams) == ["main"]


def test_attributes_are_transferred_frame_by_frame() -> None:
    source, target = frame("a"), frame("b")
    source.mask = np.full((3, 4), 8, np.uint16)
    source.planes["OBJMASK"] = np.ones((3, 4), np.uint8)
    source.tables["OBJCAT"] = Table({"X": np.array([1.0])})
    book = Book(main=[target], other=[source])
    (out,) = call("transferAttribute", [target], book, source="other", attribute="mask")
    assert out.mask is not None and np.all(out.mask == 8)
    assert target.mask is not None and np.all(target.mask == 0)
    for attribute in ("OBJMASK", "OBJCAT"):
        (out,) = call("transferAttribute", [target], book, source="other", attribute=attribute)
        assert attribute in {**out.planes, **out.tables}
    with pytest.raises(ParameterError, match="OBJCAT"):
        call("transferAttribute", [target], book, source="other", attribute="OBJCT")
    with pytest.raises(ParameterError, match="attribute="):
        call("transferAttribute", [target], book, source="other")
    with pytest.raises(InputError, match="1 frames in 'other' for 3"):
        call("transferAttribute", NIGHT, book, source="other", attribute="mask")


def test_each_extension_gets_a_stream() -> None:
    book = Book(main=NIGHT)
    assert call("sliceIntoStreams", NIGHT, book, root_stream_name="part") == NIGHT
    assert names(book.streams["part1"]) == names(NIGHT)
    assert book.streams["part1"][0] is not NIGHT[0]


def test_one_frame_merges_and_several_cannot() -> None:
    assert call("mergeInputs", NIGHT[:1]) == NIGHT[:1]
    with pytest.raises(InputError, match="stackFrames"):
        call("mergeInputs", NIGHT)


def test_inputs_are_shown_in_one_note() -> None:
    book = Book(main=NIGHT)
    assert call("showInputs", NIGHT, book, purpose="all of them") == NIGHT
    call("showInputs", [], book)
    assert book.notes == ["all of them: d1, f1, d2", "no frames"]
    assert call("flushPixels", NIGHT, book) == NIGHT


def test_all_steps_of_this_kind_leave_no_trace() -> None:
    steps = [step for step in REGISTRY.values() if step.function.__module__.endswith((".bookkeeping", ".checkwcs"))]
    assert len(steps) == 13
    assert {step.name for step in steps if not step.bookkeeping} == {"transferAttribute"}
    assert not any(step.stamp or step.writes for step in steps)
