"""Small questions to a header: a value, a number, a text, the name without a component id."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

__all__ = ["as_number", "card", "number", "shortest_single", "strip_id", "text"]

_PLAIN = frozenset({str, int, float, bool})
_LEADING_ID = re.compile(r"_G.*", re.DOTALL)


def card(header: Mapping[str, Any], keyword: str, default: Any = None) -> Any:
    """Value of a card; `default` when it is absent or undefined."""
    value = header.get(keyword)
    if type(value) in _PLAIN:
        return value
    # astropy has an object of its own for a card without a value; its class cannot be imported here.
    return default if value is None or type(value).__name__ == "Undefined" else value


def text(header: Mapping[str, Any], keyword: str) -> str:
    """Value of a card as text, blank when it is absent."""
    value = header.get(keyword)
    return value.rstrip() if type(value) is str else str(card(header, keyword, "")).rstrip()


def number(header: Mapping[str, Any], keyword: str) -> float | None:
    """Value of a card as float, None when it is absent or no number; a string that holds a number is one."""
    return as_number(card(header, keyword))


def as_number(value: Any) -> float | None:
    """`value` as float, None when it is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def strip_id(name: str) -> str:
    """A mechanism's position without its component id: what stands before the first ``_G``."""
    return _LEADING_ID.sub("", name)


def shortest_single(value: float) -> float:
    """`value` rounded to single precision, as the shortest decimal number that means it.

    1.0999e-06 rather than 1.0998999e-06: equal to ``float(str(numpy.float32(value)))``.
    """
    try:
        packed = struct.pack("f", value)
    except OverflowError:
        return value
    single: float = struct.unpack("f", packed)[0]
    for digits in range(1, 9):
        short = float(f"{single:.{digits}g}")
        if struct.pack("f", short) == packed:
            return short
    return float(f"{single:.9g}")
