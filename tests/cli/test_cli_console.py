from __future__ import annotations

import io
import logging
import os

import pytest

from keyhole.cli.console import Console
from keyhole.engine.eventlog import LogFile
from keyhole.engine.events import (
    CalibrationChosen,
    Caveat,
    Note,
    ProductWritten,
    Progress,
    RunFailed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from keyhole.errors import InputError, SetupError

LONG = "a note that is far too long for one line of the screen and goes on and on until it needs a second line"
STEPS = [f"step{n}" for n in range(1, 21)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def started(n: int = 20) -> RunStarted:
    files = [f"/a/folder/N20120117S{k:04d}.fits" for k in range(n)]
    return RunStarted(files, f"{n} science images  N1.fits ... N20.fits  J  ShortBlue", "reduce", "sq", STEPS)


def finished(number: int, *notes: str, name: str = "", seconds: float = 0.5, skipped: bool = False) -> StepFinished:
    return StepFinished(name or f"step{number}", number, 20, 20, seconds, notes, skipped)


def shown(*events, terminal=False, **options):
    out, err = io.StringIO(), Terminal() if terminal else io.StringIO()
    console = Console(out=out, err=err, **options)
    for event in events:
        console(event)
    return out.getvalue(), err.getvalue()


# -- what is told ---------------------------------------------------------------------------------------


def test_account_tells_inputs_calibrations_steps_products_and_end():
    out, err = shown(
        started(),
        CalibrationChosen("processed_dark", "/d/N_dark.fits", "from /d/cal.db", "2.0 days before the frame", ["a"]),
        CalibrationChosen("processed_flat", "/d/N_flat.fits", "given by hand", "", ["a"]),
        CalibrationChosen("processed_dark", "/d/G_dark.fits", "from /d/cal.db", "2.0 days after the frame", ["a"], 1),
        CalibrationChosen("processed_dark", "/d/D_dark.fits", "from /d/cal.db", "told as a warning", ["a"], 2),
        CalibrationChosen("processed_bpm", None, "", "none in the databases", ["a"]),
        finished(1, "a short note"),
        ProductWritten("N_stack.fits"),
        Note("registered"),
        RunFinished(["N_stack.fits"], 3.21, 0),
    )
    assert out.splitlines()[1:] == [
        "recipe reduce, mode sq, 20 steps",
        "dark N_dark.fits (from /d/cal.db; 2.0 days before the frame)",
        "flat N_flat.fits (given by hand)",
        "dark G_dark.fits (grade 1, good: 2.0 days after the frame)",
        "dark D_dark.fits (grade 2, usable with a doubt)",
        "bpm  none: none in the databases",
        " 1/20 step1                    0.5 s  a short note",
        "wrote N_stack.fits",
        "registered",
        "done in 3.2 s",
    ]
    assert err == ""


def test_steps_without_notes_share_a_line_with_the_time_of_all():
    out, _ = shown(*(finished(n) for n in (1, 2, 3)), finished(4, "x"), finished(5), RunFinished([], 1.0, 0))
    assert out.splitlines() == [
        " 1/20 step1, step2, step3      1.5 s",
        " 4/20 step4                    0.5 s  x",
        " 5/20 step5                    0.5 s",
        "done in 1.0 s",
    ]


def test_two_notes_stand_below_the_step():
    out, _ = shown(finished(1, "one", "two"))
    assert out.splitlines() == [" 1/20 step1                    0.5 s", "      one", "      two"]


def test_skipped_step_is_told():
    out, _ = shown(finished(1, skipped=True))
    assert out == " 1/20 step1                    0.5 s  skipped\n"


def test_notes_of_every_frame_are_left_to_the_log_file_and_counted():
    out, _ = shown(finished(1, *(f"frame {n}" for n in range(20))), RunFinished([], 1.0, 0))
    assert out.splitlines() == [
        " 1/20 step1                    0.5 s",
        "done in 1.0 s; 20 more notes in the log file",
    ]


def test_caveat_goes_to_the_error_stream_with_its_count():
    out, err = shown(Caveat("a weaker way"), Caveat("another one", 3))
    assert out == ""
    assert err.splitlines() == ["warning: a weaker way", "warning: another one (3 frames)"]


def test_failed_run_shows_how_far_it_came():
    out, err = shown(finished(1), finished(2), RunFailed(InputError("x"), "step3"))
    assert out == " 1/20 step1, step2             1.0 s\n"
    assert err == ""


# -- quiet and verbose ----------------------------------------------------------------------------------


def everything():
    yield started()
    yield CalibrationChosen("processed_dark", None, "", "none fits", [])
    yield StepStarted("step1", 1, 20, 20)
    yield Progress(1, 20)
    yield finished(1, *(f"frame {n}" for n in range(20)))
    yield finished(2)
    yield Caveat("careful")
    yield ProductWritten("N_stack.fits")
    yield Note("registered")


@pytest.mark.parametrize("last", [RunFinished([], 1.0, 1), RunFailed(InputError("x"), None)])
@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_tells_nothing_but_warnings(last, terminal):
    assert shown(*everything(), last, quiet=True, terminal=terminal) == ("", "warning: careful\n")


def test_verbose_tells_every_note():
    out, _ = shown(*everything(), RunFinished([], 1.0, 1), verbose=True)
    assert all(f"      frame {n}\n" in out for n in range(20))
    assert "more notes" not in out
    assert " 2/20 step2 " in out


# -- size -----------------------------------------------------------------------------------------------


def long_run():
    yield started()
    for kind in ("processed_bpm", "processed_dark", "processed_flat"):
        yield CalibrationChosen(kind, f"/d/N_{kind}.fits", "from /a/folder/cal_manager.db", LONG, [])
    for n in range(4):
        yield Caveat(f"{n} {LONG}", 20)
    for number, name in enumerate(STEPS, start=1):
        yield finished(number, f"{name} {LONG}", LONG, name=f"{name}WithALongName")
        if number in (18, 19):
            yield ProductWritten(f"N20120117S0014_{number}.fits")
    yield Note("N20120117S0014_dark.fits is registered in /a/folder/cal_manager.db")
    yield RunFinished([], 10.0, 4)


def test_account_of_a_long_run_with_long_notes_and_warnings_stays_within_40_lines():
    out, err = shown(*long_run())
    lines = [*out.splitlines(), *err.splitlines()]
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    # Notes are shown as long as there is room, and what is not shown is counted.
    notes = sum(line.strip().startswith(("step", "a note")) for line in out.splitlines())
    assert notes > 0
    assert "more notes in the log file" in out
    for name in STEPS:
        assert f"{name}WithALongName" in out


def test_steps_after_a_full_screen_still_have_their_line():
    out, _ = shown(*long_run())
    assert "step20WithALongName" in out.splitlines()[-3]


def test_no_line_is_longer_than_80_columns_unless_a_word_is():
    path = f"/{'a' * 90}/cal.db"
    out, err = shown(
        started(),
        CalibrationChosen("processed_dark", "N_dark.fits", f"from {path}", LONG, []),
        finished(1, LONG),
        finished(2, *["x" * 50] * 2),
        *(finished(n, name="aVeryLongNameOfAStep") for n in range(3, 12)),
        Caveat(f"{LONG} {LONG}", 20),
        ProductWritten(f"{path}.fits"),
        RunFinished([], 1.0, 0),
        verbose=True,
    )
    for line in [*out.splitlines(), *err.splitlines()]:
        assert len(line) <= 80 or path in line
    assert path in out


# -- progress -------------------------------------------------------------------------------------------


def test_bar_is_drawn_on_a_terminal_and_wiped():
    _, err = shown(StepStarted("skyCorrect", 12, 20, 20), Progress(10, 20), finished(12), terminal=True)
    assert "12/20 skyCorrect" in err
    assert f"[{'#' * 15}{'.' * 15}] 10/20" in err
    assert err.endswith("\r\x1b[2K")
    assert "\n" not in err


def test_no_bar_without_a_terminal():
    _, err = shown(StepStarted("skyCorrect", 12, 20, 20), Progress(10, 20), finished(12))
    assert err == ""


def test_bar_of_a_step_without_frames_is_empty():
    _, err = shown(StepStarted("skyCorrect", 12, 20, 0), Progress(0, 0), terminal=True)
    assert "[" + "." * 30 + "] 0/0" in err


def test_account_is_not_drawn_behind_the_bar():
    _, err = shown(StepStarted("a", 1, 20, 5), Caveat("careful"), StepStarted("a", 1, 20, 5), terminal=True)
    assert "\r\x1b[2Kwarning: careful\n" in err


# -- log file -------------------------------------------------------------------------------------------


@pytest.fixture
def log_path(tmp_path):
    return tmp_path / "reduce.log"


def logged(path, *events, **options):
    log = LogFile(path, **options)
    try:
        for event in events:
            log(event)
    finally:
        log.close()
    return path.read_text()


def test_log_file_holds_everything(log_path):
    text = logged(
        log_path,
        started(2),
        CalibrationChosen("processed_dark", "/d/N_dark.fits", "given by hand", "", ["/a/b.fits"]),
        StepStarted("stackDarks", 6, 7, 10, {"nlow": 1, "operation": "mean"}),
        Progress(1, 2),
        StepFinished("stackDarks", 6, 7, 1, 1.234, tuple(f"note {n} of 100%" for n in range(5))),
        StepFinished("other", 7, 7, 1, 0.0, (), True),
        Caveat("a weaker way", 3),
        Note("registered 100%"),
        ProductWritten("/out/N_dark.fits"),
        RunFinished(["/out/N_dark.fits"], 2.0, 1),
    )
    for words in (
        "INFO     - RECIPE: reduce (mode sq)",
        "   input /a/folder/N20120117S0001.fits",
        "processed_dark: /d/N_dark.fits  given by hand",
        "   for b.fits",
        "PRIMITIVE: stackDarks (frames: 10)",
        "   nlow=1, operation=mean",
        "   note 4 of 100%",
        "   1.23 s",
        "   skipped, 0.00 s",
        "WARNING  - a weaker way (3)",
        "registered 100%",
        "wrote /out/N_dark.fits",
        "done in 2.0 s; outputs: /out/N_dark.fits",
    ):
        assert words in text
    assert "1 of 2" not in text
    assert all(line[:4].isdigit() and line[10] == " " for line in text.splitlines())


def test_log_file_is_appended_to(log_path):
    logged(log_path, Note("first"))
    assert logged(log_path, Note("second")).count("INFO") == 2


def test_debug_log_holds_progress_too(log_path):
    assert "DEBUG    -    1 of 2" in logged(log_path, Progress(1, 2), debug=True)


def test_error_of_the_user_is_one_line_and_a_defect_keeps_its_traceback(log_path):
    text = logged(log_path, RunFailed(InputError("no file"), None), RunFailed(KeyboardInterrupt(), "prepare"))
    assert "ERROR    - failed: no file" in text
    assert "ERROR    - failed in prepare: interrupted" in text
    assert "Traceback" not in text
    try:
        raise RuntimeError
    except RuntimeError as err:
        text = logged(log_path, RunFailed(err, "stackDarks"))
    assert "failed in stackDarks: RuntimeError" in text
    assert "Traceback" in text


def test_log_file_takes_what_modules_of_the_package_log(log_path):
    log = LogFile(log_path)
    logging.getLogger("keyhole.imaging").warning("from a module")
    log.close()
    logging.getLogger("keyhole.imaging").warning("too late")
    assert "from a module" in log_path.read_text()
    assert "too late" not in log_path.read_text()


def test_logger_is_left_as_it_was(log_path):
    logger = logging.getLogger("keyhole")
    before = logger.level, logger.propagate, list(logger.handlers)
    logged(log_path, Note("x"), debug=True)
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_log_file_in_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(SetupError, match="choose another with --logfile"):
        LogFile(tmp_path / "nowhere" / "reduce.log")


def test_log_file_on_a_full_disk_is_one_warning(log_path, monkeypatch, capsys):
    log = LogFile(log_path)

    def full(self, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._handler, "stream", type("Full", (io.StringIO,), {"write": full})())
    for _ in range(3):
        log(Note("x"))
    log.close()
    err = capsys.readouterr().err
    assert err.count("cannot be written any more") == 1
    assert "Traceback" not in err


def test_account_goes_on_when_its_reader_has_gone():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as out:
        console = Console(out=out, err=io.StringIO())
        for event in (started(3), finished(1, "first"), finished(2, "second"), finished(3, "third")):
            console(event)
        out.flush()
