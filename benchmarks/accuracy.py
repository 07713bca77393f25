"""Accuracy on simulated nights: simulate, reduce with the installed commands, judge against the truth.

    python benchmarks/accuracy.py --seeds 11 12 13 [--only NIGHT ...] [--quick] [--set classic] [-- WORDS OF REDUCE]

Prints one table with one row per kind of night.  Every figure comes from `keyhole verify`; what is out of its limits
is bold.  A night that stops shows the sentence with which it stopped.

The mean flux ratio of faint stars needs twenty nights: column S/N 5-20 of

    python benchmarks/accuracy.py --quick --only faint --seeds $(seq 101 120)
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from nights import NIGHTS, QUICK, SETS, Night
from pooled import COLUMNS, cells

_DOCS = Path(__file__).resolve().parents[1] / "docs"
_PROCESSES = 2


class CommandError(Exception):
    """A command ended with an error; the text is its last message."""


class Run(NamedTuple):
    """One seed of a night: its figures, or the sentence with which it stopped."""

    night: Night
    seed: int
    figures: dict[str, Any]
    sentence: str


class Output(NamedTuple):
    """What a command printed, and its processor time, s: unlike the time of the clock it hardly depends on others."""

    text: str
    seconds: float


def command(folder: Path, *words: str) -> Output:
    """Run an installed command in a home without configuration; one thread, as others run beside it."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, **single, "HOME": str(folder), "PATH": path, "COLUMNS": "400"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        # Popen alone does not tell the time of this one child.
        child = subprocess.Popen(words, cwd=folder, env=environ, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, messages = out.read(), err.read()
    if child.returncode != 0:
        lines = [line.strip() for line in messages.splitlines() if line.strip()]
        raise CommandError(lines[-1] if lines else f"{words[0]} ended with exit code {child.returncode}")
    return Output(text, usage.ru_utime + usage.ru_stime)


def frames_with(work: Path, raw: Sequence[Path], *choice: str) -> list[str]:
    """Give the files with some tags."""
    text = command(work, "dataselect", *map(str, raw), *choice).text
    return [word for word in text.split() if word.endswith(".fits")]


def measure(night: Night, seed: int, base: Path, words: Sequence[str], *, registration: bool) -> dict[str, Any]:
    """Simulate, reduce and judge one night.

    Raises
    ------
    CommandError
        A command failed.
    """
    folder, work = base / "night", base / "work"
    work.mkdir(parents=True)
    command(work, "keyhole", "simulate", str(folder), "--seed", str(seed), *shlex.split(night.options))
    raw = sorted(folder.glob("N*.fits"))
    darks = frames_with(work, raw, "--tags", "DARK")
    command(work, "reduce", *darks)
    command(work, "reduce", *frames_with(work, raw, "--tags", "FLAT"))
    science = frames_with(work, raw, "--tags", "IMAGE", "--xtags", "FLAT")
    seconds = command(work, "reduce", *science, *words).seconds
    products = [*work.glob("*_stack.fits"), *work.glob("*_image.fits")]
    if not products:
        raise CommandError("the reduction ended without a product")
    registered: list[str] = []
    if registration and len(science) > 1:
        registered = _registered(work, science, words)
    truth = str(folder / "truth.ecsv")
    with_frames = ["--registered", *registered] if registered else []
    figures = json.loads(command(work, "keyhole", "verify", str(products[0]), truth, "--json", *with_frames).text)
    (dark,) = work.glob("*_dark.fits")
    master = json.loads(
        command(work, "keyhole", "verify", str(dark), str(folder / "truth" / "dark.fits"), "--json").text
    )
    return {**figures, "dark_variance": master["variance_ratio"], "seconds": seconds}


def _registered(work: Path, science: Sequence[str], words: Sequence[str]) -> list[str]:
    """Reduce again, outside of the measured time, and keep the frames as they were registered."""
    again = work / "registered"
    again.mkdir()
    for path in work.glob("cal*"):
        (again / path.name).symlink_to(path)
    database = ["--local_db_dir", str(work)]
    parameters = ["-p", "adjustWCSToReference:write_outputs=True"]
    command(again, "reduce", *science, *words, *parameters, *database)
    return [str(path) for path in sorted(again.glob("*_wcsCorrected.fits"))]


def run(night: Night, seed: int, base: Path, words: Sequence[str], *, registration: bool) -> Run:
    """Measure one seed of a night in a folder of its own, which is removed."""
    folder = base / f"{night.name}-{seed}"
    try:
        figures, sentence = measure(night, seed, folder, words, registration=registration), ""
    except CommandError as stop:
        figures, sentence = {}, str(stop).replace(f"{folder}/", "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{night.name} {seed}: {sentence or 'done'}", file=sys.stderr, flush=True)
    return Run(night, seed, figures, sentence)


def table(runs: Sequence[Run], nights: Sequence[Night]) -> list[str]:
    """Write the table, one row per night."""
    rows = [
        ["night", *(column.heading for column in COLUMNS)],
        ["---"] * (len(COLUMNS) + 1),
        ["*wanted*", *(f"*{column.wanted}*" if column.wanted else "" for column in COLUMNS)],
    ]
    for night in nights:
        own = [found for found in runs if found.night == night]
        measured = [found.figures for found in own if found.figures]
        stops = [f"seed {found.seed} stopped: {found.sentence}" for found in own if found.sentence]
        title = "; ".join([night.title, *dict.fromkeys(stops)])
        rows.append([title, *(cells(measured) if measured else ["-"] * len(COLUMNS))])
    return ["| " + " | ".join(row) + " |" for row in rows]


def document(lines: Sequence[str], words: str) -> str:
    """Write the page of the documentation."""
    meanings = [f"- **{column.heading}**: {column.meaning}" for column in COLUMNS]
    return "\n".join(
        [
            "# Accuracy on simulated nights",
            "",
            f"Made by `python benchmarks/accuracy.py {words}`. What is out of its limits is bold.",
            "",
            *lines,
            "",
            *dict.fromkeys(meanings),
            "",
        ]
    )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what follows ``--`` goes to ``reduce``."""
    end = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12], help="seeds of every night")
    parser.add_argument("--only", nargs="+", metavar="NIGHT", choices=[night.name for night in NIGHTS], help="names")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone, without the registration")
    parser.add_argument("--set", choices=SETS, help="parameters of the science reduction")
    parser.add_argument("--output", type=Path, help="write the table there; docs/accuracy.md for all nights")
    parser.add_argument("--json", type=Path, help="write all figures there")
    chosen = parser.parse_args(argv[:end])
    chosen.reduce = list(argv[end + 1 :])
    return chosen


def main() -> None:
    """Run the benchmark."""
    chosen = parse(sys.argv[1:])
    names = chosen.only or (QUICK if chosen.quick else [night.name for night in NIGHTS])
    nights = [night for night in NIGHTS if night.name in names]
    words = [*SETS.get(chosen.set, ()), *chosen.reduce]
    with tempfile.TemporaryDirectory(prefix="accuracy-") as base, ThreadPoolExecutor(_PROCESSES) as pool:
        started = [
            pool.submit(run, night, seed, Path(base), words, registration=not chosen.quick)
            for night in nights
            for seed in chosen.seeds
        ]
        runs = [one.result() for one in started]
    lines = table(runs, nights)
    print("\n".join(lines))
    output = chosen.output
    if output is None and not chosen.only and not chosen.quick:
        output = _DOCS / ("accuracy.md" if chosen.set is None else f"accuracy-{chosen.set}.md")
    if output is not None:
        output.write_text(document(lines, shlex.join(sys.argv[1:])))
    if chosen.json is not None:
        figures = [{"night": r.night.name, "seed": r.seed, "stopped": r.sentence, **r.figures} for r in runs]
        chosen.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
