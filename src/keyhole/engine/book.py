"""What a step has told so far, kept until it is its turn to be shown."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from keyhole.engine.events import Event, EventSink, Progress
from keyhole.frames import Frame

__all__ = ["StepBook"]


@dataclass(eq=False)
class StepBook:
    """Notes, caveats and events of one step of a run.

    Steps that treat each frame alone run frame by frame, several steps in turn: each has a book of its own, so that
    they can be told one after the other.

    Attributes
    ----------
    sink : callable or None
        Receives events at once; None: they are kept until `release`.
    notes : dict of str to None
        Facts of the result, each once, in order.
    caveats : Counter of str
        Weaker ways taken, with the number of cases.
    frame_caveats : dict of str to None
        Those of the frame, or the list of frames, that the step works on.
    n_frames : int
        Frames that came out of the step.
    seconds : float
        Time it took.
    """

    sink: EventSink | None = None
    notes: dict[str, None] = field(default_factory=dict)
    caveats: Counter[str] = field(default_factory=Counter)
    frame_caveats: dict[str, None] = field(default_factory=dict)
    n_frames: int = 0
    seconds: float = 0.0
    _kept: list[Event] = field(default_factory=list)
    # Weak, so that no pixels are kept.
    _writers: dict[Path, weakref.ref[Frame]] = field(default_factory=dict)

    def emit(self, event: Event) -> None:
        """Hand on an event, or keep it."""
        if self.sink is not None:
            self.sink(event)
        elif not isinstance(event, Progress):
            self._kept.append(event)

    def release(self, sink: EventSink) -> None:
        """Hand on what was kept; from now on events go there at once."""
        self.sink = sink
        kept, self._kept = self._kept, []
        for event in kept:
            sink(event)

    def caveat(self, text: str, count: int) -> None:
        """Count a caveat."""
        self.caveats[text] += count
        self.frame_caveats[text] = None

    def take_frame_caveats(self) -> list[str]:
        """Hand over the caveats of the frame that is done, and forget them."""
        texts, self.frame_caveats = list(self.frame_caveats), {}
        return texts

    def wrote(self, path: Path, frame: Frame) -> None:
        """Remember which frame stands in a file."""
        self._writers[path] = weakref.ref(frame)

    def is_of_another(self, path: Path, frame: Frame) -> bool:
        """Whether the step wrote another frame under that name."""
        writer = self._writers.get(path)
        return writer is not None and writer() is not frame
