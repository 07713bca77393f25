"""How an entry is written into a row of the database and read back.  Loads no SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from keyhole.calibration.entries import Entry
from keyhole.calibration.facts import Facts

__all__ = [
    "CALIBRATION_TABLE",
    "FACT_COLUMNS",
    "SCHEMA_TABLE",
    "SCHEMA_VERSION",
    "entry_from",
    "fact_values",
    "row_of",
]

SCHEMA_VERSION = 2
SCHEMA_TABLE = "keyhole_schema"
CALIBRATION_TABLE = "keyhole_calibration"
# One column for each quantity of a frame.
FACT_COLUMNS = tuple(field.name for field in fields(Facts) if field.name not in {"name", "tags"})


def fact_values(facts: Facts) -> dict[str, Any]:
    """The columns that hold what a file says about itself."""
    row = {name: getattr(facts, name) for name in FACT_COLUMNS}
    return row | {"tags": " ".join(sorted(facts.tags)), "ut_microseconds": facts.ut_microseconds}


def row_of(entry: Entry) -> dict[str, Any]:
    """All columns of an entry but its number, which the database gives."""
    return fact_values(entry.facts) | {
        "name": entry.name,
        "path": entry.path,
        "md5": entry.md5,
        "size": entry.size,
        "added": entry.added,
    }


def entry_from(values: Mapping[str, Any]) -> Entry:
    """The entry in the columns of a row; a quantity whose column is not there is not known."""
    facts = Facts(
        name=values["name"],
        tags=frozenset(values["tags"].split()),
        **{name: values.get(name) for name in FACT_COLUMNS},
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
