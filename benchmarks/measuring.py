"""CPU seconds, wall seconds and memory of commands, each measured in a process of its own."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["CommandError", "Figures", "Sample", "environment", "machine", "replace_table", "run"]


class CommandError(Exception):
    """A command ended with an error; the text is its last message."""


class Sample(NamedTuple):
    """One run: CPU seconds (user and system), wall seconds, largest resident memory in MB."""

    cpu: float
    wall: float
    megabytes: float

    def __add__(self, other: object) -> Sample:
        """One run after the other."""
        if not isinstance(other, Sample):
            return NotImplemented
        return Sample(self.cpu + other.cpu, self.wall + other.wall, max(self.megabytes, other.megabytes))


class Figures(NamedTuple):
    """Several runs of the same thing."""

    samples: tuple[Sample, ...]

    @property
    def least(self) -> Sample:
        """The smallest figures, each by itself."""
        return Sample(*(min(values) for values in zip(*self.samples, strict=True)))

    @property
    def median(self) -> Sample:
        """The middle figures, each by itself."""
        return Sample(*(statistics.median(values) for values in zip(*self.samples, strict=True)))


def run(words: Sequence[str | Path], folder: Path, environ: Mapping[str, str]) -> Sample:
    """Run a command of this Python's environment and measure it.

    Raises
    ------
    CommandError
        It ends with another code than 0.
    """
    with tempfile.TemporaryFile("w+") as told:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            env=environment(environ),
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
        # Of this child alone, where the usage of all children would be the largest of them.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            told.seek(0)
            lines = told.read().strip().splitlines() or [f"exit code {process.returncode}"]
            raise CommandError(f"{Path(words[0]).name}: {lines[-1]}")
    return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command of this Python's environment, with some variables of its own."""
    # As installed: without this, code that was edited would be compiled anew in each run.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**usual, **environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def replace_table(path: Path, text: str, begin: str, end: str) -> None:
    """Put text between two marks of a file."""
    page = path.read_text(encoding="utf-8")
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{path} has no lines {begin} and {end}, between which the table goes")
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def machine() -> str:
    """Processor, cores, system and versions, in one line."""
    import numpy
    from astropy import __version__ as astropy_version

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, numpy {numpy.__version__}, astropy {astropy_version}"
    )
