"""What runs and what is done, while a night is reduced: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from keyhole.cli.common import tell
from keyhole.errors import SetupError

if TYPE_CHECKING:
    from keyhole.night.run import GroupResult

__all__ = ["view"]

_WORDS = {
    "running": "reducing",
    "done": "done",
    "kept": "kept, nothing has changed",
    "failed": "FAILED",
    "skipped": "skipped",
}


@contextmanager
def view(total: int, events: str | None) -> Iterator[Callable[[GroupResult], None]]:
    """Show each change of state of a group.

    Parameters
    ----------
    total : int
        Number of groups.
    events : str or None
        File that the changes are appended to as JSON.

    Raises
    ------
    SetupError
        The file cannot be written.
    """
    stream = _opened(events)
    lines = _Live(total) if sys.stdout.isatty() else _Lines(total)

    def show(found: GroupResult) -> None:
        lines.show(found)
        if stream is not None:
            tell(json.dumps(_as_dict(found)), stream)

    try:
        yield show
    finally:
        lines.close()
        if stream is not None:
            stream.close()


def _opened(events: str | None) -> TextIO | None:
    if events is None:
        return None
    try:
        return Path(events).open("a", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{events} cannot be written ({error.strerror}); name another file for the events") from error


def _as_dict(found: GroupResult) -> dict[str, object]:
    stamp = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    told: dict[str, object] = {"time": stamp, "group": found.group.name, "state": found.state}
    if found.reason:
        told["reason"] = found.reason
    if found.outcome is not None:
        told["products"] = list(found.outcome.products)
        told["seconds"] = round(found.outcome.seconds, 3)
    return told


class _Lines:
    """A line for each group that ends."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.ended = 0

    def show(self, found: GroupResult) -> None:
        if found.state == "running":
            return
        self.ended += 1
        seconds = f"  {found.outcome.seconds:.1f} s" if found.outcome is not None and found.state == "done" else ""
        tell(f"{self.ended}/{self.total} {found.group.name}: {_WORDS[found.state]}{seconds}", sys.stdout)

    def close(self) -> None:
        """Nothing is open."""


class _Live(_Lines):
    """The same lines, and below them what runs and how long it may still take."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(total)
        self._begin = time.monotonic()
        self._running: dict[str, float] = {}
        self._live = Live(
            console=Console(highlight=False), get_renderable=self._status, refresh_per_second=4, transient=True
        )
        self._live.start()

    def show(self, found: GroupResult) -> None:
        if found.state == "running":
            self._running[found.group.name] = time.monotonic()
        else:
            self._running.pop(found.group.name, None)
        super().show(found)

    def close(self) -> None:
        """Take the status away; the lines stay."""
        self._live.stop()

    def _status(self) -> str:
        now = time.monotonic()
        parts = [f"{name} {now - since:.0f} s" for name, since in self._running.items()]
        left = ""
        if self.ended and self.ended < self.total:
            left = f"; about {(now - self._begin) / self.ended * (self.total - self.ended):.0f} s left"
        return f"{self.ended}/{self.total} done, running: {', '.join(parts) or '-'}{left}"
