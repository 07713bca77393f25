"""SQLite files: opened for writing, made whole, or read as a whole where they may only be read."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from keyhole.calibration.database import connect
from keyhole.calibration.database.connect import OtherFormatError, begin, explained, is_busy
from keyhole.calibration.database.versions import set_up
from keyhole.errors import SetupError

__all__ = ["fingerprint", "is_made", "make_file", "may_write", "open_file", "read_whole"]

_BUSY_SECONDS = 60.0
_COMPANIONS = ("-journal", "-wal", "-shm")
# A draft that is so old was left behind by a process that was killed.
_STALE_SECONDS = 3600.0
_TRIES = 50


def is_made(path: Path) -> bool:
    """Whether there is a database at this place; an empty file is none."""
    return path.is_file() and path.stat().st_size > 0


def may_write(path: Path) -> bool:
    """Whether a database may be changed: SQLite also needs to make files beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def open_file(path: Path, *, create: bool = False) -> sa.Engine:
    """The engine for an SQLite file that may be written; nothing is opened yet."""
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"

    def opened() -> sqlite3.Connection:
        # The driver must not begin transactions of its own, see `begin`.
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    # Each use opens and closes the file: nothing stays open between the steps of a long run.
    return sa.create_engine("sqlite://", creator=opened, poolclass=NullPool)


def make_file(path: Path, *, wipe: bool) -> bool:
    """Make an SQLite database with empty tables, or empty one that is there.

    A new file is made complete under another name and then linked into place: whoever looks, sees no database or
    a ready one, and of two processes that make it at once the second keeps the work of the first.

    Parameters
    ----------
    path : Path
        File; its folder exists.
    wipe : bool
        Overwrite what is there, whatever program made it.

    Returns
    -------
    bool
        False when there is a database of Keyhole already, of this or an older version, and it is kept.

    Raises
    ------
    OtherFormatError
        There is something else, and `wipe` is false.
    SetupError
        The file cannot be made.
    """
    try:
        return (not path.exists() and _place_new(path)) or _make_in_place(path, wipe=wipe)
    except (sa.exc.DBAPIError, OSError) as error:
        reason = error.orig if isinstance(error, sa.exc.DBAPIError) else error.strerror
        raise SetupError(
            f"the calibration database {path} cannot be made ({reason}); "
            "check that the folder may be written, or choose another one with -d"
        ) from error


def fingerprint(path: Path) -> tuple[object, ...]:
    """Changes whenever the content of a database does."""
    marks: list[object] = []
    for file in (path, _beside(path, "-wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            marks.append(None)
        else:
            marks.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(marks)


def read_whole(path: Path) -> sa.Engine:
    """A copy in memory of an SQLite file that may only be read.

    SQLite would need to make files beside it for its locks. Without them it could not see that somebody else
    changes the file while it reads, so all is read at once, and again if it changed meanwhile.

    Raises
    ------
    SetupError
        The file cannot be read, or changes all the time.
    OtherFormatError
        It is no database, or damaged.
    """
    for _ in range(_TRIES):
        before = fingerprint(path)
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        problem: Exception | None = None
        try:
            _copy(path, memory)
        except (sqlite3.Error, OSError) as error:
            problem = error
        if fingerprint(path) == before:
            if problem is not None:
                raise explained(sa.exc.DatabaseError("", None, problem), str(path)) from problem
            engine = sa.create_engine("sqlite://", creator=lambda copy=memory: copy, poolclass=StaticPool)
            return engine.execution_options(keyhole_snapshot=True)
        memory.close()
        time.sleep(0.02)
    raise SetupError(f"the calibration database {path} changes all the time and cannot be read; try again later")


def _copy(path: Path, memory: sqlite3.Connection) -> None:
    log = _beside(path, "-wal")
    if not (log.exists() and log.stat().st_size):
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as source:
            source.backup(memory)
        return
    # What was written last is in the log, which SQLite must be able to work on.
    with tempfile.TemporaryDirectory(prefix="keyhole-") as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(path, copy)
        shutil.copyfile(log, _beside(copy, "-wal"))
        with closing(sqlite3.connect(copy)) as source:
            source.backup(memory)


def _place_new(path: Path, *, replace: bool = False) -> bool:
    """Make a new file; False when another process was faster, or the file system knows no links."""
    _sweep(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    _unlink(draft)
    try:
        engine = open_file(draft, create=True)
        _write_ahead(engine)
        with begin(engine, str(path), write=True) as connection:
            set_up(connection, str(path), wipe=False)
        if replace:
            draft.replace(path)
            return True
        with suppress(OSError):
            path.hardlink_to(draft)
            return True
        return False
    finally:
        _unlink(draft)


def _make_in_place(path: Path, *, wipe: bool) -> bool:
    engine = open_file(path, create=True)
    try:
        with begin(engine, str(path), write=False) as connection:
            bare = not sa.inspect(connection).get_table_names()
        if bare or wipe:
            _write_ahead(engine)
        with begin(engine, str(path), write=True) as connection:
            return set_up(connection, str(path), wipe=wipe)
    except OtherFormatError:
        if not wipe:
            raise
        return _replace_other(path)


def _replace_other(path: Path) -> bool:
    """Put a new database in place of a file that is none, or is damaged."""
    with path.open("rb") as other:
        # Of several processes that do this at once only one may, or the next one would replace its work.
        fcntl.flock(other, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(other.fileno()), path.stat()):
            for suffix in _COMPANIONS:
                _beside(path, suffix).unlink(missing_ok=True)
            return _place_new(path, replace=True)
    return _make_in_place(path, wipe=True)


def _write_ahead(engine: sa.Engine) -> None:
    """Let readers and a writer not wait for each other. The file remembers it."""
    give_up = time.monotonic() + connect.PATIENCE_SECONDS
    while True:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except sa.exc.DBAPIError as error:
            # Here SQLite does not wait for others by itself.
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


def _sweep(path: Path) -> None:
    """Remove drafts that processes which were killed left behind."""
    for draft in path.parent.glob(f".{path.name}.*.new*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                draft.unlink()


def _unlink(path: Path) -> None:
    for file in (path, *(_beside(path, suffix) for suffix in _COMPANIONS)):
        file.unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
