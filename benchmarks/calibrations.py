"""Time to find one master among 100,000, in a file and on a server.

    python benchmarks/calibrations.py [--entries 100000] [--url postgresql://user@host/empty_database]

Fills a database in bulk, once with what fifteen years of observing leave and then with what is hardest to choose
from, and matches frames with it as a command does: a database opened anew for each match, its files verified.
Prints median and maximum in milliseconds; ends with code 1 when a match takes longer than the bar. A miss also looks
for what comes nearest, among all masters of its type.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from keyhole.calibration import CalibrationStore, Entry, Facts, Found, find

BAR_MS = 50.0
BEGIN = datetime(2010, 11, 1)
YEARS = 15
CONTENT = b"a master"
# Of ten entries so many are of a type.
MIX = ("processed_dark",) * 4 + ("processed_flat",) * 5 + ("processed_bpm",)

SCIENCE = Facts(
    name="science.fits",
    instrument="GNIRS",
    observation_id="GN-2012A-Q-1-1",
    ut_datetime=BEGIN + timedelta(days=2000),
    array_name="SN7638228.1.2",
    read_mode="Faint Objects",
    well_depth_setting="Shallow",
    exposure_time=60.0,
    coadds=2,
    camera="ShortBlue_G5538",
    filter_name="Open&J_G0517",
    focal_plane_mask="Acq_G5530&Acq_G5531",
    disperser="MIRROR",
    binning="1x1",
    qa_state="Pass",
    processing_mode="sq",
)
VARIETY: dict[str, tuple[object, ...]] = {
    "array_name": ("SN7638228.1.2",) * 4 + ("SN7638228.1",),
    "read_mode": ("Very Faint Objects", "Faint Objects", "Bright Objects", "Very Bright Objects"),
    "well_depth_setting": ("Shallow", "Shallow", "Deep"),
    "exposure_time": (0.2, 1.2, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 60.0, 120.0, 240.0, 300.0, 600.0),
    "coadds": (1, 1, 1, 2, 5, 10),
    "camera": ("ShortBlue_G5538", "ShortBlue_G5538", "LongBlue_G5542", "ShortRed_G5539"),
    "filter_name": tuple(f"Open&{name}" for name in ("J_G0517", "H_G0516", "K_G0515", "X_G0518", "H2_G0522")),
    "focal_plane_mask": ("Acq_G5530&Acq_G5531", "0.30arcsec_G5530&SCLong_G5531", "1.00arcsec_G5530&SCXD_G5531"),
    "disperser": ("MIRROR", "32/mmSB_G5533", "111/mmLB_G5534"),
    "qa_state": ("Pass", "Pass", "Pass", "Usable", "Undefined", "Fail"),
    "processing_mode": ("sq", "sq", "sq", "ql"),
}


class Timing(NamedTuple):
    """Times of some matches, in milliseconds, and the longest of those that found nothing and explained it."""

    found: int
    frames: int
    median: float
    maximum: float
    missed: float


def night_of(moment: datetime) -> str:
    """Date of the noon before, on Mauna Kea."""
    return (moment - timedelta(hours=22)).date().isoformat()


def at(facts: Facts, moment: datetime) -> Facts:
    """The same at another time."""
    return replace(facts, ut_datetime=moment, night=night_of(moment))


def fifteen_years(count: int, generator: random.Random) -> Iterator[Facts]:
    """Masters of all kinds, as many in each year."""
    for _ in range(count):
        values = {name: generator.choice(choices) for name, choices in VARIETY.items()}
        moment = BEGIN + timedelta(days=YEARS * 365 * generator.random())
        facts = replace(SCIENCE, caltype=generator.choice(MIX), **values)  # type: ignore[arg-type]  # by name
        yield at(replace(facts, observation_id=f"GN-{generator.randrange(9999)}"), moment)


def all_fit(count: int, generator: random.Random, caltype: str) -> Iterator[Facts]:
    """Masters of one kind that all fit the same frame."""
    for _ in range(count):
        assert SCIENCE.ut_datetime is not None
        days = generator.uniform(-89, 0 if caltype == "processed_bpm" else 89)
        facts = replace(SCIENCE, caltype=caltype, coadds=generator.choice((1, 4)), observation_id="GN-1")
        yield at(facts, SCIENCE.ut_datetime + timedelta(days=days))


def all_but_one_failed(count: int, generator: random.Random, caltype: str) -> Iterator[Facts]:
    """Masters that would fit if their quality were not bad, and the one farthest in time that is good."""
    for facts in itertools.islice(all_fit(count, generator, caltype), count - 1):
        yield replace(facts, qa_state="Fail")
    assert SCIENCE.ut_datetime is not None
    yield at(replace(SCIENCE, caltype=caltype), SCIENCE.ut_datetime - timedelta(days=89.5))


def make_paths(folder: Path, count: int) -> list[str]:
    """So many paths that all lead to one file: two links to the folder itself spell the number of each."""
    (folder / "master.fits").write_bytes(CONTENT)
    for name in "ab":
        (folder / name).symlink_to(".")
    bits = max(1, (count - 1).bit_length())
    ways = itertools.islice(itertools.product("ab", repeat=bits), count)
    return [f"{folder}/{'/'.join(way)}/master.fits" for way in ways]


def entries_of(masters: Iterable[Facts], paths: Sequence[str]) -> Iterator[Entry]:
    """An entry for each master and path."""
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    for number, (facts, path) in enumerate(zip(masters, paths, strict=True)):
        name = f"N{number:06d}_{facts.caltype}.fits"
        yield Entry(0, name, path, md5, len(CONTENT), datetime(2026, 1, 1), replace(facts, name=name))


def frames_of(count: int, generator: random.Random, *, spread: bool) -> list[Facts]:
    """Frames to be matched: equal to some master but for the time, or all the same."""
    if not spread:
        return [SCIENCE] * count
    masters = fifteen_years(count, generator)
    return [replace(facts, caltype=None, name="science.fits", qa_state="Pass") for facts in masters]


def timed(location: str, frames: Sequence[Facts], caltype: str) -> Timing:
    """Match frame by frame."""
    times: dict[bool, list[float]] = {True: [], False: [0.0]}
    for frame in frames:
        start = time.perf_counter()
        found = isinstance(find([CalibrationStore(location)], frame, caltype), Found)
        times[found].append((time.perf_counter() - start) * 1000)
    matched = times[True] or [0.0]
    return Timing(len(times[True]), len(frames), statistics.median(matched), max(matched), max(times[False]))


def measure(location: str, paths: Sequence[str], frames: int) -> Iterator[tuple[str, str, Timing]]:
    """Fill and ask; the database is emptied for each set of masters."""
    caltypes = ("processed_dark", "processed_flat", "processed_bpm")
    count = len(paths)
    sets = [("15 years", caltypes, fifteen_years(count, random.Random(1)))]
    for caltype in caltypes:
        sets.append(("all fit", (caltype,), all_fit(count, random.Random(2), caltype)))
        sets.append(("all but one failed", (caltype,), all_but_one_failed(count, random.Random(3), caltype)))
    store = CalibrationStore(location)
    for title, asked, masters in sets:
        store.create(wipe=True)
        store.import_entries(entries_of(masters, paths))
        for caltype in asked:
            wanted = frames_of(frames, random.Random(4), spread=title == "15 years")
            yield title, caltype, timed(location, wanted, caltype)
    store.create(wipe=True)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time to find one master among many.")
    parser.add_argument("--entries", type=int, default=100_000, help="how many masters (default: 100000)")
    parser.add_argument("--frames", type=int, default=40, help="how many matches of each kind (default: 40)")
    parser.add_argument("--url", help="an empty database on a server; without it a file is used")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keyhole-") as folder:
        location = options.url or str(Path(folder) / "cal_manager.db")
        if not CalibrationStore(location).create() and CalibrationStore(location).entries():
            parser.error("the database holds calibrations; name one that is empty")
        print(f"{options.entries} masters in {CalibrationStore(location).location}")
        print(
            f"{'masters':<20} {'asked for':<15} {'found':>7} {'median (ms)':>12} {'maximum (ms)':>13} {'miss (ms)':>10}"
        )
        paths = make_paths(Path(folder), options.entries)
        slow = False
        for title, caltype, timing in measure(location, paths, options.frames):
            slow |= timing.maximum > BAR_MS
            numbers = f"{timing.found:>3}/{timing.frames:<3} {timing.median:>12.1f} {timing.maximum:>13.1f}"
            numbers += f" {timing.missed:>10.1f}" if timing.missed else ""
            print(f"{title:<20} {caltype:<15} {numbers}", flush=True)
    if slow:
        print(f"over the bar of {BAR_MS:.0f} ms")
    return int(slow)


if __name__ == "__main__":
    raise SystemExit(main())
