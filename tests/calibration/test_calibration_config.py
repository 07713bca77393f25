from __future__ import annotations

import pytest

from keyhole.calibration.config import (
    Config,
    Database,
    database_file,
    load_config,
    open_stores,
    store_for_masters,
)
from keyhole.calibration.database import CalibrationStore
from keyhole.errors import SetupError


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    (folder / ".dragons").mkdir(parents=True)
    (folder / ".geminidr").mkdir()
    return folder


@pytest.fixture
def cwd(tmp_path):
    folder = tmp_path / "playground"
    folder.mkdir()
    return folder


@pytest.fixture
def load(home, cwd):
    return lambda path=None, **environ: load_config(path, home=home, environ=environ, cwd=cwd)


def new(home, text):
    file = home / ".dragons" / "dragonsrc"
    file.write_text(text)
    return file


def old(home, text):
    file = home / ".geminidr" / "rsys.cfg"
    file.write_text(text)
    return file


def test_without_configuration_the_current_folder_holds_the_database(load, cwd):
    config = load()
    assert config.databases == (Database(str(cwd / "cal_manager.db"), get=True, store=True),)
    assert config.implicit
    assert config.source is None
    assert str(cwd / "cal_manager.db") in config.origin


def test_the_older_file_gives_one_database_that_is_only_asked(load, home, tmp_path):
    file = old(home, f"[calibs]\nstandalone = True\ndatabase_dir = {tmp_path / 'db'}\n")
    config = load()
    assert config.databases == (Database(str(tmp_path / "db" / "cal_manager.db"), get=True, store=False),)
    assert (config.legacy, config.standalone, config.source) == (True, True, file)
    assert str(file) in config.origin


def test_the_older_file_without_a_folder_means_the_folder_it_is_in(load, home):
    old(home, "[calibs]\nstandalone = True\n")
    assert load().databases[0].location == str(home / ".geminidr" / "cal_manager.db")


def test_the_newer_file_wins(load, home):
    old(home, "[calibs]\ndatabase_dir = ~/older\n")
    file = new(home, "[calibs]\ndatabases = ~/newer.db get store\n")
    config = load()
    assert config.source == file
    assert config.databases == (Database(str(home / "newer.db"), get=True, store=True),)
    assert not config.legacy


def test_a_file_named_by_the_environment_wins_over_home_and_one_given_over_both(load, home, tmp_path):
    new(home, "[calibs]\ndatabases = /home.db\n")
    named = tmp_path / "named"
    named.write_text("[calibs]\ndatabases = /named.db\n")
    given = tmp_path / "given"
    given.write_text("[calibs]\ndatabases = /given.db\n")
    assert load(DRAGONSRC=str(named)).databases[0].location == "/named.db"
    assert load(given, DRAGONSRC=str(named)).databases[0].location == "/given.db"


@pytest.mark.parametrize(
    ("flags", "get", "store"),
    [
        ("", True, False),
        ("get", True, False),
        ("store", False, True),
        ("get store", True, True),
        ("store get", True, True),
    ],
)
def test_flags_as_soon_as_one_is_given_must_all_be_given(load, home, flags, get, store):
    new(home, f"[calibs]\ndatabases = /a.db {flags}\n")
    assert load().databases == (Database("/a.db", get=get, store=store),)


