"""Many processes that use one database at the same time: nothing is lost, and nobody is turned away."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from tiny_frames import MASTER_DARK, SCIENCE, write_frame
from version_one import make_version_one

from keyhole.calibration import CalibrationStore

WORKERS = 8


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masters")
    return [
        write_frame(folder / f"{number:03d}_dark.fits", MASTER_DARK, pixel=number, PROCMODE="sq")
        for number in range(64)
    ]


@pytest.fixture
def together(nursery, tmp_path):
    """Run jobs at the same time; none may fail or say a word about locks."""

    def run(*jobs):
        outputs = [tmp_path / f"output{number}.txt" for number in range(len(jobs))]
        numbers = [nursery.start(output, *job) for output, job in zip(outputs, jobs, strict=True)]
        codes = [nursery.wait(number) for number in numbers]
        texts = [output.read_text() for output in outputs]
        assert codes == [0] * len(jobs), "\n".join(texts)
        assert not any("locked" in text or "error" in text for text in texts)
        return texts

    return run


def test_eight_processes_make_one_database_and_fill_it_while_they_ask(location, masters, together, tmp_path):
    frame = write_frame(tmp_path / "science.fits", SCIENCE, EXPTIME=30.0)
    init, show = ["init", "-d", location], ["list", "-d", location]
    adders = []
    for number in range(WORKERS):
        # Three eighths of the masters, so that each is added by three processes, in an order of its own.
        mine = [str(file) for file in masters if (int(file.name[:3]) - number) % WORKERS < 3]
        random.Random(number).shuffle(mine)
        adding = [["add", "-d", location, *mine[start : start + 3]] for start in range(0, len(mine), 3)]
        adders.append(("caldb", init, *adding, show))
    together(*adders[:-2], ("caldb", init, show), ("caldb", init, show))
    together(*adders[-2:], *(("ask", location, str(frame), 25),) * 6)
    entries = CalibrationStore(location).entries()
    assert [entry.path for entry in entries] == sorted(map(str, masters))
    assert len({entry.id for entry in entries}) == len(masters)
    if "://" not in location:
        with closing(sqlite3.connect(location)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_same_file_added_by_all_at_once_is_one_entry(store, masters, together):
    together(*(("caldb", *[["add", "-d", store.address, str(masters[0])]] * 5),) * WORKERS)
    assert [entry.name for entry in store.entries()] == ["000_dark.fits"]


def test_an_old_database_that_all_open_at_once_is_brought_up_to_date_once(location, masters, together):
    make_version_one(location, masters)
    texts = together(*(("caldb", ["list", "-d", location]),) * WORKERS)
    assert {text.count("_dark.fits ") for text in texts} == {len(masters)}
    assert {entry.facts.processing_mode for entry in CalibrationStore(location).entries()} == {"sq"}


def test_wiping_and_adding_at_once_disturbs_nobody(location, masters, together):
    wipe, add = ["init", "-w", "-d", location], ["add", "-d", location, *map(str, masters[:4])]
    CalibrationStore(location).create()
    together(*(("caldb", wipe, add, ["list", "-d", location], wipe, add),) * WORKERS)
    assert [entry.name for entry in CalibrationStore(location).entries()] == [file.name for file in masters[:4]]


def test_files_that_are_no_databases_are_replaced_once_by_all_who_wipe(tmp_path, masters, together):
    for content in ("", "no database\n" * 500):
        database = tmp_path / "cal_manager.db"
        database.write_text(content)
        jobs = [("caldb", ["init", "-w", "-d", str(database)], ["init", "-d", str(database)])] * WORKERS
        together(*jobs)
        assert CalibrationStore(database).entries() == []
        assert CalibrationStore(database).add(masters[0]).id == 1
        database.unlink()


def test_rebuilding_loses_nothing_that_others_add_meanwhile(store, masters, together, tmp_path):
    folder = str(masters[0].parent)
    (tmp_path / "more").mkdir()
    more = [
        str(write_frame(tmp_path / "more" / f"m{number:02d}_dark.fits", MASTER_DARK, pixel=number, EXPTIME=5.0))
        for number in range(24)
    ]
    adding = [("caldb", *(["add", "-d", store.address, file] for file in more[part::6])) for part in range(6)]
    together(*(("caldb", *[["rebuild", "-d", store.address, folder]] * 3),) * 2, *adding)
    assert [entry.path for entry in store.entries()] == sorted(
        [*map(str, masters), *more], key=lambda path: path.rpartition("/")[2]
    )
