"""Parameters resolve here, in one place, and remember where each value came from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from keyhole.engine.as_given import is_right_as_given
from keyhole.errors import ParameterError
from keyhole.primitives import REGISTRY, Params

__all__ = [
    "SWITCHES",
    "Resolved",
    "describe_range",
    "idle_settings",
    "nearest",
    "parse_settings",
    "plain_values",
    "resolve",
    "try_resolve",
    "unknown_settings",
]

# Switches that every step has beside its parameters.
SWITCHES = ("skip_primitive", "write_outputs")

_WORDS = {"None": None, "True": True, "False": False}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_TYPE_WORDS = {
    "boolean": "True or False",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "comma-separated names",
    "null": "None",
}


@dataclass(frozen=True)
class Resolved:
    """Parameters of one step, ready to use.

    Attributes
    ----------
    values : Params
        The validated model.
    origins : dict of str to str
        For each value that is not the step's default: ``instrument mode``, ``recipe`` or ``user``.
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

    Parameters
    ----------
    words : iterable of str
        In the order of the command line, which decides between ``name`` and ``step:name``: the later wins.

    Returns
    -------
    dict
        Key as typed, in order; the words None, True and False are converted, the rest stays text without
        its quotes.

    Raises
    ------
    ParameterError
        A word has no ``=``; all such words are told.
    """
    settings: dict[str, Any] = {}
    mistakes = []
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not key:
            mistakes.append(word)
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        settings.pop(key, None)  # an earlier mention must not keep its place
        settings[key] = _WORDS.get(value, value)
    if mistakes:
        raise ParameterError(f"-p {' '.join(mistakes)}: expected name=value or step:name=value")
    return settings


def nearest(name: str, known: Iterable[str]) -> str:
    """Say '; did you mean ...?' for the nearest known names, whatever their case, or nothing."""
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
    here = {name for step in steps for name in REGISTRY[step].params.model_fields}
    mistakes = []
    for key in settings:
        step, colon, name = key.rpartition(":")
        if not colon:
            if name not in here and name not in SWITCHES:
                mistakes.append(f"no step of this recipe has a parameter {name!r}{nearest(name, here)}")
        elif step not in REGISTRY:
            mistakes.append(f"no step {step!r}{nearest(step, REGISTRY)}")
        elif name not in SWITCHES and name not in REGISTRY[step].params.model_fields:
            mistakes.append(_unknown_parameter(step, name))
    return mistakes


def idle_settings(settings: Mapping[str, Any], steps: Iterable[str], recipe: str) -> list[str]:
    """List the user settings for steps that exist but do not belong to the recipe, one sentence each."""
    present = set(steps)
    return [
        f"-p {key} has no effect: recipe {recipe} has no step {step}"
        for key in settings
        if (step := key.rpartition(":")[0]) and step in REGISTRY and step not in present
    ]


def resolve(
    step: str,
    *,
    mode_defaults: Mapping[str, Any],
    call: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Resolved:
    """Resolve the parameters of one step: default < instrument mode < call in the recipe < user.

    Parameters
    ----------
    step : str
        Public name.
    mode_defaults, call : mapping of str to value
        What instrument mode and recipe say.
    settings : mapping of str to value
        What the user says, under ``name`` or ``step:name``; of both, the later in the mapping wins.

    Raises
    ------
    ParameterError
        A value is out of its range or of the wrong type, or the recipe names an unknown parameter; all
        mistakes of the step are told.
    """
    found = try_resolve(step, mode_defaults=mode_defaults, call=call, settings=settings)
    if isinstance(found, list):
        raise ParameterError("; ".join(found))
    return found


def try_resolve(
    step: str,
    *,
    mode_defaults: Mapping[str, Any],
    call: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Resolved | list[str]:
    """Do as `resolve` does, but return the mistakes, one sentence each, in place of raising."""
    model = REGISTRY[step].params
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    typed: dict[str, str] = {}
    for source, values in (("instrument mode", mode_defaults), ("recipe", call)):
        for name, value in values.items():
            merged[name], origins[name] = value, source
    for key, value in settings.items():
        owner, colon, name = key.rpartition(":")
        if (not colon or owner == step) and (name in SWITCHES or name in model.model_fields):
            merged[name], origins[name], typed[name] = value, "user", key
    mistakes: list[str] = []
    switches = []
    for name in SWITCHES:
        value = merged.pop(name, False)
        switch = _as_bool(value)
        if switch is None:
            mistakes.append(f"{typed.get(name, f'{step}:{name}')}={value}: expected True or False")
        switches.append(bool(switch))
    try:
        # The defaults are taken as they are anyway.
        validated = model.model_construct(**merged) if is_right_as_given(model, merged) else model(**merged)
    except ValidationError as err:
        return [*mistakes, *_sentences(step, model, err, typed)]
    mistakes += [_not_allowed(step, model, name, value, typed) for name, value in validated if _is_nan(value)]
    if mistakes:
        return mistakes
    overridden = tuple(name for name in call if name in typed and getattr(validated, name, call[name]) != call[name])
    return Resolved(validated, origins, overridden, *switches)


def plain_values(values: Params) -> dict[str, Any]:
    """Values of parameters as JSON knows them, for histories."""
    plain = dict(values)
    # The library would build a serializer of each model for the same words and numbers.
    return plain if all(map(_is_plain, plain.values())) else values.model_dump(mode="json")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return type(value) in (type(None), bool, int, float, str)


def describe_range(model: type[Params], name: str) -> str:
    """Say in words which values a parameter may take: ``a whole number in [0, inf) or None``."""
    info = model.model_json_schema()["properties"].get(name, {})
    return " or ".join(_option_in_words(option) for option in info.get("anyOf", [info]))


def _option_in_words(option: Mapping[str, Any]) -> str:
    if "enum" in option or "const" in option:
        return "one of " + ", ".join(str(value) for value in option.get("enum", [option.get("const")]))
    words = _TYPE_WORDS.get(str(option.get("type")), "any value")
    if not {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} & set(option):
        return words
    low = float(option.get("minimum", option.get("exclusiveMinimum", "-inf")))
    high = float(option.get("maximum", option.get("exclusiveMaximum", "inf")))
    left = "[" if "minimum" in option else "("
    right = "]" if "maximum" in option else ")"
    return f"{words} in {left}{low:g}, {high:g}{right}"


def _as_bool(value: Any) -> bool | None:
    """The truth a word stands for; None when it stands for none."""
    word = str(value).lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _sentences(step: str, model: type[Params], err: ValidationError, typed: Mapping[str, str]) -> list[str]:
    sentences = []
    for item in err.errors():
        name = str(item["loc"][0]) if item["loc"] else "?"
        if item["type"] == "extra_forbidden":
            sentences.append(_unknown_parameter(step, name))
        elif item["type"] == "value_error":
            # Raised by a check of the model, which says in words what is wrong.
            sentences.append(f"{typed.get(name, f'{step}:{name}')}={item['input']}: {item['ctx']['error']}")
        else:
            sentences.append(_not_allowed(step, model, name, item["input"], typed))
    # A value that fits none of several types is reported once per type.
    return list(dict.fromkeys(sentences))


def _not_allowed(step: str, model: type[Params], name: str, value: Any, typed: Mapping[str, str]) -> str:
    return f"{typed.get(name, f'{step}:{name}')}={value}: expected {describe_range(model, name)}"


def _unknown_parameter(step: str, name: str) -> str:
    fields = REGISTRY[step].params.model_fields
    return f"step {step} has no parameter {name!r}{nearest(name, fields) or '; it has ' + ', '.join(fields)}"
