"""The runner: what a recipe calls; each call resolves parameters, runs the step and keeps the books."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from keyhole.engine.events import (
    Caveat,
    EventSink,
    ProductWritten,
    Progress,
    StepFinished,
    StepStarted,
)
from keyhole.engine.parameters import Resolved, nearest, resolve
from keyhole.engine.recorder import STREAM_WORDS
from keyhole.errors import DataError, ParameterError
from keyhole.frames import Frame, add_history, file_md5, read_frame, write_frame
from keyhole.instruments import Instrument, load
from keyhole.primitives import REGISTRY, Primitive

__all__ = ["RunContext", "Runner"]


class RunContext:
    """What steps may ask of the run; keeps calibrations, caveats and outputs.

    Parameters
    ----------
    mode : str
        ``sq``, ``ql`` or ``qa``.
    calibrations : mapping
        ``(root of the frame, kind)`` to the path of the master chosen for it.
    output_dir : Path
        Where products go.
    protected : frozenset of Path
        Resolved paths of the inputs, which no product may replace.
    emit : callable
        Receiver of events.
    clock : callable
        Returns the current UTC time.
    """

    def __init__(
        self,
        *,
        mode: str,
        calibrations: Mapping[tuple[str, str], Path],
        output_dir: Path,
        protected: frozenset[Path],
        emit: EventSink,
        clock: Callable[[], datetime],
    ) -> None:
        self.mode = mode
        self.streams: dict[str, list[Frame]] = {"main": []}
        self.outputs: list[Path] = []
        self.caveats: Counter[str] = Counter()
        self._calibrations = calibrations
        self._output_dir = output_dir
        self._protected = protected
        self._emit = emit
        self._clock = clock
        self._masters: dict[Path, Frame] = {}
        self._checksums: dict[Path, str] = {}
        self.step_notes: list[str] = []
        self.step_caveats: Counter[str] = Counter()

    def instrument(self, frame: Frame) -> Instrument:
        """Facts about the instrument of a frame."""
        return load(str(frame.primary.get("INSTRUME", "")).strip())

    def calibration(self, frame: Frame, kind: str) -> Frame | None:
        """Return the master of `kind` chosen for a frame, read once per run."""
        path = self._calibrations.get((frame.root, kind))
        return None if path is None else self._master(path)

    def read_calibration(self, path: str, kind: str) -> Frame:
        """Return a master that the user named in a parameter of a step."""
        master = self._master(Path(path))
        wanted = {"PROCESSED", kind.removeprefix("processed_").upper()}
        if not wanted <= master.tags:
            raise ParameterError(f"{path} is no {kind.replace('_', ' ')}; name a master of that kind")
        return master

    def _master(self, path: Path) -> Frame:
        if path not in self._masters:
            self._masters[path] = read_frame(path)
        return self._masters[path]

    def checksum(self, path: Path) -> str:
        """MD5 sum of a file, computed once per run."""
        if path not in self._checksums:
            self._checksums[path] = file_md5(path)
        return self._checksums[path]

    def note(self, text: str) -> None:
        """Tell one fact of the result; it is shown with the step."""
        self.step_notes.append(text)

    def caveat(self, text: str, frames: list[Frame] | None = None) -> None:
        """Record that a weaker way was taken; told once, with the number of cases."""
        self.step_caveats[text] += max(1, len(frames or ()))

    def progress(self, done: int, total: int) -> None:
        """Tell how far a long step has come."""
        self._emit(Progress(done, total))

    def timestamp(self) -> str:
        """UTC now, ISO with microseconds."""
        return self._clock().replace(tzinfo=None).isoformat(timespec="microseconds")

    def write(self, frame: Frame, *, final: bool = True) -> str:
        """Write a frame into the output folder under its current name; an input is never replaced."""
        path = self._output_dir / frame.name
        if path.resolve() in self._protected:
            suffix = frame.name.removeprefix(frame.root)
            frame.name = f"{frame.root}_aligned{suffix}"
            path = self._output_dir / frame.name
        product = frame.copy()
        for number, text in enumerate(self.caveats, start=1):
            product.primary[f"CAVEAT{number:02d}"] = text
        write_frame(product, path)
        if path not in self.outputs:
            self.outputs.append(path)
        if final:
            self._emit(ProductWritten(str(path)))
        return str(path)


class Runner:
    """Gives every registered step as a method, as recipes call them."""

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
        self.told: set[str] = set()
        context.streams["main"] = frames

    @property
    def streams(self) -> dict[str, list[Frame]]:
        """Named lists of frames, for recipes that look at them."""
        return self._context.streams

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in REGISTRY:
            raise ParameterError(f"no step {name!r}{nearest(name, REGISTRY)}")

        def call(**arguments: Any) -> None:
            self._run(REGISTRY[name], arguments)

        return call

    def _run(self, step: Primitive, arguments: dict[str, Any]) -> None:
        stream = arguments.get("stream", "main")
        source, target = arguments.get("instream", stream), arguments.get("outstream", stream)
        call = {k: v for k, v in arguments.items() if k not in STREAM_WORDS}
        resolved = resolve(step.name, mode_defaults=self._mode_defaults(step.name), call=call, settings=self._settings)
        frames = self._context.streams.get(source, [])
        if source != target:
            frames = [frame.copy() for frame in frames]
        self._number += 1
        self.current = step.name
        start, tick = self._context.timestamp(), time.perf_counter()
        parameters = resolved.values.model_dump(mode="json")
        self._emit(StepStarted(step.name, self._number, self._total, len(frames), parameters))
        if not resolved.skip:
            frames = self._apply(step, frames, resolved)
            self._keep_books(step, frames, resolved, start)
            self._context.streams[target] = frames
        for name in resolved.overridden:
            value = getattr(resolved.values, name)
            self._context.note(f"{name}={value} from the command line replaces the recipe's value")
        self._tell_caveats()
        if (step.writes or resolved.write) and not resolved.skip:
            for frame in frames:
                self._context.write(frame, final=step.writes)
        notes = tuple(dict.fromkeys(self._context.step_notes))
        self._context.step_notes.clear()
        seconds = time.perf_counter() - tick
        self._emit(StepFinished(step.name, self._number, self._total, len(frames), seconds, notes, resolved.skip))

    def _apply(self, step: Primitive, frames: list[Frame], resolved: Resolved) -> list[Frame]:
        if step.scope == "list" or not frames:
            return step.function(frames, resolved.values, self._context)
        out: list[Frame] = []
        for number, frame in enumerate(frames, start=1):
            out += step.function([frame], resolved.values, self._context)
            self._emit(Progress(number, len(frames)))
        return out

    def _keep_books(self, step: Primitive, frames: list[Frame], resolved: Resolved, start: str) -> None:
        stop = self._context.timestamp()
        values = {k: v for k, v in resolved.values.model_dump(mode="json").items() if not k.startswith("debug_")}
        if self._context.step_caveats:
            values["caveats"] = list(self._context.step_caveats)
        args = json.dumps(values)
        for frame in frames:
            _check_planes(step.name, frame)
            if step.stamp:
                frame.primary[step.stamp] = (stop, f"UT time stamp for {step.name}")
            frame.primary["GEM-TLM"] = (stop, "UT last modification with the pipeline")
            add_history(frame, step.name, args, start, stop)
            if resolved.values.suffix is not None:
                frame.name = f"{frame.root}{resolved.values.suffix}.fits"

    def _tell_caveats(self) -> None:
        for text, count in self._context.step_caveats.items():
            if text not in self.told:
                self._emit(Caveat(text, count))
                self.told.add(text)
            self._context.caveats[text] += count
        self._context.step_caveats.clear()


def _check_planes(step: str, frame: Frame) -> None:
    shape = frame.data.shape
    for label, plane in (("variance", frame.variance), ("mask", frame.mask), *frame.planes.items()):
        if plane is not None and plane.shape != shape:
            raise DataError(f"{frame.name}: after {step} the {label} plane is {plane.shape}, the image {shape}")
