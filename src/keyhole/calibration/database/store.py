"""The calibration database: which masters there are, where, and what they say about themselves.

SQLite by default; the location may be any database URL that SQLAlchemy knows. Each change is one transaction
that takes the write lock at once, so a process that is killed leaves the database as it was before or after
the change, and two processes wait for each other instead of failing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from keyhole.calibration.database.connect import OtherFormatError, begin, engine_of, is_made, make_file
from keyhole.calibration.database.query import best_of, conditions_of, nearness_of
from keyhole.calibration.database.schema import (
    CALIBRATION,
    SCHEMA,
    SCHEMA_VERSION,
    create_tables,
    entry_of,
    fact_values,
)
from keyhole.calibration.entries import Entry, checksum
from keyhole.calibration.facts import Facts, facts_of
from keyhole.calibration.rules import Rule
from keyhole.errors import CalibrationError, InputError, SetupError
from keyhole.headers import check_complete

__all__ = ["CalibrationStore"]


class CalibrationStore:
    """A calibration database.

    Parameters
    ----------
    location : str or Path
        File of an SQLite database, or a database URL. Nothing is opened or made before it is used.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location).removeprefix("sqlite:///")
        self._path = None if "://" in self.location else Path(self.location)
        self._checked = False
        self._cached_engine: sa.Engine | None = None

    def __repr__(self) -> str:
        return f"CalibrationStore({self.location!r})"

    @property
    def exists(self) -> bool:
        """Whether the database was made; always true for a URL, where only the server knows."""
        return self._path is None or is_made(self._path)

    def create(self, *, wipe: bool = False) -> bool:
        """Make the database with empty tables; its folder must exist.

        Parameters
        ----------
        wipe : bool
            Also empty a database that is there already, whatever program made it.

        Returns
        -------
        bool
            False when the database was there and is kept.

        Raises
        ------
        SetupError
            The folder is missing or not writable, or the file is of another program and `wipe` is false.
        """
        if self._path is not None and not self._path.parent.is_dir():
            raise SetupError(
                f"the folder {self._path.parent} for the calibration database does not exist; make it first"
            )
        if self._path is None:
            with begin(self._engine(), self.location, write=True) as connection:
                create_tables(connection)
        elif not self.exists or (wipe and not self._is_ours()):
            return make_file(self._path, replace=wipe)
        if wipe:
            with self._begin(write=True) as connection:
                connection.execute(sa.delete(CALIBRATION))
            return True
        with self._begin(write=False):
            return False

    def add(self, path: str | Path) -> Entry:
        """Register a processed calibration file.

        The same file again changes nothing. A file whose content changed supersedes what was known of it, and
        one that has moved (same content, old place empty) is followed to its new place.

        Raises
        ------
        InputError
            The file does not exist.
        DataError
            The file is damaged or not FITS.
        CalibrationError
            The file is not a processed calibration.
        SetupError
            The database cannot be used.
        """
        file = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the user's symbolic links
        if not file.is_file():
            raise InputError(f"{path}: no such file; check the name")
        facts = facts_of(check_complete(file))
        if facts.caltype is None:
            raise CalibrationError(
                f"{path}: not a processed calibration (tags {' '.join(sorted(facts.tags)) or 'none'}); "
                "only masters made by reduce and bad-pixel masks can be added"
            )
        row = fact_values(facts) | {
            "name": file.name,
            "path": str(file),
            "md5": checksum(file),
            "size": file.stat().st_size,
            "added": datetime.now(UTC).replace(tzinfo=None),
        }
        with self._begin(write=True) as connection:
            return _insert(connection, row)

    def remove(self, name: str | Path) -> list[Entry]:
        """Forget all files of this name, wherever they are; the files on disk stay as they are.

        Parameters
        ----------
        name : str or Path
            File name; a folder in front of it is ignored.

        Returns
        -------
        list of Entry
            What was forgotten; empty when the database holds no such name.
        """
        chosen = CALIBRATION.c.name == Path(name).name
        with self._begin(write=True) as connection:
            rows = connection.execute(sa.select(CALIBRATION).where(chosen)).all()
            connection.execute(sa.delete(CALIBRATION).where(chosen))
        return [entry_of(row) for row in rows]

    def entries(self, caltype: str | None = None) -> list[Entry]:
        """All calibrations, or those of one type, by name and path."""
        query = sa.select(CALIBRATION).order_by(CALIBRATION.c.name, CALIBRATION.c.path)
        if caltype is not None:
            query = query.where(CALIBRATION.c.caltype == caltype)
        with self._begin(write=False) as connection:
            return [entry_of(row) for row in connection.execute(query)]

    def count(self, caltype: str) -> int:
        """Number of calibrations of a type."""
        query = sa.select(sa.func.count()).select_from(CALIBRATION).where(CALIBRATION.c.caltype == caltype)
        with self._begin(write=False) as connection:
            return int(connection.execute(query).scalar() or 0)

    def fitting(self, rule: Rule, frames: Sequence[Facts], *, limit: int) -> list[Entry]:
        """Calibrations that meet a rule, in one query for frames that differ in nothing but time and name.

        Parameters
        ----------
        rule : Rule
            What must match.
        frames : sequence of Facts
            Frames equal in all quantities of the rule; the first one speaks for all, except for the time.
        limit : int
            So many at most.

        Returns
        -------
        list of Entry
            For one frame exactly those that `keyhole.calibration.judging.judge` passes; for several frames
            those that fit the quantities and lie in the time that their windows span together. In no order.
        """
        conditions = conditions_of(rule, frames)
        return [] if conditions is None else self._select(conditions, limit=limit)

    def ranked(self, rule: Rule, frame: Facts, *, limit: int, offset: int = 0) -> list[Entry]:
        """Calibrations that meet a rule for one frame, the best first, without the first `offset` of them."""
        wanted = offset + limit
        entries: list[Entry] = []
        with self._begin(write=False) as connection:
            # The grades and the number of doubts come first in the order: one query for each, while more is wanted.
            for n_doubts in range(len(rule.doubts) + 1):
                query = best_of(rule, frame, n_doubts=n_doubts, limit=wanted - len(entries))
                if query is not None and len(entries) < wanted:
                    entries += [entry_of(row) for row in connection.execute(query)]
        return entries[offset:]

    def nearest(self, rule: Rule, frame: Facts, *, limit: int) -> list[Entry]:
        """Calibrations of the rule's type, the fewest failed criteria first, then the nearest in time."""
        return self._select([CALIBRATION.c.caltype == rule.caltype], order=nearness_of(rule, frame), limit=limit)

    def _select(
        self,
        conditions: Sequence[sa.ColumnElement[bool]],
        *,
        order: Sequence[sa.ColumnElement[Any]] = (),
        limit: int,
    ) -> list[Entry]:
        query = sa.select(CALIBRATION).where(*conditions).order_by(*order).limit(limit)
        with self._begin(write=False) as connection:
            return [entry_of(row) for row in connection.execute(query)]

    # -- opening ---------------------------------------------------------------------------------------------

    @contextmanager
    def _begin(self, *, write: bool) -> Iterator[sa.Connection]:
        if not self.exists:
            raise SetupError(f"the calibration database {self.location} does not exist; run: caldb init")
        with begin(self._engine(), self.location, write=write) as connection:
            if not self._checked:
                self._check_version(connection)
            yield connection

    def _engine(self) -> sa.Engine:
        if self._cached_engine is None:
            self._cached_engine = engine_of(self.location, self._path)
        return self._cached_engine

    def _check_version(self, connection: sa.Connection) -> None:
        version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
        if version != SCHEMA_VERSION:
            raise OtherFormatError(
                f"the calibration database {self.location} has format {version}, this program knows "
                f"{SCHEMA_VERSION}; update Keyhole or choose another database with -d"
            )
        self._checked = True

    def _is_ours(self) -> bool:
        try:
            with self._begin(write=False):
                return True
        except OtherFormatError:
            return False


def _insert(connection: sa.Connection, row: dict[str, Any]) -> Entry:
    table = CALIBRATION
    here = connection.execute(sa.select(table).where(table.c.path == row["path"])).first()
    if here is not None and here.md5 == row["md5"]:
        return entry_of(here)
    connection.execute(sa.delete(table).where(table.c.path == row["path"]))
    same_content = connection.execute(sa.select(table.c.id, table.c.path).where(table.c.md5 == row["md5"]))
    for other in same_content.all():
        if not Path(other.path).exists():
            connection.execute(sa.delete(table).where(table.c.id == other.id))
    connection.execute(sa.insert(table).values(row))
    return entry_of(connection.execute(sa.select(table).where(table.c.path == row["path"])).one())
