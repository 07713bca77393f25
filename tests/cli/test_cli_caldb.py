from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_frames
from tiny_frames import write_frame

import keyhole
from keyhole.calibration.database import CalibrationStore
from keyhole.cli.caldb import main


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "playground").mkdir()
    monkeypatch.chdir(tmp_path / "playground")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("DRAGONSRC", raising=False)
    return folder


@pytest.fixture
def database(home):
    """The set-up of the tutorial: the older configuration file, a folder that does not exist yet."""
    (home / ".geminidr").mkdir()
    (home / ".geminidr" / "rsys.cfg").write_text("[calibs]\nstandalone = True\ndatabase_dir = ~/db\n")
    return home / "db" / "cal_manager.db"


def dark(name="N20120102S0538_dark.fits", **changes):
    return write_frame(Path(name), tiny_frames.MASTER_DARK, **changes)


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_of_the_tutorial(database, capsys):
    dark()
    write_frame(Path("N20120117S0034_flat.fits"), tiny_frames.MASTER_FLAT)
    assert run(capsys, "init")[0] == 0
    assert database.is_file()
    assert run(capsys, "add", "N20120102S0538_dark.fits")[0] == 0
    assert run(capsys, "add", "N20120117S0034_flat.fits")[0] == 0
    code, out, err = run(capsys, "list")
    folder = Path.cwd()
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"Database: {database}",
        f"{'N20120102S0538_dark.fits':<30} {folder / 'N20120102S0538_dark.fits'}",
        f"{'N20120117S0034_flat.fits':<30} {folder / 'N20120117S0034_flat.fits'}",
    ]
    assert run(capsys, "remove", "N20120102S0538_dark.fits")[0] == 0
    assert Path("N20120102S0538_dark.fits").exists()
    assert "N20120102S0538" not in run(capsys, "list")[1]


def test_init_again_keeps_the_database_and_says_how_to_wipe_it(database, capsys):
    run(capsys, "init")
    dark()
    run(capsys, "add", "N20120102S0538_dark.fits")
    code, out, _ = run(capsys, "init")
    assert code == 0
    assert "already there" in out
    assert "-w" in out
    assert "N20120102S0538" in run(capsys, "list")[1]
    assert run(capsys, "init", "-w")[0] == 0
    assert "no calibrations yet" in run(capsys, "list")[1]


def test_init_makes_one_folder_but_not_the_path_to_it(database, home, capsys):
    (home / ".geminidr" / "rsys.cfg").write_text("[calibs]\ndatabase_dir = ~/far/away/db\n")
    code, _, err = run(capsys, "init")
    assert code == 6
    assert "cannot be made" in err


@pytest.mark.parametrize("action", [["list"], ["add", "N20120102S0538_dark.fits"], ["remove", "x.fits"]])
def test_any_other_action_without_a_database_points_to_init(database, capsys, action):
    dark()
    code, out, err = run(capsys, *action)
    assert code == 6
    assert out == ""
    assert "caldb init" in err
    assert not database.exists()


def test_without_configuration_the_database_of_the_current_folder_is_made_by_add(home, capsys):
    dark()
    code, _, err = run(capsys, "list")
    assert code == 6
    code, _, err = run(capsys, "add", "N20120102S0538_dark.fits")
    assert (code, err) == (0, "")
    assert Path("cal_manager.db").exists()
    assert "N20120102S0538" in run(capsys, "list")[1]


def test_what_is_no_calibration_is_refused_and_the_rest_is_added(database, capsys):
    run(capsys, "init")
    write_frame(Path("raw.fits"), tiny_frames.SCIENCE)
    Path("text.fits").write_text("no image")
    dark()
    code, _, err = run(capsys, "add", "raw.fits", "gone.fits", "text.fits", "N20120102S0538_dark.fits")
    assert code != 0
    lines = err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True, True, True]
    for line, name in zip(lines, ("raw.fits", "gone.fits", "text.fits"), strict=True):
        assert name in line
    assert "N20120102S0538" in run(capsys, "list")[1]


def test_folders_are_walked_and_lists_are_read(database, capsys):
    run(capsys, "init")
    Path("masters/deep").mkdir(parents=True)
    dark("masters/a_dark.fits", EXPTIME=1.0)
    dark("masters/deep/b_dark.fits", EXPTIME=2.0)
    write_frame(Path("masters/raw.fits"), tiny_frames.SCIENCE)
    Path("masters/notes.txt").write_text("x")
    dark("c_dark.fits", EXPTIME=3.0)
    Path("masters.lis").write_text("# my masters\nc_dark.fits\n")
    code, out, err = run(capsys, "add", "masters", "@masters.lis", "-k")
    assert (code, err) == (0, "")
    assert "Left out 1 file that" in out
    listed = [line.split()[0] for line in run(capsys, "list")[1].splitlines()[1:]]
    assert listed == ["a_dark.fits", "b_dark.fits", "c_dark.fits"]


def test_adding_twice_is_no_error_and_no_duplicate(database, capsys):
    run(capsys, "init")
    dark()
    assert run(capsys, "add", "N20120102S0538_dark.fits", "./N20120102S0538_dark.fits")[0] == 0
    assert run(capsys, "add", "N20120102S0538_dark.fits")[0] == 0
    assert len(run(capsys, "list")[1].splitlines()) == 2


