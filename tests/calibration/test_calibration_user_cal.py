from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tiny_frames import DARK, MASTER_BPM, MASTER_DARK, MASTER_FLAT, SCIENCE, write_frame

from keyhole.calibration import Grade, facts_of, judge_given, parse_user_cals
from keyhole.errors import CalibrationError, DataError, InputError, ParameterError
from keyhole.headers import read_headers


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frame(Path("x_dark.fits"), MASTER_DARK)
    write_frame(Path("x_flat.fits"), MASTER_FLAT)
    write_frame(Path("x_bpm.fits"), MASTER_BPM)
    return tmp_path


def test_each_type_gets_its_file(files):
    cals = parse_user_cals(["processed_dark:x_dark.fits", "processed_flat:x_flat.fits", "processed_bpm:x_bpm.fits"])
    assert {caltype: str(given.path) for caltype, given in cals.by_type.items()} == {
        "processed_dark": "x_dark.fits",
        "processed_flat": "x_flat.fits",
        "processed_bpm": "x_bpm.fits",
    }
    assert cals.get("processed_dark").facts.exposure_time == 60.0
    assert cals.get("processed_arc") is None
    assert cals.notes == ()


def test_no_words_give_nothing():
    assert parse_user_cals([]).by_type == {}


def test_a_path_may_hold_colons(files):
    write_frame(Path("a:b:c_dark.fits"), MASTER_DARK)
    assert parse_user_cals(["processed_dark:a:b:c_dark.fits"]).get("processed_dark").path == Path("a:b:c_dark.fits")


def test_the_last_of_a_type_counts_and_that_is_said(files):
    write_frame(Path("y_dark.fits"), MASTER_DARK)
    cals = parse_user_cals(["processed_dark:x_dark.fits", "processed_dark:y_dark.fits"])
    assert cals.get("processed_dark").path == Path("y_dark.fits")
    (note,) = cals.notes
    assert "y_dark.fits replaces x_dark.fits" in note


@pytest.mark.parametrize("name", ["arc", "bias", "dark", "flat", "fringe", "standard", "bpm"])
def test_every_published_type_is_known(name):
    with pytest.raises(InputError, match="no such file"):
        parse_user_cals([f"processed_{name}:missing.fits"])


@pytest.mark.parametrize("word", ["processed_drak:x_dark.fits", "dark:x_dark.fits", "bpm:x_bpm.fits", ":x_dark.fits"])
def test_any_other_type_is_refused_with_the_list_of_known_ones(files, word):
    with pytest.raises(ParameterError, match="processed_arc, processed_bias, processed_bpm, processed_dark"):
        parse_user_cals([word])


def test_a_slip_of_the_pen_is_recognised(files):
    with pytest.raises(ParameterError, match="did you mean processed_dark"):
        parse_user_cals(["processed_drak:x_dark.fits"])


@pytest.mark.parametrize("word", ["x_dark.fits", "./odd:name/x_dark.fits"])
def test_a_forgotten_type_is_named_with_what_to_write(files, word):
    with pytest.raises(ParameterError, match=f"the type is missing.*processed_dark:{word}"):
        parse_user_cals([word])


def test_a_forgotten_file_is_named(files):
    with pytest.raises(ParameterError, match="the file is missing"):
        parse_user_cals(["processed_dark:"])


def test_a_file_of_another_kind_is_refused(files):
    with pytest.raises(CalibrationError, match=r"x_flat\.fits: the file is a flat .*give a processed dark"):
        parse_user_cals(["processed_dark:x_flat.fits"])
    write_frame(Path("raw.fits"), DARK)
    with pytest.raises(CalibrationError, match="no processed calibration"):
        parse_user_cals(["processed_dark:raw.fits"])


def test_a_damaged_file_is_refused(files):
    Path("x_dark.fits").write_bytes(Path("x_dark.fits").read_bytes()[:-2875])
    with pytest.raises(DataError, match=r"x_dark\.fits"):
        parse_user_cals(["processed_dark:x_dark.fits"])


def test_a_given_calibration_that_breaks_the_rule_is_told_once_for_all_frames(files):
    frame = facts_of(read_headers(write_frame(Path("a.fits"), SCIENCE)))
    write_frame(Path("z_dark.fits"), MASTER_DARK, EXPTIME=10.0, DATE_OBS="2011-01-01")
    cals = parse_user_cals(["processed_dark:z_dark.fits", "processed_flat:x_flat.fits"])
    frames = [replace(frame, ut_datetime=frame.ut_datetime + timedelta(minutes=n)) for n in range(3)]
    against = judge_given(cals.by_type["processed_dark"], frames)
    assert against.warnings == (
        "dark z_dark.fits, given by hand: total exposure 10 s, needed 60 s (2 coadds of 30 s)",
        "dark z_dark.fits, given by hand: 380.5 days before the frame, limit 90 days",
    )
    assert against.grade is Grade.BY_HAND
    fitting = judge_given(cals.by_type["processed_flat"], frames)
    assert (fitting.grade, fitting.warnings) == (Grade.IDEAL, ())
    assert fitting.reason == "same night, same observation, 1.3 h after the frame"


def test_the_dark_of_the_tutorial_given_by_hand_tells_its_coadds(files):
    frame = facts_of(read_headers(write_frame(Path("a.fits"), SCIENCE)))
    given = parse_user_cals(["processed_dark:x_dark.fits"]).by_type["processed_dark"]
    verdict = judge_given(given, [frame, frame])
    (line,) = verdict.warnings
    assert "same total exposure" in line
    assert verdict.grade is Grade.DOUBTFUL


def test_of_several_frames_the_worst_grade_counts(files):
    frame = facts_of(read_headers(write_frame(Path("a.fits"), SCIENCE, COADDS=1, EXPTIME=60.0)))
    given = parse_user_cals(["processed_dark:x_dark.fits"]).by_type["processed_dark"]
    other = replace(frame, read_mode="Bright Objects")
    assert judge_given(given, [frame, frame]).grade is Grade.GOOD
    assert judge_given(given, [frame, other, frame]).grade is Grade.BY_HAND
