"""The plan of a run: inputs, steps, parameters and the masters they need, before any pixel is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyhole.calibration import kind_of
from keyhole.engine.inputs import InputSet, accept
from keyhole.engine.parameters import Resolved, idle_settings, try_resolve, unknown_settings
from keyhole.engine.recorder import PlannedStep, record
from keyhole.engine.request import Request
from keyhole.engine.user_recipes import choose_recipe
from keyhole.errors import InputError, ParameterError, SetupError
from keyhole.instruments import available
from keyhole.primitives import REGISTRY, Params
from keyhole.recipes import Recipe, kinds_together

__all__ = ["Needs", "Plan", "make_plan"]

_MODES = ("sq", "ql", "qa")


@dataclass
class Needs:
    """The masters that the steps of a plan use.

    Attributes
    ----------
    required : dict of str to bool
        Kind to be looked for, and whether the run cannot go on without.
    named : list of (str, str)
        Kind and file of the masters that parameters of steps name.
    waived : list of str
        One sentence for each correction that the user switched off.
    corrections : set of str
        Kinds without which a correction is not made; the others only help.
    """

    required: dict[str, bool] = field(default_factory=dict)
    named: list[tuple[str, str]] = field(default_factory=list)
    waived: list[str] = field(default_factory=list)
    corrections: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the first pixel is read.

    Attributes
    ----------
    inputs : InputSet
        Accepted inputs.
    recipe_name : str
        Name of the recipe, or of the one step that is the recipe.
    recipe : callable
        The recipe itself.
    steps : list of PlannedStep
        Its calls.
    needs : Needs
        Masters.
    warnings : tuple of str
        What the user gave without effect.
    """

    inputs: InputSet
    recipe_name: str
    recipe: Recipe
    steps: list[PlannedStep]
    needs: Needs
    warnings: tuple[str, ...]


def make_plan(request: Request) -> Plan:
    """Check a request and work out what the run will do.

    Raises
    ------
    InputError, DataError
        The inputs cannot be reduced together, or not by this recipe.
    ParameterError
        Mode, recipe, a step or a parameter is unknown, or values are out of range: all mistakes are told.
    SetupError
        The output folder is missing or not writable.
    """
    if request.mode not in _MODES:
        raise ParameterError(f"mode {request.mode!r} is unknown; use sq, ql or qa")
    _check_folder(request.output_dir)
    asked = getattr(request.recipe, "__name__", str(request.recipe))
    inputs = accept(
        request.files,
        supported=lambda name: name.upper() in available(),
        together=lambda tags: kinds_together(tags, asked),
    )
    name, recipe = choose_recipe(inputs.tags, request.recipe)
    steps = record(recipe, inputs.items)
    _check_order(inputs, name, steps)
    resolved = _resolve_all(steps, inputs, request)
    needs = _needs(steps, resolved, required_by_mode=request.mode == "sq" and not request.best_effort)
    names = [step.name for step in steps]
    unused = [kind for kind in request.user_cals.by_type if kind not in needs.required]
    warnings = (
        *idle_settings(request.settings, names, name),
        *(f"the {kind_of(kind)} given by hand is not used: no step of {name} asks for it" for kind in unused),
    )
    return Plan(inputs, name, recipe, steps, needs, warnings)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SetupError(f"output folder {folder.resolve()} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SetupError(f"output folder {folder.resolve()} cannot be written; run in a folder of your own")


def _check_order(inputs: InputSet, recipe: str, steps: list[PlannedStep]) -> None:
    """A reduced image is not prepared again, and a raw one not stacked as it is."""
    names = [step.name for step in steps]
    first = inputs.items[0].path.name
    if inputs.kind == "reduced image" and "prepare" in names:
        raise InputError(f"{first} is reduced already; combine such images with -r alignAndStack")
    if inputs.kind != "reduced image" and "stackFrames" in names and "prepare" not in names:
        raise InputError(f"{first} is raw and {recipe} combines reduced images; reduce it first, without -r")


def _resolve_all(steps: list[PlannedStep], inputs: InputSet, request: Request) -> list[Resolved]:
    mistakes = unknown_settings(request.settings, [step.name for step in steps])
    resolved = []
    for step in steps:
        found = try_resolve(
            step.name,
            mode_defaults=request.defaults(inputs.tags, step.name),
            call=step.parameters,
            settings=request.settings,
        )
        if isinstance(found, Resolved):
            resolved.append(found)
        else:
            mistakes += found
    if mistakes:
        raise ParameterError("; ".join(dict.fromkeys(mistakes)))
    return resolved


def _needs(steps: list[PlannedStep], resolved: list[Resolved], *, required_by_mode: bool) -> Needs:
    needs = Needs()
    for step, parameters in zip(steps, resolved, strict=True):
        values = parameters.values
        for kind in REGISTRY[step.name].calibrations:
            do_cal = getattr(values, "do_cal", None)
            if parameters.skip or do_cal == "skip":
                if do_cal is not None:
                    needs.waived.append(f"{step.name} is switched off: the {kind_of(kind)} is not applied")
                continue
            needs.named += [(kind, file) for file in _named(values, kind)]
            if _asks(values, kind):
                required = do_cal == "force" or (do_cal == "procmode" and required_by_mode)
                needs.required[kind] = needs.required.get(kind, False) or required
                if do_cal is not None:
                    needs.corrections.add(kind)
    return needs


# A step names its master in a parameter called after the kind: dark, flat; a bad-pixel mask is named in
# static_bpm, where 'default' asks the databases and None does without, and user_bpm adds a further one.
_ASK = "default"


def _named(values: Params, kind: str) -> Iterator[str]:
    word = kind.removeprefix("processed_")
    for name in (word, f"static_{word}", f"user_{word}"):
        file = getattr(values, name, None)
        if file and file != _ASK:
            yield file


def _asks(values: Params, kind: str) -> bool:
    word = kind.removeprefix("processed_")
    instead: Any = getattr(values, word, None)
    return not instead and getattr(values, f"static_{word}", _ASK) == _ASK
