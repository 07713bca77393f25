"""Ctrl-C at moments all through a science run: how long until it has ended, and what it leaves behind.

    python benchmarks/interrupts.py [--frames 200] [--moments 12] [--nights FOLDER]

Frames wait on disk (``--memory 0``), so that there would be something to leave.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from measuring import environment
from speed_nights import Bench

_INTERRUPTED = 130
_LIMIT_S = 1.0


class Ended(NamedTuple):
    """How one run ended.

    Attributes
    ----------
    after : float
        Seconds from its start to Ctrl-C.
    delay : float
        Seconds from there to its end.
    code : int
        Exit code.
    left : list of str
        Files that were not there before; the log file does not count.
    words : str
        Last line on the screen.
    """

    after: float
    delay: float
    code: int
    left: list[str]
    words: str


def main() -> int:
    """Measure and print; returns 1 if a run took too long to end or left something behind, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=200, help="science frames (default 200)")
    parser.add_argument("--moments", type=int, default=12, help="number of runs (default 12)")
    parser.add_argument("--nights", type=Path, help="folder where the simulated nights are kept")
    options = parser.parse_args()
    # Where this runs in the background, Ctrl-C is ignored, and would be by the runs as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="keyhole-interrupts-") as name:
        bench = Bench(options.nights or Path(name) / "nights", Path(name) / "work")
        bench.nights.mkdir(parents=True, exist_ok=True)
        dark, _ = bench.masters()
        folder = bench.folder("science")
        bench.lists(bench.night(options.frames), folder)
        words = ["reduce", "@target.lis", "--memory", "0", "--user_cal", f"processed_dark:{dark}"]
        begin = time.perf_counter()
        bench.call(folder, *words)
        whole = time.perf_counter() - begin
        for path in folder.glob("*.fits"):
            path.unlink()
        print(f"{options.frames} frames, {whole:.1f} s undisturbed")
        print("| Ctrl-C after s | ended after s | exit code | left behind | last words |")
        print("| --- | --- | --- | --- | --- |")
        good = True
        for number in range(options.moments):
            found = _interrupt(words, folder, bench.environ, after=whole * (number + 0.5) / options.moments)
            left = ", ".join(found.left) or "nothing"
            print(f"| {found.after:.1f} | {found.delay:.2f} | {found.code} | {left} | {found.words} |", flush=True)
            good = good and found.delay < _LIMIT_S and found.code == _INTERRUPTED and not found.left
    return int(not good)


def _interrupt(words: list[str], folder: Path, environ: Mapping[str, str], *, after: float) -> Ended:
    before = set(folder.iterdir())
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(words, cwd=folder, env=environment(environ), stdout=subprocess.DEVNULL, stderr=told)
        time.sleep(after)
        begin = time.perf_counter()
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        delay = time.perf_counter() - begin
        told.seek(0)
        lines = told.read().strip().splitlines() or [""]
    new = set(folder.iterdir()) - before
    left = sorted(file.name for file in new if file.suffix != ".log")
    for file in new:
        file.unlink()
    return Ended(after, delay, code, left, lines[-1])


if __name__ == "__main__":
    sys.exit(main())
