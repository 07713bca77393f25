"""A folder and a home of one's own inside the test process, and nothing left of what scripts set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyhole.calibration import service
from keyhole.cli import script_log
from keyhole.primitives import REGISTRY


@contextmanager
def clean_slate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in `folder`/work with `folder`/home as home; loggers, steps and databases are put back afterwards."""
    for name in ("work", "home"):
        (folder / name).mkdir()
    monkeypatch.chdir(folder / "work")
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.delenv("DRAGONSRC", raising=False)
    root, house = logging.getLogger(), logging.getLogger("keyhole")
    before = list(root.handlers), root.level, house.level
    steps = dict(REGISTRY)
    try:
        yield folder / "work"
        # The root logger belongs to the program around.
        assert (list(root.handlers), root.level) == before[:2]
    finally:
        REGISTRY.clear()
        REGISTRY.update(steps)
        service.activate(None)
        script_log.forget()
        house.setLevel(before[2])
