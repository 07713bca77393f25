from __future__ import annotations

import json
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


def masters(*names):
    """Some files whose kind is in their names."""
    kinds = {"dark": tiny_frames.MASTER_DARK, "flat": tiny_frames.MASTER_FLAT, "bpm": tiny_frames.MASTER_BPM}
    for number, name in enumerate(names):
        kind = Path(name).stem.rpartition("_")[2]
        write_frame(Path(name), kinds[kind], pixel=number, PROCMODE="sq")
    return names


def test_the_list_can_be_limited_to_types(database, capsys):
    run(capsys, "init")
    run(capsys, "add", *masters("a_dark.fits", "b_flat.fits", "c_bpm.fits"))
    for types, expected in (
        (["dark"], ["a_dark.fits"]),
        (["processed_bpm", "Flat"], ["b_flat.fits", "c_bpm.fits"]),
        ([], ["a_dark.fits", "b_flat.fits", "c_bpm.fits"]),
    ):
        out = run(capsys, "list", *types)[1]
        assert [line.split()[0] for line in out.splitlines()[1:]] == expected
    assert "(no calibrations of this type yet" in run(capsys, "list", "arc")[1]
    code, out, err = run(capsys, "list", "darks")
    assert (code, out) == (2, "")
    assert err.startswith("error: darks is no type of calibration; known are ")


def test_the_list_for_programs_tells_everything_in_a_fixed_order(database, capsys):
    run(capsys, "init")
    run(capsys, "add", *masters("b_flat.fits", "a_dark.fits"))
    code, out, err = run(capsys, "list", "--json")
    assert (code, err) == (0, "")
    dark, flat = json.loads(out)
    assert list(dark) == list(flat) == EVERYTHING
    assert [dark[name] for name in ("name", "path", "type", "size", "ut_datetime", "night", "exposure_time")] == [
        "a_dark.fits",
        str(Path("a_dark.fits").absolute()),
        "processed_dark",
        Path("a_dark.fits").stat().st_size,
        "2012-01-02T18:00:00.000000",
        "2012-01-01",
        60.0,
    ]
    assert (dark["gcal_lamp"], dark["processing_mode"], dark["database"]) == (None, "sq", str(database))
    assert dark["tags"] == sorted(dark["tags"])
    assert len(dark["md5"]) == 32
    assert json.loads(run(capsys, "list", "--json", "flat")[1]) == [flat]
    assert json.loads(run(capsys, "list", "--json", "bpm")[1]) == []


EVERYTHING = [
    "name",
    "path",
    "type",
    "md5",
    "size",
    "added",
    "tags",
    "instrument",
    "observation_type",
    "observation_class",
    "observation_id",
    "data_label",
    "ut_datetime",
    "night",
    "array_name",
    "read_mode",
    "well_depth_setting",
    "exposure_time",
    "coadds",
    "camera",
    "filter_name",
    "focal_plane_mask",
    "disperser",
    "gcal_lamp",
    "binning",
    "qa_state",
    "processing_mode",
    "database",
]


def test_check_says_what_to_do_and_ends_with_code_4(database, capsys):
    run(capsys, "init")
    run(capsys, "add", *masters("a_dark.fits", "b_flat.fits", "c_bpm.fits", "d_dark.fits"))
    assert run(capsys, "check") == (0, f"No problems (4 in {database})\n", "")
    assert run(capsys, "check", "--json") == (0, "[]\n", "")
    Path("a_dark.fits").unlink()
    Path("b_flat.fits").write_text("changed")
    Path("e_bpm.fits").write_bytes(Path("c_bpm.fits").read_bytes())
    run(capsys, "add", "e_bpm.fits")
    code, out, err = run(capsys, "check")
    assert (code, err) == (4, "")
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["missing", "a_dark.fits:"],
        ["changed", "b_flat.fits:"],
        ["duplicate", "c_bpm.fits:"],
    ]
    assert lines[0].endswith("or forget it: caldb remove a_dark.fits")
    assert lines[-1] == f"3 problems (5 in {database})"
    code, out, err = run(capsys, "check", "--json")
    assert (code, err) == (4, "")
    told = json.loads(out)
    assert [problem["problem"] for problem in told] == ["missing", "changed", "duplicate"]
    assert list(told[0]) == ["problem", "name", "path", "type", "others", "advice", "database"]
    assert told[2]["others"] == [str(Path("e_bpm.fits").absolute())]


def test_rebuild_makes_the_database_anew_and_names_what_it_drops(database, capsys):
    Path("masters").mkdir()
    masters("masters/a_dark.fits", "masters/b_flat.fits")
    write_frame(Path("masters/raw.fits"), tiny_frames.SCIENCE)
    Path("masters/text.fits").write_text("no image")
    dark("gone_dark.fits", EXPTIME=5.0)
    run(capsys, "init")
    run(capsys, "add", "gone_dark.fits")
    place = Path("gone_dark.fits").absolute()
    place.unlink()
    code, out, err = run(capsys, "rebuild", "masters")
    assert code == 3
    assert err.startswith("error: ") and "text.fits" in err and err.count("\n") == 1
    assert out.splitlines() == [
        f"Dropped gone_dark.fits; its file {place} is gone or cannot be used",
        "Left out 1 file that is no processed calibration",
        f"The calibration database {database} holds 2 calibrations, 2 from these folders",
    ]
    Path("masters/text.fits").unlink()
    code, out, err = run(capsys, "rebuild", "-v", "masters")
    assert (code, err) == (0, "")
    assert out.startswith("Registered a_dark.fits  processed_dark  ")
    code, _, err = run(capsys, "rebuild", "nowhere")
    assert code == 2
    assert "nowhere: no such folder" in err


def test_rebuild_makes_a_database_that_is_not_there(home, capsys):
    masters("a_dark.fits")
    assert run(capsys, "rebuild", "-d", "far/new/db.db", ".")[0] == 6  # one folder, not the path to it
    assert run(capsys, "rebuild", "-d", "new/db.db", ".")[0] == 0
    assert "a_dark.fits" in run(capsys, "list", "-d", "new/db.db")[1]


def test_a_reader_that_leaves_does_not_keep_masters_from_being_added(home):
    names = masters(*(f"{number:03d}_dark.fits" for number in range(240)))
    CalibrationStore("cal_manager.db").create()
    environ = {"PYTHONPATH": str(Path(keyhole.__file__).parents[1]), "HOME": str(home), "PATH": os.environ["PATH"]}
    command = f"{sys.executable} -m keyhole.cli.caldb add . | head -1"
    done = subprocess.run(command, shell=True, check=True, capture_output=True, text=True, env=environ)
    assert done.stdout.startswith("Registered 000_dark.fits")
    assert done.stderr == ""
    assert len(CalibrationStore("cal_manager.db").entries()) == len(names)


@pytest.mark.parametrize("action", ["init", "add", "list", "check", "rebuild", "remove", "config"])
def test_every_action_explains_itself_with_an_example(action, capsys):
    with pytest.raises(SystemExit) as ended:
        main([action, "--help"])
    assert ended.value.code == 0
    assert f"examples:\n  caldb {action}" in capsys.readouterr().out


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
