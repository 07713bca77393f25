"""A PostgreSQL server for the tests of databases."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from nursery import Nursery
from postgres_server import Server, find_binaries, running_server

from keyhole.calibration import CalibrationStore


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server, started once for each test process that asks for it."""
    if find_binaries() is None:
        reason = "no PostgreSQL server below /usr/lib/postgresql; install Debian's package postgresql"
        # Where everything must be tested, nothing may be passed over.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path) -> str:
    """Where a database may be made: each test runs with a file and with a server."""
    if request.param == "sqlite":
        return str(tmp_path / "cal_manager.db")
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def store(location: str) -> CalibrationStore:
    """An empty database."""
    made = CalibrationStore(location)
    made.create()
    return made


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where child processes come from."""
    with Nursery() as running:
        yield running
