"""What a report costs: CPU seconds of the figures and of the drawing, and the size of the page per science group.

Simulates a night (or takes one), reduces its science frames with and without what a report wants, and draws the
page. Prints one line per figure, with its limit.

    python benchmarks/report.py [--frames 20] [--raw FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from keyhole.calibration import parse_user_cals
from keyhole.engine import Request, run
from keyhole.engine.account import Account
from keyhole.night.executors import InProcess
from keyhole.night.inventory import take_inventory
from keyhole.night.plan import make_plan
from keyhole.night.run import run_plan
from keyhole.night.summary import summary_of
from keyhole.report.files import PAGE, write_night
from keyhole.simulate import NightOptions, simulate_night

_DRAWING, _FIGURES, _BYTES = 1.0, 0.3, 3_000_000
_REPEATS = 5


def main() -> int:
    """Measure; exit code 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20, help="science frames of the night (default 20)")
    parser.add_argument("--raw", type=Path, default=None, help="take this folder of raw frames")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw, out = options.raw or Path(folder) / "raw", Path(folder) / "out"
        if options.raw is None:
            simulate_night(raw, seed=1, options=NightOptions(frames=options.frames))
        out.mkdir()
        plan = make_plan(take_inventory(raw, leave_out=out), [])
        night = run_plan(plan, out, executor=InProcess())
        told = summary_of(plan, night)
        limits = {
            "drawing the page, CPU s": (_drawing(told, out), _DRAWING),
            "figures of the first image, CPU s": (_figures(told, raw, out), _FIGURES),
            "page per science group, bytes": (_size(told, out), _BYTES),
        }
    for name, (value, limit) in limits.items():
        sys.stdout.write(f"{name:36s} {value:12.3f}   limit {limit:g}{'' if value <= limit else '   PASSED'}\n")
    return int(any(value > limit for value, limit in limits.values()))


def _drawing(told: dict[str, object], out: Path) -> float:
    """CPU of a fresh page, with the import of the template engine the first time."""
    begin = time.process_time()
    write_night(told, out)
    return time.process_time() - begin


def _size(told: dict[str, object], out: Path) -> float:
    groups = json.loads(json.dumps(told))["groups"]
    return (out / PAGE).stat().st_size / max(1, sum(group["makes"] == "image" for group in groups))


def _figures(told: dict[str, object], raw: Path, out: Path) -> float:
    """CPU that the figures and pictures add to a reduction: the smallest of several differences' parts."""
    groups = json.loads(json.dumps(told))["groups"]
    image = next(group for group in groups if group["makes"] == "image")
    masters = {one["kind"]: out / one["file"] for one in image["calibrations"] if one["file"]}
    user_cals = parse_user_cals(f"processed_{kind}:{path}" for kind, path in masters.items())
    files = [str(raw / name) for name in image["files"]]
    least = {}
    for details in (False, True) * _REPEATS:
        with tempfile.TemporaryDirectory() as folder:
            request = Request(files, user_cals=user_cals, output_dir=Path(folder), details=details)
            begin = time.process_time()
            run(request, Account())
            least[details] = min(least.get(details, float("inf")), time.process_time() - begin)
    return least[True] - least[False]


if __name__ == "__main__":
    sys.exit(main())
