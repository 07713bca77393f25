from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_facts import BPM, DARK, FLAT, RULE, SCIENCE
from tiny_frames import DARK as RAW_DARK
from tiny_frames import MASTER_BPM, MASTER_DARK, MASTER_FLAT, write_frame

from keyhole.calibration.database import CalibrationStore
from keyhole.calibration.entries import Entry, checksum
from keyhole.calibration.judging import judge
from keyhole.errors import CalibrationError, DataError, InputError


def entry_of_facts(facts, number):
    """An entry without a file behind it."""
    return Entry(0, facts.name, f"/nowhere/{number}.fits", str(number), 0, SCIENCE.ut_datetime, facts)


def test_a_new_database_is_empty_and_a_second_init_keeps_it(store, tmp_path):
    assert store.entries() == []
    store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    assert store.create() is False
    assert [entry.name for entry in store.entries()] == ["a_dark.fits"]


def test_wiping_empties_the_database(store, tmp_path):
    store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    assert store.create(wipe=True) is True
    assert store.entries() == []


def test_an_entry_tells_everything_about_its_file(store, tmp_path):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    entry = store.add(file)
    assert (entry.name, entry.path, entry.caltype) == ("a_dark.fits", str(file), "processed_dark")
    assert entry.md5 == checksum(file)
    assert entry.size == file.stat().st_size
    assert (entry.facts.exposure_time, entry.facts.coadds) == (60.0, 1)
    assert {"PROCESSED", "DARK"} <= entry.facts.tags
    assert store.entries() == [entry]


def test_adding_the_same_file_twice_changes_nothing(store, tmp_path, monkeypatch):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    first = store.add(file)
    monkeypatch.chdir(tmp_path)
    assert store.add("a_dark.fits") == first
    assert store.entries() == [first]


def test_changed_content_supersedes_the_old_entry(store, tmp_path):
    file = tmp_path / "a_dark.fits"
    first = store.add(write_frame(file, MASTER_DARK))
    second = store.add(write_frame(file, MASTER_DARK, EXPTIME=30.0))
    assert store.entries() == [second]
    assert second.id > first.id
    assert second.facts.exposure_time == 30.0


