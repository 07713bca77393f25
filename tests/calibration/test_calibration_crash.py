"""Processes killed at any moment: what they said is done is done, and nothing is half done."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from tiny_frames import MASTER_DARK, write_frame
from version_one import make_version_one

from keyhole.calibration import CalibrationStore

SEED = 20120117
N_MASTERS = 144


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    """A folder of masters that all differ."""
    folder = tmp_path_factory.mktemp("masters")
    for number in range(N_MASTERS):
        write_frame(folder / f"{number:03d}_dark.fits", MASTER_DARK, pixel=number, PROCMODE="sq")
    return folder


@pytest.fixture(scope="module")
def lists(masters, tmp_path_factory):
    """The masters in small lists: one transaction or more for each."""
    folder = tmp_path_factory.mktemp("lists")
    files = sorted(masters.iterdir())
    for start in range(0, len(files), 12):
        (folder / f"{start:03d}.lis").write_text("\n".join(map(str, files[start : start + 12])))
    return [f"@{path}" for path in sorted(folder.iterdir())]


class Killer:
    """Kills children at moments spread over the time that the work takes when it is left alone."""

    def __init__(self, nursery, output):
        self.nursery, self.output = nursery, output
        self.random = random.Random(SEED)
        self.duration = 0.0

    def measure(self, *commands):
        """Run the work to its end."""
        start = time.monotonic()
        assert self._run(commands, None) == 0, self.output.read_text()
        self.duration = time.monotonic() - start

    def kill(self, *commands):
        """Kill the work somewhere; gives the lines that it had printed."""
        code = self._run(commands, self.random.uniform(0, 1.02 * self.duration))
        assert code in {0, -signal.SIGKILL}, self.output.read_text()
        text = self.output.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    def _run(self, commands, moment):
        number = self.nursery.start(self.output, "caldb", *commands)
        if moment is not None:
            time.sleep(moment)
            os.kill(number, signal.SIGKILL)
        return self.nursery.wait(number)


@pytest.fixture
def killer(nursery, tmp_path):
    return Killer(nursery, tmp_path / "output.txt")


def assert_sound(database):
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def registered(lines):
    return {line.split()[1] for line in lines if line.startswith("Registered ")}


def test_whatever_was_said_to_be_registered_survives_a_kill(killer, lists, tmp_path):
    def work(database):
        return [["add", "-d", str(database), name] for name in lists]

    CalibrationStore(tmp_path / "whole.db").create()
    killer.measure(*work(tmp_path / "whole.db"))
    later = write_frame(tmp_path / "later_dark.fits", MASTER_DARK, pixel=255)
    interrupted = 0
    for number in range(50):
        store = CalibrationStore(tmp_path / f"{number}.db")
        store.create()
        said = registered(killer.kill(*work(store.path)))
        names = [entry.name for entry in store.entries()]
        assert said <= set(names)
        assert len(names) == len(set(names))
        assert_sound(store.path)
        interrupted += 0 < len(names) < N_MASTERS
        store.add(later)
    assert interrupted > 10


def test_a_killed_rebuild_leaves_the_old_content_or_the_new_one(killer, masters, tmp_path):
    shutil.copytree(masters, tmp_path / "masters")
    before = CalibrationStore(tmp_path / "before.db")
    before.create()
    list(before.add_all(sorted((tmp_path / "masters").iterdir())))
    for number in range(1, N_MASTERS):
        write_frame(tmp_path / "masters" / f"{number:03d}_dark.fits", MASTER_DARK, pixel=number, EXPTIME=30.0)
    (tmp_path / "masters" / "000_dark.fits").unlink()
    contents = [[entry.md5 for entry in before.entries()]]
    database = tmp_path / "cal_manager.db"
    work = ["rebuild", "-d", str(database), str(tmp_path / "masters")]
    shutil.copyfile(before.path, database)
    killer.measure(work)
    contents.append([entry.md5 for entry in CalibrationStore(database).entries()])
    assert list(map(len, contents)) == [N_MASTERS, N_MASTERS - 1]
    seen = []
    for _ in range(50):
        _restore(before.path, database)
        killer.kill(work)
        seen.append(contents.index([entry.md5 for entry in CalibrationStore(database).entries()]))
        assert_sound(database)
    assert seen.count(0) > 10


def test_a_killed_init_leaves_no_database_or_a_ready_one(killer, tmp_path):
    database = tmp_path / "db" / "cal_manager.db"
    work = ["init", "-d", str(database)]
    killer.measure(work)
    for _ in range(25):
        shutil.rmtree(database.parent, ignore_errors=True)
        killer.kill(work)
        store = CalibrationStore(database)
        if store.exists:
            assert store.entries() == []
            assert_sound(database)
        database.parent.mkdir(exist_ok=True)
        store.create()
        assert store.entries() == []


def test_a_killed_wipe_leaves_what_was_there_or_an_empty_database(killer, tmp_path):
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("CREATE TABLE diskfile (id INTEGER)")
        connection.executemany("INSERT INTO diskfile VALUES (?)", [(number,) for number in range(20_000)])
    database = tmp_path / "cal_manager.db"
    work = ["init", "-w", "-d", str(database)]
    shutil.copyfile(foreign, database)
    killer.measure(work)
    for _ in range(25):
        _restore(foreign, database)
        killer.kill(work)
        assert_sound(database)
        with closing(sqlite3.connect(database)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "diskfile" in tables:
                assert tables == {"diskfile"}
                assert connection.execute("SELECT count(*) FROM diskfile").fetchone() == (20_000,)
        CalibrationStore(database).create(wipe=True)
        assert CalibrationStore(database).entries() == []


def test_a_killed_migration_leaves_the_old_version_or_the_new_one(killer, masters, tmp_path):
    before = tmp_path / "before.db"
    make_version_one(str(before), sorted(masters.iterdir()))
    database = tmp_path / "cal_manager.db"
    work = ["list", "-d", str(database)]
    shutil.copyfile(before, database)
    killer.measure(work)
    found = set()
    for _ in range(25):
        _restore(before, database)
        killer.kill(work)
        assert_sound(database)
        with closing(sqlite3.connect(database)) as connection:
            [version] = connection.execute("SELECT version FROM keyhole_schema").fetchone()
            columns = len(connection.execute("SELECT * FROM keyhole_calibration").fetchone())
        assert (version, columns) in {(1, 27), (2, 29)}
        found.add(version)
        modes = {entry.facts.processing_mode for entry in CalibrationStore(database).entries()}
        assert modes == {"sq"}
    assert 1 in found


def test_a_kill_loses_nothing_on_a_server_either(killer, lists, postgres):
    def work(location):
        return [["add", "-d", location, name] for name in lists]

    store = CalibrationStore(postgres.new_database())
    store.create()
    killer.measure(*work(store.address))
    for _ in range(10):
        store.create(wipe=True)
        said = registered(killer.kill(*work(store.address)))
        names = [entry.name for entry in store.entries()]
        assert said <= set(names)
        assert len(names) == len(set(names))


def _restore(original, database):
    for suffix in ("-journal", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(original, database)
