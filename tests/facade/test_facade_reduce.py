from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from toy_runs import raw_file, raw_files

import keyhole
from gempy.utils import logutils
from keyhole.errors import CalibrationError, InputError, ParameterError
from recipe_system.reduction.coreReduce import Reduce, reduce_data
from recipe_system.utils.reduce_utils import (
    buildParser,
    normalize_args,
    normalize_ucals,
    normalize_upload,
    set_btypes,
)

MASTER = "N20120102S0001_dark.fits"


@pytest.fixture
def darks(here: Path) -> list[str]:
    (here / "raw").mkdir()
    return [str(path) for path in raw_files(here / "raw")]


def reduction(files: list[str], **attributes: Any) -> Reduce:
    made = Reduce()
    made.files.extend(files)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def test_attributes_are_those_that_scripts_know() -> None:
    made = Reduce()
    assert (made.files, made.mode, made.recipename, made.suffix) == ([], "sq", "_default", None)
    assert (made.uparms, made.ucals, made.upload, made.drpkg, made.adpkg) == ({}, {}, None, "geminidr", None)
    assert (made.output_filenames, made.processed_filenames) == (None, None)
    assert Reduce().files is not made.files


def test_run_gives_names_of_products_and_recipe(darks: list[str]) -> None:
    made = reduction(darks)
    made.runr()
    assert made.output_filenames == made.processed_filenames == [MASTER]
    assert made.recipename == "makeProcessedDark"