def test_copies_in_two_folders_are_both_listed(store, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        store.add(write_frame(tmp_path / folder / "x_dark.fits", MASTER_DARK))
    assert [Path(entry.path).parent.name for entry in store.entries()] == ["a", "b"]


def test_a_file_that_moved_is_followed(store, tmp_path):
    file = write_frame(tmp_path / "x_dark.fits", MASTER_DARK)
    store.add(file)
    (tmp_path / "b").mkdir()
    moved = file.rename(tmp_path / "b" / "x_dark.fits")
    store.add(moved)
    assert [entry.path for entry in store.entries()] == [str(moved)]


def test_removing_forgets_the_entry_and_leaves_the_file(store, tmp_path):
    file = write_frame(tmp_path / "x_dark.fits", MASTER_DARK)
    store.add(file)
    assert [entry.path for entry in store.remove("elsewhere/x_dark.fits")] == [str(file)]
    assert store.entries() == []
    assert file.exists()
    assert store.remove("x_dark.fits") == []


def test_a_removed_file_that_is_added_again_counts_as_the_latest(store, tmp_path):
    old = store.add(write_frame(tmp_path / "x_dark.fits", MASTER_DARK))
    store.remove("x_dark.fits")
    assert store.add(tmp_path / "x_dark.fits").id > old.id


def test_entries_can_be_listed_by_type(store, tmp_path):
    store.add(write_frame(tmp_path / "x_dark.fits", MASTER_DARK))
    store.add(write_frame(tmp_path / "x_flat.fits", MASTER_FLAT))
    store.add(write_frame(tmp_path / "x_bpm.fits", MASTER_BPM))
    assert [entry.name for entry in store.entries("processed_bpm")] == ["x_bpm.fits"]


def test_what_is_no_usable_calibration_is_refused(store, tmp_path):
    raw = write_frame(tmp_path / "raw.fits", RAW_DARK)
    with pytest.raises(CalibrationError, match=r"raw\.fits: not a processed calibration"):
        store.add(raw)
    text = tmp_path / "text.fits"
    text.write_text("no image")
    with pytest.raises(DataError):
        store.add(text)
    with pytest.raises(InputError, match="no such file"):
        store.add(tmp_path / "missing.fits")
    cut = write_frame(tmp_path / "cut_dark.fits", MASTER_DARK)
    cut.write_bytes(cut.read_bytes()[:-2875])
    with pytest.raises(DataError):
        store.add(cut)
    assert store.entries() == []


def test_adding_from_several_threads_loses_nothing(store, tmp_path):
    files = [write_frame(tmp_path / f"{n:02d}_dark.fits", MASTER_DARK, pixel=n) for n in range(16)]
    errors = []

    def work(part):
        try:
            for file in part:
                CalibrationStore(store.address).add(file)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(files[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.entries()) == 16


# -- the query and the judgement agree ---------------------------------------------------------------------

_days = st.sampled_from([-91, -90, -89.5, -1, 0, 0.5, 90, 91])
_changes = st.fixed_dictionaries(
    {},
    optional={
        "instrument": st.sampled_from(["GNIRS", "NIRI", None]),
        "array_name": st.sampled_from(["SN7638228.1", "SN7638228.1.2", "UNKNOWN", None]),
        "read_mode": st.sampled_from(["Faint Objects", "Bright Objects", "Unknown", None]),
        "well_depth_setting": st.sampled_from(["Shallow", "Deep", "Unknown", None]),
        "exposure_time": st.sampled_from([60.0, 60.0000001, 60.01, 59.99, 30.0, None]) | st.floats(59.9, 60.1),
        "coadds": st.sampled_from([1, 2, None]),
        "camera": st.sampled_from(["ShortBlue_G5538", "LongBlue_G5542", None]),
        "filter_name": st.sampled_from(["Open&J_G0517", "Open&H_G0516", None]),
        "focal_plane_mask": st.sampled_from(["Acq_G5530&Acq_G5531", None]),
        "disperser": st.sampled_from(["MIRROR", "32/mm_G5533", None]),
        "qa_state": st.sampled_from(["Pass", "Fail", "Undefined", None]),
        "binning": st.sampled_from(["1x1", "2x2", None]),
    },
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    base=st.sampled_from([DARK, FLAT, BPM]),
    frame_changes=_changes,
    candidates=st.lists(st.tuples(_changes, _days | st.none()), max_size=4),
)
def test_the_query_returns_exactly_what_the_rule_passes(store, base, frame_changes, candidates):
    store.create(wipe=True)
    frame = replace(SCIENCE, **frame_changes)
    # Mostly equal to the frame, so that whole matches are not rare.
    shared = {name: value for name, value in frame_changes.items() if name != "qa_state"}
    for number, (changes, days) in enumerate([({}, 0), *candidates]):
        time = None if days is None else SCIENCE.ut_datetime + timedelta(days=days)
        facts = replace(base, ut_datetime=time, **(shared | changes))
        store.import_entries([entry_of_facts(facts, number)])
    rule = RULE[base.caltype]
    found = {entry.id for entry in store.fitting(rule, [frame], limit=99)}
    passed = {entry.id for entry in store.entries() if judge(rule, frame, entry.facts).passed}
    assert found == passed


def test_one_query_for_several_frames_spans_their_windows(store):
    for number, days in enumerate([-91, -89, 95, 101]):
        facts = replace(DARK, ut_datetime=SCIENCE.ut_datetime + timedelta(days=days))
        store.import_entries([entry_of_facts(facts, number)])
    later = replace(SCIENCE, ut_datetime=SCIENCE.ut_datetime + timedelta(days=10))
    found = store.fitting(RULE["processed_dark"], [SCIENCE, later], limit=99)
    assert sorted(entry.path for entry in found) == ["/nowhere/1.fits", "/nowhere/2.fits"]
