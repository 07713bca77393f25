"""Binary tables of the usual form, from their bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from keyhole.frames.frame import Table

__all__ = ["plain_table"]

_NUMBERS: Final = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_FORM: Final = re.compile(r"(\d*)([A-Z])")
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
