"""The runner: what a recipe calls; each call resolves parameters, runs the step and keeps the books."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from keyhole.engine.context import RunContext
from keyhole.engine.events import EventSink, Progress, StepFinished, StepStarted
from keyhole.engine.parameters import Resolved, nearest, resolve
from keyhole.engine.recorder import STREAM_WORDS, step_named
from keyhole.errors import DataError, InputError, ParameterError
from keyhole.frames import Frame, add_history
from keyhole.primitives import Primitive

__all__ = ["Runner"]


class Runner:
    """Gives every registered step as a method, as recipes call them.

    A call takes parameters of the step, and the names of the lists it works on: ``stream``, or ``instream``
    and ``outstream``; if these differ, the frames are copied. Without them it works on ``main``.

    Parameters
    ----------
    context : RunContext
        What the steps may ask of the run.
    frames : list of Frame
        Inputs; they become the stream ``main``.
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
        frames: list[Frame],
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
        self.current: str | None = None
        self.saved = False
        self.changed = False
        context.streams["main"] = frames

    @property
    def streams(self) -> dict[str, list[Frame]]:
        """Named lists of frames, for recipes that look at them."""
        return self._context.streams

    def __getattr__(self, name: str) -> Callable[..., None]:
        step = step_named(name)

        def call(**arguments: Any) -> None:
            self._run(step, arguments)

        return call

    def _run(self, step: Primitive, arguments: dict[str, Any]) -> None:
        stream = arguments.get("stream", "main")
        source, target = arguments.get("instream", stream), arguments.get("outstream", stream)
        call = {k: v for k, v in arguments.items() if k not in STREAM_WORDS}
        resolved = resolve(step.name, mode_defaults=self._mode_defaults(step.name), call=call, settings=self._settings)
        before = self._context.streams["main"]
        frames = self._stream(source, step)
        if source != target:
            frames = [frame.copy() for frame in frames]
        self._number += 1
        self.current = step.name
        tick = time.perf_counter()
        parameters = resolved.values.model_dump(mode="json")
        self._emit(StepStarted(step.name, self._number, self._total, len(frames), parameters))
        if not resolved.skip and (frames or step.bookkeeping):
            frames = self._apply(step, frames, resolved, parameters)
        if target == "main" and not frames:
            raise InputError(f"no frame is left after {step.name}; check the inputs and the parameters of that step")
        self._context.streams[target] = frames
        self._tell(resolved)
        self._save(step, frames, resolved)
        if target == "main" and not resolved.skip:
            self._mark(step, frames, before, writes=step.writes or resolved.write)
        notes, seconds = self._context.take_notes(), time.perf_counter() - tick
        self._emit(StepFinished(step.name, self._number, self._total, len(frames), seconds, notes, resolved.skip))

    def _apply(
        self, step: Primitive, frames: list[Frame], resolved: Resolved, parameters: dict[str, Any]
    ) -> list[Frame]:
        start = self._context.timestamp()
        if step.bookkeeping:
            return step.function(frames, resolved.values, self._context)
        if step.scope == "list":
            out = step.function(frames, resolved.values, self._context)
        else:
            out = []
            for number, frame in enumerate(frames, start=1):
                out += step.function([frame], resolved.values, self._context)
                self._emit(Progress(number, len(frames)))
        stop = self._context.timestamp()
        told = {name: value for name, value in parameters.items() if not name.startswith("debug_")}
        if used := self._context.served.take_step():
            told["calibrations"] = used
        if self._context.step_caveats:
            told["caveats"] = self._context.step_caveats
        for frame in out:
            _check_planes(step.name, frame)
            if step.stamp:
                frame.primary[step.stamp] = (stop, f"UT time stamp for {step.name}")
            frame.primary["GEM-TLM"] = (stop, "UT last modification with the pipeline")
            add_history(frame, step.name, json.dumps(told), start, stop)
            if resolved.values.suffix is not None:
                frame.name = f"{frame.root}{resolved.values.suffix}.fits"
        return out

    def _tell(self, resolved: Resolved) -> None:
        for name in resolved.overridden:
            value = getattr(resolved.values, name)
            self._context.note(f"{name}={value} from the command line replaces the recipe's value")
        self._context.tell_caveats()

    def _save(self, step: Primitive, frames: list[Frame], resolved: Resolved) -> None:
        if resolved.skip:
            return
        if step.writes or resolved.write:
            for frame in frames:
                self._context.write(frame, final=step.writes)

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


def _check_planes(step: str, frame: Frame) -> None:
    shape = frame.data.shape
    for label, plane in (("variance", frame.variance), ("mask", frame.mask), *frame.planes.items()):
        if plane is not None and plane.shape != shape:
            raise DataError(f"{frame.name}: after {step} the {label} plane is {plane.shape}, the image {shape}")
