"""Association rules as conditions of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from keyhole.calibration.database.schema import CALIBRATION
from keyhole.calibration.facts import Facts
from keyhole.calibration.rules import REJECTED_QA_STATES, Rule, TimeWindow, is_known

__all__ = ["conditions_of"]


def conditions_of(rule: Rule, frames: Sequence[Facts]) -> list[sa.ColumnElement[bool]] | None:
    """What a row must meet to be a candidate for at least one of `frames`; None when no row can.

    Frames and answer are those of `CalibrationStore.candidates`.
    """
    times = [frame.ut_microseconds for frame in frames if frame.ut_microseconds is not None]
    if not times:
        return None
    conditions = [CALIBRATION.c.caltype == rule.caltype, *_time_conditions(rule.window, times)]
    for criterion in rule.criteria:
        value = getattr(frames[0], criterion.quantity)
        if not is_known(criterion.quantity, value):
            return None
        column = CALIBRATION.c[criterion.quantity]
        if criterion.tolerance is None:
            conditions.append(column == value)
        else:
            conditions.append(sa.func.abs(column - value) <= criterion.tolerance)
    state = CALIBRATION.c.qa_state
    conditions.append(sa.or_(state.is_(None), state.not_in(sorted(REJECTED_QA_STATES))))
    return conditions


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
