from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from toy_runs import install_toy_steps, raw_file, raw_files

from keyhole import __version__
from keyhole.calibration import CalibrationStore
from keyhole.cli import caldb
from keyhole.cli.reduce import main
from keyhole.frames import read_frame

DARK = "N20120102S0001_dark.fits"


@pytest.fixture(autouse=True)
def playground(tmp_path, monkeypatch):
    """An empty folder to work in and a home without configuration."""
    (tmp_path / "home").mkdir()
    (tmp_path / "playground").mkdir()
    monkeypatch.chdir(tmp_path / "playground")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DRAGONSRC", raising=False)
    return tmp_path / "playground"


@pytest.fixture
def darks():
    Path("raw").mkdir()
    return [str(path) for path in raw_files(Path("raw"), "dark", 3)]


def reduced(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, code, *words):
    """The one line that a wrong command line is answered with."""
    before = set(Path().rglob("*"))
    found, _, err = reduced(capsys, *words)
    assert found == code, err
    new = {path.name for path in set(Path().rglob("*")) - before}
    assert new <= {"reduce.log"}
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line


# -- a run ----------------------------------------------------------------------------------------------


def test_darks_of_a_list_become_a_master_that_is_named_on_the_screen(darks, capsys):
    Path("darks.lis").write_text("# darks\n" + "\n".join(darks) + "\n")
    code, out, err = reduced(capsys, "@darks.lis")
    assert (code, err) == (0, "")
    assert "3 darks  N20120102S0001.fits ... N20120102S0003.fits  60 s" in out
    assert f"wrote {DARK}" in out
    assert {"PROCESSED", "DARK"} <= read_frame(DARK).tags
    assert "PRIMITIVE: stackDarks" in Path("reduce.log").read_text()


def test_master_goes_into_the_database_of_the_folder_if_nothing_is_configured(darks, capsys, playground):
    _, out, _ = reduced(capsys, *darks)
    assert " ".join(out.split()).count(f"{DARK} is registered in {playground / 'cal_manager.db'}") == 1
    assert [entry.name for entry in CalibrationStore("cal_manager.db").entries()] == [DARK]


def test_parameter_and_suffix_reach_the_product(darks, capsys):
    code, _, _ = reduced(capsys, "-p", "stackDarks:operation=median", "--suffix", "_mine", *darks)
    assert code == 0
    history = read_frame("N20120102S0001_mine.fits").tables["HISTORY"].columns
    args = dict(zip(history["primitive"], history["args"], strict=True))
    assert '"operation": "median"' in args["stackDarks"]


def test_list_may_hold_options(darks, capsys):
    Path("call.txt").write_text(f"{' '.join(darks)}\n--suffix _listed -p operation=median  # all of it\n")
    code, _, err = reduced(capsys, "@call.txt")
    assert (code, err) == (0, "")
    assert Path("N20120102S0001_listed.fits").is_file()


def test_single_step_is_run_on_raw_frames(darks, capsys):
    code, out, _ = reduced(capsys, "-r", "prepare", darks[0])
    assert code == 0
    assert "recipe prepare, mode sq, 1 step" in out
    assert Path("N20120102S0001_prepared.fits").is_file()


def test_quiet_run_says_nothing_and_verbose_everything(darks, capsys):
    assert reduced(capsys, "--logmode", "quiet", *darks) == (0, "", "")
    _, out, _ = reduced(capsys, "--logmode", "verbose", *darks)
    assert " 3/7 ADUToElectrons" in out


def test_log_file_is_where_it_was_asked_for(darks, capsys):
    reduced(capsys, "--logfile", "my.log", *darks)
    assert "done in" in Path("my.log").read_text()
    assert not Path("reduce.log").exists()


