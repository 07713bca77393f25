"""Writing entries: one after the other, in bulk, or all anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa

from keyhole.calibration.database.rows import row_of
from keyhole.calibration.database.schema import CALIBRATION, entry_of
from keyhole.calibration.entries import Entry, is_gone

__all__ = ["insert_many", "register", "replace_content"]

T = TypeVar("T")
# What may stand in one statement: PostgreSQL takes 65,535 values, SQLite of old 999.
_PATHS_AT_ONCE = 500
_ROWS_AT_ONCE = 2000


def register(connection: sa.Connection, master: Entry) -> Entry:
    """Register one file, within a transaction that holds the lock for changes.

    The same file with the same content stays what it is; what is newly known of it is filled in. A file whose
    content changed supersedes its entry and counts as added last. A file whose content was at a place that is
    empty now has moved: its entry follows it.

    Returns
    -------
    Entry
        As it is in the database.
    """
    same = sa.or_(CALIBRATION.c.path == master.path, CALIBRATION.c.md5 == master.md5)
    known = [entry_of(row) for row in connection.execute(sa.select(CALIBRATION).where(same).order_by(CALIBRATION.c.id))]
    here = next((entry for entry in known if entry.path == master.path), None)
    moved = [entry for entry in known if entry.path != master.path and is_gone(entry.path)]
    if here is not None and here.md5 != master.md5:
        _delete(connection, [here])
        here = None
    if here is None and moved:
        here = moved.pop()
    _delete(connection, moved)
    if here is None:
        connection.execute(sa.insert(CALIBRATION).values(row_of(master)))
    else:
        _update(connection, here, master)
    return entry_of(connection.execute(sa.select(CALIBRATION).where(CALIBRATION.c.path == master.path)).one())


def insert_many(connection: sa.Connection, entries: Iterable[Entry]) -> int:
    """Write entries as they are, in place of those at the same paths; no file is looked at.

    Returns
    -------
    int
        How many.
    """
    count = 0
    for part in _parts(entries, _ROWS_AT_ONCE):
        # The last one of a path counts.
        rows = {entry.path: row_of(entry) for entry in part}
        for paths in _parts(rows, _PATHS_AT_ONCE):
            connection.execute(sa.delete(CALIBRATION).where(CALIBRATION.c.path.in_(paths)))
        connection.execute(sa.insert(CALIBRATION), list(rows.values()))
        count += len(rows)
    _renew_statistics(connection)
    return count


def replace_content(connection: sa.Connection, masters: Sequence[Entry], unusable: Collection[str]) -> list[Entry]:
    """Make the content anew from files that were read, within a transaction that holds the lock for changes.

    An entry of a file that is elsewhere is kept as long as the file exists. One that another process added or
    changed after the file was read here is newer, and kept.

    Parameters
    ----------
    masters : sequence of Entry
        Of files that can be used; each path once.
    unusable : collection of str
        Paths of files that were found to be damaged or no masters.

    Returns
    -------
    list of Entry
        What was dropped: files that are gone or cannot be used.
    """
    fresh = {master.path: master for master in masters}
    by_content = {master.md5: master for master in masters}
    known = [entry_of(row) for row in connection.execute(sa.select(CALIBRATION).order_by(CALIBRATION.c.id))]
    taken = {entry.path for entry in known}
    dropped: list[Entry] = []
    for entry in known:
        master = fresh.get(entry.path)
        if master is not None:
            if entry.added > master.added:
                del fresh[entry.path]
            elif entry.md5 == master.md5:
                _update(connection, entry, fresh.pop(entry.path))
            else:
                _delete(connection, [entry])
        elif entry.path in unusable:
            dropped.append(entry)
        elif is_gone(entry.path):
            master = by_content.get(entry.md5)
            if master is None or master.path in taken:
                dropped.append(entry)
            else:
                taken.add(master.path)
                _update(connection, entry, fresh.pop(master.path))
    _delete(connection, dropped)
    rows = [row_of(master) for master in masters if master.path in fresh]
    for part in _parts(rows, _ROWS_AT_ONCE):
        connection.execute(sa.insert(CALIBRATION), part)
    _renew_statistics(connection)
    return dropped


def _update(connection: sa.Connection, entry: Entry, master: Entry) -> None:
    """Write what is known of a file into its entry, which keeps its number and the time when it was added."""
    new = row_of(master) | {"added": entry.added}
    if new != row_of(entry):
        connection.execute(sa.update(CALIBRATION).where(CALIBRATION.c.id == entry.id).values(new))


def _delete(connection: sa.Connection, entries: Iterable[Entry]) -> None:
    for numbers in _parts((entry.id for entry in entries), _PATHS_AT_ONCE):
        connection.execute(sa.delete(CALIBRATION).where(CALIBRATION.c.id.in_(numbers)))


def _renew_statistics(connection: sa.Connection) -> None:
    """Tell a server how many rows there are now; until it sees by itself, it would read them all."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"ANALYZE {CALIBRATION.name}")


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
