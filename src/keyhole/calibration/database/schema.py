"""Tables of the calibration database, and how an entry is written into a row and read back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from keyhole.calibration.entries import Entry
from keyhole.calibration.facts import Facts

__all__ = ["CALIBRATION", "FACT_COLUMNS", "SCHEMA", "SCHEMA_VERSION", "create_tables", "entry_of", "fact_values"]

SCHEMA_VERSION = 2

_METADATA = sa.MetaData()
SCHEMA = sa.Table("keyhole_schema", _METADATA, sa.Column("version", sa.Integer, nullable=False))
# One column for each quantity of a frame, of the type given here or text.
FACT_COLUMNS = tuple(field.name for field in fields(Facts) if field.name not in {"name", "tags"})
_COLUMN_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "ut_datetime": sa.DateTime,
    "exposure_time": sa.Double,
    "coadds": sa.Integer,
}
CALIBRATION = sa.Table(
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
    *(sa.Column(name, _COLUMN_TYPES.get(name, sa.Text)) for name in FACT_COLUMNS),
    sa.Index("keyhole_calibration_by_name", "name"),
    sa.Index("keyhole_calibration_by_time", "caltype", "instrument", "array_name", "ut_microseconds"),
    # A number must never come back: it tells which entry was added last.
    sqlite_autoincrement=True,
)


def create_tables(connection: sa.Connection) -> None:
    """Make the tables that are missing, and note the version in one that is new."""
    _METADATA.create_all(connection)
    if connection.execute(sa.select(SCHEMA.c.version)).first() is None:
        connection.execute(sa.insert(SCHEMA).values(version=SCHEMA_VERSION))


def fact_values(facts: Facts) -> dict[str, Any]:
    """The columns that hold what a file says about itself."""
    row = {name: getattr(facts, name) for name in FACT_COLUMNS}
    return row | {"tags": " ".join(sorted(facts.tags)), "ut_microseconds": facts.ut_microseconds}


def entry_of(row: sa.Row[Any]) -> Entry:
    """The entry that a row with all columns of the table holds."""
    values = row._mapping
    facts = Facts(
        name=values["name"],
        tags=frozenset(values["tags"].split()),
        **{name: values[name] for name in FACT_COLUMNS},
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
