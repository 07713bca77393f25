"""The one function that judges a calibration by a rule: criterion by criterion, with a grade and in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from keyhole.calibration.facts import Facts
from keyhole.calibration.rules import (
    REJECTED_QA_STATES,
    UNKNOWN_VALUES,
    Criterion,
    Doubt,
    Grade,
    Preference,
    Rule,
    TimeWindow,
    Trigger,
)

__all__ = [
    "Check",
    "Judgement",
    "age_in_words",
    "is_known",
    "judge",
    "preference_key",
    "value_in_words",
]


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
    value : str
        What was found, short enough for a table.
    """

    label: str
    passed: bool
    words: str
    value: str = ""


@dataclass(frozen=True)
class Judgement:
    """How a calibration stands to a frame under a rule.

    Attributes
    ----------
    checks : tuple of Check
        Every criterion, then the time, then the quality.
    doubts : tuple of str
        What differs although everything required is met, in words without the name of the calibration.
    doubtful : tuple of str
        Labels of the doubts, in the same order.
    merits : tuple of str
        What makes it ideal: ``same night``, ``same observation``; empty unless everything required is met.
    age : timedelta or None
        Calibration time minus frame time.
    """

    checks: tuple[Check, ...]
    doubts: tuple[str, ...]
    doubtful: tuple[str, ...]
    merits: tuple[str, ...]
    age: timedelta | None

    @property
    def passed(self) -> bool:
        """Whether the calibration may be chosen automatically."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The criteria that are not met."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def grade(self) -> Grade:
        """How well the calibration serves the frame."""
        if not self.passed:
            return Grade.BY_HAND
        if self.doubts:
            return Grade.DOUBTFUL
        return Grade.IDEAL if self.merits else Grade.GOOD

    @property
    def reason(self) -> str:
        """Why it has this grade: what fails, else the doubts, else its merits; and how far in time it is."""
        distance = () if self.age is None else (age_in_words(self.age),)
        if self.failures:
            return "; ".join(check.words for check in self.failures)
        if self.doubts:
            # The age is told by the doubt itself where it is the doubt.
            return "; ".join((*self.doubts, *(distance if "age" not in self.doubtful else ())))
        return ", ".join((*self.merits, *distance))


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
        Passed or not per criterion, doubts and merits, in words.
    """
    checks = [_check(criterion, frame, calibration) for criterion in rule.criteria]
    checks.append(_check_time(rule.window, frame, calibration))
    state = calibration.qa_state or "not recorded"
    checks.append(
        Check("quality", calibration.qa_state not in REJECTED_QA_STATES, f"quality state {state}", value=state)
    )
    passed = all(check.passed for check in checks)
    doubts = [doubt for doubt in rule.doubts if raises(doubt, frame, calibration)] if passed else []
    merits = [merit.value for merit in rule.ideal if has_merit(merit, frame, calibration)] if passed else []
    return Judgement(
        tuple(checks),
        tuple(_doubt_in_words(doubt, frame, calibration) for doubt in doubts),
        tuple(doubt.label for doubt in doubts),
        tuple(merits),
        _age(frame, calibration),
    )


def preference_key(rule: Rule, frame: Facts, calibration: Facts) -> tuple[int, ...]:
    """Sort key among calibrations that passed: grade, number of doubts, then the preferences of the rule.

    The smallest is the best. `keyhole.calibration.database.query` says the same in SQL.
    """
    n_doubts = sum(raises(doubt, frame, calibration) for doubt in rule.doubts)
    merit = any(has_merit(item, frame, calibration) for item in rule.ideal)
    grade = Grade.DOUBTFUL if n_doubts else Grade.IDEAL if merit else Grade.GOOD
    return (int(grade), n_doubts, *(_order(item, frame, calibration) for item in rule.preferences))


def raises(doubt: Doubt, frame: Facts, calibration: Facts) -> bool:
    """Whether a calibration raises a doubt."""
    if doubt.trigger is Trigger.AGE:
        age = _age(frame, calibration)
        return age is None or abs(age) >= timedelta(days=doubt.days)
    found = getattr(calibration, doubt.quantity)
    if doubt.trigger is Trigger.VALUE:
        return found in doubt.values
    return found is None or found != getattr(frame, doubt.quantity)