def test_same_file_twice_is_used_once_with_one_warning(darks, capsys):
    Path("link.fits").symlink_to(darks[1])
    code, _, err = reduced(capsys, *darks, darks[0], "link.fits", darks[0])
    assert code == 0
    assert err.splitlines() == [
        "warning: N20120102S0001.fits is given more than once; used once",
        "warning: link.fits is given more than once; used once",
    ]
    assert read_frame(DARK).primary["NCOMBINE"] == 3


def test_options_without_effect_are_told(darks, capsys):
    _, _, err = reduced(capsys, "--drpkg", "mine", "--upload", "calibs", "metrics", "--logmode", "quiet", *darks)
    assert err.splitlines() == [
        "warning: --drpkg has no effect in Keyhole",
        "warning: --upload has no effect in Keyhole",
    ]


def test_missing_dark_stops_science_but_not_a_quick_look(capsys, monkeypatch):
    install_toy_steps(monkeypatch)
    science = [str(path) for path in raw_files(Path(), "science", 2)]
    line = refused(capsys, 4, "-r", "darkCorrect", *science)
    assert "no dark found" in line
    assert "--user_cal processed_dark:FILE" in line
    raw_file(Path("short_dark.fits"), "master dark", EXPTIME=10.0)
    assert caldb.main(["add", "short_dark.fits"]) == 0
    capsys.readouterr()
    code, out, err = reduced(capsys, "-r", "darkCorrect", *science)
    assert (code, len(err.splitlines())) == (4, 1)
    (row,) = [line for line in out.splitlines() if line.startswith("short_dark.fits")]
    assert row.split() == ["short_dark.fits", "3", "✓", "✓", "✓", "✗", "✓", "✓", "✓"]
    assert out.splitlines()[-1].strip() == f"--user_cal processed_dark:{Path.cwd()}/short_dark.fits"
    code, out, err = reduced(capsys, "--best-effort", "-r", "darkCorrect", *science)
    assert code == 0
    assert "warning: best effort: 2 frames without dark" in err
    assert "CALGRADE 4" in err.splitlines()[-1] + err.splitlines()[-2]
    code, out, err = reduced(capsys, "--ql", "-r", "darkCorrect", *science)
    assert code == 0
    assert "dark none: none fits" in out
    assert "warning: no processed dark" in err
    code, _, err = reduced(capsys, "-r", "darkCorrect", "-p", "darkCorrect:do_cal=skip", "--", *science)
    assert code == 0
    assert "darkCorrect is switched off" in err


def test_master_by_hand_may_stand_before_or_after_the_inputs(capsys):
    science = [str(path) for path in raw_files(Path(), "science", 2)]
    raw_file(Path("my_dark.fits"), "master dark")
    for words in (
        [*science, "--user", "processed_dark:my_dark.fits"],
        ["--user_cal=processed_dark:my_dark.fits", *science],
    ):
        code, out, _ = reduced(capsys, "-r", "darkCorrect", *words)
        assert code == 0
        assert "dark my_dark.fits (grade 2, usable with a doubt; given by hand)" in out


def test_database_of_the_command_line_is_asked_in_place_of_the_configured_one(capsys, tmp_path):
    science = [str(path) for path in raw_files(Path(), "science", 1)]
    (tmp_path / "db").mkdir()
    store = CalibrationStore(tmp_path / "db" / "cal_manager.db")
    store.create()
    store.add(raw_file(Path("my_dark.fits"), "master dark"))
    code, out, _ = reduced(capsys, "--local_db_dir", str(tmp_path / "db"), "-r", "darkCorrect", *science)
    assert code == 0
    assert "dark my_dark.fits" in out
    assert "missing.cfg" in refused(capsys, 6, "-c", "missing.cfg", *science)


# -- looking only ---------------------------------------------------------------------------------------


def test_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"reduce (Keyhole) {__version__}\n"


