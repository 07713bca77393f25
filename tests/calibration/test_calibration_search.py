from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tiny_frames import MASTER_DARK, MASTER_FLAT, SCIENCE, write_frame

from keyhole.calibration import CalibrationStore, Found, Grade, Missing, explain, facts_of, find, find_for_frames
from keyhole.headers import read_headers


class CountingStore:
    """A database that counts the questions."""

    def __init__(self, inner):
        self.inner = inner
        self.location = inner.location
        self.asked = 0

    def fitting(self, rule, frames, *, limit):
        self.asked += 1
        return self.inner.fitting(rule, frames, limit=limit)


@pytest.fixture
def frame(tmp_path):
    return facts_of(read_headers(write_frame(tmp_path / "N20120117S0019.fits", SCIENCE)))


def test_the_dark_of_the_tutorial_is_found_with_one_clear_line(store, frame, tmp_path):
    file = write_frame(tmp_path / "N20120102S0538_dark.fits", MASTER_DARK)
    store.add(file)
    found = find([store], frame, "processed_dark")
    assert isinstance(found, Found)
    assert (found.path, found.database) == (file, store.location)
    assert found.judgement.doubts == ("1 coadd of 60 s, frame has 2 coadds of 30 s; same total exposure",)
    assert found.grade is Grade.DOUBTFUL
    assert found.warnings == ()
    assert found.judgement.reason == f"{found.judgement.doubts[0]}; 14.5 days before the frame"


def test_equal_coadds_win_over_a_nearer_dark(store, frame, tmp_path):
    store.add(write_frame(tmp_path / "near_dark.fits", MASTER_DARK, DATE_OBS="2012-01-16"))
    store.add(write_frame(tmp_path / "far_dark.fits", MASTER_DARK, DATE_OBS="2011-12-01", COADDS=2))
    found = find([store], frame, "processed_dark")
    assert found.entry.name == "far_dark.fits"
    assert found.grade is Grade.GOOD


def test_the_nearest_in_time_wins_before_or_after(store, frame, tmp_path):
    for day in ("2012-01-02", "2012-01-19", "2011-12-30"):
        store.add(write_frame(tmp_path / f"{day}_dark.fits", MASTER_DARK, DATE_OBS=day))
    assert find([store], frame, "processed_dark").entry.name == "2012-01-19_dark.fits"


def test_of_two_equal_ones_the_last_added_wins(store, frame, tmp_path):
    for folder in ("b", "a"):
        (tmp_path / folder).mkdir()
        store.add(write_frame(tmp_path / folder / "x_flat.fits", MASTER_FLAT))
    assert find([store], frame, "processed_flat").path.parent.name == "a"


def test_the_same_observation_is_preferred_among_the_flats_of_a_night(store, frame, tmp_path):
    store.add(write_frame(tmp_path / "same_flat.fits", MASTER_FLAT, UT="09:41:49.5"))
    store.add(write_frame(tmp_path / "other_flat.fits", MASTER_FLAT, UT="05:31:49.5", OBSID="GN-2011B-Q-1-1"))
    found = find([store], frame, "processed_flat")
    assert found.entry.name == "same_flat.fits"
    assert found.grade is Grade.IDEAL


@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_a_file_that_is_gone_or_changed_gives_way_to_the_next_best(store, frame, tmp_path, damage):
    best = write_frame(tmp_path / "best_dark.fits", MASTER_DARK, DATE_OBS="2012-01-16")
    store.add(best)
    store.add(write_frame(tmp_path / "next_dark.fits", MASTER_DARK))
    if damage == "deleted":
        best.unlink()
    else:
        write_frame(best, MASTER_DARK, DATE_OBS="2012-01-16", pixel=1)
    found = find([store], frame, "processed_dark")
    assert found.entry.name == "next_dark.fits"
    (warning,) = found.warnings
    assert "best_dark.fits" in warning
    assert {"deleted": "no longer on disk", "changed": "has changed"}[damage] in warning


def test_a_fitting_but_lost_file_is_what_the_explanation_names(store, frame, tmp_path):
    lost = write_frame(tmp_path / "lost_dark.fits", MASTER_DARK)
    store.add(lost)
    lost.unlink()
    missing = find([store], frame, "processed_dark")
    assert isinstance(missing, Missing)
    assert "no longer on disk" in missing.sentence
    assert missing.explanation.candidates[0].problem is not None
    assert "no longer on disk" in missing.explanation.verdict
    assert missing.explanation.command is None


