"""Where the time goes: seconds of each step of the tutorial's three reductions, on the usual night and on the lit one.

    python benchmarks/speed_steps.py [--runs 5] [--nights FOLDER] [--output docs/performance.md]

The three run in one Python process, as in the row `three` of `speed.py`; of each step the least of the runs counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import environment, replace_table
from speed_nights import Bench
from speed_rows import NO_KEYHOLE, USUAL

_BEGIN, _END = "<!-- steps begin -->", "<!-- steps end -->"
_WORTH_A_LINE = 0.01
_TIMED = """
import json, sys, time
import keyhole
from keyhole.frames import file_md5

def taken(result):
    return [(step.step, step.seconds) for step in result.timings]

dark = keyhole.reduce("@darks.lis", parameters=dark_set)
flat = keyhole.reduce("@flats.lis", parameters=flat_set)
masters = {"dark": dark.outputs[0], "flat": flat.outputs[0]}
science = keyhole.reduce("@target.lis", calibrations=masters, parameters=target_set)
begin = time.perf_counter()
for line in open("target.lis"):
    file_md5(line.strip())
sums = time.perf_counter() - begin
packages = [name for name in ("astropy", "scipy", "sqlalchemy") if name in sys.modules]
report = {"dark": taken(dark), "flat": taken(flat), "science": taken(science), "sums": sums, "packages": packages}
print(json.dumps(report), file=sys.__stdout__)
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--runs", type=int, default=5, help="runs on each night (default 5)")
    add("--nights", type=Path, help="folder where the simulated nights are kept (default: a temporary one)")
    add("--output", type=Path, help="file whose table is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keyhole-steps-") as name:
        bench = Bench(options.nights or Path(name) / "nights", Path(name) / "work")
        bench.nights.mkdir(parents=True, exist_ok=True)
        usual = [_run(bench, "usual", bench.night(), USUAL) for _ in range(options.runs)]
        lit = [_run(bench, "lit", bench.lit_night(), NO_KEYHOLE) for _ in range(options.runs)]
    text = "\n".join(_lines(usual, lit))
    print(text)
    if options.output:
        replace_table(options.output, text, _BEGIN, _END)
    return 0


def _run(bench: Bench, name: str, night: Path, settings: str) -> dict:
    folder = bench.folder(name)
    if not (folder / "target.lis").exists():
        bench.lists(night, folder)
    words = [sys.executable, "-c", settings + _TIMED]
    settled = environment(bench.environ)
    done = subprocess.run(words, cwd=folder, env=settled, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _lines(usual: list[dict], lit: list[dict]) -> list[str]:
    lines = ["| reduction | step | usual night s | every pixel lit s |", "| --- | --- | --- | --- |"]
    rows = []
    for kind in ("dark", "flat", "science"):
        seconds = [_least(runs, kind) for runs in (usual, lit)]
        for step in dict.fromkeys([*seconds[0], *seconds[1]]):
            rows.append((kind, step, *(found.get(step, 0.0) for found in seconds)))
    for kind, step, first, second in sorted(rows, key=lambda row: -row[2]):
        if max(first, second) >= _WORTH_A_LINE:
            lines.append(f"| {kind} | {step} | {first:.3f} | {second:.3f} |")
    sums = [min(run["sums"] for run in runs) for runs in (usual, lit)]
    lines.append(f"| science | of it checksums of the 20 raw frames | {sums[0]:.3f} | {sums[1]:.3f} |")
    loaded = sorted({name for run in (*usual, *lit) for name in run["packages"]})
    return [*lines, "", f"Of astropy, scipy and SQLAlchemy these three load {', '.join(loaded) or 'none'}."]


def _least(runs: list[dict], kind: str) -> dict[str, float]:
    """Least time of each step; several that run frame by frame in turn have each its own."""
    least: dict[str, float] = {}
    for run in runs:
        total: dict[str, float] = {}
        for step, seconds in run[kind]:
            total[step] = total.get(step, 0.0) + seconds
        least = {step: min(seconds, least.get(step, seconds)) for step, seconds in total.items()}
    return least


if __name__ == "__main__":
    sys.exit(main())
