"""Runs of toy recipes on small frames."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from toy_runs import install_toy_steps

from keyhole.engine import Event, Request, Result, run

CLOCK_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Run:
    """Runs recipes and keeps the events; the clock goes on by one second each time it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._now = CLOCK_START

    def _clock(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def __call__(self, files: list[Path], recipe: Callable[[Any], None] | str = "_default", **request: Any) -> Result:
        def toy(p: Any) -> None:
            assert callable(recipe)
            recipe(p)

        self.events.clear()
        return run(
            Request(files, recipe=toy if callable(recipe) else recipe, output_dir=self.folder, **request),
            self.events.append,
            clock=self._clock,
        )

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def toy_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    install_toy_steps(monkeypatch)


@pytest.fixture
def reduced(tmp_path: Path, toy_steps: None) -> Run:
    """Call it with files and a recipe; products go to the folder ``out``."""
    folder = tmp_path / "out"
    folder.mkdir()
    return Run(folder)
