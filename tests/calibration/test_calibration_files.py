"""Databases in SQLite files: made, refused, replaced, and read where nothing may be written."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tiny_frames import MASTER_DARK, MASTER_FLAT, write_frame
from version_one import make_version_one

from keyhole.calibration.database import CalibrationStore, connect, files
from keyhole.calibration.database import store as store_module
from keyhole.errors import SetupError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cal_manager.db"


@pytest.fixture
def made(file):
    store = CalibrationStore(file)
    store.create()
    return store


@pytest.fixture
def read_only(monkeypatch):
    monkeypatch.setattr(store_module, "may_write", lambda _path: False)


def add(store, folder, name="a_dark.fits", cards=MASTER_DARK, **changes):
    return store.add(write_frame(folder / name, cards, **changes))


def names(store):
    return [entry.name for entry in store.entries()]


@pytest.fixture
def foreign(file):
    """What another program left there."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            "CREATE TABLE diskfile (id INTEGER PRIMARY KEY AUTOINCREMENT);"
            'CREATE VIEW "a view" AS SELECT * FROM diskfile;'
            'CREATE INDEX by_id ON diskfile (id); INSERT INTO diskfile DEFAULT VALUES; CREATE TABLE "say ""hi""" (x)'
        )
    return file


def test_a_database_that_was_not_made_names_the_way_out(tmp_path):
    with pytest.raises(SetupError, match="caldb init"):
        CalibrationStore(tmp_path / "cal_manager.db").entries()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SetupError, match=r"nowhere.* does not exist"):
        CalibrationStore(tmp_path / "nowhere" / "cal_manager.db").create()


def test_a_file_that_is_no_database_is_refused_and_kept_until_wiped(tmp_path):
    file = tmp_path / "cal_manager.db"
    file.write_text("this is not a database, though its name says so\n" * 100)
    with pytest.raises(SetupError, match="not a calibration database of Keyhole"):
        CalibrationStore(file).entries()
    with pytest.raises(SetupError):
        CalibrationStore(file).create()
    assert file.read_text().startswith("this is")
    assert CalibrationStore(file).create(wipe=True) is True
    assert CalibrationStore(file).entries() == []


def test_a_database_of_another_program_is_refused(tmp_path):
    file = tmp_path / "cal_manager.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE diskfile (id INTEGER)")
    connection.close()
    with pytest.raises(SetupError, match="not a calibration database of Keyhole"):
        CalibrationStore(file).entries()


def test_an_empty_file_counts_as_no_database(tmp_path):
    file = tmp_path / "cal_manager.db"
    file.touch()
    assert CalibrationStore(file).create() is True
    assert CalibrationStore(file).entries() == []


