from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from known_facts import BPM, DARK, FLAT, RULE, SCIENCE

from keyhole.calibration.rules import age_in_words, judge, preference_key, rule_for


def failed(caltype, frame, calibration):
    return [check.label for check in judge(RULE[caltype], frame, calibration).failures]


def test_dark_of_equal_total_exposure_fits_whatever_the_optics():
    assert failed("processed_dark", SCIENCE, DARK) == []


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"array_name": "SN7638228.1.2"}, "array"),
        ({"read_mode": "Bright Objects"}, "read mode"),
        ({"read_mode": None}, "read mode"),
        ({"well_depth_setting": "Deep"}, "well depth"),
        ({"exposure_time": 59.0}, "total exposure"),
        ({"exposure_time": 60.011}, "total exposure"),
        ({"exposure_time": None}, "total exposure"),
        ({"instrument": "NIRI"}, "instrument"),
        ({"ut_datetime": SCIENCE.ut_datetime - timedelta(days=91)}, "time"),
        ({"ut_datetime": SCIENCE.ut_datetime + timedelta(days=91)}, "time"),
        ({"ut_datetime": None}, "time"),
        ({"qa_state": "Fail"}, "quality"),
    ],
)
def test_dark_is_refused_for_each_quantity_that_differs_and_for_that_one_only(change, label):
    assert failed("processed_dark", SCIENCE, replace(DARK, **change)) == [label]


@pytest.mark.parametrize("quantity", ["read_mode", "well_depth_setting"])
def test_an_unknown_setting_matches_nothing_not_even_itself(quantity):
    unknown = {quantity: "Unknown"}
    assert len(failed("processed_dark", replace(SCIENCE, **unknown), replace(DARK, **unknown))) == 1


def test_an_array_named_unknown_is_an_array():
    old = {"array_name": "UNKNOWN"}
    assert failed("processed_dark", replace(SCIENCE, **old), replace(DARK, **old)) == []


@pytest.mark.parametrize("state", ["Pass", "Usable", "CHECK", "Undefined", None])
def test_only_a_failed_quality_excludes(state):
    assert failed("processed_dark", SCIENCE, replace(DARK, qa_state=state)) == []


@pytest.mark.parametrize("exposure", [60.009, 59.991, 60.0000001])
def test_total_exposure_agrees_within_a_hundredth_of_a_second(exposure):
    assert failed("processed_dark", SCIENCE, replace(DARK, exposure_time=exposure)) == []


@pytest.mark.parametrize("caltype", ["processed_dark", "processed_flat"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_time_window_is_an_open_interval_of_90_days(caltype, sign):
    calibration = {"processed_dark": DARK, "processed_flat": FLAT}[caltype]
    limit = SCIENCE.ut_datetime + sign * timedelta(days=90)
    inside = limit - sign * timedelta(microseconds=1)
    assert failed(caltype, SCIENCE, replace(calibration, ut_datetime=limit)) == ["time"]
    assert failed(caltype, SCIENCE, replace(calibration, ut_datetime=inside)) == []


def test_other_coadds_are_a_doubt_that_says_what_differs():
    doubts = judge(RULE["processed_dark"], SCIENCE, DARK).doubts
    assert doubts == (
        "dark N20120102S0538_dark.fits: 1 coadd of 60 s, frame has 2 coadds of 30 s; same total exposure",
    )


def test_equal_coadds_leave_no_doubt():
    assert judge(RULE["processed_dark"], SCIENCE, replace(DARK, coadds=2)).doubts == ()


def test_a_refused_dark_does_not_claim_equal_exposure():
    assert judge(RULE["processed_dark"], SCIENCE, replace(DARK, exposure_time=30.0)).doubts == ()


def test_equal_coadds_are_preferred_over_nearer_in_time():
    rule = RULE["processed_dark"]
    near = replace(DARK, ut_datetime=SCIENCE.ut_datetime)
    far = replace(DARK, coadds=2, ut_datetime=SCIENCE.ut_datetime - timedelta(days=80))
    assert preference_key(rule, SCIENCE, far) < preference_key(rule, SCIENCE, near)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"array_name": "other"}, "array"),
        ({"well_depth_setting": "Deep"}, "well depth"),
        ({"camera": "ShortBlue_G5540"}, "camera"),
        ({"filter_name": "Open&H_G0516"}, "filter"),
        ({"focal_plane_mask": "0.30arcsec_G5530&Acq_G5531"}, "slit and decker"),
        ({"disperser": "32/mm_G5533"}, "disperser"),
        ({"qa_state": "Fail"}, "quality"),
    ],
)
def test_flat_is_refused_for_each_quantity_that_differs(change, label):
    assert failed("processed_flat", SCIENCE, replace(FLAT, **change)) == [label]


def test_flat_fits_whatever_its_exposure_and_read_mode():
    assert failed("processed_flat", SCIENCE, FLAT) == []


def test_a_nearer_flat_of_another_observation_is_preferred_and_the_same_observation_decides_ties():
    rule = RULE["processed_flat"]
    hour = timedelta(hours=1)
    near = replace(FLAT, observation_id="other", ut_datetime=SCIENCE.ut_datetime + hour)
    far = replace(FLAT, ut_datetime=SCIENCE.ut_datetime + 3 * hour)
    before = replace(FLAT, ut_datetime=SCIENCE.ut_datetime - hour)
    assert preference_key(rule, SCIENCE, near) < preference_key(rule, SCIENCE, far)
    assert preference_key(rule, SCIENCE, before) < preference_key(rule, SCIENCE, near)


def test_mask_may_be_of_any_age_but_not_later_than_the_frame():
    frame_time = SCIENCE.ut_datetime
    assert failed("processed_bpm", SCIENCE, BPM) == []
    assert failed("processed_bpm", SCIENCE, replace(BPM, ut_datetime=datetime(2004, 1, 1))) == []
    assert failed("processed_bpm", SCIENCE, replace(BPM, ut_datetime=frame_time)) == []
    later = replace(BPM, ut_datetime=frame_time + timedelta(microseconds=1))
    assert failed("processed_bpm", SCIENCE, later) == ["time"]
    assert failed("processed_bpm", SCIENCE, replace(BPM, array_name=None)) == ["array"]


def test_the_words_of_a_failure_name_what_was_found_and_what_was_needed():
    candidate = replace(DARK, read_mode="Bright Objects", exposure_time=30.0)
    words = [check.words for check in judge(RULE["processed_dark"], SCIENCE, candidate).failures]
    assert words == [
        "read mode Bright Objects, needed Faint Objects",
        "total exposure 30 s, needed 60 s (2 coadds of 30 s)",
    ]
    old = replace(DARK, ut_datetime=SCIENCE.ut_datetime - timedelta(days=94))
    (check,) = judge(RULE["processed_dark"], SCIENCE, old).failures
    assert check.words == "94.0 days before the frame, limit 90 days"


def test_age_is_told_in_hours_or_days():
    assert age_in_words(timedelta(hours=-5)) == "5.0 h before the frame"
    assert age_in_words(timedelta(days=2)) == "2.0 days after the frame"
    assert age_in_words(timedelta(0)) == "at the time of the frame"


def test_no_rule_is_invented():
    assert rule_for("processed_dark", "GNIRS") is RULE["processed_dark"]
    assert rule_for("processed_dark", "NIRI") is None
    assert rule_for("processed_arc", "GNIRS") is None