def test_display_shows_how_the_command_line_was_understood_and_runs_nothing(darks, capsys, playground):
    raw_file(Path("my_flat.fits"), "master flat")
    words = [darks[0], "-p", "x:y=1", "z=2", darks[1], "--user_cal", "processed_flat:my_flat.fits", "-d", "--qa"]
    code, out, err = reduced(capsys, *words)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "recipe       _default",
        "mode         qa",
        "parameters   x:y=1",
        "             z=2",
        "user_cal     processed_flat:my_flat.fits",
        "suffix       -",
        f"databases    no configuration file: calibrations are kept in {playground / 'cal_manager.db'}",
        f"inputs       {darks[0]}",
        f"             {darks[1]}",
    ]
    assert not Path("reduce.log").exists()


# -- refusals -------------------------------------------------------------------------------------------


def test_nothing_to_reduce(capsys):
    assert "no input files" in refused(capsys, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.fits"], "nowhere.fits"),
        (["@nowhere.lis"], "nowhere.lis"),
        (["*.fits"], "no file matches *.fits"),
        (["."], "is a folder"),
        (["@empty.lis"], "empty.lis is empty"),
        (["darks.lis"], "write @darks.lis"),
    ],
)
def test_input_that_is_not_there(capsys, words, told):
    Path("empty.lis").write_text("# nothing\n")
    Path("darks.lis").write_text("a.fits\n")
    assert told in refused(capsys, 2, *words)


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        (2, ["-p", "nonsense"], "expected name=value"),
        (2, ["-p", "hsigma=-1", "nosuch=1"], "hsigma=-1: expected a number in [0, inf)"),
        (2, ["-p", "hsigma=-1", "nosuch=1"], "parameter 'nosuch'"),
        (2, ["-r", "makeProcessedDrk"], "did you mean makeProcessedDark"),
        (2, ["--user_cal", "my_dark.fits"], "TYPE:FILE"),
        (2, ["--user_cal", "processed_drak:my_dark.fits"], "processed_dark"),
        (2, ["--user_cal", "processed_dark:nowhere.fits"], "nowhere.fits"),
        (4, ["--user_cal", "processed_flat:my_dark.fits"], "the file is a dark"),
        (6, ["--logfile", "nowhere/my.log"], "--logfile"),
    ],
)
def test_wrong_option_is_answered_in_one_sentence(darks, capsys, code, words, told):
    raw_file(Path("my_dark.fits"), "master dark")
    assert told in refused(capsys, code, *darks, *words)


def test_full_disk_is_one_sentence_and_leaves_nothing_half_written(darks, capsys, monkeypatch):
    def full(frame):
        yield b"half of it"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keyhole.frames.io._blocks", full)
    assert "is full" in refused(capsys, 6, *darks)


def test_interrupt_ends_with_130_and_leaves_nothing_half_written(darks, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("keyhole.primitives.stack.combine_frames", interrupted)
    code, _, err = reduced(capsys, *darks)
    assert code == 130
    assert err == "interrupted; nothing half-written was left\n"
    assert not list(Path().glob("*.fits"))
    assert "failed in stackDarks: interrupted" in Path("reduce.log").read_text()


def test_defect_is_raised_and_its_traceback_stands_in_the_log(darks, monkeypatch, capsys):
    def broken(*args, **options):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("keyhole.primitives.stack.combine_frames", broken)
    with pytest.raises(ZeroDivisionError):
        main(darks)
    log = Path("reduce.log").read_text()
    assert "failed in stackDarks: a defect" in log
    assert "Traceback" in log


def test_defect_ends_the_process_with_1_and_a_traceback():
    code = (
        "import sys, keyhole.selection as s, keyhole.cli.reduce as r\n"
        "def broken(words): raise ZeroDivisionError('a defect')\n"
        "s.gather = broken\n"
        "sys.exit(r.main(['a.fits']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: a defect" in done.stderr


def test_rotating_log_is_taken_as_standard_with_a_note(darks, capsys):
    code, _, err = reduced(capsys, "--logmode", "rotating", "-r", "prepare", darks[0])
    assert code == 0
    assert err.splitlines() == ["warning: --logmode rotating is taken as standard"]
