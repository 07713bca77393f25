"""Opening a database: engines, what SQLite needs to be told, making a file, errors in words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from keyhole.calibration.database.schema import SCHEMA, create_tables
from keyhole.errors import SetupError

__all__ = ["OtherFormatError", "begin", "engine_of", "is_made", "make_file"]

_BUSY_SECONDS = 30


class OtherFormatError(SetupError):
    """The file is of another program or of another version of this one."""


def is_made(path: Path) -> bool:
    """Whether there is a database at this place; an empty file is none."""
    return path.is_file() and path.stat().st_size > 0


def engine_of(location: str, path: Path | None, *, make: bool = False) -> sa.Engine:
    """The engine for a database URL, or for an SQLite file if `path` is given; `make` creates the file."""
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


@contextmanager
def begin(engine: sa.Engine, location: str, *, write: bool) -> Iterator[sa.Connection]:
    """One transaction, with the write lock from its beginning if `write`.

    Raises
    ------
    SetupError
        The database cannot be used, in words.
    """
    try:
        with engine.connect().execution_options(keyhole_write=write) as connection, connection.begin():
            yield connection
    except sa.exc.DBAPIError as error:
        raise _explained(error, location) from error


def make_file(path: Path, *, replace: bool) -> bool:
    """Make an SQLite database with empty tables.

    Made complete under another name and then linked into place: whoever looks, sees no database or a ready one,
    and of two processes that make it at once the second keeps the work of the first.

    Returns
    -------
    bool
        False when another process was faster.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    _unlink(draft)
    try:
        engine = engine_of(str(draft), draft, make=True)
        with engine.connect().execution_options(keyhole_write=True) as connection, connection.begin():
            create_tables(connection)
        if path.exists() and (replace or not is_made(path)):
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


def _explained(error: sa.exc.DBAPIError, location: str) -> SetupError:
    reason = str(error.orig)
    if any(words in reason for words in (SCHEMA.name, "not a database", "malformed")):
        return OtherFormatError(
            f"{location} is not a calibration database of Keyhole ({reason}); "
            "choose another file, or overwrite it with: caldb init -w"
        )
    return SetupError(
        f"the calibration database {location} cannot be used ({reason}); "
        "check its permissions and the free space, or choose another one with -d"
    )


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


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by the statement below; the driver's own, which start without a lock and fail
    # when they later need one, are switched off.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("keyhole_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
