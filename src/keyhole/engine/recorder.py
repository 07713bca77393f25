"""A recipe run against a recorder gives the plan: steps and call parameters, before a pixel is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keyhole.engine.parameters import nearest
from keyhole.errors import ParameterError
from keyhole.primitives import REGISTRY, Primitive

__all__ = ["STREAM_WORDS", "PlannedStep", "Recorder", "record", "step_named"]

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


class Recorder:
    """Stands in for the runner and only notes the calls.

    Attributes
    ----------
    steps : list of PlannedStep
        The calls so far.
    streams : mapping of str to list
        Every list of frames is empty here.
    """

    def __init__(self) -> None:
        self.steps: list[PlannedStep] = []
        self.streams: defaultdict[str, list[Any]] = defaultdict(list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        step = step_named(name)

        def note(**arguments: Any) -> None:
            self.steps.append(PlannedStep(step.name, arguments))

        return note


def record(recipe: Callable[[Any], None]) -> list[PlannedStep]:
    """Run a recipe against a recorder.

    Raises
    ------
    ParameterError
        The recipe calls an unknown step.
    """
    recorder = Recorder()
    recipe(recorder)
    return recorder.steps


def step_named(name: str) -> Primitive:
    """Look up the step that a recipe calls by attribute.

    Raises
    ------
    ParameterError
        No step has this name; the message tells the nearest.
    AttributeError
        The name is one of Python's own, which copying and pickling ask for.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in REGISTRY:
        raise ParameterError(f"no step {name!r}{nearest(name, REGISTRY)}")
    return REGISTRY[name]
