"""Events of a run become records of a logger, and lines of a log file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from keyhole import __version__
from keyhole.calibration import MissingCalibrationError
from keyhole.engine.events import (
    CalibrationChosen,
    Caveat,
    Event,
    Metric,
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

__all__ = ["EventLog", "LogFile", "file_handler"]


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
            case Progress() | Metric():
                log.debug("   %s", _in_words(event))
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


def _in_words(event: Progress | Metric) -> str:
    if isinstance(event, Progress):
        return f"{event.done} of {event.total}"
    return f"{event.frame or 'result'}: {event.name} {event.value}"


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
