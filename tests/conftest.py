"""A simulated night and the installed commands, for the tests that run Keyhole as a user would."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from tests_support import Playground, make_playground

NIGHT_SEED = 20120117


@pytest.fixture(autouse=True)
def _home_of_nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the configuration or the databases of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home_of_nobody"))


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw night of the tutorial with its truth, made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "playdata"
    with (shared / "playdata.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "playdata.done").exists():
            from keyhole.simulate import simulate_night

            simulate_night(folder, seed=NIGHT_SEED)
            (shared / "playdata.done").touch()
    return folder


@pytest.fixture
def playground(tmp_path: Path, night: Path) -> Playground:
    """An empty playground beside the night."""
    return make_playground(tmp_path, night)


@pytest.fixture(scope="module")
def shared_playground(tmp_path_factory: pytest.TempPathFactory, night: Path) -> Playground:
    """A playground that all tests of a module share, in their order."""
    return make_playground(tmp_path_factory.mktemp("tutorial"), night)
