"""Databases on servers: their URLs, what can be wrong with them, and passwords that stay secret."""

from __future__ import annotations

import sys

import psycopg
import pytest
from tiny_frames import MASTER_DARK, write_frame

from keyhole.calibration import Database, load_config, service
from keyhole.calibration.database import CalibrationStore, connect, register, versions
from keyhole.calibration.location import file_of, shown
from keyhole.cli.caldb import main
from keyhole.errors import SetupError

SECRET = "p4ss:w/rd"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        (f"postgresql://user:{SECRET}@host:5432/db", "postgresql://user@host:5432/db"),
        ("postgresql+psycopg://user:a@b@host/db", "postgresql+psycopg://user@host/db"),
        ("postgresql://:hidden@host/db", "postgresql://@host/db"),
        (
            "postgresql://user@host/db?password=hidden&sslmode=require",
            "postgresql://user@host/db?password=***&sslmode=require",
        ),
        ("/data/cal@night:1/cal_manager.db", "/data/cal@night:1/cal_manager.db"),
        ("sqlite:////data/cal_manager.db", "/data/cal_manager.db"),
    ],
)
def test_a_location_is_shown_without_its_password(location, words):
    assert shown(location) == words
    assert Database(location, get=True, store=False).shown == words
    assert CalibrationStore(location).location == words
    assert CalibrationStore(location).address == location
    assert repr(CalibrationStore(location)) == f"CalibrationStore({words!r})"


def test_only_servers_are_no_files():
    assert file_of("postgresql://host/db") is None
    assert str(file_of("sqlite:///night.db")) == "night.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_usual_ways_to_write_the_url_all_work(postgres, tmp_path, scheme):
    store = CalibrationStore(postgres.new_database().replace("postgresql", scheme, 1))
    assert store.create() is True
    assert store.create() is False
    store.add(write_frame(tmp_path / "a_dark.fits", MASTER_DARK))
    assert [entry.name for entry in store.entries()] == ["a_dark.fits"]


def use(location):
    with pytest.raises(SetupError) as caught:
        CalibrationStore(location).entries()
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message and "hidden" not in message
    return message


def test_a_server_that_is_down_is_told_in_one_sentence():
    message = use("postgresql://user:hidden@127.0.0.1:1/db")
    assert message.startswith("the calibration database postgresql://user@127.0.0.1:1/db cannot be used (")
    assert message.endswith("check that the server runs, the name of the database, and your rights in it")


def test_a_database_that_the_server_does_not_have_is_told_in_one_sentence(postgres):
    assert 'database "nothing" does not exist' in use(postgres.url("nothing"))


def test_a_database_without_our_tables_names_the_way_out(postgres):
    assert use(postgres.new_database()).endswith("does not exist; run: caldb init")


def test_tables_that_may_not_be_read_are_told_in_one_sentence(postgres):
    location = postgres.new_database()
    CalibrationStore(location).create()
    with psycopg.connect(location) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    assert "permission denied" in use(location.replace("keyhole@", "guest@"))


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (f"postgresql://user:{SECRET}@host:port/db", "is not understood as the URL of a database"),
        ("postgresql://user:hidden@[host/db", "postgresql://user@"),
        ("oracle8://user:hidden@host/db", "databases of the kind oracle8 are not known"),
    ],
)
def test_urls_that_mean_nothing_are_told_in_one_sentence(location, words):
    assert words in use(location)


def test_a_driver_that_is_not_installed_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert use("postgresql://user:hidden@host/db").endswith("; pip install 'keyhole[postgres]'")


def test_a_host_that_does_not_answer_is_not_waited_for_too_long():
    engine = connect.server_engine("postgresql://user@host/db")
    asked = []

    @connect.sa.event.listens_for(engine, "do_connect")
    def note(_dialect, _record, _words, options):
        asked.append(options["connect_timeout"])
        raise psycopg.OperationalError("timeout expired")

    with pytest.raises(SetupError, match="timeout expired"), connect.begin(engine, "postgresql://host/db", write=False):
        pass
    assert asked == [10]


def test_an_option_that_does_not_exist_is_told_in_one_sentence(postgres):
    assert "invalid" in use(f"{postgres.url('postgres')}?password=hidden&colour=green")


