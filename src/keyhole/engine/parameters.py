"""Parameters resolve here, in one place, and remember where each value came from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from keyhole.errors import ParameterError
from keyhole.primitives import REGISTRY, Params

__all__ = ["Resolved", "describe_range", "nearest", "parse_settings", "resolve", "unknown_settings"]

_WORDS = {"None": None, "True": True, "False": False}
# Switches that every step has; they are given as step:switch.
SWITCHES = ("skip_primitive", "write_outputs")


@dataclass(frozen=True)
class Resolved:
    """Parameters of one step, ready to use.

    Attributes
    ----------
    values : Params
        The validated model.
    origins : dict of str to str
        For each value that is not the step's default: where it came from.
    overridden : tuple of str
        Names whose value in the recipe gave way to the user's.
    skip, write : bool
        ``skip_primitive`` and ``write_outputs``.
    """

    values: Params
    origins: dict[str, str]
    overridden: tuple[str, ...] = ()
    skip: bool = False
    write: bool = False


def parse_settings(words: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` and ``step:name=value`` words.

    Returns
    -------
    dict
        Key as typed; the words None, True and False are converted, the rest stays text. The later of two
        equal keys wins.

    Raises
    ------
    ParameterError
        A word has no ``=``.
    """
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise ParameterError(f"-p {word}: expected name=value or step:name=value")
        key, value = key.strip(), value.strip().strip("'\"")
        settings.pop(key, None)  # the order on the command line decides between global and specific
        settings[key] = _WORDS.get(value, value)
    return settings


def nearest(name: str, known: Iterable[str]) -> str:
    """Say 'did you mean ...?' for the nearest known names, or nothing."""
    lower = {item.lower(): item for item in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(lower[c]) for c in close)}?" if close else ""


def unknown_settings(settings: Mapping[str, Any], steps: Iterable[str]) -> list[str]:
    """List the mistakes in the names of user settings, one sentence each.

    Parameters
    ----------
    settings : mapping
        Keys ``name`` or ``step:name``.
    steps : iterable of str
        Steps of the recipe; a parameter without step must belong to one of them.
    """
    steps = list(dict.fromkeys(steps))
    here = {name for step in steps for name in REGISTRY[step].params.model_fields}
    mistakes = []
    for key in settings:
        step, colon, name = key.rpartition(":")
        if not colon:
            if name not in here and name not in SWITCHES:
                mistakes.append(f"no step of this recipe has a parameter {name!r}{nearest(name, here)}")
            continue
        if step not in REGISTRY:
            mistakes.append(f"no step {step!r}{nearest(step, REGISTRY)}")
        elif name not in SWITCHES and name not in REGISTRY[step].params.model_fields:
            fields = REGISTRY[step].params.model_fields
            mistakes.append(
                f"step {step} has no parameter {name!r}{nearest(name, fields) or '; it has ' + ', '.join(fields)}"
            )
    return mistakes


def resolve(
    step: str,
    *,
    mode_defaults: Mapping[str, Any],
    call: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Resolved:
    """Resolve the parameters of one step: default < instrument mode < call in the recipe < user.

    Raises
    ------
    ParameterError
        A value is out of its range or of the wrong type, or the recipe names an unknown parameter.
    """
    model = REGISTRY[step].params
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, values in (("instrument mode", mode_defaults), ("recipe", call)):
        for name, value in values.items():
            merged[name], origins[name] = value, source
    switches = {name: bool(merged.pop(name, False)) for name in SWITCHES}
    overridden = []
    for key, value in settings.items():
        owner, colon, name = key.rpartition(":")
        if colon and owner != step:
            continue
        if name in SWITCHES:
            switches[name] = _as_bool(key, value)
        elif name in model.model_fields:
            if origins.get(name) == "recipe" and merged[name] != value:
                overridden.append(name)
            merged[name], origins[name] = value, "user"
    try:
        values_model = model(**merged)
    except ValidationError as err:
        raise ParameterError(_sentence(step, model, err)) from err
    return Resolved(values_model, origins, tuple(overridden), switches["skip_primitive"], switches["write_outputs"])


def _as_bool(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "yes", "1"):
        return True
    if str(value).lower() in ("false", "no", "0"):
        return False
    raise ParameterError(f"{key}={value}: expected True or False")


def _sentence(step: str, model: type[Params], err: ValidationError) -> str:
    parts = []
    for item in err.errors():
        name = str(item["loc"][0]) if item["loc"] else "?"
        if item["type"] == "extra_forbidden":
            parts.append(f"step {step} has no parameter {name!r}{nearest(name, model.model_fields)}")
        else:
            allowed = describe_range(model, name)
            parts.append(f"{step}:{name}={item['input']} is not allowed; {allowed or item['msg'].lower()}")
    return "; ".join(dict.fromkeys(parts))


def describe_range(model: type[Params], name: str) -> str:
    """Say in words which values a parameter may take; empty when any value of its type may stand."""
    info = model.model_json_schema()["properties"].get(name, {})
    options = info.get("anyOf", [info])
    words = []
    for option in options:
        if "enum" in option or "const" in option:
            choices = option.get("enum", [option.get("const")])
            words.append("one of " + ", ".join(str(v) for v in choices))
        elif {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} & set(option):
            low = option.get("minimum", option.get("exclusiveMinimum", "-inf"))
            high = option.get("maximum", option.get("exclusiveMaximum", "inf"))
            left = "[" if "minimum" in option else "("
            right = "]" if "maximum" in option else ")"
            words.append(f"range {left}{low}, {high}{right}")
        elif option.get("type") == "null":
            words.append("None")
        elif option.get("type") in ("boolean", "integer", "number"):
            words.append(
                {"boolean": "True or False", "integer": "a whole number", "number": "a number"}[option["type"]]
            )
    return " or ".join(words)
