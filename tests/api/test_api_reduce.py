from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import raw_file, raw_files

import keyhole
from keyhole.calibration import Config, Database
from keyhole.engine import Event
from keyhole.engine.events import StepFinished
from keyhole.errors import CalibrationError, InputError, ParameterError, SetupError

NO_DATABASE = Config((), source=None)
MASTER = "N20120102S0001_dark.fits"


@pytest.fixture
def darks(here: Path) -> list[Path]:
    (here / "raw").mkdir()
    return raw_files(here / "raw")


def test_result_holds_products_warnings_and_timings(darks: list[Path], here: Path) -> None:
    result = keyhole.reduce(darks, config=NO_DATABASE)
    assert result.recipe == "makeProcessedDark"
    assert result.outputs == [Path(MASTER)]
    assert result.written == [Path(MASTER)]
    assert [timing.step for timing in result.timings][:2] == ["prepare", "addDQ"]
    assert 0 < sum(timing.seconds for timing in result.timings) <= result.seconds
    assert any("3 darks" in note for note in result.notes)
    assert MASTER in str(result)
    with fits.open(here / MASTER) as hdus:
        assert hdus[0].header["NCOMBINE"] == 3


def test_first_product_opens_as_a_frame(darks: list[Path]) -> None:
    frame = keyhole.reduce(darks, config=NO_DATABASE).open()
    assert isinstance(frame, keyhole.Frame)
    assert {"DARK", "PROCESSED"} <= frame.tags
    assert frame.variance is not None and frame.mask is not None


def test_raw_frame_opens(darks: list[Path]) -> None:
    frame = keyhole.open(darks[0])
    assert frame.data.dtype == np.float32
    assert frame.describe("exposure_time") == 60


def test_one_file_and_a_list_of_files_are_inputs(darks: list[Path], here: Path) -> None:
    alone = keyhole.reduce(darks[0], config=NO_DATABASE)
    assert any("single dark" in text for text in alone.warnings)
    Path("some.lis").write_text("\n".join(map(str, darks[:2])))
    with fits.open(keyhole.reduce("@some.lis", config=NO_DATABASE).outputs[0]) as hdus:
        assert hdus[0].header["NCOMBINE"] == 2


@pytest.mark.parametrize(
    "parameters",
    [
        {"stackDarks:operation": "median", "nlow": 0},
        [("nlow", 0), ("stackDarks:operation", "median")],
        ["stackDarks:operation=median", "nlow=0"],
        [("operation", "mean"), ("operation", "median")],
    ],
)
def test_parameters_come_in_all_historical_shapes(darks: list[Path], parameters: object) -> None:
    history = keyhole.reduce(darks, parameters=parameters, config=NO_DATABASE).open().tables["HISTORY"]
    (args,) = [
        args
        for name, args in zip(history.columns["primitive"], history.columns["args"], strict=True)
        if str(name).strip() == "stackDarks"
    ]
    assert '"operation": "median"' in str(args)


def test_value_of_the_user_wins_over_the_recipe_and_that_is_told(darks: list[Path]) -> None:
    result = keyhole.reduce(darks, parameters={"addVAR:poisson_noise": "False"}, config=NO_DATABASE)
    assert any("poisson_noise=False" in note and "replaces" in note for note in result.notes)


def test_masters_are_given_by_kind_or_word(here: Path) -> None:
    science = raw_file(here / "N20120117S0014.fits", "science")
    master = raw_file(here / "a_dark.fits", "master dark")
    for calibrations in ({"dark": master}, {"processed_dark": str(master)}, [f"processed_dark:{master}"]):
        result = keyhole.reduce(science, recipe="darkCorrect", calibrations=calibrations, config=NO_DATABASE)
        assert [found.path for found in result.calibrations if found.path] == [master]
    with pytest.raises(ParameterError, match="processed_dark"):
        keyhole.reduce(science, calibrations={"drak": master})
    with pytest.raises(CalibrationError, match="a_dark"):
        keyhole.reduce(science, calibrations={"flat": master})
    with pytest.raises(ParameterError, match="list"):
        keyhole.reduce(science, calibrations=f"processed_dark:{master}")


def test_databases_are_those_of_the_configuration(darks: list[Path], here: Path) -> None:
    result = keyhole.reduce(darks)
    assert (here / "cal_manager.db").is_file()
    assert any("cal_manager.db" in note for note in result.notes)
    (here / "mine.cfg").write_text(f"[calibs]\ndatabases = {here}/nowhere/x.db get store\n")
    with pytest.raises(SetupError, match="nowhere"):
        keyhole.reduce(darks, config="mine.cfg")
    with pytest.raises(ParameterError, match=r"other\.cfg"):
        keyhole.reduce(darks, config="other.cfg")
    assert keyhole.reduce(darks, config=Config((Database(str(here / "cal_manager.db"), True, False),), None)).outputs