def has_merit(merit: Preference, frame: Facts, calibration: Facts) -> bool:
    """Whether a calibration is of the same night or observation; two that are not known are not the same."""
    quantity = {Preference.SAME_NIGHT: "night", Preference.SAME_OBSERVATION: "observation_id"}[merit]
    needed = getattr(frame, quantity)
    return needed is not None and needed == getattr(calibration, quantity)


def age_in_words(age: timedelta) -> str:
    """Say how far from the frame a calibration was taken: ``15.1 days before the frame``."""
    if not age:
        return "at the time of the frame"
    return f"{_distance(age)} {'before' if age < timedelta(0) else 'after'} the frame"


def is_known(quantity: str, value: object) -> bool:
    """Tell whether a quantity has a value that may match anything."""
    return value is not None and value not in UNKNOWN_VALUES.get(quantity, frozenset())


def value_in_words(criterion: Criterion, facts: Facts) -> str:
    """The value of a quantity with its unit; the coadds stand behind an exposure."""
    value = getattr(facts, criterion.quantity)
    if not is_known(criterion.quantity, value):
        return "not known"
    if criterion.quantity == "exposure_time" and facts.coadds and facts.coadds > 1:
        return f"{value:g} s ({_coadds(facts)})"
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f"{text} {criterion.unit}".rstrip()


def _distance(age: timedelta) -> str:
    hours = abs(age).total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 24 else f"{hours:.1f} h"


def _order(preference: Preference, frame: Facts, calibration: Facts) -> int:
    if preference is Preference.NEAREST_IN_TIME:
        age = _age(frame, calibration)
        return 0 if age is None else abs(age) // timedelta(microseconds=1)
    return int(not has_merit(preference, frame, calibration))


def _check(criterion: Criterion, frame: Facts, calibration: Facts) -> Check:
    needed = getattr(frame, criterion.quantity)
    found = getattr(calibration, criterion.quantity)
    label = criterion.label
    value = value_in_words(criterion, calibration)
    if not is_known(criterion.quantity, needed):
        return Check(label, False, f"{label} of the frame is not known", value)
    if not is_known(criterion.quantity, found):
        return Check(label, False, f"{label} not known, needed {value_in_words(criterion, frame)}", value)
    tolerance = criterion.tolerance
    passed = found == needed if tolerance is None else abs(found - needed) <= tolerance
    words = f"{label} {value}"
    return Check(label, passed, words if passed else f"{words}, needed {value_in_words(criterion, frame)}", value)


def _check_time(window: TimeWindow, frame: Facts, calibration: Facts) -> Check:
    age = _age(frame, calibration)
    if age is None:
        side = "frame" if frame.ut_datetime is None else "calibration"
        return Check("time", False, f"time of the {side} is not known", "not known")
    words = age_in_words(age)
    short = f"{'-' if age < timedelta(0) else '+'}{_distance(age)}"
    limit = window.days_before if age < timedelta(0) else window.days_after
    if limit is None or not age or abs(age) < timedelta(days=limit):
        return Check("time", True, words, short)
    reason = f"limit {limit:g} days" if limit else "it must not be later"
    return Check("time", False, f"{words}, {reason}", short)


def _age(frame: Facts, calibration: Facts) -> timedelta | None:
    if frame.ut_datetime is None or calibration.ut_datetime is None:
        return None
    return calibration.ut_datetime - frame.ut_datetime


def _doubt_in_words(doubt: Doubt, frame: Facts, calibration: Facts) -> str:
    found, needed = (getattr(facts, doubt.quantity, None) for facts in (calibration, frame))
    if doubt.trigger is Trigger.AGE:
        age = _age(frame, calibration)
        return f"{'age not known' if age is None else age_in_words(age)}, more than {doubt.days:g} days"
    if doubt.quantity == "coadds":
        return f"{_coadds(calibration)}, frame has {_coadds(frame)}; same total exposure"
    if doubt.quantity == "processing_mode":
        return f"made in quick-look mode ({found})"
    if doubt.quantity == "qa_state":
        return f"quality state {found}: not judged yet by the observatory"
    return f"{doubt.label} {found}, frame has {needed}"


def _coadds(facts: Facts) -> str:
    if facts.coadds is None or facts.exposure_per_coadd is None:
        return "an unknown number of coadds"
    return f"{facts.coadds} coadd{'' if facts.coadds == 1 else 's'} of {facts.exposure_per_coadd:g} s"
