"""Summary and report of a night: written while it goes on, and at its end, however that comes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from keyhole.cli.common import tell
from keyhole.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from keyhole.night import NightPlan
    from keyhole.night.run import GroupResult, NightResult

__all__ = ["NightReport"]

# Drawing takes at most this part of the time.
_SHARE = 0.05
_ENDED = ("done", "kept", "failed", "skipped")


class NightReport:
    """Keeps ``summary.json`` and ``index.html`` in the folder of products up to date.

    Parameters
    ----------
    plan : NightPlan
        What is to be done.
    out : Path
        Folder of products; it exists.
    """

    def __init__(self, plan: NightPlan, out: Path) -> None:
        from keyhole.night.run import GroupResult, NightResult

        self._plan = plan
        self._result = NightResult(out, {group.name: GroupResult(group) for group in plan.groups})
        self._begin = time.perf_counter()
        self._spent = 0.0
        self._changed = False

    def __call__(self, found: GroupResult) -> None:
        """Take a change of state; write anew if there was time enough since."""
        self._result.groups[found.group.name] = found
        if found.state not in _ENDED:
            return
        self._changed = True
        if self._spent <= _SHARE * (time.perf_counter() - self._begin):
            self._write()

    def finish(self, result: NightResult | None) -> None:
        """Write what became of the night; None: it was interrupted, and what is known so far is told."""
        if result is None:
            self._result.seconds = time.perf_counter() - self._begin
            if not self._changed:
                return
        else:
            self._result = result
        self._write()

    def _write(self) -> None:
        """Write both; that a report cannot be written does not undo the products."""
        from keyhole.night.summary import summary_of, write_summary

        tick = time.perf_counter()
        try:
            write_summary(self._plan, self._result)
            from keyhole.report.files import write_night

            write_night(summary_of(self._plan, self._result), self._result.out)
        except (OSError, SetupError) as error:
            tell(f"warning: the report is not up to date: {error}", sys.stderr)
        self._spent += time.perf_counter() - tick