def test_a_change_does_not_wait_for_ever(postgres, monkeypatch):
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.2)
    store = CalibrationStore(postgres.new_database())
    store.create()
    with connect.begin(connect.server_engine(store.address), store.address, write=True):
        assert store.entries() == []
        with pytest.raises(SetupError, match="in use by another process for 0 seconds; try again"):
            store.remove("a_dark.fits")


def test_a_mistake_of_ours_keeps_its_traceback(store):
    with (
        pytest.raises(connect.sa.exc.DBAPIError),
        connect.begin(store._opened(write=True), store.address, write=True) as connection,
    ):
        connection.execute(connect.sa.text("INSERT INTO keyhole_calibration (name) VALUES ('x')"))


def test_wiping_leaves_the_tables_of_other_programs(postgres, tmp_path):
    location = postgres.new_database()
    with psycopg.connect(location) as connection:
        connection.execute("CREATE TABLE diskfile (id INTEGER)")
    store = CalibrationStore(location)
    assert store.create() is True
    with psycopg.connect(location) as connection:
        connection.execute("UPDATE keyhole_schema SET version = 99")
    assert CalibrationStore(location).create(wipe=True) is True
    assert store.entries() == []
    with psycopg.connect(location) as connection:
        assert connection.execute("SELECT count(*) FROM diskfile").fetchone() == (0,)


def test_the_commands_never_show_a_password(postgres, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    location = postgres.new_database().replace("keyhole@", f"keyhole:{SECRET.replace('/', '%2F')}@")
    (tmp_path / "mine.cfg").write_text(f"[calibs]\ndatabases = {location} get store\n")
    write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    for action in (
        ["list"],
        ["init"],
        ["init", "-w"],
        ["add", "a_dark.fits"],
        ["list"],
        ["list", "--json"],
        ["check"],
        ["check", "--json"],
        ["remove", "gone.fits"],
        ["rebuild", "."],
        ["config"],
    ):
        main([*action, "-c", "mine.cfg"])
    shown_text = "".join(capsys.readouterr())
    assert "postgresql://keyhole@127.0.0.1" in shown_text
    assert "p4ss" not in shown_text
    config = load_config("mine.cfg")
    assert "p4ss" not in config.origin
    assert [entry.name for entry in service.store_to_change(config).entries()] == ["a_dark.fits"]


def test_a_typing_error_behind_a_url_does_not_show_its_password(tmp_path):
    (tmp_path / "mine.cfg").write_text("[calibs]\ndatabases = postgresql://me:hidden@host/db gte\n")
    with pytest.raises(SetupError, match=r"unknown flag 'gte' after database postgresql://me@host/db"):
        load_config(tmp_path / "mine.cfg")


def test_a_server_that_is_down_ends_a_command_with_code_6(capsys):
    assert main(["list", "-d", "postgresql://user@127.0.0.1:1/db"]) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: the calibration database postgresql://user@127.0.0.1:1/db cannot be used")
    assert captured.err.count("\n") == 1


def test_a_conflict_is_tried_again_until_it_is_over(store, tmp_path, monkeypatch):
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    problems = iter([connect.ConflictError("conflict")] * 3)

    def in_the_way(*given):
        for problem in problems:
            raise problem
        return versions.is_current(*given)

    monkeypatch.setattr("keyhole.calibration.database.store.is_current", in_the_way)
    assert store.add(file).name == "a_dark.fits"
    assert len(store.entries()) == 1


def test_a_row_that_another_program_slips_in_is_no_error(postgres, tmp_path, monkeypatch):
    location = postgres.new_database()
    store = CalibrationStore(location)
    store.create()
    file = write_frame(tmp_path / "a_dark.fits", MASTER_DARK)
    # Without the lock that Keyhole takes: between our look and our insertion the same path is inserted.
    row_of = register.row_of
    slipped = []

    def slip_in(master):
        if not slipped:
            slipped.append(1)
            with psycopg.connect(location) as other:
                other.execute(
                    "INSERT INTO keyhole_calibration (name, path, md5, size, added, tags, caltype) "
                    "VALUES (%s, %s, %s, %s, now(), '', 'processed_dark')",
                    (master.name, master.path, master.md5, master.size),
                )
        return row_of(master)

    monkeypatch.setattr(register, "row_of", slip_in)
    entry = store.add(file)
    assert entry.facts.exposure_time == 60.0
    assert len(store.entries()) == 1
