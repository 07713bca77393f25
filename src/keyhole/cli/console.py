"""Events of a run become lines on the screen and in the log file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TextIO

from keyhole import __version__
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

__all__ = ["Console", "LogFile"]

_WIDTH = 80
_MOST_NOTES = 2
_BAR = 30


class Console:
    """The account of a run on the screen: what came in, progress, what was used, what was written.

    Parameters
    ----------
    out, err : text streams
        Account, and warnings and errors.
    quiet : bool
        Only warnings and errors.
    verbose : bool
        All notes of each step.
    """

    def __init__(
        self,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        self._out = out if out is not None else sys.stdout
        self._err = err if err is not None else sys.stderr
        self._quiet = quiet
        self._verbose = verbose
        self._live = not quiet and self._err.isatty()
        self._step = ""
        self._quiet_steps: list[StepFinished] = []

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._say(f"Keyhole {__version__}   {event.summary}")
                self._say(f"recipe {event.recipe}, mode {event.mode}, {len(event.steps)} steps")
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
                self._clear()
                times = f" ({event.count} frames)" if event.count > 1 else ""
                print(_wrap(f"warning: {event.text}{times}"), file=self._err, flush=True)
            case Note():
                self._say(event.text)
            case ProductWritten():
                self._say(f"wrote {event.path}")
            case RunFinished():
                self._say(f"done in {event.seconds:.1f} s")
            case RunFailed():
                self._clear()
                if not self._quiet:
                    self._tell_quiet_steps()

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._clear()
            self._tell_quiet_steps()
            print(_wrap(text), file=self._out, flush=True)

    def _calibration(self, event: CalibrationChosen) -> None:
        kind = event.kind.removeprefix("processed_")
        if event.path is None:
            self._say(f"{kind:4s} none: {event.reason}")
        else:
            reason = f"; {event.reason}" if event.reason else ""
            self._say(f"{kind:4s} {Path(event.path).name} ({event.origin}{reason})")

    def _finished(self, event: StepFinished) -> None:
        self._clear()
        if self._quiet:
            return
        notes = list(event.notes)
        shown = notes if self._verbose or len(notes) <= _MOST_NOTES else []
        if not shown and not event.skipped and not self._verbose:
            self._quiet_steps.append(event)
            return
        self._tell_quiet_steps()
        head = f"{event.number:2d}/{event.total} {event.name:22s} {event.seconds:5.1f} s"
        if event.skipped:
            head += "  skipped"
        if len(shown) == 1 and len(head) + len(shown[0]) + 2 <= _WIDTH:
            print(f"{head}  {shown[0]}", file=self._out, flush=True)
            return
        print(head, file=self._out, flush=True)
        for note in shown:
            print(_wrap(f"      {note}", indent="        "), file=self._out, flush=True)

    def _tell_quiet_steps(self) -> None:
        """Steps with nothing to tell share a line."""
        steps, self._quiet_steps = self._quiet_steps, []
        if steps:
            names = ", ".join(step.name for step in steps)
            seconds = sum(step.seconds for step in steps)
            text = f"{steps[0].number:2d}/{steps[0].total} {names}  {seconds:.1f} s"
            print(_wrap(text, indent="      "), file=self._out, flush=True)

    def _bar(self, done: int, total: int) -> None:
        if self._live:
            full = round(_BAR * done / max(1, total))
            bar = "#" * full + "." * (_BAR - full)
            print(f"\r{self._step:32s} [{bar}] {done}/{total}", end="", file=self._err, flush=True)

    def _clear(self) -> None:
        if self._live:
            print("\r\x1b[2K", end="", file=self._err, flush=True)


def _wrap(text: str, indent: str = "         ") -> str:
    """Break a long line at blanks for 80 columns; a path is never broken."""
    import textwrap

    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.fill(
        text.strip(),
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


class LogFile:
    """Everything that happens, appended to a log file.

    Raises
    ------
    SetupError
        The file cannot be opened.
    """

    def __init__(self, path: Path, *, debug: bool = False) -> None:
        try:
            self._handler = logging.FileHandler(path, mode="a", encoding="utf-8")
        except OSError as err:
            raise SetupError(
                f"log file {path} cannot be written ({err.strerror}); choose another with --logfile"
            ) from err
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s - %(message)s", "%Y-%m-%d %H:%M:%S"))
        self._logger = logging.getLogger("keyhole")
        self._logger.addHandler(self._handler)
        self._logger.setLevel(logging.DEBUG if debug else logging.INFO)
        self._logger.propagate = False

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
                log.info("%s: %s  %s %s", event.kind, event.path, event.origin, event.reason)
                log.info("   for %s", ", ".join(Path(f).name for f in event.frames))
            case StepStarted():
                log.info("PRIMITIVE: %s (%d frames)", event.name, event.n_frames)
                log.info("   %s", ", ".join(f"{k}={v}" for k, v in event.parameters.items()))
            case StepFinished():
                for note in event.notes:
                    log.info("   %s", note)
                log.info("   %.2f s", event.seconds)
            case Caveat():
                log.warning("%s (%d)", event.text, event.count)
            case Note():
                log.info(event.text)
            case ProductWritten():
                log.info("wrote %s", event.path)
            case RunFinished():
                log.info("done in %.1f s; outputs: %s", event.seconds, ", ".join(event.outputs))
            case RunFailed():
                where = f" in {event.step}" if event.step else ""
                known = isinstance(event.error, (KeyholeError, KeyboardInterrupt))
                log.error(
                    "failed%s: %s",
                    where,
                    event.error or "interrupted",
                    exc_info=None if known else event.error,
                )

    def close(self) -> None:
        """Release the file."""
        self._logger.removeHandler(self._handler)
        self._handler.close()
