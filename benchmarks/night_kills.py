"""A whole night, disturbed: two targets, foreign and broken files, kill -9 at random moments, and the same products.

    python benchmarks/night_kills.py [--kills 10] [--seed 1] [--keep FOLDER]

Simulates two targets in two filters with darks of two exposure times and flats, and adds 20 files that belong to
something else or are broken. Reduces the folder with ``keyhole night`` undisturbed, step by step with ``reduce``, and
a third time killed again and again. All three ways must give the same products apart from time stamps, and every file
must be accounted for. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

BIN = Path(sys.executable).parent
# Cards and columns that hold the time of a run, or sums over files that hold it.
_TIMES = ("GEM-TLM", "CHECKSUM", "DATASUM", "PROCSVER")


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--keep", default=None, metavar="FOLDER", help="work here and leave everything")
    options = parser.parse_args()
    if options.keep is not None:
        return compare(Path(options.keep).absolute(), options)
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), options)


def compare(base: Path, options: argparse.Namespace) -> int:
    """Make the night and reduce it in three ways."""
    base.mkdir(exist_ok=True, parents=True)
    n_files = make_folder(base / "raw", options.seed)
    begin = time.perf_counter()
    run(["night", "raw", "-o", "whole", "--jobs", options.jobs], base, code=0)
    undisturbed = time.perf_counter() - begin
    told = json.loads((base / "whole" / "summary.json").read_text())
    names = [product["file"] for group in told["groups"] for product in group["products"]]
    accounted = sum(len(group["files"]) for group in told["groups"]) + len(told["aside"])
    wrong = [] if accounted == n_files else [f"{n_files} files, {accounted} accounted for"]
    print(f"undisturbed: {len(names)} products of {len(told['groups'])} groups in {undisturbed:.1f} s")
    wrong += step_by_step(base, told)
    moments = random.Random(options.seed)
    command = [str(BIN / "keyhole"), "night", "raw", "-o", "killed", "--jobs", options.jobs]
    for _ in range(options.kills):
        process = subprocess.Popen(
            command, cwd=base, env=environ(base), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        moment = moments.uniform(0.2, 0.9 * undisturbed)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = sum((base / "killed" / name).is_file() for name in names)
        print(f"killed after {moment:5.1f} s: {there} of {len(names)} products are there")
    run(["night", "raw", "-o", "killed", "--jobs", options.jobs], base, code=0)
    wrong += [f"killed: {name} differs" for name in names if differ(base / "whole" / name, base / "killed" / name)]
    left = [str(path) for path in (base / "killed").rglob("*") if path.name.startswith(".") and path.is_file()]
    wrong += [f"left behind: {path}" for path in left]
    print("\n".join(wrong) or "all products are the same, nothing is left behind, every file is accounted for")
    return 1 if wrong else 0


def make_folder(raw: Path, seed: int) -> int:
    """Two targets in two filters, 20 other files; returns the number of files."""
    simulate(raw, seed, "--frames", "8", "--flats", "4")
    simulate(
        raw / "second", seed + 1, "--frames", "6", "--flats", "4", "--filter", "H", "--exptime", "20", "--coadds", "1"
    )
    for path in (raw / "second").glob("N2012*.fits"):
        # Another target, and names of another night's run of numbers.
        with fits.open(path, mode="update", output_verify="silentfix") as hdus:
            if hdus[0].header["OBSTYPE"] == "OBJECT":
                hdus[0].header["OBJECT"] = "HD 1234"
            hdus[0].header["OBSID"] = str(hdus[0].header.get("OBSID", "")) + "2"
        path.rename(path.with_name(path.name.replace("S0", "S1")))
    for folder in (raw, raw / "second"):
        (folder / "truth.ecsv").unlink()
        shutil.rmtree(folder / "truth")
    first = sorted(raw.glob("*.fits"))[0].read_bytes()
    for number in range(20):
        (raw / f"other{number:02d}.fits").write_bytes(foreign(number, first))
    return sum(path.is_file() for path in raw.rglob("*"))


def foreign(number: int, good: bytes) -> bytes:
    """Something that does not belong into the night: cut, empty, no FITS, other instrument, spectrum, acquisition."""
    kind = number % 5
    if kind == 0:
        return good[: len(good) // (2 + number)]
    if kind == 1:
        return b"" if number < 10 else b"no FITS at all" * number
    changes = {2: ("INSTRUME", "NIRI"), 3: ("ACQMIR", "Out"), 4: ("OBSTYPE", "ARC")}[kind]
    key, value = changes
    start = good.find(f"{key:8s}=".encode())
    card = f"{key:8s}= '{value:8s}'".ljust(80).encode()
    return good if start < 0 else good[:start] + card + good[start + 80 :]


def simulate(folder: Path, seed: int, *options: str) -> None:
    """Write raw frames."""
    subprocess.run(
        [str(BIN / "keyhole"), "simulate", str(folder), "--seed", str(seed), *options],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def environ(base: Path) -> dict[str, str]:
    """A home without configuration."""
    return os.environ | {"HOME": str(base)}


def run(arguments: list[str], base: Path, *, code: int, command: str = "keyhole") -> None:
    """Run a command, which must end with that code."""
    done = subprocess.run(
        [str(BIN / command), *arguments], cwd=base, env=environ(base), capture_output=True, text=True, check=False
    )
    if done.returncode != code:
        raise SystemExit(f"{command} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def step_by_step(base: Path, told: dict[str, Any]) -> list[str]:
    """Reduce each image with ``reduce`` and the same masters; returns what differs."""
    wrong = []
    for number, group in enumerate(told["groups"]):
        if group["makes"] != "image":
            continue
        folder = base / f"steps{number}"
        folder.mkdir(exist_ok=True)
        masters = [f"processed_{c['kind']}:{base / 'whole' / c['file']}" for c in group["calibrations"] if c["file"]]
        files = [str(base / "raw" / file) for file in group["files"]]
        run([*files, "--user_cal", *masters], folder, code=0, command="reduce")
        for product in group["products"]:
            name = product["file"]
            if name.endswith("_stack.fits") and differ(base / "whole" / name, folder / Path(name).name):
                wrong.append(f"step by step: {name} differs")
    return wrong


def differ(first: Path, second: Path) -> bool:
    """Whether two products differ in pixels, tables or cards, time stamps aside."""
    if not (first.is_file() and second.is_file()):
        return True
    with fits.open(first) as one, fits.open(second) as other:
        if [hdu.name for hdu in one] != [hdu.name for hdu in other]:
            return True
        return any(_differ(a, b) for a, b in zip(one, other, strict=True))


def _differ(one: Any, other: Any) -> bool:
    if _cards(one.header) != _cards(other.header):
        return True
    if one.name == "HISTORY" or one.data is None:
        return (one.data is None) != (other.data is None)
    if one.name == "PROVENANCE":
        return list(one.data["filename"]) != list(other.data["filename"])
    if isinstance(one, fits.BinTableHDU):
        return any(
            not np.array_equal(one.data[c], other.data[c], equal_nan=_number(one.data[c])) for c in one.data.names
        )
    return not np.array_equal(one.data, other.data)


def _number(column: Any) -> bool:
    return np.asarray(column).dtype.kind == "f"


def _cards(header: fits.Header) -> list[str]:
    """Cards without time stamps: a value that looks like one, or is known to be."""
    kept = []
    for card in header.cards:
        value = str(card.value)
        stamp = len(value) >= 19 and value[4:5] == "-" and value[10:11] == "T" and "DATE" not in card.keyword
        if not (stamp or card.keyword in _TIMES or card.keyword.startswith("NAXIS")):
            kept.append(f"{card.keyword}={value}")
    return kept


if __name__ == "__main__":
    sys.exit(main())
