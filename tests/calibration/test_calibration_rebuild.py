"""Databases that are made anew from the files, filled in bulk, or filled file by file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from known_facts import SCIENCE as FACTS
from tiny_frames import MASTER_BPM, MASTER_DARK, MASTER_FLAT, SCIENCE, write_frame

from keyhole.calibration import service
from keyhole.calibration.database import CalibrationStore, register
from keyhole.calibration.database import store as store_module
from keyhole.calibration.entries import Entry
from keyhole.errors import CalibrationError, DataError, InputError, ParameterError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "masters"
    (made / "deep").mkdir(parents=True)
    write_frame(made / "a_dark.fits", MASTER_DARK)
    write_frame(made / "deep" / "b_flat.fits", MASTER_FLAT)
    return made


def names(store):
    return [entry.name for entry in store.entries()]


# -- rebuild -----------------------------------------------------------------------------------------------


def test_a_rebuilt_database_holds_what_the_files_say_now(store, folder):
    first = list(store.add_all(sorted(folder.rglob("*.fits"))))
    write_frame(folder / "a_dark.fits", MASTER_DARK, EXPTIME=30.0)
    write_frame(folder / "c_bpm.fits", MASTER_BPM)
    rebuilt = service.rebuild(store, [folder])
    assert rebuilt.dropped == rebuilt.damaged == []
    dark, flat, bpm = store.entries()
    assert (dark.facts.exposure_time, bpm.caltype) == (30.0, "processed_bpm")
    # What did not change keeps its place in the order of addition.
    assert flat == first[1].outcome
    assert dark.id > flat.id


def test_rebuilding_twice_changes_nothing(store, folder):
    service.rebuild(store, [folder])
    before = store.entries()
    service.rebuild(store, [folder, folder / "deep", f"{folder}/deep/.."])
    assert store.entries() == before


def test_a_database_that_does_not_exist_is_made_by_rebuilding(tmp_path, folder):
    store = CalibrationStore(tmp_path / "db" / "cal_manager.db")
    service.rebuild(store, [folder])
    assert names(store) == ["a_dark.fits", "b_flat.fits"]


def test_entries_of_files_elsewhere_are_kept_as_long_as_these_exist(store, folder, tmp_path):
    stays = store.add(write_frame(tmp_path / "x_dark.fits", MASTER_DARK, EXPTIME=1.0))
    goes = store.add(write_frame(tmp_path / "y_dark.fits", MASTER_DARK, EXPTIME=2.0))
    (tmp_path / "y_dark.fits").unlink()
    rebuilt = service.rebuild(store, [folder])
    assert rebuilt.dropped == [goes]
    assert names(store) == ["a_dark.fits", "b_flat.fits", "x_dark.fits"]
    assert stays in store.entries()


def test_a_file_that_moved_below_the_folder_keeps_its_entry(store, folder, tmp_path):
    old = store.add(write_frame(tmp_path / "old_dark.fits", MASTER_DARK, EXPTIME=7.0))
    (tmp_path / "old_dark.fits").rename(folder / "new_dark.fits")
    assert service.rebuild(store, [folder]).dropped == []
    [entry] = [entry for entry in store.entries() if entry.name == "new_dark.fits"]
    assert (entry.id, entry.added, entry.path) == (old.id, old.added, str(folder / "new_dark.fits"))


def test_files_that_cannot_be_used_are_passed_over_and_their_entries_dropped(store, folder):
    service.rebuild(store, [folder])
    (folder / "a_dark.fits").write_text("no longer a file of an astronomer")
    write_frame(folder / "deep" / "b_flat.fits", SCIENCE)
    (folder / "c_dark.fits").write_bytes(write_frame(folder / "d_dark.fits", MASTER_DARK).read_bytes()[:5000])
    rebuilt = service.rebuild(store, [folder])
    assert [entry.name for entry in rebuilt.dropped] == ["a_dark.fits", "b_flat.fits"]
    assert [type(error) for error in rebuilt.damaged] == [DataError, DataError]
    assert rebuilt.left_out == 1
    assert names(store) == ["d_dark.fits"]


def test_a_file_with_an_unusual_name_that_was_added_by_hand_is_kept(store, folder):
    store.add(write_frame(folder / "odd.fit", MASTER_DARK, EXPTIME=3.0))
    service.rebuild(store, [folder])
    assert "odd.fit" in names(store)


def test_what_others_registered_since_a_file_was_read_is_newer(store, folder, monkeypatch):
    read_master = service.read_master

    def read_and_be_overtaken(path):
        master = read_master(path)
        if master.name == "a_dark.fits":
            write_frame(folder / "a_dark.fits", MASTER_DARK, EXPTIME=99.0)
            store.add(path)
            store.add(write_frame(folder / "late_dark.fits", MASTER_DARK, EXPTIME=98.0))
        return master

    monkeypatch.setattr(service, "read_master", read_and_be_overtaken)
    service.rebuild(store, [folder])
    assert names(store) == ["a_dark.fits", "b_flat.fits", "late_dark.fits"]
    assert store.entries()[0].facts.exposure_time == 99.0


def test_a_folder_that_does_not_exist_changes_nothing(store, folder, tmp_path):
    service.rebuild(store, [folder])
    for wrong in (tmp_path / "nowhere", folder / "a_dark.fits"):
        with pytest.raises(InputError, match="no such folder"):
            service.rebuild(store, [folder, wrong])
    assert len(store.entries()) == 2


# -- adding ------------------------------------------------------------------------------------------------


def test_many_files_are_registered_in_order_and_those_that_cannot_be_are_named(store, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_BATCH_FILES", 2)
    raw = write_frame(tmp_path / "raw.fits", SCIENCE)
    files = [
        folder / "a_dark.fits",
        raw,
        tmp_path / "gone.fits",
        folder / "deep" / "b_flat.fits",
        folder / "a_dark.fits",
    ]
    outcomes = list(store.add_all(files))
    assert [added.path for added in outcomes] == list(map(str, files))
    kinds = [type(added.outcome) for added in outcomes]
    assert kinds == [Entry, CalibrationError, InputError, Entry, Entry]
    assert outcomes[0] == outcomes[-1]
    assert len(store.entries()) == 2


def test_whatever_was_handed_out_is_in_the_database_for_good(store, folder, monkeypatch):
    monkeypatch.setattr(store_module, "_BATCH_FILES", 1)
    outcomes = store.add_all([folder / "a_dark.fits", folder / "deep" / "b_flat.fits"])
    next(outcomes)
    assert names(CalibrationStore(store.address)) == ["a_dark.fits"]
    outcomes.close()
    assert names(CalibrationStore(store.address)) == ["a_dark.fits"]


def test_slow_files_do_not_wait_for_each_other(store, folder, monkeypatch):
    monkeypatch.setattr(store_module, "_BATCH_SECONDS", -1.0)
    outcomes = store.add_all([folder / "a_dark.fits", folder / "nothing.fits"])
    assert next(outcomes).outcome == store.entries()[0]


def test_a_folder_that_moved_is_followed_file_by_file(store, folder, tmp_path):
    before = service.add(store, folder)
    folder.rename(tmp_path / "elsewhere")
    after = service.add(store, tmp_path / "elsewhere")
    assert [entry.id for entry in after] == [entry.id for entry in before]
    assert [entry.path for entry in store.entries()] == [
        str(tmp_path / "elsewhere" / "a_dark.fits"),
        str(tmp_path / "elsewhere" / "deep" / "b_flat.fits"),
    ]


def test_a_moved_file_that_replaces_another_one_takes_over_its_place(store, tmp_path):
    old = store.add(write_frame(tmp_path / "old_dark.fits", MASTER_DARK, EXPTIME=1.0))
    new = store.add(write_frame(tmp_path / "new_dark.fits", MASTER_DARK, EXPTIME=2.0))
    (tmp_path / "new_dark.fits").replace(tmp_path / "old_dark.fits")
    entry = store.add(tmp_path / "old_dark.fits")
    assert (entry.id, entry.path, entry.md5) == (new.id, old.path, new.md5)
    assert store.entries() == [entry]


def test_a_damaged_file_among_those_of_a_folder_is_an_error(store, folder):
    (folder / "c_dark.fits").write_text("no image")
    with pytest.raises(DataError, match="c_dark"):
        service.add(store, folder)


def test_impossible_names_and_numbers_are_told_in_one_sentence(store, tmp_path):
    with pytest.raises(InputError, match="not text in UTF-8"):
        store.add(tmp_path / "night\udcff_dark.fits")
    with pytest.raises(DataError, match="no possible number of coadds"):
        store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK, COADDS=10**30))


def test_a_master_without_its_image_is_damaged(store, tmp_path):
    whole = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    whole.write_bytes(whole.read_bytes()[:5760])
    with pytest.raises(DataError, match="there is no image in it"):
        store.add(whole)


def test_a_file_that_cannot_be_read_to_its_end_is_told_in_one_sentence(store, folder, monkeypatch):
    def fail(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("keyhole.calibration.entries.checksum", fail)
    with pytest.raises(InputError, match=r"cannot be read \(Input/output error\)"):
        store.add(folder / "a_dark.fits")


# -- in bulk -----------------------------------------------------------------------------------------------


def test_entries_are_imported_as_they_are_and_replace_those_at_the_same_paths(store, folder, monkeypatch):
    monkeypatch.setattr(register, "_ROWS_AT_ONCE", 3)
    service.add(store, folder)
    known = store.entries()[0]
    facts = replace(FACTS, caltype="processed_dark", name="n.fits")
    new = [
        Entry(0, "n.fits", f"/nowhere/{number}.fits", "m", 7, known.added + timedelta(days=number), facts)
        for number in range(7)
    ]
    changed = replace(known, md5="other")
    assert store.import_entries([*new, changed, replace(changed, size=1)]) == 8
    entries = store.entries()
    assert len(entries) == 9
    assert [replace(entry, id=0) for entry in entries if entry.name == "n.fits"] == new
    numbers = [entry.id for entry in entries if entry.name == "n.fits"]
    assert numbers == sorted(numbers)
    assert [(entry.md5, entry.size) for entry in entries if entry.path == known.path] == [("other", 1)]


def test_types_may_be_named_with_or_without_their_prefix():
    assert service.calibration_types(["dark", "processed_flat", "BPM"]) == (
        "processed_dark",
        "processed_flat",
        "processed_bpm",
    )
    with pytest.raises(ParameterError, match="darks is no type of calibration; known are bpm, dark, flat"):
        service.calibration_types(["darks"])
