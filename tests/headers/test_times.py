from __future__ import annotations

from datetime import date, datetime, time

import pytest

from keyhole.headers import describe
from keyhole.headers.times import decimal_year

NO_TIME = {"DATE-OBS": None, "UT": None}


def test_date_and_time_are_combined(frame):
    headers = frame()
    assert describe(headers, "ut_datetime") == datetime(2020, 3, 1, 12, 0, 0, 500000)
    assert describe(headers, "ut_date") == date(2020, 3, 1)
    assert describe(headers, "ut_time") == time(12, 0, 0, 500000)
    assert describe(headers, "ut_datetime", dateonly=True) == date(2020, 3, 1)
    assert describe(headers, "ut_datetime", timeonly=True) == time(12, 0, 0, 500000)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"DATE-OBS": "2010-07-22         "}, datetime(2010, 7, 22, 12, 0, 0, 500000)),
        ({"DATE-OBS": "2010-07-22T01:02:03"}, datetime(2010, 7, 22, 1, 2, 3)),
        ({"DATE-OBS": "22/07/98"}, datetime(1998, 7, 22, 12, 0, 0, 500000)),
        ({"DATE-OBS": "22/07/104"}, datetime(2004, 7, 22, 12, 0, 0, 500000)),
        ({"DATE-OBS": "No Value", "DATE": "2011-01-02"}, datetime(2011, 1, 2, 12, 0, 0, 500000)),
        ({"DATE-OBS": "2010-13-45", "UTDATE": "2011-01-02"}, datetime(2011, 1, 2, 12, 0, 0, 500000)),
        ({"UT": "bad", "TIME-OBS": "1:2:3"}, datetime(2020, 3, 1, 1, 2, 3)),
        ({"UT": None, "STARTUT": "01:02:03.1234567"}, datetime(2020, 3, 1, 1, 2, 3, 123456)),
        ({"UT": "25:00:00", "UTSTART": "04:05:06.7"}, datetime(2020, 3, 1, 4, 5, 6, 700000)),
        ({**NO_TIME, "MJD-OBS": 53046.5}, datetime(2004, 2, 11, 12)),
        ({**NO_TIME, "MJD-OBS": 0.0, "OBSSTART": "2004-02-11T12:00:01"}, datetime(2004, 2, 11, 12, 0, 1)),
        ({"UT": None, "MJD-OBS": 53046.5}, datetime(2004, 2, 11, 12)),
        ({"UT": None}, datetime(2020, 3, 1)),
        (NO_TIME, datetime(2020, 3, 1)),
        ({"DATE-OBS": None}, datetime(2020, 3, 1, 12, 0, 0, 500000)),
        ({**NO_TIME, "MJD_OBS": 53046.5}, datetime(2020, 3, 1)),
    ],
)
def test_first_good_card_counts(frame, cards, expected):
    assert describe(frame(cards), "ut_datetime") == expected


def test_strict_does_not_look_at_the_file_name(frame):
    assert describe(frame(NO_TIME), "ut_datetime", strict=True) is None
    assert describe(frame(NO_TIME), "ut_date", strict=True) is None
    assert describe(frame({"UT": None}), "ut_date", strict=True) == date(2020, 3, 1)
    assert describe(frame({"DATE-OBS": None}), "ut_time", strict=True) == time(12, 0, 0, 500000)


@pytest.mark.parametrize(
    ("frame_name", "file_name", "expected"),
    [
        ("S20040212S0191:0", "x.fits", datetime(2004, 2, 12)),
        (None, "/data/N20120117S0014_stack.fits", datetime(2012, 1, 17)),
        (None, "N19991231S0001.fits", None),
        (None, "N20121345S0001.fits", None),
        (None, "image.fits", None),
    ],
)
def test_last_resort_is_the_name(frame, frame_name, file_name, expected):
    headers = frame(NO_TIME, extensions=({"FRMNAME": frame_name},), name=file_name)
    assert describe(headers, "ut_datetime") == expected


@pytest.mark.parametrize(("text", "expected"), [("00:45:45.4", time(0, 45, 45, 400000)), ("bad", None), (None, None)])
def test_local_time(frame, text, expected):
    assert describe(frame(LT=text), "local_time") == expected


def test_decimal_year_counts_the_days_of_its_year():
    assert decimal_year(datetime(2021, 1, 1)) == 2021.0
    assert decimal_year(datetime(2020, 7, 2)) == pytest.approx(2020.5)
    assert decimal_year(datetime(2021, 7, 2, 12)) == pytest.approx(2021.5)
