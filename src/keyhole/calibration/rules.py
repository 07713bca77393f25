"""Association rules as data, and the one function that judges a calibration by them.

A rule says what must be equal, within which tolerance and time, and what is preferred among all that fit.
The database query (`keyhole.calibration.store`), the search and its explanation all read the same rule;
nothing else in the package knows what makes a calibration fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from keyhole.calibration.facts import Facts, kind_of

__all__ = [
    "RULES",
    "Check",
    "Criterion",
    "Judgement",
    "Preference",
    "Rule",
    "TimeWindow",
    "age_in_words",
    "judge",
    "preference_key",
    "rule_for",
]


class Preference(Enum):
    """What makes one fitting calibration better than another."""

    EQUAL_COADDS = "equal number of coadds"
    NEAREST_IN_TIME = "nearest in time"
    SAME_OBSERVATION = "same observation"


@dataclass(frozen=True)
class Criterion:
    """A quantity that frame and calibration must share.

    Attributes
    ----------
    quantity : str
        Field of `Facts`.
    label : str
        Its name in a sentence.
    tolerance : float or None
        Largest difference allowed, in the unit of the quantity; None asks for equality.
    unit : str
        Unit for messages.
    """

    quantity: str
    label: str
    tolerance: float | None = None
    unit: str = ""


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


@dataclass(frozen=True)
class Rule:
    """What makes a calibration of one type fit the frames of one instrument.

    Attributes
    ----------
    caltype, instrument : str
        What the rule is for.
    criteria : tuple of Criterion
        All must be met. A quantity that is not known on either side meets nothing.
    window : TimeWindow
        Where in time.
    preferences : tuple of Preference
        The most important first. What is still equal is decided by the latest addition to the database.
    """

    caltype: str
    instrument: str
    criteria: tuple[Criterion, ...]
    window: TimeWindow
    preferences: tuple[Preference, ...]


# Values that stand for "the header's combination is in no table".
UNKNOWN_VALUES: dict[str, frozenset[str]] = {
    "read_mode": frozenset({"Unknown"}),
    "well_depth_setting": frozenset({"Unknown"}),
}

# Verdicts of the observatory that keep a calibration from being chosen.
REJECTED_QA_STATES: frozenset[str] = frozenset({"Fail"})

_INSTRUMENT = Criterion("instrument", "instrument")
_ARRAY = Criterion("array_name", "array")
_WELL = Criterion("well_depth_setting", "well depth")

RULES: tuple[Rule, ...] = (
    Rule(
        caltype="processed_dark",
        instrument="GNIRS",
        criteria=(
            _INSTRUMENT,
            _ARRAY,
            Criterion("read_mode", "read mode"),
            _WELL,
            Criterion("exposure_time", "total exposure", tolerance=0.01, unit="s"),
        ),
        window=TimeWindow(days_before=90, days_after=90),
        preferences=(Preference.EQUAL_COADDS, Preference.NEAREST_IN_TIME),
    ),
    Rule(
        caltype="processed_flat",
        instrument="GNIRS",
        criteria=(
            _INSTRUMENT,
            _ARRAY,
            _WELL,
            Criterion("camera", "camera"),
            Criterion("filter_name", "filter"),
            Criterion("focal_plane_mask", "slit and decker"),
            Criterion("disperser", "disperser"),
        ),
        window=TimeWindow(days_before=90, days_after=90),
        preferences=(Preference.NEAREST_IN_TIME, Preference.SAME_OBSERVATION),
    ),
    Rule(
        caltype="processed_bpm",
        instrument="GNIRS",
        criteria=(_INSTRUMENT, _ARRAY, Criterion("binning", "binning")),
        window=TimeWindow(days_before=None, days_after=0),
        preferences=(Preference.NEAREST_IN_TIME,),
    ),
)


@dataclass(frozen=True)
class Check:
    """One criterion held against one calibration.

    Attributes
    ----------
    label : str
        Name of the criterion.
    passed : bool
        Whether it is met.
    words : str
        What was found, and what was needed if that differs.
    """

    label: str
    passed: bool
    words: str


@dataclass(frozen=True)
class Judgement:
    """How a calibration stands to a frame under a rule.

    Attributes
    ----------
    checks : tuple of Check
        Every criterion, then the time, then the quality.
    doubts : tuple of str
        What differs although everything required is met.
    age : timedelta or None
        Calibration time minus frame time.
    """

    checks: tuple[Check, ...]
    doubts: tuple[str, ...]
    age: timedelta | None

    @property
    def passed(self) -> bool:
        """Whether the calibration may be used."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The criteria that are not met."""
        return tuple(check for check in self.checks if not check.passed)


