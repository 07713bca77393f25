"""The calibration database: which masters there are, where, and what they say about themselves.

The only file that holds SQL. SQLite by default; the location may be any database URL that SQLAlchemy knows.
Each change is one transaction that takes the write lock at once, so a process that is killed leaves the
database as it was before or after the change, and two processes wait for each other instead of failing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from keyhole.calibration.bare_map import how_to_import, is_bare_map
from keyhole.calibration.entries import Entry, checksum
from keyhole.calibration.facts import Facts, facts_of
from keyhole.calibration.rules import REJECTED_QA_STATES, Rule, TimeWindow, is_known
from keyhole.errors import CalibrationError, InputError, SetupError
from keyhole.headers import check_complete

__all__ = ["SCHEMA_VERSION", "CalibrationStore"]

SCHEMA_VERSION = 1
_BUSY_SECONDS = 30

_METADATA = sa.MetaData()
_SCHEMA = sa.Table("keyhole_schema", _METADATA, sa.Column("version", sa.Integer, nullable=False))
# One column for each quantity of a frame, of the type given here or text.
_FACT_COLUMNS = tuple(field.name for field in fields(Facts) if field.name not in {"name", "tags"})
_COLUMN_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "ut_datetime": sa.DateTime,
    "exposure_time": sa.Double,
    "coadds": sa.Integer,
}
_CALIBRATION = sa.Table(
    "keyhole_calibration",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False, unique=True),
    sa.Column("md5", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("added", sa.DateTime, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    # Whole microseconds since 2000-01-01: time windows are then exact in every database.
    sa.Column("ut_microseconds", sa.BigInteger),
    *(sa.Column(name, _COLUMN_TYPES.get(name, sa.Text)) for name in _FACT_COLUMNS),
    sa.Index("keyhole_calibration_by_name", "name"),
    sa.Index("keyhole_calibration_by_time", "caltype", "instrument", "array_name", "ut_microseconds"),
    # A number must never come back: it tells which entry was added last.
    sqlite_autoincrement=True,
)


class _OtherFormatError(SetupError):
    """The file is of another program or of another version of this one."""


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
        return self._path is None or (self._path.is_file() and self._path.stat().st_size > 0)

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
            with self._begin(write=True, check=False) as connection:
                _METADATA.create_all(connection)
                if connection.execute(sa.select(_SCHEMA.c.version)).first() is None:
                    connection.execute(sa.insert(_SCHEMA).values(version=SCHEMA_VERSION))
        elif not self.exists or (wipe and not self._is_ours()):
            return self._create_file(self._path, replace=wipe)
        if wipe:
            with self._begin(write=True) as connection:
                connection.execute(sa.delete(_CALIBRATION))
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
        headers = check_complete(file)
        facts = facts_of(headers)
        if is_bare_map(headers):
            raise CalibrationError(
                f"{path}: the header names neither instrument nor date; if it is a map of bad pixels, "
                f"{how_to_import(str(path))}"
            )
        if facts.caltype is None:
            raise CalibrationError(
                f"{path}: not a processed calibration (tags {' '.join(sorted(facts.tags)) or 'none'}); "
                "only masters made by reduce and bad-pixel masks can be added"
            )
        row = _row_of(facts) | {
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
        chosen = _CALIBRATION.c.name == Path(name).name
        with self._begin(write=True) as connection:
            rows = connection.execute(sa.select(_CALIBRATION).where(chosen)).all()
            connection.execute(sa.delete(_CALIBRATION).where(chosen))
        return [_entry_of(row) for row in rows]

    def entries(self, caltype: str | None = None) -> list[Entry]:
        """All calibrations, or those of one type, by name and path."""
        query = sa.select(_CALIBRATION).order_by(_CALIBRATION.c.name, _CALIBRATION.c.path)
        if caltype is not None:
            query = query.where(_CALIBRATION.c.caltype == caltype)
        with self._begin(write=False) as connection:
            return [_entry_of(row) for row in connection.execute(query)]

    def candidates(self, rule: Rule, frames: Sequence[Facts]) -> list[Entry]:
        """Calibrations that meet a rule, in one query for frames that differ in nothing but time and name.

        Parameters
        ----------
        rule : Rule
            What must match.
        frames : sequence of Facts
            Frames equal in all quantities of the rule; the first one speaks for all, except for the time.

        Returns
        -------
        list of Entry
            For one frame exactly those that `keyhole.calibration.rules.judge` passes; for several frames
            those that fit the quantities and lie in the time that their windows span together. In no order.
        """
        times = [frame.ut_microseconds for frame in frames if frame.ut_microseconds is not None]
        if not times:
            return []
        conditions = [_CALIBRATION.c.caltype == rule.caltype, *_time_conditions(rule.window, times)]
        for criterion in rule.criteria:
            value = getattr(frames[0], criterion.quantity)
            if not is_known(criterion.quantity, value):
                return []
            column = _CALIBRATION.c[criterion.quantity]
            if criterion.tolerance is None:
                conditions.append(column == value)
            else:
                conditions.append(sa.func.abs(column - value) <= criterion.tolerance)
        state = _CALIBRATION.c.qa_state
        conditions.append(sa.or_(state.is_(None), state.not_in(sorted(REJECTED_QA_STATES))))
        with self._begin(write=False) as connection:
            return [_entry_of(row) for row in connection.execute(sa.select(_CALIBRATION).where(*conditions))]

    # -- opening ---------------------------------------------------------------------------------------------

    @contextmanager
    def _begin(self, *, write: bool, check: bool = True) -> Iterator[sa.Connection]:
        if check and not self.exists:
            raise SetupError(f"the calibration database {self.location} does not exist; run: caldb init")
        try:
            with (
                self._engine().connect().execution_options(keyhole_write=write) as connection,
                connection.begin(),
            ):
                if check and not self._checked:
                    self._check_version(connection)
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._explained(error) from error

    def _explained(self, error: sa.exc.DBAPIError) -> SetupError:
        reason = str(error.orig)
        if any(words in reason for words in (_SCHEMA.name, "not a database", "malformed")):
            return _OtherFormatError(
                f"{self.location} is not a calibration database of Keyhole ({reason}); "
                "choose another file, or overwrite it with: caldb init -w"
            )
        return SetupError(
            f"the calibration database {self.location} cannot be used ({reason}); "
            "check its permissions and the free space, or choose another one with -d"
        )

    def _engine(self) -> sa.Engine:
        if self._cached_engine is None:
            self._cached_engine = _engine_of(self.location, self._path)
        return self._cached_engine

    def _check_version(self, connection: sa.Connection) -> None:
        version = connection.execute(sa.select(_SCHEMA.c.version)).scalar()
        if version != SCHEMA_VERSION:
            raise _OtherFormatError(
                f"the calibration database {self.location} has format {version}, this program knows "
                f"{SCHEMA_VERSION}; update Keyhole or choose another database with -d"
            )
        self._checked = True

    def _is_ours(self) -> bool:
        try:
            with self._begin(write=False):
                return True
        except _OtherFormatError:
            return False

    def _create_file(self, path: Path, *, replace: bool) -> bool:
        # Made complete under another name and then linked into place: whoever looks, sees no database or a
        # ready one, and of two processes that make it at once the second keeps the work of the first.
        draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
        _unlink(draft)
        try:
            engine = _engine_of(str(draft), draft, make=True)
            with engine.connect().execution_options(keyhole_write=True) as connection, connection.begin():
                _METADATA.create_all(connection)
                connection.execute(sa.insert(_SCHEMA).values(version=SCHEMA_VERSION))
            if path.exists() and (replace or not self.exists):
                _unlink(path)
            return _link(draft, path)
        except (sa.exc.DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, sa.exc.DBAPIError) else error.strerror
            raise SetupError(
                f"the calibration database {path} cannot be made ({reason}); "
                "check that the folder may be written, or choose another one with -d"
            ) from error
        finally:
            _unlink(draft)


def _unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> bool:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links.
        if path.exists():
            return False
        draft.rename(path)
    return True


def _engine_of(location: str, path: Path | None, *, make: bool = False) -> sa.Engine:
    if path is None:
        return sa.create_engine(location, pool_pre_ping=True)
    if make:
        mode = "rwc"
    elif os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        mode = "rw"
    else:
        # Reading a database in a folder that may not be written otherwise fails for want of lock files.
        mode = "ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS),
        # Each use opens and closes the file: nothing stays open between the steps of a long run.
        poolclass=NullPool,
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    if make:
        # Readers and a writer then do not wait for each other. The file remembers it.
        sa.event.listen(engine, "connect", lambda made, _record: made.execute("PRAGMA journal_mode=WAL"))
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by the statement below; the driver's own, which start without a lock and fail
    # when they later need one, are switched off.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("keyhole_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _row_of(facts: Facts) -> dict[str, Any]:
    row = {name: getattr(facts, name) for name in _FACT_COLUMNS}
    return row | {"tags": " ".join(sorted(facts.tags)), "ut_microseconds": facts.ut_microseconds}


def _entry_of(row: sa.Row[Any]) -> Entry:
    values = row._mapping
    facts = Facts(
        name=values["name"],
        tags=frozenset(values["tags"].split()),
        **{name: values[name] for name in _FACT_COLUMNS},
    )
    return Entry(
        id=values["id"],
        name=values["name"],
        path=values["path"],
        md5=values["md5"],
        size=values["size"],
        added=values["added"],
        facts=facts,
    )


def _insert(connection: sa.Connection, row: dict[str, Any]) -> Entry:
    table = _CALIBRATION
    here = connection.execute(sa.select(table).where(table.c.path == row["path"])).first()
    if here is not None and here.md5 == row["md5"]:
        return _entry_of(here)
    connection.execute(sa.delete(table).where(table.c.path == row["path"]))
    same_content = connection.execute(sa.select(table.c.id, table.c.path).where(table.c.md5 == row["md5"]))
    for other in same_content.all():
        if not Path(other.path).exists():
            connection.execute(sa.delete(table).where(table.c.id == other.id))
    connection.execute(sa.insert(table).values(row))
    return _entry_of(connection.execute(sa.select(table).where(table.c.path == row["path"])).one())


def _time_conditions(window: TimeWindow, times: list[int]) -> list[sa.ColumnElement[bool]]:
    column = _CALIBRATION.c.ut_microseconds
    first, last = min(times), max(times)
    before, after = window.days_before, window.days_after
    conditions: list[sa.ColumnElement[bool]] = [column.is_not(None)]
    # A limit of 0 days leaves the moment of the frame itself, which an open interval would not.
    if before is not None:
        conditions.append(column > first - _microseconds(before) if before else column >= first)
    if after is not None:
        conditions.append(column < last + _microseconds(after) if after else column <= last)
    return conditions


def _microseconds(days: float) -> int:
    return timedelta(days=days) // timedelta(microseconds=1)
