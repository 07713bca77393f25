"""Association rules as data: what makes a calibration fit a frame, and how well.

A rule says what must be equal, within which tolerance and time, what raises a doubt, what is ideal, and what is
preferred among all that fit. The database query, the search, its explanation, the grouping of raw frames and
the table in the documentation read the same rule; nothing else in the package knows what makes a calibration
fit. `keyhole.calibration.judging` holds a calibration against a rule.

The required quantities and windows are those of the observatory's archive for GNIRS imaging; the total exposure,
in place of exposure and coadds one by one, the grades and the age of a flat are Keyhole's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

__all__ = [
    "REJECTED_QA_STATES",
    "RULES",
    "UNKNOWN_VALUES",
    "Criterion",
    "Doubt",
    "Grade",
    "Preference",
    "Rule",
    "TimeWindow",
    "Trigger",
    "rule_for",
    "rules_of",
]


class Grade(IntEnum):
    """How well a calibration serves a frame; the smaller, the better."""

    IDEAL = 0
    GOOD = 1
    DOUBTFUL = 2
    BY_HAND = 3
    MISSING = 4

    @property
    def words(self) -> str:
        """The grade in words."""
        return _GRADE_WORDS[self]


_GRADE_WORDS = {
    Grade.IDEAL: "ideal",
    Grade.GOOD: "good",
    Grade.DOUBTFUL: "usable with a doubt",
    Grade.BY_HAND: "against the rule, by hand only",
    Grade.MISSING: "missing",
}


class Preference(Enum):
    """What makes one fitting calibration better than another."""

    SAME_NIGHT = "same night"
    SAME_OBSERVATION = "same observation"
    NEAREST_IN_TIME = "nearest in time"


@dataclass(frozen=True)
class Criterion:
    """A quantity that frame and calibration must share.

    Attributes
    ----------
    quantity : str
        Field of `keyhole.calibration.facts.Facts`.
    label : str
        Its name in a sentence.
    tolerance : float or None
        Largest difference allowed, in the unit of the quantity; None asks for equality.
    unit : str
        Unit for messages.
    head : str
        Its name above a narrow column.
    """

    quantity: str
    label: str
    tolerance: float | None = None
    unit: str = ""
    head: str = ""


@dataclass(frozen=True)
class TimeWindow:
    """How far from the frame a calibration may be taken.

    Attributes
    ----------
    days_before, days_after : float or None
        The calibration is younger than so many days before, older than so many after the frame; the limits
        themselves are outside. None sets no limit; 0 allows the very moment of the frame, and nothing beyond.
    """

    days_before: float | None
    days_after: float | None


class Trigger(Enum):
    """What a doubt looks at."""

    DIFFERS = "differs from that of the frame"
    AGE = "is as many days away or more"
    VALUE = "is one of these"


@dataclass(frozen=True)
class Doubt:
    """A reason to use a calibration only where there is no better one, and to say so.

    Attributes
    ----------
    trigger : Trigger
        DIFFERS: `quantity` is not that of the frame, or not known. AGE: it was taken `days` or more from the
        frame. VALUE: `quantity` of the calibration is one of `values`.
    label : str
        What is in doubt, in a sentence.
    quantity : str
        Field of `keyhole.calibration.facts.Facts`.
    values : frozenset of str
        For VALUE.
    days : float
        For AGE.
    """

    trigger: Trigger
    label: str
    quantity: str = ""
    values: frozenset[str] = frozenset()
    days: float = 0.0


@dataclass(frozen=True)
class Rule:
    """What makes a calibration of one type fit the frames of one instrument.

    Attributes
    ----------
    caltype, instrument : str
        What the rule is for; ``dark``, ``flat`` and ``lampoff_flat`` are raw frames.
    criteria : tuple of Criterion
        All must be met. A quantity that is not known on either side meets nothing.
    window : TimeWindow
        Where in time.
    doubts : tuple of Doubt
        Each lowers the grade to DOUBTFUL.
    ideal : tuple of Preference
        Any of them, where there is no doubt, makes the grade IDEAL.
    preferences : tuple of Preference
        Order among equal grades, the most important first. What is still equal is decided by the latest
        addition to the database.
    tags : frozenset of str
        Tags that a raw calibration carries; empty for masters, which carry their type.
    set_quantities : tuple of Criterion
        What raw frames that make one master must share beyond `criteria`.
    """

    caltype: str
    instrument: str
    criteria: tuple[Criterion, ...]
    window: TimeWindow
    doubts: tuple[Doubt, ...] = ()
    ideal: tuple[Preference, ...] = (Preference.SAME_NIGHT, Preference.SAME_OBSERVATION)
    preferences: tuple[Preference, ...] = (Preference.SAME_NIGHT, Preference.NEAREST_IN_TIME)
    tags: frozenset[str] = field(default_factory=frozenset)
    set_quantities: tuple[Criterion, ...] = ()


# Values that stand for "the header's combination is in no table".
UNKNOWN_VALUES: dict[str, frozenset[str]] = {
    "read_mode": frozenset({"Unknown"}),
    "well_depth_setting": frozenset({"Unknown"}),
}

# Verdicts of the observatory that keep a calibration from being chosen.
REJECTED_QA_STATES: frozenset[str] = frozenset({"Fail"})

_INSTRUMENT = Criterion("instrument", "instrument", head="instr.")
_ARRAY = Criterion("array_name", "array", head="array")
_WELL = Criterion("well_depth_setting", "well depth", head="well")
_COADDS = Criterion("coadds", "number of coadds", head="coadds")
_DARK = (
    _INSTRUMENT,
    _ARRAY,
    Criterion("read_mode", "read mode", head="read"),
    _WELL,
    # The header has exposure times to the hundredth of a second.
    Criterion("exposure_time", "total exposure", tolerance=0.01, unit="s", head="exp."),
)
_FLAT = (
    _INSTRUMENT,
    _ARRAY,
    _WELL,
    Criterion("camera", "camera", head="cam."),
    Criterion("filter_name", "filter", head="filt."),
    Criterion("focal_plane_mask", "slit and decker", head="slit"),
    Criterion("disperser", "disperser", head="disp."),
)
_UNCHECKED = Doubt(Trigger.VALUE, "quality", "qa_state", frozenset({"CHECK"}))
_QUICK = Doubt(Trigger.VALUE, "processing", "processing_mode", frozenset({"ql", "qa"}))
_OTHER_COADDS = Doubt(Trigger.DIFFERS, "number of coadds", "coadds")
_SEASON = TimeWindow(days_before=90, days_after=90)
_FLAT_ORDER = (Preference.SAME_NIGHT, Preference.SAME_OBSERVATION, Preference.NEAREST_IN_TIME)

RULES: tuple[Rule, ...] = (
    Rule("processed_dark", "GNIRS", _DARK, _SEASON, doubts=(_OTHER_COADDS, _UNCHECKED, _QUICK)),
    Rule(
        "processed_flat",
        "GNIRS",
        _FLAT,
        TimeWindow(days_before=None, days_after=None),
        doubts=(Doubt(Trigger.AGE, "age", days=90), _UNCHECKED, _QUICK),
        preferences=_FLAT_ORDER,
    ),
    Rule(
        "processed_bpm",
        "GNIRS",
        (_INSTRUMENT, _ARRAY, Criterion("binning", "binning", head="bin.")),
        # Bad pixels come and stay: the latest mask that the frame's array had already earned.
        TimeWindow(days_before=None, days_after=0),
        # An earlier one of the same observation knows less.
        ideal=(Preference.SAME_NIGHT,),
        preferences=(Preference.NEAREST_IN_TIME,),
    ),
    Rule(
        "dark",
        "GNIRS",
        _DARK,
        _SEASON,
        doubts=(_OTHER_COADDS, _UNCHECKED),
        tags=frozenset({"RAW", "DARK"}),
        set_quantities=(_COADDS,),
    ),
    Rule(
        "flat",
        "GNIRS",
        _FLAT,
        _SEASON,
        doubts=(_UNCHECKED,),
        preferences=_FLAT_ORDER,
        tags=frozenset({"RAW", "FLAT", "LAMPON"}),
    ),
    Rule(
        "lampoff_flat",
        "GNIRS",
        _FLAT,
        TimeWindow(days_before=1, days_after=1),
        doubts=(_UNCHECKED,),
        preferences=_FLAT_ORDER,
        tags=frozenset({"RAW", "FLAT", "LAMPOFF"}),
    ),
)


def rule_for(caltype: str, instrument: str | None) -> Rule | None:
    """Look up the rule for a calibration type and an instrument; None when there is none."""
    for rule in RULES:
        if rule.caltype == caltype and rule.instrument == instrument:
            return rule
    return None


def rules_of(instrument: str) -> tuple[Rule, ...]:
    """All rules of an instrument, masters first."""
    return tuple(rule for rule in RULES if rule.instrument == instrument)