def rule_for(caltype: str, instrument: str | None) -> Rule | None:
    """Look up the rule for a calibration type and an instrument; None when there is none."""
    for rule in RULES:
        if rule.caltype == caltype and rule.instrument == instrument:
            return rule
    return None


def judge(rule: Rule, frame: Facts, calibration: Facts) -> Judgement:
    """Hold a calibration against a frame, criterion by criterion.

    Parameters
    ----------
    rule : Rule
        What must match.
    frame, calibration : Facts
        The frame that needs the calibration, and the candidate. Not changed.

    Returns
    -------
    Judgement
        Passed or not per criterion, in words.
    """
    checks = [_check(criterion, frame, calibration) for criterion in rule.criteria]
    checks.append(_check_time(rule.window, frame, calibration))
    state = calibration.qa_state
    checks.append(Check("quality", state not in REJECTED_QA_STATES, f"quality state {state or 'not recorded'}"))
    doubts = _doubts(rule, frame, calibration) if all(check.passed for check in checks) else ()
    return Judgement(tuple(checks), doubts, _age(frame, calibration))


def preference_key(rule: Rule, frame: Facts, calibration: Facts) -> tuple[int, ...]:
    """Sort key among calibrations that passed: the smallest is the best."""
    age = _age(frame, calibration)
    keys = {
        Preference.EQUAL_COADDS: int(calibration.coadds != frame.coadds),
        Preference.NEAREST_IN_TIME: 0 if age is None else abs(age) // timedelta(microseconds=1),
        Preference.SAME_OBSERVATION: int(
            frame.observation_id is None or calibration.observation_id != frame.observation_id
        ),
    }
    return tuple(keys[preference] for preference in rule.preferences)


def age_in_words(age: timedelta) -> str:
    """Say how far from the frame a calibration was taken: ``15.1 days before the frame``."""
    if not age:
        return "at the time of the frame"
    side = "before" if age < timedelta(0) else "after"
    hours = abs(age).total_seconds() / 3600
    distance = f"{hours / 24:.1f} days" if hours >= 24 else f"{hours:.1f} h"
    return f"{distance} {side} the frame"


def is_known(quantity: str, value: object) -> bool:
    """Tell whether a quantity has a value that may match anything."""
    return value is not None and value not in UNKNOWN_VALUES.get(quantity, frozenset())


def _check(criterion: Criterion, frame: Facts, calibration: Facts) -> Check:
    needed = getattr(frame, criterion.quantity)
    found = getattr(calibration, criterion.quantity)
    label = criterion.label
    if not is_known(criterion.quantity, needed):
        return Check(label, False, f"{label} of the frame is not known")
    if not is_known(criterion.quantity, found):
        return Check(label, False, f"{label} not known, needed {_value(criterion, frame)}")
    tolerance = criterion.tolerance
    passed = found == needed if tolerance is None else abs(found - needed) <= tolerance
    words = f"{label} {_value(criterion, calibration)}"
    return Check(label, passed, words if passed else f"{words}, needed {_value(criterion, frame)}")


def _value(criterion: Criterion, facts: Facts) -> str:
    value = getattr(facts, criterion.quantity)
    if criterion.quantity == "exposure_time" and facts.coadds and facts.coadds > 1:
        return f"{value:g} s ({_coadds(facts)})"
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f"{text} {criterion.unit}".rstrip()


def _check_time(window: TimeWindow, frame: Facts, calibration: Facts) -> Check:
    age = _age(frame, calibration)
    if age is None:
        side = "frame" if frame.ut_datetime is None else "calibration"
        return Check("time", False, f"time of the {side} is not known")
    words = age_in_words(age)
    limit = window.days_before if age < timedelta(0) else window.days_after
    if limit is None or not age or abs(age) < timedelta(days=limit):
        return Check("time", True, words)
    reason = f"limit {limit:g} days" if limit else "it must not be later"
    return Check("time", False, f"{words}, {reason}")


def _age(frame: Facts, calibration: Facts) -> timedelta | None:
    if frame.ut_datetime is None or calibration.ut_datetime is None:
        return None
    return calibration.ut_datetime - frame.ut_datetime


def _doubts(rule: Rule, frame: Facts, calibration: Facts) -> tuple[str, ...]:
    if Preference.EQUAL_COADDS not in rule.preferences or calibration.coadds == frame.coadds:
        return ()
    return (
        f"{kind_of(rule.caltype)} {calibration.name}: {_coadds(calibration)}, frame has {_coadds(frame)}; "
        "same total exposure",
    )


def _coadds(facts: Facts) -> str:
    if facts.coadds is None or facts.exposure_per_coadd is None:
        return "an unknown number of coadds"
    return f"{facts.coadds} coadd{'' if facts.coadds == 1 else 's'} of {facts.exposure_per_coadd:g} s"
