"""A database of few masters in a file, read without SQLAlchemy, which takes longer to load than the search."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

from keyhole.calibration.database.rows import CALIBRATION_TABLE, SCHEMA_TABLE, SCHEMA_VERSION, entry_from
from keyhole.calibration.entries import Entry, Store
from keyhole.calibration.facts import Facts
from keyhole.calibration.location import file_of, shown
from keyhole.calibration.memory import MemoryStore
from keyhole.calibration.rules import Rule

__all__ = ["AskedStore", "read_small"]

_FEW: Final = 64
"""Of so many masters of one type each is judged in less time than it takes to load SQLAlchemy."""
_TIMES: Final = ("added", "ut_datetime")


class AskedStore:
    """A calibration database that is only asked; see `keyhole.calibration.entries.Store`.

    A file that holds few masters of a type is read and judged in Python. Everything else, a server, a large, older,
    damaged or locked file, is left to `CalibrationStore`, which also knows the words for what is wrong. Each question
    looks at the database anew.

    Parameters
    ----------
    location : str
        File of an SQLite database, or a database URL.

    Attributes
    ----------
    location, address, path
        As of `CalibrationStore`; the address must not be shown.
    """

    def __init__(self, location: str) -> None:
        self.address = location
        self.location = shown(location)
        self.path = file_of(location)
        self._full: Store | None = None

    def __repr__(self) -> str:
        return f"AskedStore({self.location!r})"

    @property
    def exists(self) -> bool:
        """Whether the database was made; always true for a URL, where only the server knows."""
        return self.path is None or (self.path.is_file() and self.path.stat().st_size > 0)

    def fitting(self, rule: Rule, frames: Sequence[Facts], *, limit: int) -> list[Entry]:
        """Calibrations that meet a rule for at least one of several frames."""
        return self._about(rule.caltype).fitting(rule, frames, limit=limit)

    def ranked(self, rule: Rule, frame: Facts, *, limit: int, offset: int = 0) -> list[Entry]:
        """Calibrations that meet a rule for one frame, the best first, without the first `offset` of them."""
        return self._about(rule.caltype).ranked(rule, frame, limit=limit, offset=offset)

    def nearest(self, rule: Rule, frame: Facts, *, limit: int) -> list[Entry]:
        """Calibrations of the rule's type, the fewest failed criteria first, then the nearest in time."""
        return self._about(rule.caltype).nearest(rule, frame, limit=limit)

    def count(self, caltype: str) -> int:
        """Number of calibrations of a type."""
        return self._about(caltype).count(caltype)

    def _about(self, caltype: str) -> Store:
        if self._full is None and self.path is not None:
            entries = read_small(self.path, caltype)
            if entries is not None:
                return MemoryStore(entries, self.location)
        if self._full is None:
            from keyhole.calibration.database.store import CalibrationStore  # SQLAlchemy is slow to load

            self._full = CalibrationStore(self.address)
        return self._full


def read_small(path: Path, caltype: str) -> list[Entry] | None:
    """Read all masters of a type.

    Parameters
    ----------
    path : Path
        File of an SQLite database.
    caltype : str
        ``processed_dark`` and the like.

    Returns
    -------
    list of Entry or None
        None where the file is not to be read like this: it may not be written (SQLite then cannot take part in its
        locks), is in use, no database of this version of the tables, or holds too many.
    """
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return None
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            version = connection.execute(f"SELECT version FROM {SCHEMA_TABLE}").fetchone()
            if version is None or version[0] != SCHEMA_VERSION:
                return None
            rows = connection.execute(
                f"SELECT * FROM {CALIBRATION_TABLE} WHERE caltype = ? LIMIT ?", (caltype, _FEW + 1)
            ).fetchall()
    except sqlite3.Error:
        return None
    return [_entry(row) for row in rows] if len(rows) <= _FEW else None


def _entry(row: sqlite3.Row) -> Entry:
    values = dict(row)
    times = {name: datetime.fromisoformat(values[name]) for name in _TIMES if values[name] is not None}
    return entry_from(values | times)
