"""Events of a run become lines on the screen."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TextIO

from keyhole import __version__
from keyhole.calibration import Grade
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

__all__ = ["Console"]

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
