"""Comparing what a header says with what a user wrote."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from keyhole.errors import ParameterError

__all__ = ["compare", "contains"]

# Relative tolerance of '=='; the quantities where a small difference is never meant.
_TOLERANCES = {"exposure_time": 1e-2, "central_wavelength": 1e-5}

# Free text that looks like a number may be stored as one in a header.
_FREE_TEXT = frozenset({"object", "program_id", "observation_id", "data_label", "observation_class"})

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIXED = object()


def compare(left: Any, symbol: str, right: Any, *, name: str | None, words: str) -> bool:
    """Compare two values, one of a header and one written, on whichever side.

    Parameters
    ----------
    left, right : object
        A list of one value per extension counts as that value when all are equal, else compares false.
        None is equal to None only, and neither smaller nor larger than anything. Dates and times meet texts.
    symbol : str
        ``== != < <= > >=``; ``!=`` has no tolerance.
    name : str or None
        Descriptor whose tolerance applies; None compares exactly.
    words : str
        What the user called the value, for messages.

    Raises
    ------
    ParameterError
        A number is compared with a text that is none, or a date with a text that is none.
    """
    left, right = _single(left), _single(right)
    if left is _MIXED or right is _MIXED:
        return False
    if left is None or right is None:
        return symbol in {"==", "!="} and bool(_OPERATORS[symbol](left, right))
    left, right = _same_kind(left, right, name, words)
    if symbol == "==" and name in _TOLERANCES and _is_number(left) and _is_number(right):
        return bool(abs(left - right) <= _TOLERANCES[name] * max(abs(left), abs(right)))
    try:
        return bool(_OPERATORS[symbol](left, right))
    except TypeError as error:
        raise ParameterError(f"{words}: {left!r} {symbol} {right!r} cannot be compared") from error


def contains(item: Any, collection: Any, *, name: str | None, words: str) -> bool:
    """Tell whether a collection holds a value, each element compared as by ``==``; a text may hold a text.

    Raises
    ------
    ParameterError
        The right side can hold nothing.
    """
    if isinstance(collection, (tuple, list, set, frozenset)):
        return any(compare(item, "==", element, name=name, words=words) for element in collection)
    if collection is None or item is None:
        return False
    if isinstance(item, str) and isinstance(collection, str):
        return item in collection
    raise ParameterError(f"{words}: nothing can be in {collection!r}; write a list such as (30, 60)")


def _single(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if not value:
        return None
    return value[0] if all(item == value[0] for item in value) else _MIXED


def _same_kind(left: Any, right: Any, name: str | None, words: str) -> tuple[Any, Any]:
    """Bring a text to the kind of the other side, where that is possible."""
    if isinstance(right, str) and not isinstance(left, str):
        return _matched(left, right, name, words)
    if isinstance(left, str) and not isinstance(right, str):
        right, left = _matched(right, left, name, words)
    return left, right


def _matched(value: Any, text: str, name: str | None, words: str) -> tuple[Any, Any]:
    try:
        if isinstance(value, datetime):
            return value, datetime.fromisoformat(text)
        if isinstance(value, date):
            return value, date.fromisoformat(text)
        if isinstance(value, time):
            return value, time.fromisoformat(text)
        if _is_number(value):
            return (str(value), text) if name in _FREE_TEXT or words in _FREE_TEXT else (value, float(text))
    except ValueError as error:
        raise ParameterError(f"{words}: {value} and '{text}' cannot be compared; {_form_of(value)}") from error
    return value, text


def _form_of(value: Any) -> str:
    if isinstance(value, datetime):
        return 'write "2012-01-16" or "2012-01-16 05:00:00"'
    if isinstance(value, date):
        return 'write "2012-01-16"'
    if isinstance(value, time):
        return 'write "05:00:00"'
    return "a number (in seconds, metres or degrees) goes with a number, a text in quotes with a text"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
