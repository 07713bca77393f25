"""Speed and memory, in units of the CPU time that ``import numpy, astropy.io.fits`` takes on the same machine.

    python benchmarks/speed.py [--runs 5] [--long] [--only ROW ...] [--nights FOLDER] [--output docs/performance.md]

The runs of all rows are interleaved, so that a busy moment of the machine meets all of them; each is a process of its
own. The table says CPU (user and system) and wall time, minimum and median, and the largest resident memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measuring import CommandError, Figures, Sample, machine, replace_table, run
from speed_nights import Bench
from speed_rows import FLOOR, Row, rows

_BEGIN, _END = "<!-- speed begins -->", "<!-- speed ends -->"
_HEAD = ("what", "bar U", "prototype U", "CPU U", "CPU s", "wall s", "memory MB", "bar MB")


def main() -> int:
    """Measure and print; returns 1 when a command failed or a bar is exceeded, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--runs", type=int, default=5, help="runs of each row (default 5)")
    add("--long", action="store_true", help="also the rows that take minutes, once each")
    add("--only", nargs="+", metavar="ROW", help="names of rows")
    add("--nights", type=Path, help="folder where the simulated nights are kept (default: a temporary one)")
    add("--output", type=Path, help="file whose table is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keyhole-speed-") as name:
        bench = Bench(options.nights or Path(name) / "nights", Path(name) / "work")
        bench.nights.mkdir(parents=True, exist_ok=True)
        chosen = _chosen(rows(bench), options.only, long=options.long)
        floor, measured, failed = _measure(bench, chosen, options.runs)
        table = [*_table(floor, chosen, measured, failed), "", *_remarks(floor, chosen, measured, options.runs)]
        if options.long and not options.only:
            from workers import same_products  # numpy would count for the memory of every process started from here

            table.append(f"- Products of 1 and of 2 workers: {same_products(bench)}.")
    text = "\n".join(table)
    print(text)
    if options.output:
        replace_table(options.output, text, _BEGIN, _END)
    return int(bool(failed) or any(_exceeds(row, measured[row.name], floor) for row in chosen if row.name in measured))


def _chosen(everything: Sequence[Row], names: Sequence[str] | None, *, long: bool) -> list[Row]:
    known = {row.name for row in everything}
    for name in names or ():
        if name not in known:
            raise SystemExit(f"no row {name!r}; there are {', '.join(sorted(known))}")
    return [row for row in everything if (row.name in names if names else long or not row.long)]


def _measure(bench: Bench, chosen: Sequence[Row], runs: int) -> tuple[Figures, dict[str, Figures], dict[str, str]]:
    """The floor, the figures of each row, and what failed."""
    samples: dict[str, list[Sample]] = {}
    floor: list[Sample] = []
    failed: dict[str, str] = {}
    # A run that is not counted fills the caches and makes what a row needs.
    for number in range(runs + 1):
        sample = run(FLOOR, bench.work, bench.environ)
        if number:
            floor.append(sample)
        for row in chosen:
            if row.name in failed or (row.long and number != 1) or (row.long and row.name in samples):
                continue
            print(f"\r{number}/{runs} {row.name:24s}", end="", file=sys.stderr, flush=True)
            try:
                sample = row.measure()
            except CommandError as error:
                failed[row.name] = str(error)
                continue
            if number:
                samples.setdefault(row.name, []).append(sample)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return Figures(tuple(floor)), {name: Figures(tuple(found)) for name, found in samples.items()}, failed


def _table(floor: Figures, chosen: Sequence[Row], measured: dict[str, Figures], failed: dict[str, str]) -> list[str]:
    lines = [f"| {' | '.join(_HEAD)} |", f"|{' --- |' * len(_HEAD)}"]
    least, middle = floor.least, floor.median
    lines.append(_line("U: `import numpy, astropy.io.fits`", "", "", "1", *_seconds(least, middle), _whole(least), ""))
    for row in chosen:
        bar, prototype, memory = (_number(value) for value in (row.bar, row.prototype, row.megabytes))
        if row.name in failed:
            lines.append(_line(row.title, bar, prototype, f"**failed**: {failed[row.name]}", "", "", "", memory))
            continue
        figures = measured[row.name]
        units = _units(row, figures, floor)
        told = f"{units[0]:.2f} / {units[1]:.2f}"
        over = row.bar is not None and units[0] > row.bar
        heavy = row.megabytes is not None and figures.least.megabytes > row.megabytes
        megabytes = _whole(figures.least)
        lines.append(
            _line(
                row.title,
                bar,
                prototype,
                f"**{told}**" if over else told,
                *_seconds(figures.least, figures.median),
                f"**{megabytes}**" if heavy else megabytes,
                memory,
            )
        )
    return lines


def _units(row: Row, figures: Figures, floor: Figures) -> tuple[float, float]:
    """Least and median CPU time in units of the least and median U."""
    off = 1.0 if row.beyond else 0.0
    return figures.least.cpu / floor.least.cpu - off, figures.median.cpu / floor.median.cpu - off


def _exceeds(row: Row, figures: Figures, floor: Figures) -> bool:
    over = row.bar is not None and _units(row, figures, floor)[0] > row.bar
    return over or (row.megabytes is not None and figures.least.megabytes > row.megabytes)


def _remarks(floor: Figures, chosen: Sequence[Row], measured: dict[str, Figures], runs: int) -> list[str]:
    lines = [
        f"- {machine()}.",
        f"- {runs} interleaved runs after one that is not counted; minimum / median. Rows that take minutes: one run.",
        "- U is the CPU time of the first row. **Bold**: above the bar.",
    ]
    each = {row.frames: measured[row.name].least.cpu for row in chosen if row.frames and row.name in measured}
    if len(each) > 1:
        few, *more = sorted(each)
        for many in more:
            further = 1e3 * (each[many] - each[few]) / (many - few)
            shares = f"{1e3 * each[few] / few:.0f} ms with {few}, {1e3 * each[many] / many:.0f} ms with {many}"
            lines.append(f"- CPU time per frame: {shares}; of each further one {further:.0f} ms.")
    return lines


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(least: Sample, middle: Sample) -> tuple[str, str]:
    return f"{least.cpu:.2f} / {middle.cpu:.2f}", f"{least.wall:.2f} / {middle.wall:.2f}"


def _whole(sample: Sample) -> str:
    return f"{sample.megabytes:.0f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
