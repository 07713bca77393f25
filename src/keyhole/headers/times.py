"""When a frame was taken: dates and times from the cards that tell the truth about it.

``MJD_OBS`` (with an underscore) is never used: in real frames it is off by minutes to hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import PurePath
from typing import Any

from keyhole.headers.model import Headers
from keyhole.headers.registry import answer, descriptor, primary_card
from keyhole.headers.values import card, number, text

__all__ = ["decimal_year", "local_time", "ut_date", "ut_datetime", "ut_time"]

DATE_CARDS = ("DATE-OBS", "DATE", "UTDATE")
TIME_CARDS = ("UT", "TIME-OBS", "STARTUT", "UTSTART")
MJD_ZERO = datetime(1858, 11, 17)
MIDNIGHT = time(0, 0, 0)

_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:T(\S+))?")
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2,3})")
_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d*))?")
_FILE_NAME = re.compile(r"[A-Za-z]?(\d{4})(\d{2})(\d{2})")


@descriptor()
def ut_datetime(
    headers: Headers, *, strict: bool = False, dateonly: bool = False, timeonly: bool = False
) -> datetime | date | time | None:
    """UT at the start of the observation.

    Parameters
    ----------
    headers : Headers
        Headers of the frame.
    strict : bool
        None rather than a date from the file name.
    dateonly, timeonly : bool
        Only the date, only the time: may be known although the other is not.

    Notes
    -----
    The date is the first of ``DATE-OBS``, ``DATE``, ``UTDATE`` that looks like one; the time the first of
    ``UT``, ``TIME-OBS``, ``STARTUT``, ``UTSTART``. Then ``MJD-OBS``, ``OBSSTART``, and at last frame or file
    name at midnight.
    """
    day, clock = _date_of(headers), _time_of(headers)
    if dateonly and day:
        return day.date() if isinstance(day, datetime) else day
    if timeonly and clock and not isinstance(day, datetime):
        return clock
    instant = _combined(day, clock) or _from_instant(headers)
    if instant is None and not strict:
        instant = _combined(day or _date_of_name(headers), clock or MIDNIGHT)
    if instant is None or not (dateonly or timeonly):
        return instant
    return instant.date() if dateonly else instant.time()


@descriptor()
def ut_date(headers: Headers, *, strict: bool = False) -> date | None:
    """UT date of the observation."""
    found: date | None = answer(headers, "ut_datetime", strict=strict, dateonly=True)
    return found


@descriptor()
def ut_time(headers: Headers, *, strict: bool = False) -> time | None:
    """UT time of day at the start of the observation."""
    found: time | None = answer(headers, "ut_datetime", strict=strict, timeonly=True)
    return found


@descriptor()
def local_time(headers: Headers) -> time | None:
    """Local time of day at the start of the observation, None when the card is bad."""
    return _clock(primary_card(headers, "local_time"))


def decimal_year(instant: datetime) -> float:
    """Year with its fraction: seconds since 1 January over the seconds of that year."""
    start, end = datetime(instant.year, 1, 1), datetime(instant.year + 1, 1, 1)
    return instant.year + (instant - start) / (end - start)


def _combined(day: datetime | date | None, clock: time | None) -> datetime | None:
    """Date and time in one; a card that holds both wins over a time found elsewhere."""
    if isinstance(day, datetime):
        return day
    return datetime.combine(day, clock) if day and clock else None


def _date_of(headers: Headers) -> datetime | date | None:
    """First date found; a datetime when the card says the time as well."""
    for value in _texts(headers, DATE_CARDS):
        try:
            if match := _ISO.fullmatch(value):
                day = date(int(match[1]), int(match[2]), int(match[3]))
                clock = _clock(match[4])
                if match[4] is None or clock is None:
                    return day
                return datetime.combine(day, clock)
            if match := _SLASHED.fullmatch(value):
                return date(1900 + int(match[3]), int(match[2]), int(match[1]))
        except ValueError:
            continue
    return None


def _time_of(headers: Headers) -> time | None:
    clocks = (_clock(value) for value in _texts(headers, TIME_CARDS))
    return next((clock for clock in clocks if clock is not None), None)


def _texts(headers: Headers, keywords: Iterable[str]) -> Iterable[str]:
    return (text(headers.primary, keyword).strip() for keyword in keywords if keyword in headers.primary)


def _clock(value: Any) -> time | None:
    """Time of day from ``h:m:s.f``, None when it is of another form or impossible."""
    match = _CLOCK.fullmatch(str(value).strip())
    if match is None:
        return None
    try:
        return time(int(match[1]), int(match[2]), int(match[3]), int((match[4] or "0").ljust(6, "0")[:6]))
    except ValueError:
        return None


def _from_instant(headers: Headers) -> datetime | None:
    """Date and time from the one card that holds both."""
    mjd = number(headers.primary, "MJD-OBS")
    if mjd is not None and mjd > 1:
        try:
            return MJD_ZERO + timedelta(days=mjd)
        except OverflowError:
            pass
    try:
        return datetime.fromisoformat(text(headers.primary, "OBSSTART").strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _date_of_name(headers: Headers) -> date | None:
    """Date in the name of the frame or of the file, as in N20120117S0014."""
    frames = [card(header, "FRMNAME") for header in (headers.primary, *headers.extensions)]
    for name in (*frames, PurePath(headers.name).name):
        match = _FILE_NAME.match(str(name or ""))
        if match and int(match[1]) > 1999:
            try:
                return date(int(match[1]), int(match[2]), int(match[3]))
            except ValueError:
                continue
    return None
