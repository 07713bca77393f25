"""A PostgreSQL server for the tests: Debian's binaries, a temporary folder, the loopback address only."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg

_START_SECONDS = 30.0
_NUMBERS = count(1)
# Nothing here must survive a loss of power, and starting must be quick.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "log_min_messages": "warning",
    "listen_addresses": "127.0.0.1",
}


def find_binaries() -> Path | None:
    """Folder of initdb and postgres, of the newest version installed; None when there is none."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    folders = [folder for folder in folders if (folder / "postgres").exists()]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


class Server:
    """A running server; each call of `new_database` gives the URL of a database of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str) -> str:
        return f"postgresql://keyhole@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        name = f"night{next(_NUMBERS)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server and stop it at the end, whatever happens."""
    binaries = find_binaries()
    assert binaries is not None
    user = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="keyhole-pg-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield from _served(binaries, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(binaries: Path, folder: Path, user: pwd.struct_passwd | None) -> Iterator[Server]:
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}
    data = folder / "data"
    # Trust is for those who can reach the loopback address; the server holds nothing but test frames.
    made = [
        f"{binaries}/initdb",
        "-D",
        data,
        "-U",
        "keyhole",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
        "--no-instructions",
    ]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, env=environ, **who)
    port = _free_port()
    options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    # If the tests are killed the server ends too.
    tied = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
    command = [*tied, f"{binaries}/postgres", "-D", data, "-p", str(port), "-k", folder, *options]
    with (folder.parent / f"{folder.name}.log").open("w+b") as log:
        Path(log.name).unlink()
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environ, **who)
        try:
            server = Server(port)
            _wait_until_ready(server, process, log)
            yield server
        finally:
            # A fast shutdown: connections are cut.
            with suppress(ProcessLookupError):
                process.send_signal(subprocess.signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: Server, process: subprocess.Popen, log) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                log.seek(0)
                raise RuntimeError(f"the server does not start: {log.read().decode()}") from error
            time.sleep(0.05)
        else:
            return


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs the server: it refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
