"""Databases that older and newer versions of the program made."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from tiny_frames import MASTER_BPM, MASTER_DARK, MASTER_FLAT, write_frame
from version_one import make_version_one

from keyhole.calibration.database import SCHEMA_VERSION, CalibrationStore, versions
from keyhole.calibration.database.schema import CALIBRATION
from keyhole.calibration.entries import is_unchanged
from keyhole.calibration.rules import RULES
from keyhole.errors import SetupError


def run_sql(location, statement, *values):
    """Run a statement behind the back of the program; gives the rows of a question."""
    if "://" in location:
        with psycopg.connect(location) as server:
            cursor = server.execute(statement.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(location)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def columns(location):
    with CalibrationStore(location)._begin(write=False) as connection:
        return _columns(sa.inspect(connection))


def _columns(found):
    indexes = {index["name"] for index in found.get_indexes("keyhole_calibration") if not index["unique"]}
    return {column["name"] for column in found.get_columns("keyhole_calibration")}, indexes


@pytest.fixture
def masters(tmp_path):
    """A dark and a flat that stay, one that will be changed, and one that will be gone."""
    return [
        write_frame(tmp_path / "a_dark.fits", MASTER_DARK, PROCMODE="sq"),
        write_frame(tmp_path / "b_flat.fits", MASTER_FLAT, PROCMODE="ql"),
        write_frame(tmp_path / "c_dark.fits", MASTER_DARK, PROCMODE="sq", EXPTIME=30.0),
        write_frame(tmp_path / "d_bpm.fits", MASTER_BPM, PROCMODE="sq"),
    ]


def test_an_old_database_gains_what_the_files_tell(location, masters, tmp_path, caplog):
    make_version_one(location, masters)
    write_frame(masters[2], MASTER_DARK, PROCMODE="qa", EXPTIME=30.0)  # same size, other content
    masters[3].unlink()
    with caplog.at_level(logging.INFO, "keyhole"):
        entries = CalibrationStore(location).entries()
    assert [(entry.name, entry.facts.night, entry.facts.processing_mode) for entry in entries] == [
        ("a_dark.fits", "2012-01-01", "sq"),
        ("b_flat.fits", "2012-01-16", "ql"),
        ("c_dark.fits", None, None),
        ("d_bpm.fits", None, None),
    ]
    assert [entry.id for entry in entries] == [1, 2, 3, 4]
    assert entries[0].facts.exposure_time == 60.0
    assert "from format 1 to 2" in caplog.text
    assert run_sql(location, "SELECT version FROM keyhole_schema") == [(SCHEMA_VERSION,)]
    fresh = CalibrationStore(tmp_path / "new.db")
    fresh.create()
    assert columns(location) == columns(str(tmp_path / "new.db"))


@pytest.mark.parametrize("use", ["add", "remove", "create", "import"])
def test_an_old_database_is_brought_up_to_date_by_whatever_uses_it_first(location, masters, use):
    make_version_one(location, masters[:2])
    store = CalibrationStore(location)
    if use == "add":
        store.add(masters[2])
    elif use == "remove":
        assert [entry.facts.processing_mode for entry in store.remove("a_dark.fits")] == ["sq"]
    elif use == "create":
        assert store.create() is False
    else:
        store.import_entries([])
    assert run_sql(location, "SELECT version FROM keyhole_schema") == [(SCHEMA_VERSION,)]
    assert "ql" in [entry.facts.processing_mode for entry in store.entries()]


def test_an_old_database_can_be_wiped(location, masters):
    make_version_one(location, masters)
    assert CalibrationStore(location).create(wipe=True) is True
    assert CalibrationStore(location).entries() == []


def test_an_empty_old_database_is_brought_up_to_date(location):
    make_version_one(location)
    assert CalibrationStore(location).entries() == []


def test_adding_a_file_again_fills_in_what_was_not_known(location, masters):
    make_version_one(location, masters[:1])
    masters[0].rename(masters[0].with_name("away"))
    [before] = CalibrationStore(location).entries()
    masters[0].with_name("away").rename(masters[0])
    after = CalibrationStore(location).add(masters[0])
    assert (before.facts.night, after.facts.night) == (None, "2012-01-01")
    assert (after.id, after.added) == (before.id, before.added)


def test_of_several_that_find_an_old_database_one_does_the_work(location, masters, monkeypatch):
    make_version_one(location, masters)
    done = []
    add_columns = versions._add_columns
    monkeypatch.setattr(versions, "_add_columns", lambda *given: (done.append(1), add_columns(*given)))
    # All have seen the old version before the first one begins to change it.
    together = threading.Barrier(6)
    here = threading.local()
    quantities = versions._quantities

    def wait_and_read(*given):
        if not hasattr(here, "waited"):
            here.waited = True
            together.wait(20)
        return quantities(*given)

    monkeypatch.setattr(versions, "_quantities", wait_and_read)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(len(CalibrationStore(location).entries()))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4] * 6
    assert len(done) == 1


def test_what_an_old_program_adds_meanwhile_is_not_lost(location, masters, tmp_path, monkeypatch):
    make_version_one(location, masters[:1])
    quantities = versions._quantities
    late = masters[1]

    def somebody_adds(entries, version):
        if len(entries) == 1 and entries[0].name == "a_dark.fits":
            other = str(tmp_path / "other.db")
            make_version_one(other, [late])
            later = {"id", "night", "processing_mode"}
            names = [column.name for column in CALIBRATION.columns if column.name not in later]
            [row] = run_sql(other, f"SELECT {', '.join(names)} FROM keyhole_calibration")
            marks = ", ".join("?" * len(names))
            run_sql(location, f"INSERT INTO keyhole_calibration ({', '.join(names)}) VALUES ({marks})", *row)
        return quantities(entries, version)

    monkeypatch.setattr(versions, "_quantities", somebody_adds)
    modes = {entry.name: entry.facts.processing_mode for entry in CalibrationStore(location).entries()}
    assert modes == {"a_dark.fits": "sq", "b_flat.fits": "ql"}


def test_a_failure_in_the_middle_leaves_the_old_database(location, masters, monkeypatch):
    make_version_one(location, masters)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(versions, "_fill", fail)
        with pytest.raises(KeyboardInterrupt):
            CalibrationStore(location).entries()
    assert run_sql(location, "SELECT version FROM keyhole_schema") == [(1,)]
    assert len(run_sql(location, "SELECT * FROM keyhole_calibration")[0]) == 27
    assert len(CalibrationStore(location).entries()) == 4


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0])
def test_a_database_of_another_format_is_refused_in_one_sentence_and_not_touched(store, masters, version):
    store.add(masters[0])
    run_sql(store.address, "UPDATE keyhole_schema SET version = ?", version)
    expected = rf"has format {version}, this program knows formats up to {SCHEMA_VERSION}; update Keyhole, or .* -d"
    for use in (
        lambda: CalibrationStore(store.address).entries(),
        lambda: CalibrationStore(store.address).add(masters[1]),
        lambda: CalibrationStore(store.address).create(),
        # It was of this version when this one first used it.
        lambda: store.add(masters[1]),
        lambda: store.remove("a_dark.fits"),
    ):
        with pytest.raises(SetupError, match=expected):
            use()
    assert run_sql(store.address, "SELECT name FROM keyhole_calibration") == [("a_dark.fits",)]


def test_every_rule_has_an_index_for_what_must_be_equal_before_the_time():
    indexes = [[column.name for column in index.columns] for index in CALIBRATION.indexes]
    for rule in RULES:
        equal = {"caltype", *(criterion.quantity for criterion in rule.criteria if criterion.tolerance is None)}
        heads = [set(names[: names.index("ut_microseconds")]) for names in indexes if "ut_microseconds" in names]
        assert equal in heads, f"a new version of the tables needs an index for {rule.caltype}"


def test_a_file_that_nobody_touched_is_unchanged_without_reading_it(tmp_path, monkeypatch):
    store = CalibrationStore(tmp_path / "cal_manager.db")
    store.create()
    entry = store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    later = replace(entry, added=entry.added + timedelta(hours=1))
    assert is_unchanged(entry)
    monkeypatch.setattr("keyhole.calibration.entries.checksum", lambda _path: "read")
    assert not is_unchanged(entry)
    assert is_unchanged(later)
    write_frame(tmp_path / "a_dark.fits", MASTER_DARK, COMMENT2="x" * 3000)
    assert not is_unchanged(later)
