"""HISTORY and PROVENANCE tables: what was done to a frame, and from which files."""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern

import numpy as np

from keyhole.frames.frame import Frame, Table

__all__ = ["add_history", "add_provenance", "merge_provenance", "sources_of"]

_HISTORY_COLUMNS = ("primitive", "args", "timestamp_start", "timestamp_stop")
_PROVENANCE_COLUMNS = ("timestamp", "filename", "md5", "provenance_added_by")
_WIDTHS = {
    "primitive": "A128",
    "timestamp_start": "A28",
    "timestamp_stop": "A28",
    "timestamp": "A28",
    "filename": "A128",
    "md5": "A128",
    "provenance_added_by": "A128",
}


def add_history(frame: Frame, primitive: str, args: str, start: str, stop: str) -> None:
    """Append one row to the HISTORY table of a frame. Changes its input.

    Parameters
    ----------
    primitive : str
        Public name of the step.
    args : str
        JSON text of its parameters.
    start, stop : str
        ISO time stamps, UTC.
    """
    _append(frame, "HISTORY", dict(zip(_HISTORY_COLUMNS, (primitive, args, start, stop), strict=True)))


def add_provenance(frame: Frame, timestamp: str, filename: str, md5: str, added_by: str) -> None:
    """Append one row to the PROVENANCE table unless the same file stands there. Changes its input."""
    table = frame.tables.get("PROVENANCE")
    if table is not None and len(table):
        known = set(zip(table.columns["filename"], table.columns["md5"], strict=True))
        if (filename, md5) in known:
            return
    row = (timestamp, filename, md5, added_by)
    _append(frame, "PROVENANCE", dict(zip(_PROVENANCE_COLUMNS, row, strict=True)))


def merge_provenance(target: Frame, sources: Iterable[Frame]) -> None:
    """Give `target` the union of the PROVENANCE rows of `sources`, in their order. Changes `target`."""
    target.tables.pop("PROVENANCE", None)
    seen: dict[tuple[str, str], tuple[str, ...]] = {}
    for source in sources:
        table = source.tables.get("PROVENANCE")
        if table is None:
            continue
        for row in zip(*(table.columns[name] for name in _PROVENANCE_COLUMNS), strict=True):
            seen.setdefault((str(row[1]), str(row[2])), tuple(str(item) for item in row))
    if seen:
        columns = {name: np.array([row[i] for row in seen.values()]) for i, name in enumerate(_PROVENANCE_COLUMNS)}
        target.tables["PROVENANCE"] = Table(columns, formats={name: _WIDTHS[name] for name in columns})


def sources_of(frame: Frame) -> tuple[tuple[str, str, str], ...]:
    """Name, MD5 sum and step of each file that a frame was made of."""
    table = frame.tables.get("PROVENANCE")
    if table is None:
        return ()
    rows = zip(*(table.columns[name] for name in _PROVENANCE_COLUMNS[1:]), strict=True)
    return tuple((str(name), str(md5), str(step)) for name, md5, step in rows)


def _append(frame: Frame, table_name: str, row: dict[str, str]) -> None:
    old = frame.tables.get(table_name)
    columns = {}
    for name, value in row.items():
        before = old.columns.get(name, ()) if old else ()
        # Texts that all frames of a run share, where an array of characters would be hundreds of times larger.
        values = columns[name] = np.empty(len(before) + 1, object)
        values[:-1] = before
        values[-1] = intern(value)
    frame.tables[table_name] = Table(columns, formats={n: _WIDTHS[n] for n in row if n in _WIDTHS})
