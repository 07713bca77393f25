"""The calibration database: which masters there are, where, and what they say about themselves.

SQLite by default; the location may be the URL of a PostgreSQL database. Each change is one transaction that takes
the lock for changes at its beginning, so a process that is killed leaves the database as it was before or after
the change, and two processes wait for each other instead of failing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from keyhole.calibration.database.connect import ConflictError, begin, not_made, server_engine
from keyhole.calibration.database.files import fingerprint, is_made, make_file, may_write, open_file, read_whole
from keyhole.calibration.database.query import best_of, conditions_of, nearness_of
from keyhole.calibration.database.register import insert_many, register, replace_content
from keyhole.calibration.database.schema import CALIBRATION, entry_of
from keyhole.calibration.database.versions import is_current, set_up, update
from keyhole.calibration.entries import Added, Entry, read_master
from keyhole.calibration.facts import Facts
from keyhole.calibration.location import file_of, shown
from keyhole.calibration.rules import Rule
from keyhole.errors import CalibrationError, DataError, InputError, KeyholeError, SetupError

__all__ = ["CalibrationStore"]

T = TypeVar("T")
# So many files, or those of so much time, are registered together.
_BATCH_FILES = 200
_BATCH_SECONDS = 0.5
# So often a change is tried again that another process got in the way of.
_TRIES = 20


class CalibrationStore:
    """A calibration database.

    A database that an older version of Keyhole made is brought up to date when it is first used. One that may
    only be read is read as it is now, and again when it has changed.

    Parameters
    ----------
    location : str or Path
        File of an SQLite database, or a database URL. Nothing is opened or made before it is used.

    Attributes
    ----------
    location : str
        Where it is, for messages: without a password.
    address : str
        What opens it again; may hold a password, and must not be shown.
    path : Path or None
        The file; None for a database on a server.
    """

    def __init__(self, location: str | Path) -> None:
        self.address = str(location)
        self.location = shown(self.address)
        self.path = file_of(self.address)
        self._engine: sa.Engine | None = None
        self._is_current = False
        self._snapshot_of: tuple[object, ...] | None = None

    def __repr__(self) -> str:
        return f"CalibrationStore({self.location!r})"

    @property
    def exists(self) -> bool:
        """Whether the database was made; always true for a URL, where only the server knows."""
        return self.path is None or is_made(self.path)

    def create(self, *, wipe: bool = False) -> bool:
        """Make the database with empty tables; its folder must exist.

        Parameters
        ----------
        wipe : bool
            Also empty a database that is there already, whatever program made it. Of a server only the tables
            of Keyhole are meant.

        Returns
        -------
        bool
            False when the database was there and is kept.

        Raises
        ------
        SetupError
            The folder is missing or not writable, or the file is of another program and `wipe` is false.
        """
        if self.path is not None and str(self.path) in {".", ":memory:"}:
            raise SetupError(f"{self.address} names no file; give the path of a database file instead")
        if self.path is not None and not self.path.parent.is_dir():
            raise SetupError(
                f"the folder {self.path.parent} for the calibration database does not exist; make it first"
            )
        if self.path is None:
            with begin(server_engine(self.address), self.address, write=True) as connection:
                made = set_up(connection, self.address, wipe=wipe)
        elif self.exists and not may_write(self.path):
            made = False
        else:
            made = make_file(self.path, wipe=wipe)
        if not made:
            self.require(write=wipe)
        return made

    def require(self, *, write: bool = False) -> None:
        """Make sure that the database can be used, before long work is begun.

        Raises
        ------
        SetupError
            It cannot, or with `write`: may not be changed.
        """
        if write:
            self._change(lambda _connection: None)
        else:
            with self._begin(write=False):
                pass

    def add(self, path: str | Path) -> Entry:
        """Register a processed calibration file.

        The same file again changes nothing. A file whose content changed supersedes what was known of it, and
        the entry of one that has moved (same content, old place empty) follows it to its new place.

        Raises
        ------
        InputError
            The file does not exist or cannot be read.
        DataError
            The file is damaged or not FITS.
        CalibrationError
            The file is not a processed calibration.
        SetupError
            The database cannot be used.
        """
        [added] = self.add_all([path])
        if isinstance(added.outcome, KeyholeError):
            raise added.outcome
        return added.outcome

    def add_all(self, paths: Iterable[str | Path]) -> Iterator[Added]:
        """Register many files, see `add`; one that cannot be registered is passed over.

        Files are registered in batches of some 200, or of what is read in half a second.

        Yields
        ------
        Added
            What became of each file, in order, when it is in the database for good.

        Raises
        ------
        SetupError
            The database cannot be used. What was yielded before is in it.
        """
        self.require(write=True)
        batch: list[Added] = []
        due = time.monotonic() + _BATCH_SECONDS
        for path in paths:
            try:
                batch.append(Added(str(path), read_master(path)))
            except (CalibrationError, DataError, InputError) as error:
                batch.append(Added(str(path), error))
            if len(batch) >= _BATCH_FILES or time.monotonic() > due:
                yield from self._registered(batch)
                batch = []
                due = time.monotonic() + _BATCH_SECONDS
        yield from self._registered(batch)

    def import_entries(self, entries: Iterable[Entry]) -> int:
        """Write entries as they are, in one transaction, without looking at any file.

        For what another database or program knows already. They get new numbers in their order, and take the
        place of entries with the same path; anything else is kept.

        Returns
        -------
        int
            How many were written.
        """
        everything = list(entries)
        return self._change(lambda connection: insert_many(connection, everything))

    def rebuild(self, masters: Sequence[Entry], *, unusable: Collection[str] = frozenset()) -> list[Entry]:
        """Make the content anew from files that were read, in one transaction.

        Entries of these files are replaced by what the files say now; numbers stay where the content did. Other
        entries are kept as long as their file exists, and follow it if it is among `masters` now.

        Parameters
        ----------
        masters : sequence of Entry
            As `keyhole.calibration.entries.read_master` reads them.
        unusable : collection of str
            Absolute paths of files that are damaged or no masters; their entries are dropped.

        Returns
        -------
        list of Entry
            What was dropped: files that are gone or cannot be used.
        """
        return self._change(lambda connection: replace_content(connection, masters, unusable))

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

        def forget(connection: sa.Connection) -> list[Entry]:
            rows = connection.execute(sa.select(CALIBRATION).where(chosen).order_by(CALIBRATION.c.path)).all()
            connection.execute(sa.delete(CALIBRATION).where(chosen))
            return [entry_of(row) for row in rows]

        return self._change(forget)

    def entries(self, caltype: str | None = None) -> list[Entry]:
        """All calibrations, or those of one type, by name and path."""
        query = sa.select(CALIBRATION)
        if caltype is not None:
            query = query.where(CALIBRATION.c.caltype == caltype)
        with self._begin(write=False) as connection:
            found = [entry_of(row) for row in connection.execute(query)]
        # Not sorted by the database: a server sorts by the habits of its language.
        return sorted(found, key=lambda entry: (entry.name, entry.path))

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
        """One transaction, with tables of this version behind it."""
        engine = self._opened(write=write)
        with begin(engine, self.address, write=write) as connection:
            # Before each change: another program may have brought the tables to its own version.
            if (self._is_current and not write) or is_current(connection, self.address):
                self._is_current = True
                yield connection
                return
        update(engine, self.address)
        with begin(engine, self.address, write=write) as connection:
            yield connection

    def _change(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` in one transaction, and again from its beginning when another process got in its way."""
        for _ in range(_TRIES - 1):
            try:
                with self._begin(write=True) as connection:
                    return work(connection)
            except ConflictError:
                time.sleep(random.uniform(0.0, 0.1))
        with self._begin(write=True) as connection:
            return work(connection)

    def _registered(self, batch: Sequence[Added]) -> list[Added]:
        masters = [added.outcome for added in batch if isinstance(added.outcome, Entry)]
        if not masters:
            return list(batch)
        entries = iter(self._change(lambda connection: [register(connection, master) for master in masters]))
        return [Added(added.path, next(entries)) if isinstance(added.outcome, Entry) else added for added in batch]

    def _opened(self, *, write: bool) -> sa.Engine:
        if not self.exists:
            raise not_made(self.address)
        if self.path is not None and not may_write(self.path):
            if write:
                raise SetupError(
                    f"the calibration database {self.location} may only be read by you; "
                    "ask its owner for permission to write it and its folder, or choose another one with -d"
                )
            return self._snapshot(self.path)
        if self._engine is None or self._snapshot_of is not None:
            self._engine = server_engine(self.address) if self.path is None else open_file(self.path)
            self._is_current, self._snapshot_of = False, None
        return self._engine

    def _snapshot(self, path: Path) -> sa.Engine:
        now = fingerprint(path)
        if self._engine is None or self._snapshot_of != now:
            self._engine, self._snapshot_of, self._is_current = read_whole(path), now, False
        return self._engine