def test_databases_are_asked_in_order(store, frame, tmp_path):
    second = CalibrationStore(tmp_path / "second.db")
    second.create()
    second.add(write_frame(tmp_path / "second_dark.fits", MASTER_DARK, DATE_OBS="2012-01-17"))
    assert find([store, second], frame, "processed_dark").database == second.location
    store.add(write_frame(tmp_path / "first_dark.fits", MASTER_DARK))
    assert find([store, second], frame, "processed_dark").database == store.location
    assert explain([store, second], frame, "processed_dark").chosen.database == store.location


def test_a_doubtful_one_gives_way_to_a_better_one_of_a_later_database(store, frame, tmp_path):
    store.add(write_frame(tmp_path / "doubtful_dark.fits", MASTER_DARK, DATE_OBS="2012-01-17"))
    second = CalibrationStore(tmp_path / "second.db")
    second.create()
    second.add(write_frame(tmp_path / "good_dark.fits", MASTER_DARK, COADDS=2))
    found = find([store, second], frame, "processed_dark")
    assert (found.entry.name, found.grade) == ("good_dark.fits", Grade.GOOD)
    told = explain([store, second], frame, "processed_dark")
    assert [candidate.entry.name for candidate in told.candidates] == ["good_dark.fits", "doubtful_dark.fits"]


def test_every_near_miss_is_explained_nearest_first(store, frame, tmp_path):
    store.add(write_frame(tmp_path / "far_dark.fits", MASTER_DARK, LNRS=1, NDAVGS=1, EXPTIME=10.0))
    store.add(write_frame(tmp_path / "old_dark.fits", MASTER_DARK, DATE_OBS="2011-10-15"))
    store.add(write_frame(tmp_path / "near_dark.fits", MASTER_DARK, LNRS=1))
    missing = find([store], frame, "processed_dark")
    assert isinstance(missing, Missing)
    told = missing.explanation
    assert [candidate.words for candidate in told.candidates] == [
        "near_dark.fits: read mode Bright Objects, needed Faint Objects",
        "old_dark.fits: 93.5 days before the frame, limit 90 days",
        "far_dark.fits: read mode Very Bright Objects, needed Faint Objects; "
        "total exposure 10 s, needed 60 s (2 coadds of 30 s)",
    ]
    assert told.candidates[1].near_miss == (
        "same array, read mode, well depth and total exposure, but 93.5 days before the frame, limit 90 days"
    )
    assert told.total == 3
    assert told.command == f"reduce {frame.name} --user_cal processed_dark:{tmp_path}/near_dark.fits"
    for words in (
        "N20120117S0019.fits: no dark found",
        "read mode Faint Objects",
        "near_dark.fits",
        "2 more do not fit",
        "caldb add",
        "--user_cal processed_dark:FILE",
    ):
        assert words in missing.sentence


def test_an_empty_and_an_absent_database_are_told_apart(store, frame):
    assert store.location in find([store], frame, "processed_flat").sentence
    assert "there is no calibration database" in find([], frame, "processed_flat").sentence


def test_an_instrument_without_a_rule_is_named(store, frame):
    missing = find([store], replace(frame, instrument="NIRI"), "processed_dark")
    assert "no rule for this instrument" in missing.sentence
    assert "NIRI" in missing.sentence


def test_frames_that_differ_in_time_only_share_one_query(store, frame, tmp_path):
    store.add(write_frame(tmp_path / "before_flat.fits", MASTER_FLAT, UT="05:00:00"))
    store.add(write_frame(tmp_path / "after_flat.fits", MASTER_FLAT, UT="09:00:00"))
    counting = CountingStore(store)
    frames = [replace(frame, name=str(n), ut_datetime=frame.ut_datetime + n * timedelta(minutes=20)) for n in range(9)]
    answers = find_for_frames([counting], frames, "processed_flat")
    assert counting.asked == 1
    # 05:42 + 80 min = 07:02 is the first one nearer to 09:00.
    assert [answer.entry.name for answer in answers] == 4 * ["before_flat.fits"] + 5 * ["after_flat.fits"]
    assert [answer.frame for answer in answers] == frames


def test_answers_keep_the_order_of_different_frames(store, frame, tmp_path):
    store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    other = replace(frame, name="other", exposure_time=5.0)
    one, two, three = find_for_frames([store], [frame, other, frame], "processed_dark")
    assert isinstance(one, Found)
    assert isinstance(two, Missing)
    assert two.frame.name == "other"
    assert one == three


def test_no_frames_no_answers(store):
    assert find_for_frames([store], [], "processed_dark") == []