def test_products_go_to_the_folder_named(darks: list[Path], here: Path) -> None:
    (here / "out").mkdir()
    result = keyhole.reduce(darks, output_dir="out", suffix="_mine", config=NO_DATABASE)
    assert result.outputs[-1] == Path("out/N20120102S0001_mine.fits")
    assert result.outputs[-1].is_file()
    with pytest.raises(SetupError, match="nowhere"):
        keyhole.reduce(darks, output_dir="nowhere", config=NO_DATABASE)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"recipe": "makeProcesedDark"}, "makeProcessedDark"),
        ({"mode": "fast"}, "sq"),
        ({"parameters": {"stackDrks:nlow": 1}}, "stackDarks"),
        ({"parameters": {"hsigma": -1}}, r"\[0, inf\)"),
        ({"parameters": ["nonsense"]}, "name=value"),
        ({"parameters": [("a", "b", "c")]}, "pair"),
        ({"account": "loud"}, "verbose"),
    ],
)
def test_wrong_options_are_one_sentence(darks: list[Path], options: dict[str, object], told: str) -> None:
    with pytest.raises(ParameterError, match=told) as error:
        keyhole.reduce(darks, config=NO_DATABASE, **options)
    assert "\n" not in str(error.value)
    assert not list(Path().glob("*.fits"))


def test_library_prints_nothing_and_logs_for_those_who_listen(
    darks: list[Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="keyhole"):
        result = keyhole.reduce(darks[0], config=NO_DATABASE)
    assert capfd.readouterr() == ("", "")
    lines = [record.getMessage() for record in caplog.records]
    assert sum("RECIPE: makeProcessedDark" in line for line in lines) == 1
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == len(result.warnings) > 0


def test_account_is_printed_on_demand_and_then_not_logged(
    darks: list[Path], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="keyhole"):
        keyhole.reduce(darks, account="standard", config=NO_DATABASE)
        standard = capsys.readouterr()
        keyhole.reduce(darks[0], account="quiet", config=NO_DATABASE)
        quiet = capsys.readouterr()
    assert standard.out.startswith("Keyhole ")
    assert f"wrote {MASTER}" in standard.out
    assert quiet.out == "" and quiet.err.startswith("warning: ")
    assert not caplog.records


def test_log_file_holds_the_run_once(darks: list[Path], here: Path) -> None:
    for _ in range(2):
        keyhole.reduce(darks, logfile="run.log", config=NO_DATABASE)
    assert (here / "run.log").read_text().count("RECIPE: makeProcessedDark") == 2
    assert not logging.getLogger("keyhole").handlers


def test_events_reach_a_listener(darks: list[Path]) -> None:
    events: list[Event] = []
    result = keyhole.reduce(darks, on_event=events.append, config=NO_DATABASE)
    steps = [event.name for event in events if isinstance(event, StepFinished)]
    assert steps == [timing.step for timing in result.timings]


def test_failed_run_closes_its_log_and_tells_why(
    darks: list[Path], here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError):
        keyhole.reduce([*darks, "nowhere.fits"], logfile="run.log", config=NO_DATABASE)
    # The error itself tells it; logged as well it would be told twice.
    assert not caplog.records
    assert "nowhere.fits" in (here / "run.log").read_text()
    assert not logging.getLogger("keyhole").handlers


def test_runs_in_threads_keep_their_logs_and_products_apart(darks: list[Path], here: Path) -> None:
    errors: list[BaseException] = []

    def one(number: int) -> None:
        folder = here / f"out{number}"
        folder.mkdir()
        try:
            keyhole.reduce(darks[number], output_dir=folder, logfile=folder / "run.log", config=NO_DATABASE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number in range(3):
        log = (here / f"out{number}" / "run.log").read_text()
        assert log.count("RECIPE:") == 1
        assert darks[number].name in log
        assert darks[(number + 1) % 3].name not in log


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time\nstart = time.perf_counter()\nimport keyhole\n"
        "seconds = time.perf_counter() - start\n"
        "print(seconds, *[name for name in ('numpy', 'astropy', 'pydantic', 'logging') if name in sys.modules])"
    )
    # The quickest of three, as other programs may run meanwhile.
    answers = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert min(float(words[0]) for words in answers) < 0.3
    assert answers[0][1:] == []


def test_public_names_are_complete_and_sorted() -> None:
    assert keyhole.__all__ == sorted(keyhole.__all__)
    for name in keyhole.__all__:
        assert getattr(keyhole, name) is not None
    assert set(keyhole.__all__) <= set(dir(keyhole))
    with pytest.raises(AttributeError, match="reduction"):
        keyhole.reduction  # noqa: B018  (asking is the test)