def test_several_databases_keep_their_order_and_their_kind(load, home, cwd, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    new(
        home,
        f"""[calibs]
# a comment
databases = "{folder}" get
    mine.db get store

    ~/percent%20.db
    https://archive.example.org get
    postgresql://user@host/db get
""",
    )
    config = load()
    assert [database.location for database in config.databases] == [
        str(folder / "cal_manager.db"),
        str(cwd / "mine.db"),
        str(home / "percent%20.db"),
        "postgresql://user@host/db",
    ]
    assert config.databases[3].path is None
    (note,) = config.notes
    assert "archive.example.org" in note


def test_the_newer_file_with_the_older_key_is_only_asked(load, home):
    new(home, "[calibs]\ndatabase_dir = ~/db\n")
    config = load()
    assert config.databases == (Database(str(home / "db" / "cal_manager.db"), get=True, store=False),)
    assert config.legacy


@pytest.mark.parametrize("text", ["", "[interactive]\ntheme = dark\n", "[calibs]\nstandalone = False\n"])
def test_the_newer_file_may_name_no_database(load, home, text):
    new(home, text)
    assert load().databases == ()
    assert "names no calibration database" in load().origin


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("databases = /a.db get\n", "put [calibs] on a line above"),
        ("[calibs]\ndatabases = /a.db get stor\n", "unknown flag 'stor'"),
        ("[calibs]\ndatabases = '/a.db get\n", "quote is not closed"),
        ("[calibs]\nstandalone = maybe\n", "standalone = maybe"),
        ("[calibs]\nwhat is this\n", "not a configuration file"),
        ("[calibs]\n[calibs]\n", "not a configuration file"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_the_file(load, home, text, words):
    file = new(home, text)
    with pytest.raises(SetupError) as caught:
        load()
    message = str(caught.value)
    assert words in message
    assert str(file) in message
    assert "\n" not in message


def test_a_binary_file_is_no_configuration(load, home):
    new(home, "").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(SetupError, match="cannot be read as text"):
        load()


@pytest.mark.parametrize("environ", [{}, {"DRAGONSRC": "gone"}])
def test_a_named_configuration_that_is_missing_is_an_error(load, environ):
    with pytest.raises(SetupError, match="gone"):
        load(None if environ else "gone", **environ)


def test_nothing_is_made_by_reading(load, home, cwd):
    old(home, "[calibs]\ndatabase_dir = ~/db\n")
    load()
    assert not (home / "db").exists()
    assert list(cwd.iterdir()) == []


def test_a_database_may_be_written_as_file_or_folder(tmp_path):
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "calibrations").write_text("")

    def resolved(text):
        return database_file(text, home=tmp_path / "home", cwd=tmp_path)

    assert resolved("new.db") == str(tmp_path / "new.db")
    assert resolved("new") == str(tmp_path / "new" / "cal_manager.db")
    assert resolved("folder.db") == str(tmp_path / "folder.db" / "cal_manager.db")
    assert resolved("calibrations") == str(tmp_path / "calibrations")
    assert resolved("~") == str(tmp_path / "home" / "cal_manager.db")
    assert resolved("postgresql://host/db") == "postgresql://host/db"


def test_the_database_of_the_current_folder_is_made_when_a_master_is_stored_not_before(load, cwd):
    config = load()
    assert open_stores(config) == []
    assert list(cwd.iterdir()) == []
    store = store_for_masters(config)
    assert store is not None
    assert store.entries() == []
    assert [opened.location for opened in open_stores(config)] == [str(cwd / "cal_manager.db")]


def test_a_configured_folder_or_database_that_is_missing_is_named(load, home):
    file = old(home, "[calibs]\ndatabase_dir = ~/db\n")
    with pytest.raises(SetupError, match=r"the folder .*/db .*caldb init") as caught:
        open_stores(load())
    assert str(file) in str(caught.value)
    (home / "db").mkdir()
    with pytest.raises(SetupError, match=r"cal_manager\.db .*does not exist.*caldb init"):
        open_stores(load())


def test_only_a_database_with_the_flag_takes_masters(load, home):
    for name in ("a", "b"):
        CalibrationStore(home / f"{name}.db").create()
    new(home, "[calibs]\ndatabases = ~/a.db get\n  ~/b.db store\n")
    config = load()
    assert [store.location for store in open_stores(config)] == [str(home / "a.db")]
    store = store_for_masters(config)
    assert store is not None
    assert store.location == str(home / "b.db")
    assert store_for_masters(Config((Database("/a.db", get=True, store=False),), None)) is None
