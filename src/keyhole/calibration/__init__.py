"""Which master fits a frame: association rules, databases, the search and its explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyhole.calibration.bare_map import serves, why_no_mask
from keyhole.calibration.config import (
    Config,
    Database,
    database_file,
    load_config,
    open_stores,
    store_for_masters,
)
from keyhole.calibration.entries import Entry, Store
from keyhole.calibration.facts import CALIBRATION_TYPES, Facts, facts_of, kind_of
from keyhole.calibration.rules import RULES, Judgement, Rule, judge, rule_for
from keyhole.calibration.search import Found, Missing, Rejected, find, find_for_frames
from keyhole.calibration.user_cal import (
    UserCal,
    UserCals,
    disagreements,
    parse_user_cals,
    paths_by_input,
    paths_by_type,
    words_of,
)

if TYPE_CHECKING:
    from keyhole.calibration.store import CalibrationStore

__all__ = [
    "CALIBRATION_TYPES",
    "RULES",
    "CalibrationStore",
    "Config",
    "Database",
    "Entry",
    "Facts",
    "Found",
    "Judgement",
    "Missing",
    "Rejected",
    "Rule",
    "Store",
    "UserCal",
    "UserCals",
    "database_file",
    "disagreements",
    "facts_of",
    "find",
    "find_for_frames",
    "judge",
    "kind_of",
    "load_config",
    "open_stores",
    "parse_user_cals",
    "paths_by_input",
    "paths_by_type",
    "rule_for",
    "serves",
    "store_for_masters",
    "why_no_mask",
    "words_of",
]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes a quarter of a second to load; only who opens a database pays for it.
    if name == "CalibrationStore":
        from keyhole.calibration.store import CalibrationStore

        return CalibrationStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
