"""Association rules as SQL: what fits, how good it is, and how far away what does not fit is.

Says the same as `keyhole.calibration.judging`, for many rows at once; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from keyhole.calibration.database.schema import CALIBRATION
from keyhole.calibration.facts import Facts
from keyhole.calibration.judging import is_known
from keyhole.calibration.rules import (
    REJECTED_QA_STATES,
    Criterion,
    Doubt,
    Grade,
    Preference,
    Rule,
    TimeWindow,
    Trigger,
)

__all__ = ["best_of", "conditions_of", "nearness_of"]

_MERIT_COLUMNS = {Preference.SAME_NIGHT: "night", Preference.SAME_OBSERVATION: "observation_id"}


def conditions_of(rule: Rule, frames: Sequence[Facts]) -> list[sa.ColumnElement[bool]] | None:
    """What a row must meet to be a candidate for at least one of `frames`; None when no row can.

    Frames and answer are those of `CalibrationStore.candidates`.
    """
    times = [frame.ut_microseconds for frame in frames if frame.ut_microseconds is not None]
    if not times:
        return None
    if not all(is_known(criterion.quantity, getattr(frames[0], criterion.quantity)) for criterion in rule.criteria):
        return None
    return [
        CALIBRATION.c.caltype == rule.caltype,
        *_time_conditions(rule.window, times),
        *(_meets(criterion, frames[0]) for criterion in rule.criteria),
        _good_quality(),
    ]


def best_of(rule: Rule, frame: Facts, *, n_doubts: int, limit: int) -> sa.Select[Any] | None:
    """The best rows that meet a rule with so many doubts, the best first; None when no row can.

    Grades and preferences ask for nothing but the same night, the same observation and the distance in time. The
    best rows are therefore among those nearest in time before and after the frame, of all and of the same
    observation: four steps through an index, where sorting everything would read it whole.

    Parameters
    ----------
    rule : Rule
        What must match.
    frame : Facts
        The frame.
    n_doubts : int
        Number of doubts that the rows raise, 0 to all of the rule.
    limit : int
        Number of rows.
    """
    conditions = conditions_of(rule, [frame])
    time = frame.ut_microseconds
    if conditions is None or time is None:
        return None
    conditions.append(_n_doubts(rule, frame) == n_doubts)
    groups = [conditions]
    if Preference.SAME_OBSERVATION in (*rule.ideal, *rule.preferences) and frame.observation_id is not None:
        groups.append([*conditions, _has_merit(Preference.SAME_OBSERVATION, frame)])
    column, number = CALIBRATION.c.ut_microseconds, CALIBRATION.c.id
    parts = []
    for group in groups:
        before = sa.select(number).where(*group, column <= time).order_by(column.desc(), number.desc()).limit(limit)
        after = sa.select(number).where(*group, column > time).order_by(column.asc(), number.desc()).limit(limit)
        # A limit of a part of a union needs a select around it.
        parts += [sa.select(part.subquery().c.id) for part in (before, after)]
    near = sa.union_all(*parts).subquery()
    chosen = sa.select(CALIBRATION).where(number.in_(sa.select(near.c.id)))
    return chosen.order_by(*_ranking_of(rule, frame)).limit(limit)


def _ranking_of(rule: Rule, frame: Facts) -> list[sa.ColumnElement[Any]]:
    """Order among rows that meet a rule, the best first: grade, number of doubts, preferences, latest addition."""
    n_doubts = _n_doubts(rule, frame)
    ideal = sa.or_(sa.false(), *(_has_merit(merit, frame) for merit in rule.ideal))
    grade = sa.case(
        (n_doubts > 0, int(Grade.DOUBTFUL)),
        (ideal, int(Grade.IDEAL)),
        else_=int(Grade.GOOD),
    )
    return [grade, n_doubts, *(_order(item, frame) for item in rule.preferences), CALIBRATION.c.id.desc()]


def nearness_of(rule: Rule, frame: Facts) -> list[sa.ColumnElement[Any]]:
    """Order among all rows of a type: the fewest failed criteria first, then the nearest in time."""
    time = frame.ut_microseconds
    in_time = sa.false() if time is None else sa.and_(*_time_conditions(rule.window, [time]))
    checks = [*(_meets(criterion, frame) for criterion in rule.criteria), in_time, _good_quality()]
    failed = [1 - _as_number(check) for check in checks]
    distance = CALIBRATION.c.id * 0 if time is None else sa.func.abs(CALIBRATION.c.ut_microseconds - time)
    # Databases differ on where NULL stands in an order.
    unknown = _as_number(CALIBRATION.c.ut_microseconds.is_(None))
    return [sum(failed[1:], failed[0]), unknown, distance, CALIBRATION.c.id.desc()]


def _n_doubts(rule: Rule, frame: Facts) -> sa.ColumnElement[int]:
    raised = [_as_number(_raises(doubt, frame)) for doubt in rule.doubts]
    # A sum without terms would be no SQL.
    return sum(raised[1:], raised[0]) if raised else sa.literal(0)


def _meets(criterion: Criterion, frame: Facts) -> sa.ColumnElement[bool]:
    value = getattr(frame, criterion.quantity)
    column = CALIBRATION.c[criterion.quantity]
    if not is_known(criterion.quantity, value):
        return sa.false()
    if criterion.tolerance is not None:
        return sa.func.abs(column - value) <= criterion.tolerance
    equal: sa.ColumnElement[bool] = column == value
    return equal


def _good_quality() -> sa.ColumnElement[bool]:
    state = CALIBRATION.c.qa_state
    return sa.or_(state.is_(None), state.not_in(sorted(REJECTED_QA_STATES)))


def _raises(doubt: Doubt, frame: Facts) -> sa.ColumnElement[bool]:
    if doubt.trigger is Trigger.AGE:
        time = frame.ut_microseconds
        if time is None:
            return sa.true()
        return sa.func.abs(CALIBRATION.c.ut_microseconds - time) >= _microseconds(doubt.days)
    column = CALIBRATION.c[doubt.quantity]
    if doubt.trigger is Trigger.VALUE:
        return column.in_(sorted(doubt.values))
    value = getattr(frame, doubt.quantity)
    return sa.true() if value is None else sa.or_(column.is_(None), column != value)


def _has_merit(merit: Preference, frame: Facts) -> sa.ColumnElement[bool]:
    column = _MERIT_COLUMNS[merit]
    value = getattr(frame, column)
    return sa.false() if value is None else CALIBRATION.c[column] == value


def _order(preference: Preference, frame: Facts) -> sa.ColumnElement[Any]:
    if preference is not Preference.NEAREST_IN_TIME:
        return 1 - _as_number(_has_merit(preference, frame))
    time = frame.ut_microseconds
    return sa.literal(0) if time is None else sa.func.abs(CALIBRATION.c.ut_microseconds - time)


def _as_number(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """1 where a condition holds, else 0: also where it is NULL."""
    return sa.case((condition, 1), else_=0)


def _time_conditions(window: TimeWindow, times: Sequence[int]) -> list[sa.ColumnElement[bool]]:
    column = CALIBRATION.c.ut_microseconds
    first, last = min(times), max(times)
    before, after = window.days_before, window.days_after
    conditions: list[sa.ColumnElement[bool]] = [column.is_not(None)]
    # A limit of 0 days leaves the moment of the frame itself, which an open interval would not.
    if before is not None:
        conditions.append(column > first - _microseconds(before) if before else column >= first)
    if after is not None:
        conditions.append(column < last + _microseconds(after) if after else column <= last)
    return conditions


def _microseconds(days: float) -> int:
    return timedelta(days=days) // timedelta(microseconds=1)
