"""Opening a database: engines for files and servers, transactions that wait for their turn, errors in words."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from keyhole.calibration.location import file_of, shown
from keyhole.errors import SetupError

__all__ = [
    "PATIENCE_SECONDS",
    "ConflictError",
    "NotMadeError",
    "OtherFormatError",
    "begin",
    "explained",
    "foreign",
    "is_busy",
    "is_server",
    "not_made",
    "server_engine",
    "sqlite_code",
]

# So long a process waits for the others before it gives up.
PATIENCE_SECONDS = 120.0
_CONNECT_SECONDS = 10
# Any number that other programs on the same server are unlikely to take.
_POSTGRES_LOCK = 0x6B657968_6F6C65
_POSTGRES_DRIVER = "postgresql+psycopg"
# SQLSTATE of a row that is there already, of a serialization failure, of a deadlock.
_CONFLICT_STATES = frozenset({"23505", "40001", "40P01"})
_UNDEFINED_TABLE, _FORBIDDEN, _LOCK_TIMEOUT = "42P01", "42501", "55P03"


class OtherFormatError(SetupError):
    """The file is of another program or of another version of this one."""


class NotMadeError(SetupError):
    """There is no calibration database yet."""


class ConflictError(SetupError):
    """Another process changed the same thing at the same moment: try again."""


def not_made(location: str) -> NotMadeError:
    """The error of using a database before it was made."""
    return NotMadeError(f"the calibration database {shown(location)} does not exist; run: caldb init")


def is_server(location: str) -> bool:
    """Whether a location names a database on a server."""
    return file_of(location) is None


def server_engine(location: str) -> sa.Engine:
    """The engine for a database URL; nothing is opened yet.

    Raises
    ------
    SetupError
        The URL cannot be understood, or the Python package that talks to its kind of server is not installed.
    """
    try:
        url = sa.make_url(location)
    except (sa.exc.ArgumentError, ValueError):
        # Not "from" the cause: its message may hold the password.
        raise SetupError(
            f"{shown(location)} is not understood as the URL of a database; "
            "write it like postgresql://user@host/database"
        ) from None
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername=_POSTGRES_DRIVER)
    if url.get_backend_name() == "sqlite":
        raise SetupError(f"{shown(location)} names no file; give the path of a database file instead")
    options: dict[str, Any] = {}
    if url.drivername == _POSTGRES_DRIVER and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": _CONNECT_SECONDS}
    try:
        # Nothing stays open between the steps of a long run, nor is shared by processes that fork.
        return sa.create_engine(url, poolclass=NullPool, **options)
    except sa.exc.NoSuchModuleError:
        raise SetupError(
            f"{shown(location)}: databases of the kind {url.drivername} are not known; use postgresql:// or a file"
        ) from None
    except ImportError as error:
        extra = "pip install 'keyhole[postgres]'" if url.drivername == _POSTGRES_DRIVER else f"install {error.name}"
        raise SetupError(
            f"the Python package that talks to the database {shown(location)} is not installed ({error}); {extra}"
        ) from error


@contextmanager
def begin(engine: sa.Engine, location: str, *, write: bool) -> Iterator[sa.Connection]:
    """One transaction: committed at the end, undone by any error.

    With `write` it holds the lock for all changes from its beginning, so it never fails half-way for want of
    it; without, it sees the database as it was at its beginning. Both wait until it is their turn.

    Raises
    ------
    ConflictError
        Another process changed the same thing; doing all of it again may help.
    OtherFormatError, SetupError
        The database cannot be used, in words.
    """
    try:
        with _started(engine, write=write) as connection:
            yield connection
            connection.commit()
    except sa.exc.DBAPIError as error:
        raise explained(error, location) from error


def _started(engine: sa.Engine, *, write: bool) -> sa.Connection:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        connection = None
        try:
            connection = engine.connect()
            connection.begin()
            _take_lock(connection, write=write)
        except BaseException as error:
            if connection is not None:
                connection.close()
            # SQLite waits by itself in most places, but not where one process opens what another one closes.
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(random.uniform(0.005, 0.05))
        else:
            return connection


def is_busy(error: BaseException) -> bool:
    """Whether an error only says that another process is using an SQLite database."""
    return isinstance(error, sa.exc.DBAPIError) and sqlite_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def sqlite_code(error: sa.exc.DBAPIError) -> int:
    """What SQLite calls an error; 0 for errors of other databases."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


def _take_lock(connection: sa.Connection, *, write: bool) -> None:
    name = connection.dialect.name
    if name == "postgresql" and write:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {PATIENCE_SECONDS * 1000:.0f}")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
    elif name == "sqlite" and not connection.get_execution_options().get("keyhole_snapshot"):
        # Begun by hand: the driver would begin without a lock, and fail when it needs one later.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
        if not write:
            connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").all()


def explained(error: sa.exc.DBAPIError, location: str) -> Exception:
    """An error of the database in words; the error itself where no user can have caused it."""
    state = getattr(error.orig, "sqlstate", None)
    if state in _CONFLICT_STATES:
        return ConflictError(
            f"the calibration database {shown(location)} could not be changed while other processes changed it; "
            "try again"
        )
    if state == _UNDEFINED_TABLE:
        return not_made(location)
    # A server that was not reached has no SQLSTATE; a statement that it does not understand is our mistake.
    may_be_ours = state not in {_FORBIDDEN, None} if is_server(location) else True
    if may_be_ours and isinstance(error, (sa.exc.IntegrityError, sa.exc.ProgrammingError)):
        return error
    return _unusable(error, location, busy=is_busy(error) or state == _LOCK_TIMEOUT)


def _unusable(error: sa.exc.DBAPIError, location: str, *, busy: bool) -> SetupError:
    place, code = shown(location), sqlite_code(error)
    reason = " ".join(str(error.orig).split())
    if busy:
        return SetupError(
            f"the calibration database {place} has been in use by another process for "
            f"{PATIENCE_SECONDS:.0f} seconds; try again when it has ended"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return foreign(location, reason)
    if code == sqlite3.SQLITE_CORRUPT:
        return OtherFormatError(
            f"the calibration database {place} is damaged ({reason}); "
            "make it anew with 'caldb init -w' and fill it with 'caldb add FOLDER'"
        )
    if is_server(location):
        advice = "check that the server runs, the name of the database, and your rights in it"
    else:
        advice = "check its permissions and the free space, or choose another one with -d"
    return SetupError(f"the calibration database {place} cannot be used ({reason}); {advice}")


def foreign(location: str, reason: str) -> OtherFormatError:
    """The error of a file that is something else."""
    return OtherFormatError(
        f"{shown(location)} is not a calibration database of Keyhole ({reason}); "
        "choose another file, or overwrite it with: caldb init -w"
    )
