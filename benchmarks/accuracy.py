"""Accuracy on simulated nights: simulate, reduce with the installed commands, judge against the truth.

    python benchmarks/accuracy.py --seeds 11 12 13 [--output docs/accuracy.md] [-- SIMULATE OPTIONS]

Prints one line per night; every figure is what `keyhole verify` says of the product.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

COLUMNS = (
    ("seed", "seed"),
    ("stars", "stars"),
    ("flux ratio", "flux_ratio"),
    ("scatter", "flux_scatter"),
    ("pull width", "pull_width"),
    ("position rms (arcsec)", "position_rms"),
    ("registration rms (pixel)", "registration_rms"),
    ("background (sigma)", "background"),
    ("noise / sqrt VAR", "noise_ratio"),
    ("completeness", "completeness"),
    ("dark pull width", "dark_pull"),
    ("flat pull width", "flat_pull"),
    ("flat median", "flat_median"),
    ("science (s)", "seconds"),
)
DARK, FLAT, STACK = "N20120102S0538_dark.fits", "N20120117S0034_flat.fits", "N20120117S0014_stack.fits"


def command(folder: Path, *words: str) -> str:
    """Run an installed command in a home without configuration."""
    environ = {**os.environ, "HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def registration_rms(work: Path, night: Path) -> float:
    """Rms per axis of the shifts found against the true ones, in pixels."""
    truth = Table.read(night / "truth" / "frames.ecsv")
    truth = truth[truth["kind"] == "OBJECT"]
    true = np.column_stack([truth["dither_x"], truth["dither_y"]])
    found = []
    for name in truth["name"]:
        path = work / f"{str(name).removesuffix('.fits')}_align.fits"
        header = fits.getheader(path, "SCI")
        found.append((-header["AREA1_1"], -header["AREA1_2"]))
        path.unlink()
    error = (np.array(found) - found[0]) - (true - true[0])
    return float(np.sqrt(np.mean(error**2)))


def one_night(seed: int, options: list[str], base: Path) -> dict[str, Any]:
    """Simulate, reduce and judge one night."""
    night, work = base / f"night{seed}", base / f"work{seed}"
    work.mkdir()
    command(work, "keyhole", "simulate", str(night), "--seed", str(seed), *options)
    raw = sorted(night.glob("N*.fits"))
    for kind in ("N20120102", "N20120117S003[4-9]"):
        assert [path for path in raw if path.match(f"{kind}*.fits")]
    darks = [str(p) for p in raw if p.name.startswith("N20120102")]
    flats = command(work, "dataselect", *map(str, raw), "--tags", "FLAT").split()
    science = command(work, "dataselect", *map(str, raw), "--tags", "IMAGE", "--xtags", "FLAT").split()
    command(work, "reduce", *darks)
    command(work, "reduce", *[word for word in flats if word.endswith(".fits")])
    start = time.perf_counter()
    command(work, "reduce", *[word for word in science if word.endswith(".fits")])
    seconds = time.perf_counter() - start
    figures = json.loads(command(work, "keyhole", "verify", STACK, str(night / "truth.ecsv"), "--json"))
    for product, key in ((DARK, "dark"), (FLAT, "flat")):
        master = json.loads(command(work, "keyhole", "verify", product, str(night / "truth" / f"{key}.fits"), "--json"))
        figures[f"{key}_pull"], figures[f"{key}_median"] = master["pull_width"], master["median"]
    files = [word for word in science if word.endswith(".fits")]
    command(work, "reduce", *files, "-p", "resampleToCommonFrame:write_outputs=True")
    figures["registration_rms"] = registration_rms(work, night)
    for path in night.rglob("*.fits"):
        path.unlink()
    return {**figures, "seed": seed, "seconds": seconds}


def line(figures: dict[str, Any]) -> str:
    """One row of the table."""
    cells = []
    for _, key in COLUMNS:
        value = figures[key]
        cells.append(f"{value:.4f}" if isinstance(value, float) and key != "seconds" else f"{value:.4g}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("options", nargs="*", help="options of keyhole simulate, after --")
    chosen = parser.parse_args()
    head = "| " + " | ".join(name for name, _ in COLUMNS) + " |\n|" + "---|" * len(COLUMNS)
    print(head)
    rows = []
    with tempfile.TemporaryDirectory() as base:
        for seed in chosen.seeds:
            rows.append(line(one_night(seed, chosen.options, Path(base))))
            print(rows[-1], flush=True)
    if chosen.output:
        words = " ".join(["benchmarks/accuracy.py --seeds", *map(str, chosen.seeds), *chosen.options])
        text = f"# Accuracy on simulated nights\n\nMade by `python {words}`.\n\n" + "\n".join([head, *rows]) + "\n"
        chosen.output.write_text(text)


if __name__ == "__main__":
    main()
