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
from keyhole.calibration.grouping import RawSet, judge_set, raw_sets, set_criteria
from keyhole.calibration.judging import Judgement, judge
from keyhole.calibration.memory import MemoryStore
from keyhole.calibration.rules import RULES, Grade, Rule, rule_for
from keyhole.calibration.search import (
    Candidate,
    Explanation,
    Found,
    Missing,
    MissingCalibrationError,
    explain,
    find,
    find_for_frames,
)
from keyhole.calibration.user_cal import (
    UserCal,
    UserCals,
    Verdict,
    judge_given,
    parse_user_cals,
    paths_by_input,
    paths_by_type,
    words_of,
)

if TYPE_CHECKING:
    from keyhole.calibration.database import CalibrationStore

__all__ = [
    "CALIBRATION_TYPES",
    "RULES",
    "CalibrationStore",
    "Candidate",
    "Config",
    "Database",
    "Entry",
    "Explanation",
    "Facts",
    "Found",
    "Grade",
    "Judgement",
    "MemoryStore",
    "Missing",
    "MissingCalibrationError",
    "RawSet",
    "Rule",
    "Store",
    "UserCal",
    "UserCals",
    "Verdict",
    "database_file",
    "explain",
    "facts_of",
    "find",
    "find_for_frames",
    "judge",
    "judge_given",
    "judge_set",
    "kind_of",
    "load_config",
    "open_stores",
    "parse_user_cals",
    "paths_by_input",
    "paths_by_type",
    "raw_sets",
    "rule_for",
    "serves",
    "set_criteria",
    "store_for_masters",
    "why_no_mask",
    "words_of",
]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes a quarter of a second to load; only who opens a database pays for it.
    if name == "CalibrationStore":
        from keyhole.calibration.database import CalibrationStore

        return CalibrationStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