def test_a_file_that_is_gone_is_marked_in_the_list(database, capsys):
    run(capsys, "init")
    dark()
    run(capsys, "add", "N20120102S0538_dark.fits")
    Path("N20120102S0538_dark.fits").unlink()
    assert "no longer on disk" in run(capsys, "list")[1]


def test_removing_what_is_not_there_is_an_error_and_the_rest_is_removed(database, capsys):
    run(capsys, "init")
    dark()
    run(capsys, "add", "N20120102S0538_dark.fits")
    code, out, err = run(capsys, "remove", "gone.fits", "elsewhere/N20120102S0538_dark.fits")
    assert code == 2
    assert "gone.fits is not in" in err
    assert "N20120102S0538_dark.fits" in out


@pytest.mark.parametrize("where", ["before", "behind"])
def test_the_database_can_be_named_before_or_behind_the_action(home, tmp_path, capsys, where):
    option = ["-d", str(tmp_path / "mine.db")]
    assert run(capsys, *(["init", *option] if where == "behind" else [*option, "init"]))[0] == 0
    assert CalibrationStore(tmp_path / "mine.db").entries() == []
    (tmp_path / "folder").mkdir()
    run(capsys, "init", "-d", str(tmp_path / "folder"))
    assert (tmp_path / "folder" / "cal_manager.db").is_file()


def test_a_configuration_file_can_be_named(home, tmp_path, capsys):
    (tmp_path / "mine.cfg").write_text(f"[calibs]\ndatabases = {tmp_path}/a.db get store\n")
    assert run(capsys, "init", "-c", str(tmp_path / "mine.cfg"))[0] == 0
    assert (tmp_path / "a.db").is_file()
    code, _, err = run(capsys, "list", "-c", "gone.cfg")
    assert code == 6
    assert "gone.cfg" in err


def test_of_several_databases_the_one_that_stores_is_changed_and_all_are_listed(home, tmp_path, capsys):
    config = tmp_path / "mine.cfg"
    config.write_text(f"[calibs]\ndatabases = {tmp_path}/a.db get\n {tmp_path}/b.db get store\n")
    dark()
    run(capsys, "init", "-c", str(config))
    assert run(capsys, "add", "N20120102S0538_dark.fits", "-c", str(config))[0] == 0
    assert CalibrationStore(tmp_path / "a.db").entries() == []
    out = run(capsys, "list", "-c", str(config))[1]
    assert out.count("Database: ") == 2
    config.write_text(f"[calibs]\ndatabases = {tmp_path}/a.db\n {tmp_path}/b.db\n")
    code, _, err = run(capsys, "remove", "x.fits", "-c", str(config))
    assert code == 6
    assert "-d" in err


def test_config_shows_files_and_databases(database, home, capsys):
    code, out, _ = run(capsys, "config")
    assert code == 0
    for words in (str(home / ".geminidr" / "rsys.cfg"), str(database), "does not exist", "Store: no", "True"):
        assert words in out
    (home / ".geminidr" / "rsys.cfg").unlink()
    assert "No configuration file" in run(capsys, "config")[1]
    (home / ".dragons").mkdir()
    (home / ".dragons" / "dragonsrc").write_text("[interactive]\n")
    assert "No database is named" in run(capsys, "config")[1]
    code, _, err = run(capsys, "list")
    assert code == 6
    assert "names no calibration database" in err


def test_a_foreign_database_is_refused_in_one_sentence(database, capsys):
    database.parent.mkdir()
    database.write_text("no database\n" * 200)
    code, _, err = run(capsys, "list")
    assert code == 6
    assert err.count("\n") == 1
    assert "caldb init -w" in err


def test_without_an_action_help_is_shown(capsys):
    assert main([]) == 2
    assert "caldb add" in capsys.readouterr().err


def test_the_list_can_be_piped_into_a_reader_that_leaves(home, tmp_path):
    store = CalibrationStore(tmp_path / "playground" / "cal_manager.db")
    store.create()
    store.add(dark())
    env = {
        "PYTHONPATH": str(Path(keyhole.__file__).parents[1]),
        "HOME": str(home),
        "PATH": os.environ["PATH"],
    }
    command = f"{sys.executable} -m keyhole.cli.caldb list"
    piped = subprocess.run(f"{command} | cat", shell=True, check=True, capture_output=True, text=True, env=env)
    assert "\x1b" not in piped.stdout
    assert piped.stdout.startswith("Database: ")
    left = subprocess.run(f"{command} | true", shell=True, check=True, capture_output=True, text=True, env=env)
    assert left.stderr == ""


def test_help_does_not_load_the_database_package(tmp_path):
    code = (
        "import sys; from keyhole.cli.caldb import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'sqlalchemy', 'astropy', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environ = {"PYTHONPATH": str(Path(keyhole.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environ)


def test_listing_needs_no_astropy(home):
    CalibrationStore("cal_manager.db").create()
    code = (
        "import sys; from keyhole.cli.caldb import main; main(['list'])\n"
        "heavy = {'astropy', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environ = {"PYTHONPATH": str(Path(keyhole.__file__).parents[1]), "HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environ)
