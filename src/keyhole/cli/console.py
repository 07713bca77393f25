"""Events of a run become lines on the screen and in the log file."""

from __future__ import annotations

import logging
import sys
import textwrap
from pathlib import Path
from typing import TextIO

from keyhole import __version__
from keyhole.calibration import Grade, MissingCalibrationError
from keyhole.cli.common import tell
from keyhole.engine.events import (
    CalibrationChosen,
    Caveat,
    Event,
    Note,
    ProductWritten,
    Progress,
    RunFailed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from keyhole.errors import KeyholeError, SetupError

__all__ = ["Console", "EventLog", "LogFile", "file_handler"]

_WIDTH = 80
_MOST_LINES = 40
# A step with more notes than this has one per frame; the log file has them.
_MOST_NOTES = 2
# Lines kept free for what follows the last step: products, bad pixels, registration, the end.
_CLOSING_LINES = 6
# So many names of silent steps fit into a line, at least.
_NAMES_A_LINE = 4
_BAR = 30


class Console:
    """The account of a run on the screen: what came in, progress, what was used, what was written.

    No line is longer than 80 columns unless a word is. The account stays within 40 lines: where notes would
    not fit any more they are left to the log file, and the last line says how many.

    Parameters
    ----------
    out, err : text streams, optional
        Account, and warnings and progress; by default those of the process.
    quiet : bool
        Only warnings and errors.
    verbose : bool
        All notes of each step, however long the account becomes.
    elsewhere : str
        Where the notes are that were left out.
    """

    def __init__(
        self,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        quiet: bool = False,
        verbose: bool = False,
        elsewhere: str = "in the log file",
    ) -> None:
        self._elsewhere = elsewhere
        self._out = out if out is not None else sys.stdout
        self._err = err if err is not None else sys.stderr
        self._quiet = quiet
        self._verbose = verbose
        self._live = not quiet and self._err.isatty()
        self._step = ""
        self._lines = 0
        self._left_out = 0
        # Steps with nothing to tell share a line, which is printed before the next one that has.
        self._silent_steps: list[StepFinished] = []

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._say(f"Keyhole {__version__}   {event.summary}")
                count = len(event.steps)
                self._say(f"recipe {event.recipe}, mode {event.mode}, {count} step{'s' * (count != 1)}")
            case CalibrationChosen():
                self._calibration(event)
            case StepStarted():
                self._step = f"{event.number:2d}/{event.total} {event.name}"
                self._bar(0, max(1, event.n_frames))
            case Progress():
                self._bar(event.done, event.total)
            case StepFinished():
                self._finished(event)
            case Caveat():
                self._warn(event)
            case Note():
                self._say(event.text)
            case ProductWritten():
                self._say(f"wrote {event.path}")
            case RunFinished():
                more = f"; {self._left_out} more notes {self._elsewhere}" if self._left_out else ""
                self._say(f"done in {event.seconds:.1f} s{more}")
            case RunFailed():
                self._clear()
                self._tell_silent_steps()

    def _print(self, text: str, *, indent: str = "         ") -> None:
        lines = _wrapped(text, indent)
        self._lines += len(lines)
        tell("\n".join(lines), self._out)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._clear()
            self._tell_silent_steps()
            self._print(text)

    def _warn(self, event: Caveat) -> None:
        self._clear()
        times = f" ({event.count} frames)" if event.count > 1 else ""
        lines = _wrapped(f"warning: {event.text}{times}", "         ")
        self._lines += len(lines)
        tell("\n".join(lines), self._err)

    def _calibration(self, event: CalibrationChosen) -> None:
        kind = event.kind.removeprefix("processed_")
        if event.path is None:
            self._say(f"{kind:4s} none: {event.reason}")
            return
        words = [event.origin, *([event.reason] if event.reason else [])]
        if event.grade is not None:
            grade = Grade(event.grade)
            # Doubts and disagreements follow as warnings.
            reason = f": {event.reason}" if grade < Grade.DOUBTFUL and event.reason else ""
            # Which database it is from stands in the log file.
            by_whom = [] if event.origin.startswith("from ") else [event.origin]
            words = [f"grade {grade:d}, {grade.words}{reason}", *by_whom]
        self._say(f"{kind:4s} {Path(event.path).name} ({'; '.join(words)})")

    def _finished(self, event: StepFinished) -> None:
        self._clear()
        if self._quiet:
            return
        lines = self._lines_for(event)
        # Steps to come and the silent ones before this share lines if they must.
        named = event.total - event.number + len(self._silent_steps)
        reserve = -(-named // _NAMES_A_LINE) + 1 + _CLOSING_LINES
        fits = self._verbose or (len(event.notes) <= _MOST_NOTES and self._lines + len(lines) + reserve <= _MOST_LINES)
        if not fits:
            self._left_out += len(event.notes)
        if self._verbose or event.skipped or (fits and event.notes):
            self._tell_silent_steps()
            shown = lines if fits else lines[:1]
            self._lines += len(shown)
            tell("\n".join(shown), self._out)
        else:
            self._silent_steps.append(event)

    def _lines_for(self, event: StepFinished) -> list[str]:
        """The lines of a step: a single short note stands behind the name, others below."""
        head = f"{event.number:2d}/{event.total} {event.name:22s} {event.seconds:5.1f} s"
        if event.skipped:
            head += "  skipped"
        if len(event.notes) == 1 and len(head) + len(event.notes[0]) + 2 <= _WIDTH:
            return [f"{head}  {event.notes[0]}"]
        return [head, *(line for note in event.notes for line in _wrapped(f"      {note}", "        "))]

    def _tell_silent_steps(self) -> None:
        steps, self._silent_steps = self._silent_steps, []
        if steps and not self._quiet:
            names = ", ".join(step.name for step in steps)
            seconds = sum(step.seconds for step in steps)
            self._print(f"{steps[0].number:2d}/{steps[0].total} {names:22s} {seconds:5.1f} s", indent="      ")

    def _bar(self, done: int, total: int) -> None:
        if self._live:
            full = round(_BAR * done / max(1, total))
            bar = "#" * full + "." * (_BAR - full)
            tell(f"\r{self._step:32s} [{bar}] {done}/{total}", self._err, end="")

    def _clear(self) -> None:
        if self._live:
            tell("\r\x1b[2K", self._err, end="")


def _wrapped(text: str, indent: str) -> list[str]:
    """Break a long line at blanks for 80 columns; a path is never broken."""
    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(),
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


class EventLog:
    """Everything that happens, as records of a logger.

    Parameters
    ----------
    logger : logging.Logger
        Its handlers get the records. Not configured here.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, event: Event) -> None:
        """Write one event."""
        log = self._logger
        match event:
            case RunStarted():
                log.info("Keyhole %s  %s", __version__, event.summary)
                log.info("RECIPE: %s (mode %s)", event.recipe, event.mode)
                for name in event.files:
                    log.info("   input %s", name)
            case CalibrationChosen():
                log.info("%s: %s  %s  grade %s  %s", event.kind, event.path, event.origin, event.grade, event.reason)
                log.info("   for %s", ", ".join(Path(f).name for f in event.frames))
            case StepStarted():
                log.info("PRIMITIVE: %s (frames: %d)", event.name, event.n_frames)
                log.info("   %s", ", ".join(f"{k}={v}" for k, v in event.parameters.items()))
            case Progress():
                log.debug("   %d of %d", event.done, event.total)
            case StepFinished():
                for note in event.notes:
                    log.info("   %s", note)
                log.info("   %s%.2f s", "skipped, " if event.skipped else "", event.seconds)
            case Caveat():
                log.warning("%s (%d)", event.text, event.count)
            case Note():
                log.info("%s", event.text)
            case ProductWritten():
                log.info("wrote %s", event.path)
            case RunFinished():
                log.info("done in %.1f s; outputs: %s", event.seconds, ", ".join(event.outputs))
            case RunFailed():
                self._failed(event)

    def _failed(self, event: RunFailed) -> None:
        where = f" in {event.step}" if event.step else ""
        known = isinstance(event.error, (KeyholeError, KeyboardInterrupt))
        words = str(event.error) or ("interrupted" if known else type(event.error).__name__)
        if isinstance(event.error, MissingCalibrationError):
            for told in event.error.explanations:
                for candidate in told.candidates:
                    self._logger.info("   not %s", candidate.words)
        self._logger.error("failed%s: %s", where, words, exc_info=None if known else event.error)


class LogFile(EventLog):
    """Everything that happens, appended to a log file; also what the modules of the package log meanwhile.

    Parameters
    ----------
    path : Path
        Log file; made if it does not exist.
    debug : bool
        Also what is meant for debugging.

    Raises
    ------
    SetupError
        The file cannot be opened.
    """

    def __init__(self, path: Path, *, debug: bool = False) -> None:
        self._handler = file_handler(path)
        # A logger of its own, which no name leads to: two runs at once do not write into each other's file,
        # and nothing reaches the handlers of the program around.
        logger = logging.Logger("keyhole.run", logging.DEBUG if debug else logging.INFO)
        logger.addHandler(self._handler)
        logging.getLogger("keyhole").addHandler(self._handler)
        super().__init__(logger)

    def close(self) -> None:
        """Release the file."""
        logging.getLogger("keyhole").removeHandler(self._handler)
        self._handler.close()


def file_handler(path: Path, *, mode: str = "a") -> logging.FileHandler:
    """Open a log file.

    Raises
    ------
    SetupError
        The file cannot be opened.
    """
    try:
        handler = _Handler(path, mode=mode, encoding="utf-8")
    except OSError as err:
        raise SetupError(f"log file {path} cannot be written ({err.strerror}); choose another with --logfile") from err
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s - %(message)s", "%Y-%m-%d %H:%M:%S"))
    return handler


class _Handler(logging.FileHandler):
    """A log file whose disk is full is one warning, not a traceback for every line."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (name given by logging)
        if not self._told:
            self._told = True
            print(f"warning: log file {self.baseFilename} cannot be written any more", file=sys.stderr)
