"""Versions of the tables: making them, and bringing those of an older program up to date."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from keyhole.calibration.database.connect import OtherFormatError, begin, foreign, is_server, not_made
from keyhole.calibration.database.rows import SCHEMA_VERSION
from keyhole.calibration.database.schema import (
    ADDED_COLUMNS,
    CALIBRATION,
    METADATA,
    REMOVED_INDEXES,
    SCHEMA,
    entry_of,
    version_of,
)
from keyhole.calibration.entries import Entry, is_unchanged
from keyhole.calibration.facts import facts_of
from keyhole.calibration.location import shown
from keyhole.errors import KeyholeError
from keyhole.headers import read_headers

__all__ = ["is_current", "set_up", "update"]

log = logging.getLogger(__name__)


def set_up(connection: sa.Connection, location: str, *, wipe: bool) -> bool:
    """Make the tables, within a transaction that holds the lock for changes.

    Parameters
    ----------
    wipe : bool
        Empty what is there; a file that other programs wrote loses all their tables.

    Returns
    -------
    bool
        False when our tables are there, of this or another version, and are kept.

    Raises
    ------
    OtherFormatError
        The file holds tables of another program, and `wipe` is false.
    """
    version = version_of(connection)
    if version is not None and not wipe:
        return False
    if version == SCHEMA_VERSION:
        connection.execute(sa.delete(CALIBRATION))
        return True
    if wipe:
        _drop_tables(connection)
    elif not is_server(location) and sa.inspect(connection).get_table_names():
        raise foreign(location, f"there is no table {SCHEMA.name}")
    METADATA.create_all(connection)
    connection.execute(sa.insert(SCHEMA).values(version=SCHEMA_VERSION))
    return True


def update(engine: sa.Engine, location: str) -> None:
    """Bring tables of an older version up to date; nothing happens to those of this version.

    All changes are one transaction, so that a process that is killed leaves the old tables or the new ones. Of
    several processes that do this at once the first one does it, and the others find it done. The new quantities
    are read from the headers of those files that still are what they were when they were added; for all others
    they are not known.

    Raises
    ------
    NotMadeError, OtherFormatError
        There is no database, or one of another program, or of a newer version.
    SetupError
        The database cannot be used.
    """
    with begin(engine, location, write=False) as connection:
        version = _usable_version(connection, location)
        if version == SCHEMA_VERSION:
            return
        entries = _entries(connection, version)
    # Headers are read before the lock is taken: others need not wait for thousands of files.
    found = dict(_quantities(entries, version))
    with begin(engine, location, write=True) as connection:
        if _usable_version(connection, location) != version:
            return
        late = [entry for entry in _entries(connection, version) if entry.id not in found]
        _add_columns(connection, version)
        _fill(connection, found | dict(_quantities(late, version)))
        connection.execute(sa.update(SCHEMA).values(version=SCHEMA_VERSION))
    log.info("the calibration database %s was brought from format %d to %d", shown(location), version, SCHEMA_VERSION)


def is_current(connection: sa.Connection, location: str) -> bool:
    """Whether the tables are those of this program; `update` must see to them first if not.

    Raises
    ------
    NotMadeError, OtherFormatError
        There is no database, or one of another program, or of a newer version.
    """
    return _usable_version(connection, location) == SCHEMA_VERSION


def _usable_version(connection: sa.Connection, location: str) -> int:
    version = version_of(connection)
    if version is None:
        if is_server(location) or not sa.inspect(connection).get_table_names():
            raise not_made(location)
        raise foreign(location, f"there is no table {SCHEMA.name}")
    if not 0 < version <= SCHEMA_VERSION:
        raise _other_version(location, version)
    return version


def _other_version(location: str, version: int | None) -> OtherFormatError:
    return OtherFormatError(
        f"the calibration database {shown(location)} has format {version}, this program knows formats up to "
        f"{SCHEMA_VERSION}; update Keyhole, or choose another database with -d"
    )


def _new_columns(version: int) -> list[sa.Column[Any]]:
    names = [name for later in range(version + 1, SCHEMA_VERSION + 1) for name in ADDED_COLUMNS[later]]
    return [CALIBRATION.c[name] for name in names]


def _entries(connection: sa.Connection, version: int) -> list[Entry]:
    missing = {column.name for column in _new_columns(version)}
    rows = connection.execute(sa.select(*(column for column in CALIBRATION.c if column.name not in missing)))
    return [entry_of(row) for row in rows]


def _quantities(entries: Sequence[Entry], version: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The new quantities by number of entry, None where the file does not tell."""
    names = [column.name for column in _new_columns(version)]
    for entry in entries:
        try:
            facts = facts_of(read_headers(entry.path)) if is_unchanged(entry) else None
        except (OSError, KeyholeError):
            facts = None
        yield entry.id, {name: getattr(facts, name, None) for name in names}


def _add_columns(connection: sa.Connection, version: int) -> None:
    names = connection.dialect.identifier_preparer
    for column in _new_columns(version):
        kind = column.type.compile(connection.dialect)
        connection.exec_driver_sql(
            f"ALTER TABLE {names.format_table(CALIBRATION)} ADD COLUMN {names.format_column(column)} {kind}"
        )
    for later in range(version + 1, SCHEMA_VERSION + 1):
        for name in REMOVED_INDEXES.get(later, ()):
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    for index in sorted(CALIBRATION.indexes, key=lambda index: str(index.name)):
        index.create(connection, checkfirst=True)


def _fill(connection: sa.Connection, found: dict[int, dict[str, Any]]) -> None:
    rows = [{"number": number, **values} for number, values in found.items() if any(values.values())]
    if rows:
        change = sa.update(CALIBRATION).where(CALIBRATION.c.id == sa.bindparam("number"))
        values: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "number"}
        connection.execute(change.values(**values), rows)


def _drop_tables(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        # A server may hold tables of other programs in the same database.
        METADATA.drop_all(connection)
        return
    quote = connection.dialect.identifier_preparer.quote_identifier
    query = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')"
    for kind, name in connection.exec_driver_sql(query).all():
        # What SQLite keeps for itself goes with the rest.
        if not name.startswith("sqlite_"):
            connection.exec_driver_sql(f"DROP {kind} IF EXISTS {quote(name)}")
