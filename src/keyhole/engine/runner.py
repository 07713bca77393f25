"""The runner: what a recipe calls; each call resolves parameters, runs the step and keeps the books.

Steps that treat each frame alone wait until one comes that needs all frames: then every frame goes through all of
them in turn, so that no more than one frame has its full size in memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from keyhole.engine.book import StepBook
from keyhole.engine.context import RunContext
from keyhole.engine.events import EventSink, Progress, StepFinished, StepStarted
from keyhole.engine.parameters import Resolved, nearest, plain_values, resolve
from keyhole.engine.recorder import STREAM_WORDS, step_named
from keyhole.errors import DataError, InputError, ParameterError
from keyhole.frames import Frame, add_history, share_window, whole
from keyhole.primitives import Primitive

__all__ = ["Runner"]


class _Call(NamedTuple):
    """One step with its parameters."""

    step: Primitive
    resolved: Resolved
    parameters: dict[str, Any]
    number: int
    told: dict[str, Any]
    """The parameters that are written into the frames."""
    words: str
    """The same as JSON text."""

    @property
    def writes(self) -> bool:
        return self.step.writes or self.resolved.write


class Runner:
    """Gives every registered step as a method, as recipes call them.

    A call takes parameters of the step, and the names of the lists it works on: ``stream``, or ``instream``
    and ``outstream``; if these differ, the frames are copied. Without them it works on ``main``.

    Parameters
    ----------
    context : RunContext
        What the steps may ask of the run.
    inputs : sequence of callable
        Each reads a frame of the stream ``main`` when it is needed; with ``stored=True`` planes stay in the file.
    settings : mapping
        ``name`` or ``step:name`` to the value given by the user.
    mode_defaults : callable
        From the name of a step to the values that the instrument mode gives it.
    total : int
        Number of steps to come.
    emit : callable
        Receiver of events.

    Attributes
    ----------
    current : str or None
        The step that runs, or ran last.
    saved : bool
        Whether the frames of ``main`` are on disk as they are.
    changed : bool
        Whether anything was done to them.
    """

    def __init__(
        self,
        context: RunContext,
        *,
        inputs: Sequence[Callable[..., Frame]],
        settings: Mapping[str, Any],
        mode_defaults: Callable[[str], Mapping[str, Any]],
        total: int,
        emit: EventSink,
    ) -> None:
        self._context = context
        self._settings = settings
        self._mode_defaults = mode_defaults
        self._total = total
        self._number = 0
        self._emit = emit
        self._unread: list[Callable[..., Frame]] = list(inputs)
        self._waiting: list[_Call] = []
        self._waiting_stream = "main"
        self.current: str | None = None
        self.saved = False
        self.changed = False

    @property
    def streams(self) -> dict[str, list[Frame]]:
        """Named lists of frames, for recipes that look at them."""
        self.finish()
        self._read()
        return self._context.streams

    def __getattr__(self, name: str) -> Callable[..., None]:
        step = step_named(name)

        def call(**arguments: Any) -> None:
            self._run(step, arguments)

        return call

    def _run(self, step: Primitive, arguments: dict[str, Any]) -> None:
        stream = arguments.get("stream", "main")
        source, target = arguments.get("instream", stream), arguments.get("outstream", stream)
        words = {k: v for k, v in arguments.items() if k not in STREAM_WORDS}
        resolved = resolve(step.name, mode_defaults=self._mode_defaults(step.name), call=words, settings=self._settings)
        self._number += 1
        parameters = plain_values(resolved.values)
        told = {name: value for name, value in parameters.items() if not name.startswith("debug_")}
        call = _Call(step, resolved, parameters, self._number, told, json.dumps(told))
        if step.scope == "frame" and source == target:
            if source != self._waiting_stream:
                self.finish()
            self._waiting_stream = source
            self._waiting.append(call)
            return
        self.finish()
        self._read(by_rows=step.by_rows and source == target)
        frames = self._stream(source, step)
        if source != target:
            frames = [frame.copy() for frame in frames]
        self._run_on_all(call, frames, target)

    def finish(self) -> None:
        """Run the steps that wait, frame by frame."""
        calls, self._waiting = self._waiting, []
        if not calls:
            return
        stream = self._waiting_stream
        if stream == "main" and self._unread:
            reading, self._unread = self._unread, []
            frames: Iterable[Frame] = (read() for read in reading)
            n_frames = len(reading)
        else:
            held = list(self._stream(stream, calls[0].step))
            n_frames = len(held)
            # The list is emptied as it goes: a frame of full size is gone when the next one comes.
            self._context.streams[stream] = []
            frames = (held.pop(0) for _ in range(n_frames))
        books = [StepBook() for _ in calls]
        self._announce(calls[0], n_frames)
        self._context.books = books
        try:
            out = self._frame_by_frame(calls, books, frames, n_frames)
        except BaseException:
            # Whoever reads the events sees how far it came.
            for call in calls[1 : books.index(self._context.book) + 1]:
                self._announce(call, n_frames)
            raise
        self._context.books = []
        self._context.streams[stream] = out
        for call, book in zip(calls, books, strict=True):
            if book is not books[0]:
                self._announce(call, n_frames)
            n_frames = book.n_frames
            if stream == "main" and not n_frames:
                raise _nothing_left(call.step)
            self._tell(call, book)
            if stream == "main" and not call.resolved.skip:
                self.saved, self.changed = call.writes, True

    def _frame_by_frame(
        self, calls: list[_Call], books: list[StepBook], frames: Iterable[Frame], n_frames: int
    ) -> list[Frame]:
        out: list[Frame] = []
        self._context.book = books[0]
        begin = time.perf_counter()
        for number, frame in enumerate(frames, start=1):
            books[0].seconds += time.perf_counter() - begin
            current = [frame]
            del frame
            for call, book in zip(calls, books, strict=True):
                self.current = call.step.name
                self._context.book = book
                tick = time.perf_counter()
                if not call.resolved.skip and current:
                    current = self._apply(call, current)
                    if call.writes:
                        self._write(call.step, current)
                book.n_frames += len(current)
                book.seconds += time.perf_counter() - tick
            for one in current:
                self._context.settle(one, n_frames)
            out += current
            self._emit(Progress(number, n_frames))
            begin = time.perf_counter()
        return out

    def _run_on_all(self, call: _Call, frames: list[Frame], target: str) -> None:
        step, resolved = call.step, call.resolved
        before = self._context.streams["main"]
        self.current = step.name
        book = self._context.book = StepBook(self._emit)
        tick = time.perf_counter()
        self._announce(call, len(frames))
        if not resolved.skip and (frames or step.bookkeeping):
            if step.windowed and not step.bookkeeping:
                held = [*frames, *(frame for others in self._context.streams.values() for frame in others)]
                share_window(held, lambda frame: self._context.settle(frame, len(frames)))
            if step.bookkeeping:
                frames = step.function(self._as_needed(step, frames), resolved.values, self._context)
            elif step.scope == "list":
                frames = self._apply(call, frames)
            else:
                frames = [out for frame in frames for out in self._apply(call, [frame])]
        if target == "main" and not frames:
            raise _nothing_left(step)
        self._context.streams[target] = frames
        for frame in frames:
            self._context.settle(frame, len(frames))
        if call.writes and not resolved.skip:
            self._write(step, frames)
        if target == "main" and not resolved.skip:
            self._mark(step, frames, before, writes=call.writes)
        book.n_frames, book.seconds = len(frames), time.perf_counter() - tick
        self._tell(call, book)

    def _announce(self, call: _Call, n_frames: int) -> None:
        self._emit(StepStarted(call.step.name, call.number, self._total, n_frames, call.parameters))

    def _tell(self, call: _Call, book: StepBook) -> None:
        """Everything that a step has to tell, at its turn."""
        book.release(self._emit)
        for name in call.resolved.overridden:
            value = getattr(call.resolved.values, name)
            book.notes[f"{name}={value} from the command line replaces the recipe's value"] = None
        self._context.tell_caveats(book)
        step, notes = call.step, tuple(book.notes)
        self._emit(
            StepFinished(step.name, call.number, self._total, book.n_frames, book.seconds, notes, call.resolved.skip)
        )

    @staticmethod
    def _as_needed(step: Primitive, frames: list[Frame]) -> list[Frame]:
        return frames if step.windowed else [whole(frame) for frame in frames]

    def _apply(self, call: _Call, frames: list[Frame]) -> list[Frame]:
        """Run a step that changes frames, and write down in each what was done."""
        step, values = call.step, call.resolved.values
        start = self._context.timestamp()
        out = step.function(self._as_needed(step, frames), values, self._context)
        stop = self._context.timestamp()
        more: dict[str, Any] = {}
        if used := self._context.served.take_step():
            more["calibrations"] = used
        if caveats := self._context.book.take_frame_caveats():
            more["caveats"] = caveats
        words = json.dumps(call.told | more) if more else call.words
        for frame in out:
            _check_planes(step.name, frame)
            if step.stamp:
                frame.primary[step.stamp] = (stop, f"UT time stamp for {step.name}")
            frame.primary["GEM-TLM"] = (stop, "UT last modification with the pipeline")
            add_history(frame, step.name, words, start, stop)
            if values.suffix is not None:
                frame.name = f"{frame.root}{values.suffix}.fits"
        return out

    def _write(self, step: Primitive, frames: list[Frame]) -> None:
        for frame in frames:
            self._context.write(frame, final=step.writes)

    def _read(self, *, by_rows: bool = False) -> None:
        """Read the inputs, where no step has done it yet; one that goes by rows may leave them in their files."""
        if self._unread:
            reading, self._unread = self._unread, []
            frames = self._context.streams["main"] = []
            for read in reading:
                frames.append(read(stored=True) if by_rows else read())
                self._context.settle(frames[-1], len(reading), by_rows=by_rows)

    def _mark(self, step: Primitive, frames: list[Frame], before: list[Frame], *, writes: bool) -> None:
        """Note whether ``main`` is still what it was; a choice among its frames changes none of them."""
        if step.bookkeeping and all(any(frame is old for old in before) for frame in frames):
            return
        self.saved, self.changed = writes, True

    def _stream(self, name: str, step: Primitive) -> list[Frame]:
        streams = self._context.streams
        if name not in streams:
            hint = nearest(name, streams) or f"; there are {', '.join(streams)}"
            raise ParameterError(f"{step.name}: no stream {name!r}{hint}")
        return streams[name]


def _nothing_left(step: Primitive) -> InputError:
    return InputError(f"no frame is left after {step.name}; check the inputs and the parameters of that step")


def _check_planes(step: str, frame: Frame) -> None:
    shape = frame.data.shape
    for label, plane in (("variance", frame.variance), ("mask", frame.mask), *frame.planes.items()):
        if plane is not None and plane.shape != shape:
            raise DataError(f"{frame.name}: after {step} the {label} plane is {plane.shape}, the image {shape}")
