"""What steps there are for a frame and what can be set in them, as data for tables, JSON and completion."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from keyhole.engine.parameters import describe_range, resolve
from keyhole.engine.recorder import PlannedStep, record, step_named
from keyhole.engine.user_recipes import choose_recipe
from keyhole.recipes import libraries_for, mode_defaults

__all__ = ["ParameterSheet", "StepSheet", "recipe_sheets", "step_sheet"]


@dataclass(frozen=True)
class ParameterSheet:
    """One parameter of a step.

    Attributes
    ----------
    name : str
        Name.
    value : object
        What it is without a word of the user.
    origin : str
        Who says so: ``step``, ``instrument mode`` or ``recipe``.
    range : str
        Values it may take, in words.
    meaning : str
        One sentence.
    """

    name: str
    value: Any
    origin: str
    range: str
    meaning: str


@dataclass(frozen=True)
class StepSheet:
    """A step as a recipe calls it.

    Attributes
    ----------
    name, summary, description : str
        Public name, first line and rest of the description.
    recipe : str
        Recipe whose call decides; empty: none calls it.
    parameters : tuple of ParameterSheet
        In the order of the step.
    """

    name: str
    summary: str
    description: str
    recipe: str
    parameters: tuple[ParameterSheet, ...]


def recipe_sheets(tags: frozenset[str], recipe: str = "_default") -> list[StepSheet]:
    """Describe each call of a recipe that differs from the earlier ones of the same step.

    Raises
    ------
    InputError, ParameterError
        There is no such recipe for such frames.
    """
    name, function = choose_recipe(tags, recipe)
    sheets = (_sheet(call, tags, name) for call in record(function))
    return list({(sheet.name, repr(sheet.parameters)): sheet for sheet in sheets}.values())


def step_sheet(tags: frozenset[str], step: str, recipe: str = "_default") -> StepSheet:
    """Describe a step as a recipe calls it the first time; else as it is by itself.

    Raises
    ------
    ParameterError
        The step is unknown, or the recipe.
    """
    name, call = "", PlannedStep(step)
    if recipe != "_default" or libraries_for(tags):
        name, function = choose_recipe(tags, recipe)
        # After the recipe, as its file may bring the step along.
        calls = [planned for planned in record(function) if planned.name == step]
        name, call = (name, calls[0]) if calls else ("", call)
    step_named(step)
    return _sheet(call, tags, name)


def _sheet(call: PlannedStep, tags: frozenset[str], recipe: str) -> StepSheet:
    step = step_named(call.name)
    resolved = resolve(call.name, mode_defaults=mode_defaults(tags, call.name), call=call.parameters, settings={})
    parameters = tuple(
        ParameterSheet(
            name,
            getattr(resolved.values, name),
            resolved.origins.get(name, "step"),
            describe_range(step.params, name),
            info.description or "",
        )
        for name, info in step.params.model_fields.items()
    )
    description = inspect.cleandoc(step.function.__doc__ or "").partition("\n")[2].strip("\n")
    return StepSheet(step.name, step.summary, description, recipe, parameters)
