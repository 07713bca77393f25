"""A recipe run against a recorder gives the plan: steps and call parameters, before a pixel is read."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyhole.engine.inputs import Input
from keyhole.engine.parameters import nearest
from keyhole.errors import KeyholeError, ParameterError
from keyhole.frames import Frame
from keyhole.headers import Headers, describe
from keyhole.primitives import REGISTRY, Primitive

__all__ = ["STREAM_WORDS", "PlannedFrame", "PlannedStep", "Recorder", "record", "step_named"]

# Arguments of a call in a recipe that choose lists of frames; the rest are parameters of the step.
STREAM_WORDS = ("stream", "instream", "outstream")


@dataclass(frozen=True)
class PlannedStep:
    """One call of a recipe.

    Attributes
    ----------
    name : str
        Public name of the step.
    arguments : dict of str to value
        As written in the recipe.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments that are parameters of the step."""
        return {k: v for k, v in self.arguments.items() if k not in STREAM_WORDS}


class _NotYetKnownError(AttributeError):
    """A recipe asks for pixels while it is planned."""


@dataclass(frozen=True)
class PlannedFrame:
    """Stands in for an input while a recipe is planned: what a `Frame` tells from its headers, without pixels.

    Attributes
    ----------
    item : Input
        The input.
    """

    item: Input

    @property
    def name(self) -> str:
        """File name, without folder."""
        return self.item.path.name

    @property
    def filename(self) -> str:
        """The name, as published recipes ask for it."""
        return self.name

    @property
    def phu(self) -> Mapping[str, Any]:
        """Cards of the primary header, as published recipes ask for it."""
        return self.primary

    @property
    def path(self) -> Path:
        """The file."""
        return self.item.path

    @property
    def root(self) -> str:
        """Name of the raw file without extension."""
        original = self.primary.get("ORIGNAME")
        return self.item.root if not original else Path(str(original)).name.removesuffix(".fits")

    @property
    def headers(self) -> Headers:
        """All cards."""
        return self.item.headers

    @property
    def primary(self) -> Mapping[str, Any]:
        """Cards of the primary header."""
        return self.item.headers.primary

    @property
    def header(self) -> Mapping[str, Any]:
        """Cards of the science extension."""
        return next(iter(self.item.headers.extensions), {})

    @property
    def tags(self) -> frozenset[str]:
        """What the frame is."""
        return self.item.tags

    def describe(self, name: str, **options: Any) -> Any:
        """Answer a descriptor for the one extension of this frame."""
        return self.item.describe(name, **options)

    def describe_file(self, name: str, **options: Any) -> Any:
        """Answer a descriptor for the file as a whole."""
        return describe(self.headers, name, **options)

    def __getattr__(self, name: str) -> Any:
        if name in Frame.__dataclass_fields__:
            raise _NotYetKnownError(f"{name!r} of a frame is not known to a recipe before its steps run; use a step")
        raise AttributeError(f"a frame has no {name!r}")


class Recorder:
    """Stands in for the runner and only notes the calls.

    Parameters
    ----------
    inputs : iterable of Input
        Inputs of the run, where they are known.

    Attributes
    ----------
    steps : list of PlannedStep
        The calls so far.
    mistakes : list of str
        The unknown steps so far, a sentence each.
    streams : mapping of str to list of PlannedFrame
        ``main`` holds the inputs; a step hands on all its frames, as nothing is known yet of a choice.
    """

    def __init__(self, inputs: Iterable[Input] = ()) -> None:
        self.steps: list[PlannedStep] = []
        self.mistakes: list[str] = []
        self.streams: defaultdict[str, list[Any]] = defaultdict(list)
        self.streams["main"] = [PlannedFrame(item) for item in inputs]

    def __getattr__(self, name: str) -> Callable[..., None]:
        try:
            known = _known(name)
        except ParameterError as error:
            self.mistakes.append(str(error))
            return lambda **_: None

        def note(**arguments: Any) -> None:
            self.steps.append(PlannedStep(known, arguments))
            stream = arguments.get("stream", "main")
            source, target = arguments.get("instream", stream), arguments.get("outstream", stream)
            if source != target:
                self.streams[target] = list(self.streams[source])

        return note


def record(recipe: Callable[[Any], None], inputs: Iterable[Input] = ()) -> list[PlannedStep]:
    """Run a recipe against a recorder.

    Parameters
    ----------
    recipe : callable
        The recipe.
    inputs : iterable of Input
        What it finds in ``p.streams["main"]``, by their headers.

    Raises
    ------
    ParameterError
        The recipe calls unknown steps, all of which are told, or fails.
    """
    recorder = Recorder(inputs)
    failure = _attempt(recipe, recorder)
    if isinstance(failure, _NotYetKnownError):
        # A loop over frames that looks at their pixels can be planned without any frame.
        again = Recorder()
        if _attempt(recipe, again) is None:
            recorder, failure = again, None
    if failure is not None:
        if str(getattr(inspect.unwrap(recipe), "__module__", "")).startswith("keyhole."):
            raise failure  # a defect of ours
        raise ParameterError("; ".join([*dict.fromkeys(recorder.mistakes), _failure(recipe, failure)])) from failure
    if recorder.mistakes:
        raise ParameterError("; ".join(dict.fromkeys(recorder.mistakes)))
    return recorder.steps


def _attempt(recipe: Callable[[Any], None], recorder: Recorder) -> Exception | None:
    """Run the recipe; returns what it failed with, unless that is one of our own sentences."""
    try:
        recipe(recorder)
    except KeyholeError:
        raise
    except Exception as error:
        return error
    return None


def _failure(recipe: Callable[[Any], None], error: Exception) -> str:
    """One sentence on a recipe that fails, with the last of its own lines."""
    own = inspect.unwrap(recipe)
    code = getattr(own, "__code__", None)
    place, trace = "", error.__traceback__
    while trace is not None and code is not None:
        if trace.tb_frame.f_code.co_filename == code.co_filename:
            place = f" ({code.co_filename}, line {trace.tb_lineno})"
        trace = trace.tb_next
    name = getattr(own, "__name__", "recipe")
    kind = "AttributeError" if isinstance(error, _NotYetKnownError) else type(error).__name__
    words = " ".join(f"{kind}: {error}".split())
    return f"recipe {name}{place}: {words}"


def step_named(name: str) -> Primitive:
    """Look up the step that a recipe calls by attribute.

    Raises
    ------
    ParameterError
        No step has this name; the message tells the nearest.
    AttributeError
        The name is one of Python's own, which copying and pickling ask for.
    """
    return REGISTRY[_known(name)]


def _known(name: str) -> str:
    """The name, if there is a step of this name; the step itself is not loaded."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in REGISTRY:
        raise ParameterError(f"no step {name!r}{nearest(name, REGISTRY)}")
    return name
