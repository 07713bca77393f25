"""A calibration database as the first version of the program wrote it, in literal SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from keyhole.calibration.entries import read_master

_TABLE = """
CREATE TABLE keyhole_calibration (
	id {id},
	name TEXT NOT NULL,
	path TEXT NOT NULL,
	md5 TEXT NOT NULL,
	size BIGINT NOT NULL,
	added {time} NOT NULL,
	tags TEXT NOT NULL,
	ut_microseconds BIGINT,
	caltype TEXT,
	instrument TEXT,
	observation_type TEXT,
	observation_class TEXT,
	observation_id TEXT,
	data_label TEXT,
	ut_datetime {time},
	array_name TEXT,
	read_mode TEXT,
	well_depth_setting TEXT,
	exposure_time {real},
	coadds INTEGER,
	camera TEXT,
	filter_name TEXT,
	focal_plane_mask TEXT,
	disperser TEXT,
	gcal_lamp TEXT,
	binning TEXT,
	qa_state TEXT,
	UNIQUE (path)
)
"""
_REST = (
    "CREATE TABLE keyhole_schema (version INTEGER NOT NULL)",
    "INSERT INTO keyhole_schema VALUES (1)",
    "CREATE INDEX keyhole_calibration_by_name ON keyhole_calibration (name)",
    "CREATE INDEX keyhole_calibration_by_time "
    "ON keyhole_calibration (caltype, instrument, array_name, ut_microseconds)",
)
_SQLITE = {"id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "time": "DATETIME", "real": "DOUBLE"}
_POSTGRESQL = {"id": "SERIAL PRIMARY KEY", "time": "TIMESTAMP WITHOUT TIME ZONE", "real": "DOUBLE PRECISION"}


# The columns in the order of the table, without the number and the constraint.
_NAMES = [line.split()[0] for line in _TABLE.splitlines() if line.startswith("\t")][1:-1]
_HEAD = ("name", "path", "md5", "size", "added", "tags", "ut_microseconds")


def make_version_one(location: str, files: Iterable[Path] = (), *, age: timedelta = timedelta(0)) -> None:
    """Make the database, with an entry for each file, added so long ago."""
    rows = [_row(file, age) for file in files]
    insert = f"INSERT INTO keyhole_calibration ({', '.join(_NAMES)}) VALUES ({{}})"
    if "://" in location:
        with psycopg.connect(location) as server:
            for statement in (_TABLE.format(**_POSTGRESQL), *_REST):
                server.execute(statement)
            for row in rows:
                server.execute(insert.format(", ".join(["%s"] * len(row))), row)
        return
    with closing(sqlite3.connect(location)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        for statement in (_TABLE.format(**_SQLITE), *_REST):
            connection.execute(statement)
        for row in rows:
            plain = [f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value for value in row]
            connection.execute(insert.format(", ".join("?" * len(row))), plain)


def _row(file: Path, age: timedelta) -> list[object]:
    entry = read_master(file)
    facts = entry.facts
    head = [entry.name, entry.path, entry.md5, entry.size, entry.added - age, " ".join(sorted(facts.tags))]
    return [*head, facts.ut_microseconds, *(getattr(facts, name) for name in _NAMES[len(_HEAD) :])]
