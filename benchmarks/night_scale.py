"""What a night costs in one process, in two, and on a Dask cluster of two workers, and whether the products agree.

    python benchmarks/night_scale.py [--nights 3] [--output docs/scale.md]

Simulates nights of 46 frames (10 darks, 16 flats, 20 science frames), reduces them with ``keyhole night`` in the three
ways, compares the products, and prints wall time and processor time. With --output the table between the markers of
that file is replaced.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from night_kills import BIN, differ, environ, simulate

BEGIN, END = "<!-- begin: benchmarks/night_scale.py -->", "<!-- end -->"
_YEAR = 100  # nights


def main() -> int:
    """Run the three ways; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--output", default=None, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for number in range(options.nights):
            night = base / "raw" / f"night{number}"
            simulate(night, 400 + number)
            for path in night.rglob("*.fits"):
                # Nights of one date would share their masters.
                move(path, number)
        rows, names = [], None
        for way, words in (("one", ["--jobs", "1"]), ("two", ["--jobs", "2"]), ("cluster", None)):
            address = None if words is not None else Cluster(base)
            begin, used = time.perf_counter(), cpu()
            reduce_all(base, way, words or ["--scheduler", address.address if address else ""])
            wall = time.perf_counter() - begin
            if address is not None:
                address.close()
            rows.append((way, wall / options.nights, (cpu() - used) / options.nights))
            made = sorted(path.relative_to(base / way) for path in (base / way).rglob("*.fits"))
            names = names or made
            if wrong := [str(n) for n in {*names, *made} if differ(base / "one" / n, base / way / n)]:
                print(f"the products of {way!r} differ: {wrong}")
                return 1
    text = table(rows, len(names or ()), options.nights)
    print(text)
    if options.output is not None:
        path = Path(options.output)
        before, rest = path.read_text().split(BEGIN)
        path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")
    return 0


def move(path: Path, days: int) -> None:
    """Give a raw frame another date in its name and header, a year apart for each night."""
    from astropy.io import fits

    with fits.open(path, mode="update", output_verify="silentfix") as hdus:
        for key in ("DATE-OBS", "DATE"):
            if key in hdus[0].header:
                value = str(hdus[0].header[key])
                hdus[0].header[key] = f"{int(value[:4]) + days}{value[4:]}"
        for key in ("OBSID", "DATALAB"):
            if key in hdus[0].header:
                hdus[0].header[key] = (
                    str(hdus[0].header[key]).replace("2012", str(2012 + days)).replace("2011", str(2011 + days))
                )
    path.rename(path.with_name(path.name.replace("N2012", f"N{2012 + days}")))


class Cluster:
    """A scheduler and two workers of one thread on this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        place = ["--host", "127.0.0.1", "--no-dashboard"]
        commands = [
            ["dask_scheduler", "--port", str(port), *place],
            *(["dask_worker", self.address, "--nthreads", "1", *place] for _ in range(2)),
        ]
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{name}", *words],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name, *words in commands
        ]

    def close(self) -> None:
        """End the processes and wait for them, so that their time is counted."""
        for process in self._processes[::-1]:
            process.terminate()
        for process in self._processes:
            process.wait()


def reduce_all(base: Path, way: str, words: list[str]) -> None:
    """Reduce all nights into one folder."""
    done = subprocess.run(
        [str(BIN / "keyhole"), "night", "raw", "-o", way, *words],
        cwd=base,
        env=environ(base),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def cpu() -> float:
    """Processor seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(rows: list[tuple[str, float, float]], n_products: int, n_nights: int) -> str:
    """The figures as Markdown."""
    words = {"one": "`--jobs 1`", "two": "`--jobs 2`", "cluster": "`--scheduler`, two workers"}
    lines = [
        f"Measured on {platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}: {n_nights} nights of 46 frames, {n_products} products, the same in all ways.",
        "",
        "| way | wall, s a night | processor, s a night |",
        "|---|---|---|",
        *(f"| {words[way]} | {wall:.1f} | {used:.1f} |" for way, wall, used in rows),
        "",
        f"{_YEAR} such nights take {_YEAR * rows[0][2] / 60:.0f} minutes of one core; on 32 workers about "
        f"{_YEAR * rows[2][2] / 32:.0f} s and the time of the slowest group.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
