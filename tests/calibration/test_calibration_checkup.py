from __future__ import annotations

import os

import pytest
from tiny_frames import MASTER_DARK, MASTER_FLAT, write_frame

from keyhole.calibration import CalibrationStore
from keyhole.calibration import entries as entries_module
from keyhole.calibration.checkup import Kind, check_files
from keyhole.calibration.entries import is_gone


@pytest.fixture
def store(tmp_path):
    made = CalibrationStore(tmp_path / "cal_manager.db")
    made.create()
    (tmp_path / "b").mkdir()
    return made


def problems(store):
    return [(problem.kind, problem.entry.name, problem.words) for problem in check_files(store.entries())]


def test_files_that_are_what_they_were_are_no_problem(store, tmp_path):
    store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    store.add(write_frame(tmp_path / "b" / "a_dark.fits", MASTER_DARK, EXPTIME=2.0))
    assert problems(store) == []


def test_a_missing_file_is_to_be_put_back_or_forgotten(store, tmp_path):
    file = write_frame(tmp_path / "a dark.fits", MASTER_DARK)
    store.add(file)
    file.unlink()
    [(kind, name, words)] = problems(store)
    assert (kind, name) == (Kind.MISSING, "a dark.fits")
    assert words == f"a dark.fits: {file} is gone; put it back, or forget it: caldb remove 'a dark.fits'"


def test_a_missing_file_whose_name_others_share_cannot_be_forgotten_alone(store, tmp_path):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    store.add(file)
    store.add(write_frame(tmp_path / "b" / "a_dark.fits", MASTER_DARK, EXPTIME=2.0))
    file.unlink()
    [(_, _, words)] = problems(store)
    assert "forget all files of this name (caldb remove a_dark.fits) and add the others again" in words


def test_a_missing_file_whose_content_is_elsewhere_is_followed_by_adding_that_again(store, tmp_path):
    files = [tmp_path / "a_dark.fits", tmp_path / "b" / "a_dark.fits"]
    for file in files:
        store.add(write_frame(file, MASTER_DARK))
    files[0].unlink()
    [(kind, _, words)] = problems(store)
    assert kind is Kind.MISSING
    assert words.endswith(f"its content is at {files[1]}: caldb add {files[1]}")
    store.add(files[1])
    assert problems(store) == []
    assert [entry.path for entry in store.entries()] == [str(files[1])]


@pytest.mark.parametrize("exposure", [60.0, 61.0])
def test_a_changed_file_is_found_by_size_or_checksum(store, tmp_path, exposure):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    store.add(file)
    if exposure == 60.0:
        file.write_bytes(file.read_bytes() + b"more")
    else:
        write_frame(file, MASTER_DARK, EXPTIME=exposure)
    [(kind, _, words)] = problems(store)
    assert kind is Kind.CHANGED
    assert words.endswith(f"has changed since it was added and is not used; if that is right: caldb add {file}")


def test_a_change_that_the_file_system_hides_is_found_nevertheless(store, tmp_path):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    store.add(file)
    before = file.stat()
    write_frame(file, MASTER_DARK, pixel=1)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [kind for kind, _, _ in problems(store)] == [Kind.CHANGED]


def test_the_same_content_at_several_places_is_told_once(store, tmp_path):
    files = [tmp_path / "z_dark.fits", tmp_path / "a_dark.fits", tmp_path / "b" / "c_dark.fits"]
    for file in files:
        store.add(write_frame(file, MASTER_DARK))
    [(kind, name, words)] = problems(store)
    assert (kind, name) == (Kind.DUPLICATE, "z_dark.fits")
    assert words.startswith(f"z_dark.fits: {files[0]} has the same content as {files[1]}, {files[2]}; delete")
    for file in files[1:]:
        file.unlink()
    store.add(files[0])
    assert problems(store) == []
    assert len(store.entries()) == 1


def test_copies_that_have_changed_are_no_duplicates_any_more(store, tmp_path):
    for name in ("a_dark.fits", "b_dark.fits"):
        store.add(write_frame(tmp_path / name, MASTER_DARK))
    write_frame(tmp_path / "b_dark.fits", MASTER_DARK, pixel=1)
    assert [(kind, name) for kind, name, _ in problems(store)] == [(Kind.CHANGED, "b_dark.fits")]


def test_what_cannot_be_looked_at_is_unreadable_not_missing(store, tmp_path, monkeypatch):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    store.add(file)

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as denied:
        denied.setattr("keyhole.calibration.checkup.checksum", refuse)
        assert problems(store)[0][0] is Kind.UNREADABLE
    with monkeypatch.context() as denied:
        denied.setattr(entries_module.os, "stat", refuse)
        assert not is_gone(file)
    assert is_gone(tmp_path / "nothing")
    assert is_gone(file / "below a file")


def test_problems_come_in_the_order_of_kind_and_name(store, tmp_path):
    for name in ("d_dark.fits", "c_dark.fits", "x_flat.fits", "y_flat.fits", "gone_dark.fits"):
        cards = MASTER_FLAT if "flat" in name else MASTER_DARK
        store.add(write_frame(tmp_path / name, cards, pixel=ord(name[0]) if "dark" in name else 0))
    (tmp_path / "gone_dark.fits").unlink()
    for name in ("d_dark.fits", "c_dark.fits"):
        write_frame(tmp_path / name, MASTER_DARK, pixel=1)
    found = check_files(store.entries())
    assert [(problem.kind.value, problem.entry.name) for problem in found] == [
        ("missing", "gone_dark.fits"),
        ("changed", "c_dark.fits"),
        ("changed", "d_dark.fits"),
        ("duplicate", "x_flat.fits"),
    ]
    assert list(found[-1].as_dict()) == ["problem", "name", "path", "type", "others", "advice"]
    assert found[-1].as_dict()["others"] == [str(tmp_path / "y_flat.fits")]
