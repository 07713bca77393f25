from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from known_facts import BPM, DARK, FLAT, RULE, SCIENCE

from keyhole.calibration.judging import age_in_words, judge, preference_key
from keyhole.calibration.rules import RULES, Grade, Trigger, rule_for, rules_of


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


@pytest.mark.parametrize("sign", [-1, 1])
def test_time_window_of_a_dark_is_an_open_interval_of_90_days(sign):
    limit = SCIENCE.ut_datetime + sign * timedelta(days=90)
    inside = limit - sign * timedelta(microseconds=1)
    assert failed("processed_dark", SCIENCE, replace(DARK, ut_datetime=limit)) == ["time"]
    assert failed("processed_dark", SCIENCE, replace(DARK, ut_datetime=inside)) == []


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_flat_of_90_days_or_more_is_usable_with_a_doubt_that_tells_its_age(sign):
    limit = SCIENCE.ut_datetime + sign * timedelta(days=90)
    old = judge(RULE["processed_flat"], SCIENCE, replace(FLAT, ut_datetime=limit))
    young = judge(RULE["processed_flat"], SCIENCE, replace(FLAT, ut_datetime=limit - sign * timedelta(microseconds=1)))
    assert (old.grade, old.doubtful) == (Grade.DOUBTFUL, ("age",))
    assert old.doubts == (f"90.0 days {'before' if sign < 0 else 'after'} the frame, more than 90 days",)
    assert young.grade < Grade.DOUBTFUL


def test_grades_go_from_the_same_night_to_by_hand_only():
    rule = RULE["processed_dark"]
    frame = replace(SCIENCE, night="2012-01-16")
    fitting = replace(DARK, coadds=2, night="2012-01-01")
    grades = [
        judge(rule, frame, replace(fitting, night="2012-01-16")).grade,
        judge(rule, frame, replace(fitting, observation_id=SCIENCE.observation_id)).grade,
        judge(rule, frame, fitting).grade,
        judge(rule, frame, replace(fitting, coadds=1, night="2012-01-16")).grade,
        judge(rule, frame, replace(fitting, qa_state="CHECK")).grade,
        judge(rule, frame, replace(fitting, processing_mode="ql")).grade,
        judge(rule, frame, replace(fitting, exposure_time=30.0)).grade,
    ]
    assert grades == [0, 0, 1, 2, 2, 2, 3]


def test_two_nights_or_observations_that_are_not_known_are_not_the_same():
    unknown = {"night": None, "observation_id": None}
    judgement = judge(RULE["processed_dark"], replace(SCIENCE, **unknown), replace(DARK, coadds=2, **unknown))
    assert (judgement.grade, judgement.merits) == (Grade.GOOD, ())


def test_other_coadds_are_a_doubt_that_says_what_differs():
    doubts = judge(RULE["processed_dark"], SCIENCE, DARK).doubts
    assert doubts == ("1 coadd of 60 s, frame has 2 coadds of 30 s; same total exposure",)


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


def test_flats_of_the_night_come_first_among_them_those_of_the_observation_then_the_nearest():
    rule = RULE["processed_flat"]
    frame = replace(SCIENCE, night="2012-01-16")
    tonight = replace(FLAT, night="2012-01-16", observation_id="other")
    hour = timedelta(hours=1)
    order = [
        replace(FLAT, night="2012-01-16", ut_datetime=SCIENCE.ut_datetime + 3 * hour),
        replace(tonight, ut_datetime=SCIENCE.ut_datetime - hour),
        replace(tonight, ut_datetime=SCIENCE.ut_datetime + 2 * hour),
        replace(FLAT, ut_datetime=SCIENCE.ut_datetime - 30 * 24 * hour),  # the observation, another night
        replace(FLAT, observation_id="other", ut_datetime=SCIENCE.ut_datetime + 30 * hour),
        replace(FLAT, ut_datetime=SCIENCE.ut_datetime + 91 * 24 * hour),
    ]
    keys = [preference_key(rule, frame, flat) for flat in order]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


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


def test_raw_sets_have_the_rule_of_their_master_and_more_to_share():
    for raw, master in (("dark", "processed_dark"), ("flat", "processed_flat"), ("lampoff_flat", "processed_flat")):
        assert RULE[raw].criteria == RULE[master].criteria
        assert RULE[raw].tags
    assert [criterion.quantity for criterion in RULE["dark"].set_quantities] == ["coadds"]
    assert (RULE["lampoff_flat"].window.days_before, RULE["lampoff_flat"].window.days_after) == (1, 1)


def test_every_rule_names_quantities_that_frames_have():
    for rule in RULES:
        names = [criterion.quantity for criterion in (*rule.criteria, *rule.set_quantities)]
        names += [doubt.quantity for doubt in rule.doubts if doubt.trigger is not Trigger.AGE]
        assert all(hasattr(SCIENCE, name) for name in names), rule.caltype
    assert rules_of("GNIRS") == RULES