def test_account_is_printed_once_per_run_to_stdout(darks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    made = reduction(darks)
    for _ in range(2):
        made.runr()
        text = capsys.readouterr()
        assert text.out.count(f"wrote {MASTER}") == 1
        assert text.out.count("recipe makeProcessedDark") == 1
        assert text.err == ""


def test_quiet_run_prints_warnings_only(darks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    reduction(darks[:1], logmode="quiet").runr()
    text = capsys.readouterr()
    assert text.out == "" and "single dark" in text.err
    logutils.config(mode="quiet", file_name="a.log")
    reduction(darks).runr()
    assert capsys.readouterr() == ("", "")
    assert Path("a.log").read_text().count("RECIPE: makeProcessedDark") == 1


def test_log_file_is_written_where_it_is_asked_for(darks: list[str], here: Path) -> None:
    reduction(darks).runr()
    assert not list(here.glob("*.log"))
    logutils.config(file_name="script.log")
    reduction(darks).runr()
    reduction(darks, logfile="own.log").runr()
    for name in ("script.log", "own.log"):
        assert Path(name).read_text().count("RECIPE: makeProcessedDark") == 1


def test_logging_of_the_script_stays_as_it_is(darks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root, own = logging.getLogger(), Keep(logging.INFO)
    root.addHandler(own)
    try:
        before = list(root.handlers), root.level
        logutils.config(file_name="a.log")
        reduction(darks).runr()
        assert (list(root.handlers), root.level) == before
    finally:
        root.removeHandler(own)
    assert not records
    assert capsys.readouterr().out.count("wrote") == 1


@pytest.mark.parametrize("uparms", [[("nlow", "0"), ("stackDarks:operation", "median")], {"operation": "median"}])
def test_parameters_in_both_shapes(darks: list[str], uparms: Any) -> None:
    made = reduction(darks, uparms=uparms, suffix="_mine")
    made.runr()
    assert made.output_filenames == ["N20120102S0001_mine.fits"]
    history = keyhole.open("N20120102S0001_mine.fits").tables["HISTORY"]
    assert any('"operation": "median"' in str(args) for args in history.columns["args"])


def test_masters_by_hand_in_both_forms(here: Path) -> None:
    science = [str(raw_file(here / f"N20120117S001{n}.fits", "science", seed=n, DATALAB=f"L-{n}")) for n in (4, 5)]
    master = raw_file(here / "a_dark.fits", "master dark")
    words = [f"processed_dark:{master}"]
    older, newer = normalize_ucals(science, words), normalize_ucals(words)
    assert older == {("L-4", "processed_dark"): str(master), ("L-5", "processed_dark"): str(master)}
    assert newer == {"processed_dark": str(master)}
    for ucals in (older, newer):
        made = reduction(science, ucals=ucals, recipename="darkCorrect", uparms={"darkCorrect:do_cal": "force"})
        made.runr()
        assert keyhole.open(made.output_filenames[1]).primary["DARKIM"] == "a_dark.fits"


def test_masters_that_differ_from_input_to_input_are_refused(here: Path) -> None:
    raw = raw_file(here / "a.fits", "science")
    ucals = {("L-1", "processed_dark"): "a_dark.fits", ("L-2", "processed_dark"): "b_dark.fits"}
    with pytest.raises(ParameterError, match=r"a_dark\.fits and b_dark\.fits"):
        reduction([str(raw)], ucals=ucals).runr()


def test_normalize_ucals_checks_the_files(here: Path) -> None:
    flat = raw_file(here / "a_flat.fits", "master flat")
    assert normalize_ucals(None) == {}
    assert normalize_ucals([], None) == {}
    with pytest.raises(InputError, match="nowhere"):
        normalize_ucals(["processed_dark:nowhere.fits"])
    with pytest.raises(CalibrationError, match="flat"):
        normalize_ucals([f"processed_dark:{flat}"])


def test_what_has_no_effect_is_said(darks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    made = reduction(darks, adpkg="mypackage", drpkg="mydr", upload="metrics,calibs")
    assert made.upload == ["metrics", "calibs"]
    made.runr()
    told = capsys.readouterr().err
    assert [told.count(word) for word in ("adpkg=mypackage", "drpkg=mydr", "upload=", "no effect")] == [1, 1, 1, 3]


def test_one_call_reduces(darks: list[str]) -> None:
    done = reduce_data(darks, uparms={"operation": "median"}, suffix="_a", logmode="quiet")
    assert done["_output_filenames"] == done["processed_filenames"] == ["N20120102S0001_a.fits"]
    assert done["recipename"] == "makeProcessedDark"


def test_failed_run_raises_and_leaves_no_names(darks: list[str], here: Path) -> None:
    made = reduction(darks)
    made.runr()
    made.files.append("nowhere.fits")
    with pytest.raises(InputError, match="nowhere"):
        made.runr()
    assert made.output_filenames is None
    made.files = [str(raw_file(here / "N20120117S0034.fits", "flat"))]
    # The recipe is again that of the frames.
    assert made.recipename == "_default"
    with pytest.raises(keyhole.KeyholeError):
        reduction(darks, recipename="makeProcessedFlat").runr()
    with pytest.raises(ParameterError, match="sq, ql or qa"):
        reduction(darks, mode="fast").runr()


def test_recipe_is_a_name_a_file_or_a_function(darks: list[str], here: Path) -> None:
    (here / "mine.py").write_text("def r(p):\n    p.prepare()\n")
    for recipe in ("prepare", "mine.r", "mine.py:r", lambda p: p.prepare()):
        made = reduction(darks[:1], recipename=recipe)
        made.runr()
        assert made.recipename == recipe
        assert made.output_filenames == ["N20120102S0001_prepared.fits"]


def test_options_of_the_command_make_a_reduction(darks: list[str], here: Path) -> None:
    words = [darks[0], "-r", "prepare", "--ql", "--suffix", "_a", "-p", "require_wcs=False", "--logmode", "quiet"]
    options = normalize_args(buildParser("1.0").parse_args(words))
    options.logfile = None
    made = Reduce(options)
    assert (made.files, made.mode, made.recipename, made.suffix) == ([darks[0]], "ql", "prepare", "_a")
    made.runr()
    assert made.output_filenames == ["N20120102S0001_a.fits"]


def test_argument_forms_are_translated() -> None:
    assert set_btypes(["a=1", "b:c=None", "d=x=y", "e=True"]) == [("a", "1"), ("b:c", None), ("d", "x=y"), ("e", True)]
    assert set_btypes(None) == []
    assert normalize_upload(["Metrics,CALIBS", "science"]) == ["metrics", "calibs", "science"]
    assert normalize_upload(None) is None
    options = buildParser().parse_args([])
    options.suffix, options.recipe = ["_a"], []
    assert (normalize_args(options).suffix, options.recipe) == ("_a", None)


def test_reductions_run_in_threads(darks: list[str], here: Path) -> None:
    made = [reduction([name], logfile=f"{number}.log", logmode="quiet") for number, name in enumerate(darks)]
    threads = [threading.Thread(target=one.runr) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.output_filenames for one in made] == [[f"N20120102S000{n}_dark.fits"] for n in (1, 2, 3)]
    assert all((here / f"{number}.log").read_text().count("RECIPE:") == 1 for number in range(3))


def test_two_processes_reduce_at_once(darks: list[str], here: Path) -> None:
    imports = "import sys\nfrom recipe_system.reduction.coreReduce import Reduce\n"
    code = imports + "reduction = Reduce()\nreduction.files = sys.argv[1:]\nreduction.runr()"
    running = [subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.DEVNULL) for name in darks[:2]]
    assert [process.wait(60) for process in running] == [0, 0]
    assert {MASTER, "N20120102S0002_dark.fits"} <= {path.name for path in here.iterdir()}
