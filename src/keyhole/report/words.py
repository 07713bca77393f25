"""Numbers and names as people read them: rounded to their error, with units, never longer than a line."""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["CLOSE", "clipped", "figure", "number", "plural", "slug", "unit_word", "with_error"]

_LONGEST = 160
_UNITS = {
    "electron": "e⁻",
    "electron / s": "e⁻/s",
    "arcsec": "″",
    "pix": "px",
    "deg": "°",
    "s": "s",
    "mag": "mag",
    "UT": "UT",
}
# Units that stand at the number without a space.
CLOSE = ("″", "°")


def clipped(text: Any, longest: int = _LONGEST) -> str:
    """Text of bounded length, without control characters."""
    words = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def slug(text: Any) -> str:
    """A name for an anchor: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", str(text))[:60].strip("-") or "x"


def plural(n: int, word: str, words: str | None = None) -> str:
    """A number with its noun."""
    return f"{n} {word if n == 1 else words or word + 's'}"


def unit_word(unit: str) -> str:
    """Sign of a unit."""
    return _UNITS.get(unit, unit)


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits, whole digits all shown; a dash for none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "–" if value is None or isinstance(value, float) else clipped(value)
    if value == 0:
        return "0"
    if isinstance(value, int):
        return _signed(f"{value}")
    size = math.floor(math.log10(abs(value)))
    if not -5 <= size < 9:
        return _signed(f"{value:.{digits - 1}e}")
    return _signed(f"{value:.{max(0, digits - 1 - size)}f}")


def with_error(value: Any, error: Any, unit: str = "") -> str:
    """A number to the second digit of its error: ``0.554 ± 0.012``."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return number(value)
    if not isinstance(error, (int, float)) or not error > 0:
        return _united(number(value), unit)
    places = max(0, 1 - math.floor(math.log10(error)))
    if places > 6:
        return _united(number(value), unit)
    return _united(f"{_signed(f'{value:.{places}f}')} ± {error:.{places}f}", unit)


def figure(figures: dict[str, Any], name: str) -> str:
    """A measured figure with error and unit; a dash where there is none."""
    told = figures.get(name) or {}
    return with_error(told.get("value"), told.get("error"), told.get("unit") or "")


def _united(text: str, unit: str) -> str:
    sign = unit_word(unit)
    if not sign:
        return text
    if "±" in text and sign in CLOSE:
        return f"({text}){sign}"
    return f"{text}{sign}" if sign in CLOSE else f"{text} {sign}"


def _signed(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
