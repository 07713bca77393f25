"""The calibration database in SQL: its tables, how it is opened, how it is asked. Loads SQLAlchemy when it must."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyhole.calibration.database.rows import SCHEMA_VERSION
from keyhole.calibration.database.small import AskedStore

if TYPE_CHECKING:
    from keyhole.calibration.database.store import CalibrationStore

__all__ = ["SCHEMA_VERSION", "AskedStore", "CalibrationStore"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes as long to load as numpy; a small database is asked without it.
    if name == "CalibrationStore":
        from keyhole.calibration.database.store import CalibrationStore

        return CalibrationStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
