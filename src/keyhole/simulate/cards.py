"""FITS header cards as text, in the layout in which the telescope writes them."""

from __future__ import annotations

import math

__all__ = ["BLOCK", "card", "comment", "header_block"]

BLOCK = 2880
CARD = 80

Value = str | bool | int | float


def card(keyword: str, value: Value, text: str = "") -> str:
    """Write one card of 80 columns.

    Strings are padded to eight characters, floats keep up to 15 digits and a point (``10.``, ``-0.``), and a
    value longer than its 20 columns runs on past column 30.

    Parameters
    ----------
    keyword : str
        At most eight characters.
    value : str, bool, int or float
        The value.
    text : str
        Comment; cut at the end of the card.

    Returns
    -------
    str
        80 characters.

    Raises
    ------
    ValueError
        The value does not fit, or is not finite.
    """
    start = f"{keyword:<8}= {_value_text(value)}"
    if len(start) > CARD:
        raise ValueError(f"{keyword}: value {value!r} does not fit into a card")
    return (f"{start} / {text}" if text else start)[:CARD].ljust(CARD)


def comment(text: str) -> str:
    """Write a COMMENT card."""
    return f"COMMENT   {text}"[:CARD].ljust(CARD)


def header_block(cards: list[str]) -> bytes:
    """Close a header with END and fill its last block of 2880 bytes.

    Parameters
    ----------
    cards : list of str
        Cards of 80 characters.

    Returns
    -------
    bytes
    """
    text = "".join([*cards, "END".ljust(CARD)])
    size = -(-len(text) // BLOCK) * BLOCK
    return text.ljust(size).encode("ascii")


def _value_text(value: Value) -> str:
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>20}"
    if isinstance(value, str):
        return f"{_quoted(value):<20}"
    if isinstance(value, int):
        return f"{value:>20d}"
    return f"{_float_text(value):>20}"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''").ljust(8) + "'"


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot stand in a FITS header")
    digits, _, exponent = f"{value:.15G}".partition("E")
    if "." not in digits:
        digits += "."
    return f"{digits}E{exponent}" if exponent else digits
