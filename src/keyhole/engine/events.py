"""What happens in a run, as typed facts: the console, the log file, tests and other programs read these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CalibrationChosen",
    "Caveat",
    "Event",
    "EventSink",
    "Metric",
    "Note",
    "PreviewDrawn",
    "ProductWritten",
    "Progress",
    "RunFailed",
    "RunFinished",
    "RunStarted",
    "StepFinished",
    "StepStarted",
]


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class RunStarted(Event):
    """The inputs are accepted and the recipe is known.

    Attributes
    ----------
    files : list of str
        Names of the inputs, in order.
    summary : str
        What the inputs are, in one line.
    recipe, mode : str
        Name of the recipe and reduction mode.
    steps : list of str
        Names of the steps to come.
    """

    files: list[str]
    summary: str
    recipe: str
    mode: str
    steps: list[str]


@dataclass(frozen=True)
class CalibrationChosen(Event):
    """A master was chosen for some of the inputs, or none was found.

    Attributes
    ----------
    kind : str
        ``processed_dark`` and the like.
    path : str or None
        The master.
    origin, reason : str
        Where it comes from, and why it has its grade.
    frames : list of str
        Paths of the inputs it serves.
    grade : int or None
        0 ideal, 1 good, 2 usable with a doubt, 3 against the rule, 4 missing though required; None: not graded.
    """

    kind: str
    path: str | None
    origin: str
    reason: str
    frames: list[str]
    grade: int | None = None


@dataclass(frozen=True)
class StepStarted(Event):
    """A step begins."""

    name: str
    number: int
    total: int
    n_frames: int
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress(Event):
    """A long step has come so far."""

    done: int
    total: int


@dataclass(frozen=True)
class Note(Event):
    """A fact that belongs to the run as a whole."""

    text: str


@dataclass(frozen=True)
class Caveat(Event):
    """A weaker way was taken, or something needs attention; told once, with the number of cases."""

    text: str
    count: int = 1


@dataclass(frozen=True)
class Metric(Event):
    """A figure was measured.

    Attributes
    ----------
    name : str
        Lower case with underscores; docs/night.md lists the names.
    value : float, int, bool, str, list of these, or None
        None: could not be measured. Never NaN.
    error : float or None
        1 sigma; None: not known, or has none.
    unit : str
        FITS unit (``electron``, ``arcsec``, ``pix`` ...); empty: a number or word.
    frame : str or None
        Name of the frame without ending; None: of the result as a whole.
    """

    name: str
    value: Any
    error: float | None = None
    unit: str = ""
    frame: str | None = None


@dataclass(frozen=True)
class PreviewDrawn(Event):
    """A small picture was made of an image, while its pixels were in memory.

    Attributes
    ----------
    role : str
        ``before`` (a single frame with its sky) or ``after`` (a product).
    name : str
        File name of the image.
    png : bytes
        The picture.
    facts : dict
        How to read it: see docs/night.md, `previews`.
    """

    role: str
    name: str
    png: bytes = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepFinished(Event):
    """A step ended."""

    name: str
    number: int
    total: int
    n_frames: int
    seconds: float
    notes: tuple[str, ...] = ()
    skipped: bool = False


@dataclass(frozen=True)
class ProductWritten(Event):
    """A file stands complete on disk.

    Attributes
    ----------
    path : str
        The file.
    sources : tuple of (name, md5, step)
        Files that it was made of: its table PROVENANCE.
    """

    path: str
    sources: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class RunFinished(Event):
    """The run ended well."""

    outputs: list[str]
    seconds: float
    caveats: int


@dataclass(frozen=True)
class RunFailed(Event):
    """The run ended with an error."""

    error: BaseException
    step: str | None


EventSink = Callable[[Event], None]
