"""The calibration database in SQL: its tables, how it is opened, how it is asked. Loads SQLAlchemy."""

from __future__ import annotations

from keyhole.calibration.database.schema import SCHEMA_VERSION
from keyhole.calibration.database.store import CalibrationStore

__all__ = ["SCHEMA_VERSION", "CalibrationStore"]