def test_a_folder_with_odd_characters_is_no_obstacle(tmp_path):
    folder = tmp_path / "night ?#%20 ä"
    folder.mkdir()
    store = CalibrationStore(folder / "cal_manager.db")
    store.create()
    store.add(write_frame(folder / "a b_dark.fits", MASTER_DARK))
    assert [entry.path for entry in CalibrationStore(folder / "cal_manager.db").entries()] == [
        str(folder / "a b_dark.fits")
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["a b_dark.fits", "cal_manager.db"]


def test_the_database_writes_ahead(made, tmp_path):
    connection = sqlite3.connect(tmp_path / "cal_manager.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_of_two_that_make_the_database_at_once_the_first_one_stays(tmp_path, monkeypatch):
    path = tmp_path / "cal_manager.db"
    first = CalibrationStore(path)
    first.create()
    first.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    # The second one looked before the first one had finished.
    answers = iter([False])
    monkeypatch.setattr(CalibrationStore, "exists", property(lambda _self: next(answers, True)))
    assert CalibrationStore(path).create() is False
    assert len(first.entries()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a_dark.fits", "cal_manager.db"]


def test_a_damaged_database_is_told_from_a_foreign_one(made, file, tmp_path):
    for number in range(30):
        add(made, tmp_path, f"{number}_dark.fits", pixel=number)
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    file.write_bytes(content)
    with pytest.raises(SetupError, match=r"damaged .*caldb init -w"):
        CalibrationStore(file).entries()
    assert CalibrationStore(file).create(wipe=True) is True
    assert CalibrationStore(file).entries() == []


def test_a_foreign_database_is_emptied_in_place_so_that_nobody_writes_into_the_void(foreign):
    with pytest.raises(SetupError, match="not a calibration database"):
        CalibrationStore(foreign).create()
    before = foreign.stat().st_ino
    assert CalibrationStore(foreign).create(wipe=True) is True
    assert foreign.stat().st_ino == before
    with closing(sqlite3.connect(foreign)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type <> 'index'")}
        assert tables == {"keyhole_schema", "keyhole_calibration", "sqlite_sequence"}
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_another_program_did_not_finish_does_not_spoil_the_new_database(file, tmp_path):
    file.write_text("no database\n" * 1000)
    # A rollback journal or log beside a file would be played back into whatever takes its place.
    for suffix in ("-journal", "-wal", "-shm"):
        file.with_name(file.name + suffix).write_bytes(b"left over" * 1000)
    store = CalibrationStore(file)
    assert store.create(wipe=True) is True
    add(store, tmp_path)
    assert names(CalibrationStore(file)) == ["a_dark.fits"]


def test_a_database_without_any_table_counts_as_not_made(file, tmp_path):
    # As a process leaves it that was killed between opening the file and making the tables.
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert file.stat().st_size > 0
    with pytest.raises(SetupError, match="does not exist; run: caldb init"):
        CalibrationStore(file).entries()
    assert CalibrationStore(file).create() is True
    assert CalibrationStore(file).entries() == []


def test_a_file_system_without_links_is_no_obstacle(file, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert CalibrationStore(file).create() is True
    assert CalibrationStore(file).create() is False
    assert CalibrationStore(file).entries() == []
    assert [path.name for path in tmp_path.iterdir()] == ["cal_manager.db"]


def test_what_a_killed_process_left_is_swept_up_later(file, tmp_path):
    old, young = (tmp_path / f".cal_manager.db.{number}-1.new" for number in (1, 2))
    for draft, age in ((old, 7200), (young, 60)):
        draft.touch()
        os.utime(draft, (time.time() - age,) * 2)
    CalibrationStore(file).create()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_may_not_be_written_is_named(file, monkeypatch):
    def refuse(*_args, **_options):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(files.sqlite3, "connect", refuse)
    with pytest.raises(SetupError, match=r"unable to open database file.*; check"):
        CalibrationStore(file).create()


@pytest.mark.parametrize("location", ["sqlite://", "sqlite:///:memory:", ":memory:", "sqlite:///"])
def test_a_database_that_is_no_file_is_refused(location):
    with pytest.raises(SetupError, match="names no file"):
        CalibrationStore(location).create()


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "sqlite+pysqlite:///{}"])
def test_a_file_may_be_given_as_a_url(made, file, tmp_path, form):
    add(made, tmp_path)
    store = CalibrationStore(form.format(file))
    assert (store.location, store.path) == (str(file), file)
    assert names(store) == ["a_dark.fits"]


# -- waiting -----------------------------------------------------------------------------------------------


@contextmanager
def held(file, statement, seconds):
    """Another program has a lock for a while."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute(statement)
        release = threading.Timer(seconds, other.rollback)
        release.start()
        yield
        release.join()


@pytest.fixture
def impatient_sqlite(monkeypatch):
    """SQLite gives up at once, as it does in the few places where it cannot wait."""
    monkeypatch.setattr(files, "_BUSY_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient_sqlite")
def test_whoever_is_too_late_waits_for_the_lock(made, file, tmp_path):
    with held(file, "BEGIN IMMEDIATE", 0.3):
        add(made, tmp_path)
    assert names(made) == ["a_dark.fits"]


@pytest.mark.usefixtures("impatient_sqlite")
@pytest.mark.parametrize("statement", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_making_a_database_waits_for_others_too(foreign, statement):
    # To write ahead from now on SQLite needs the file for itself, and does not wait for it.
    with held(foreign, statement, 0.3):
        assert CalibrationStore(foreign).create(wipe=True) is True
    assert names(CalibrationStore(foreign)) == []


@pytest.mark.usefixtures("impatient_sqlite")
def test_patience_has_an_end_and_says_so(made, file, tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.1)
    with held(file, "BEGIN IMMEDIATE", 0.5):
        assert names(made) == []
        with pytest.raises(SetupError, match=r"has been in use by another process for \d+ seconds; try again when"):
            add(made, tmp_path)


def test_of_several_that_replace_what_is_no_database_only_the_first_one_does(file, tmp_path):
    file.write_text("no database\n" * 1000)
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        late = threading.Thread(target=CalibrationStore(file).create, kwargs={"wipe": True})
        late.start()
        time.sleep(0.2)
        assert late.is_alive()
        CalibrationStore(tmp_path / "first.db").create()
        (tmp_path / "first.db").replace(file)
        number = file.stat().st_ino
    late.join()
    assert file.stat().st_ino == number
    assert names(CalibrationStore(file)) == []


# -- reading only ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("read_only")
def test_what_may_only_be_read_is_read_again_when_it_has_changed(made, file, tmp_path, monkeypatch):
    reader = CalibrationStore(file)
    assert names(reader) == []
    with monkeypatch.context() as owner:
        owner.setattr(store_module, "may_write", lambda _path: True)
        add(made, tmp_path)
    assert names(reader) == ["a_dark.fits"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_dark.fits", "cal_manager.db"]


@pytest.mark.usefixtures("read_only")
def test_what_the_owner_is_just_writing_is_read_as_far_as_it_is_complete(made, file, tmp_path, monkeypatch):
    with monkeypatch.context() as owner:
        owner.setattr(store_module, "may_write", lambda _path: True)
        add(made, tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        # Committed, but still in the log beside the file.
        writer.execute("UPDATE keyhole_calibration SET name = 'b_dark.fits'")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE keyhole_calibration SET name = 'c_dark.fits'")
        assert names(CalibrationStore(file)) == ["b_dark.fits"]
        writer.execute("COMMIT")
        assert names(CalibrationStore(file)) == ["c_dark.fits"]


@pytest.mark.usefixtures("read_only")
def test_what_may_only_be_read_says_so_when_it_shall_be_changed(made, file, tmp_path):
    for change in (lambda: add(made, tmp_path), lambda: made.remove("x"), lambda: made.create(wipe=True)):
        with pytest.raises(SetupError, match=r"may only be read by you; ask its owner"):
            change()
    assert made.create() is False


@pytest.mark.usefixtures("read_only")
def test_an_older_database_that_may_only_be_read_is_brought_up_to_date_in_memory(file, tmp_path):
    master = write_frame(tmp_path / "a_dark.fits", MASTER_DARK, PROCMODE="sq")
    make_version_one(str(file), [master])
    before = file.read_bytes()
    [entry] = CalibrationStore(file).entries()
    assert (entry.facts.night, entry.facts.processing_mode) == ("2012-01-01", "sq")
    assert file.read_bytes() == before


@pytest.mark.usefixtures("read_only")
def test_errors_of_reading_only_are_sentences_too(file):
    file.write_text("no database\n" * 1000)
    with pytest.raises(SetupError, match="not a calibration database of Keyhole"):
        CalibrationStore(file).entries()
    file.unlink()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE diskfile (id INTEGER)")
    with pytest.raises(SetupError, match="not a calibration database of Keyhole"):
        CalibrationStore(file).entries()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_a_database_in_a_folder_that_is_not_his(nursery, tmp_path):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = str(folder / "cal_manager.db")
        make_version_one(database, [write_frame(folder / "a_dark.fits", MASTER_DARK)], age=timedelta(days=1))
        folder.chmod(0o755)
        assert nursery.wait(nursery.start(tmp_path / "list", "as_nobody", "list", "--json", "-d", database)) == 0
        assert '"night": "2012-01-01"' in (tmp_path / "list").read_text()
        assert nursery.wait(nursery.start(tmp_path / "out", "as_nobody", "remove", "a", "-d", database)) == 6
        assert "may only be read by you" in (tmp_path / "out").read_text()
        assert sorted(path.name for path in folder.iterdir()) == ["a_dark.fits", "cal_manager.db"]


def test_reading_and_writing_take_turns_when_permissions_change(made, file, tmp_path, monkeypatch):
    store = CalibrationStore(file)
    with monkeypatch.context() as locked:
        locked.setattr(store_module, "may_write", lambda _path: False)
        assert names(store) == []
    add(store, tmp_path, "b_flat.fits", MASTER_FLAT)
    assert names(store) == ["b_flat.fits"]
    assert files.fingerprint(tmp_path / "nothing") == (None, None)
