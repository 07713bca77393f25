"""Binary tables of the usual form, from their bytes and to them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from keyhole.frames.blocks import card_text
from keyhole.frames.frame import Table
from keyhole.headers import Setting

__all__ = ["FORMATS", "is_text", "plain_table", "table_block", "text_width"]

_NUMBERS: Final = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_FORM: Final = re.compile(r"(\d*)([A-Z])")
_BLOCK: Final = 2880
_CARD: Final = 80
_LONGEST: Final = 60
"""Characters of a name that fits in a card whatever else stands there."""
# FITS format of each type, and the type that holds all its values where FITS has none of its own.
FORMATS: Final = {
    "u1": ("B", "u1"),
    "i1": ("I", "i2"),
    "i2": ("I", "i2"),
    "u2": ("J", "i4"),
    "i4": ("J", "i4"),
    "u4": ("K", "i8"),
    "i8": ("K", "i8"),
    "f2": ("E", "f4"),
    "f4": ("E", "f4"),
    "f8": ("D", "f8"),
}
# A column with one of these holds other values than those that stand there.
_CHANGED: Final = ("TSCAL", "TZERO", "TNULL", "TDIM")


def plain_table(cards: Mapping[str, Any], data: bytes) -> Table | None:
    """A table whose columns are plain numbers and ASCII text.

    Parameters
    ----------
    cards : mapping
        Header of the extension.
    data : bytes
        What follows it.

    Returns
    -------
    Table or None
        None: it holds anything else (arrays, scaled numbers, truth values).
    """
    width, rows = int(cards["NAXIS1"]), int(cards["NAXIS2"])
    numbers = range(1, int(cards["TFIELDS"]) + 1)
    if cards.get("PCOUNT", 0) or any(f"{word}{k}" in cards for word in _CHANGED for k in numbers):
        return None
    names, forms = [], []
    for k in numbers:
        found = _FORM.fullmatch(str(cards[f"TFORM{k}"]).strip())
        name = str(cards.get(f"TTYPE{k}", "")).strip()
        if found is None or not name or name in names:
            return None
        count, code = int(found[1] or 1), found[2]
        if code == "A" and count:
            forms.append(f"S{count}")
        elif code in _NUMBERS and count == 1:
            forms.append(_NUMBERS[code])
        else:
            return None
        names.append(name)
    layout = np.dtype(list(zip(names, forms, strict=True)))
    if layout.itemsize != width:
        return None
    values = np.frombuffer(data, layout, rows)
    if any(form[0] == "S" and not values[name].tobytes().isascii() for name, form in zip(names, forms, strict=True)):
        return None
    return _table(cards, values)


def _table(cards: Mapping[str, Any], values: np.ndarray[Any, Any]) -> Table:
    table = Table()
    for k, name in enumerate(values.dtype.names or (), start=1):
        column = values[name]
        if column.dtype.kind == "S":
            texts = [text.decode("ascii").rstrip() for text in column.tolist()]
            table.columns[name] = np.array(texts, dtype=np.str_)
            table.formats[name] = str(cards[f"TFORM{k}"]).strip()
        else:
            table.columns[name] = column.astype(column.dtype.newbyteorder("="))
        if unit := str(cards.get(f"TUNIT{k}", "")).strip():
            table.units[name] = unit
    return table


def is_text(values: np.ndarray[Any, Any]) -> bool:
    """Whether a column holds one text per row."""
    if values.dtype.kind == "O":
        return values.ndim == 1 and all(isinstance(value, str) for value in values)
    return values.dtype.kind in "US" and values.ndim == 1


def text_width(name: str, texts: Sequence[str], form: str | None) -> int:
    """Characters of a column of text: a little more than the longest, or as many as a contract wants if that is more.

    Parameters
    ----------
    name : str
        Of the column.
    texts : sequence of str
    form : str or None
        FITS format that the column should have, such as ``28A``.
    """
    width = max((len(text) for text in texts), default=1) + 1
    if name == "args" or "A" not in (form or f"A{width}"):
        return width
    # A contract width must never cut a value.
    return max(width - 1, int((form or f"A{width}").replace("A", "") or 1))


def table_block(name: str, table: Table, *, version: int | None = None) -> bytes | None:
    """A table as it stands in a FITS file, header and data, the same bytes as `astropy.io.fits` writes.

    Parameters
    ----------
    name : str
        Of the extension.
    table : Table
    version : int, optional
        EXTVER.

    Returns
    -------
    bytes or None
        None: it holds anything else than one number or ASCII text per row (see `plain_table`).
    """
    cards, layout, columns = [], [], []
    for k, (key, values) in enumerate(table.columns.items(), start=1):
        unit = table.units.get(key)
        held = _held(key, values, table.formats.get(key))
        if held is None or not all(_fits_a_card(text) for text in (name, key, unit or "")):
            return None
        form, column = held
        cards += [_card(f"TTYPE{k}", key), _card(f"TFORM{k}", form)]
        cards += [_card(f"TUNIT{k}", unit)] if unit else []
        layout.append((key, column.dtype))
        columns.append(column)
    if not columns or len({len(column) for column in columns}) > 1:
        return None
    rows = np.zeros(len(columns[0]), np.dtype(layout))
    for (key, _), column in zip(layout, columns, strict=True):
        rows[key] = column
    head = [
        _card("XTENSION", "BINTABLE", "binary table extension"),
        _card("BITPIX", 8, "array data type"),
        _card("NAXIS", 2, "number of array dimensions"),
        _card("NAXIS1", rows.dtype.itemsize, "length of dimension 1"),
        _card("NAXIS2", len(rows), "length of dimension 2"),
        _card("PCOUNT", 0, "number of group parameters"),
        _card("GCOUNT", 1, "number of groups"),
        _card("TFIELDS", len(columns), "number of table fields"),
    ]
    tail = [_card("EXTNAME", name.upper(), "extension name")]
    tail += [] if version is None else [_card("EXTVER", version)]
    header = "".join([*head, *cards, *tail, "END".ljust(_CARD)]).encode("ascii")
    data = rows.tobytes()
    return header + b" " * (-len(header) % _BLOCK) + data + bytes(-len(data) % _BLOCK)


def _held(key: str, values: np.ndarray[Any, Any], form: str | None) -> tuple[str, np.ndarray[Any, Any]] | None:
    """Format of a column, and its values as FITS holds them; None for those of another kind."""
    if values.ndim != 1:
        return None
    if is_text(values):
        texts = values.astype(np.str_).tolist()
        width = text_width(key, texts, form)
        if not all(text.isascii() for text in texts):
            return None
        return f"{width}A", np.array(texts, f"S{width}")
    found = FORMATS.get(values.dtype.newbyteorder("=").str[1:])
    return None if found is None else (found[0], values.astype(f">{found[1]}"))


def _fits_a_card(text: str) -> bool:
    return len(text) <= _LONGEST and text.isascii() and text.isprintable() and "'" not in text


def _card(keyword: str, value: str | int, comment: str | None = None) -> str:
    text = card_text(keyword, Setting(value, comment))
    assert text is not None  # names and units are short, see `_fits_a_card`
    return text
