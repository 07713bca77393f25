"""Tables of the calibration database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from keyhole.calibration.database.rows import CALIBRATION_TABLE, FACT_COLUMNS, SCHEMA_TABLE, entry_from
from keyhole.calibration.entries import Entry

__all__ = [
    "ADDED_COLUMNS",
    "CALIBRATION",
    "METADATA",
    "REMOVED_INDEXES",
    "SCHEMA",
    "entry_of",
    "version_of",
]

# What a version of the tables brought and took away; `versions.update` does the same to older tables.
ADDED_COLUMNS: dict[int, tuple[str, ...]] = {2: ("night", "processing_mode")}
REMOVED_INDEXES: dict[int, tuple[str, ...]] = {2: ("keyhole_calibration_by_time",)}

METADATA = sa.MetaData()
SCHEMA = sa.Table(SCHEMA_TABLE, METADATA, sa.Column("version", sa.Integer, nullable=False))
# One column for each quantity of a frame, of the type given here or text.
_COLUMN_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "ut_datetime": sa.DateTime,
    "exposure_time": sa.Double,
    "coadds": sa.Integer,
}
# What all masters share that may replace each other, by type. With the time behind it in an index, the nearest
# before and after a moment are each found in one step; the last columns save a look at rows that do not count.
_KEYS: dict[str, tuple[str, ...]] = {
    "dark": ("caltype", "instrument", "array_name", "read_mode", "well_depth_setting"),
    "flat": (
        "caltype",
        "instrument",
        "array_name",
        "well_depth_setting",
        "camera",
        "filter_name",
        "focal_plane_mask",
        "disperser",
    ),
    "bpm": ("caltype", "instrument", "array_name", "binning"),
}
_BEHIND_THE_TIME = ("id", "qa_state", "exposure_time", "coadds", "night", "processing_mode", "observation_id")

CALIBRATION = sa.Table(
    CALIBRATION_TABLE,
    METADATA,
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
    sa.Index("keyhole_calibration_by_content", "md5"),
    *(
        sa.Index(f"keyhole_calibration_{kind}", *keys, "ut_microseconds", *_BEHIND_THE_TIME)
        for kind, keys in _KEYS.items()
    ),
    # The nearest of an observation, too, are found in one step: most masters are of another one than the frame.
    *(
        sa.Index(
            f"keyhole_calibration_{kind}_of_observation",
            *_KEYS[kind],
            "observation_id",
            "ut_microseconds",
            *(name for name in _BEHIND_THE_TIME if name != "observation_id"),
        )
        for kind in ("dark", "flat")
    ),
    # A number must never come back: it tells which entry was added last.
    sqlite_autoincrement=True,
)


def version_of(connection: sa.Connection) -> int | None:
    """Version of the tables; None where there are none of ours."""
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return None
    return connection.execute(sa.select(SCHEMA.c.version)).scalar()


def entry_of(row: sa.Row[Any]) -> Entry:
    """The entry that a row holds; a quantity whose column is not there is not known."""
    return entry_from(row._asdict())
