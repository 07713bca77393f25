"""Bad pixels on simulated nights: which of the harmful ones are found, and what is flagged for nothing.

    python benchmarks/bad_pixels.py --seeds 41 42 43 44

Simulates nights and reduces their darks and flats with the installed commands, and holds the flags against the
truth of the simulator. A pixel counts by its effect on a frame of one coadd of 60 s, divided by the flat: it is
harmful when dark current or low response add more noise than all other noise of an ordinary pixel (> 1 sigma).
"dark sky": read noise and dark current alone, all pixels of the array (response: those in the keyhole); "J sky":
in the keyhole, under the sky of the night.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accuracy import command
from astropy.io import fits
from numpy.typing import NDArray

from keyhole.simulate.array import Flaw
from keyhole.simulate.night import Night, build_night
from keyhole.simulate.options import NightOptions

CAMERAS = ("ShortBlue", "LongBlue")
ARRAYS = ("SN7638228.1", "SN7638228.1.2")
EXPOSURE, SHORT = 60.0, 1.2
DARK, FLAT, MASK = "N20120102S0538_dark.fits", "N20120117S0034_flat.fits", "N20120117S0034_bpm.fits"
COLUMNS = (
    *("camera", "array", "bad pixels from", "nights", "flagged"),
    *("harmful, dark sky", "found", "harmful, J sky", "found", "flagged but harmless", "of these sound", "per million"),
)
_BAD = 1
_UNLIT = 64

Plane = NDArray[np.bool_]


class Truth(NamedTuple):
    """What the simulator knows: pixels that harm in a frame without and with sky, and flawless pixels."""

    dark_sky: Plane
    bright_sky: Plane
    sound: Plane


def truth_of(night: Night, keyhole: Plane) -> Truth:
    """Judge each pixel of a night by the noise that it adds to a frame of 60 s."""
    array = night.array
    sky = float(np.median([night.sky_electrons(plan) for plan in night.science]))
    harmful = []
    for level in (0.0, sky):
        response = np.where(keyhole, array.response, 1.0)
        light = np.where(keyhole, level * response, 0.0)
        noise = (night.detector.read_noise**2 + array.dark_rate * EXPOSURE + light) / response**2
        ordinary = float(np.median(noise[keyhole]))
        harmful.append(noise > 2 * ordinary)
    return Truth(harmful[0], harmful[1] & keyhole, array.flaws == Flaw.NONE)


def flags_of(work: Path) -> Iterator[tuple[str, Plane]]:
    """Each way to come to bad pixels, and what it flags."""
    dark = {name: (fits.getdata(work / f"dark_{name}" / DARK, "DQ") & _BAD) != 0 for name in ("60", "1.2")}
    flat = (fits.getdata(work / "flat" / FLAT, "DQ") & _BAD) != 0
    for name, plane in dark.items():
        yield f"learnt: {name} s darks, flats", plane | flat
    for name in dark:
        values = fits.getdata(work / f"mask_{name}" / MASK, "SCI")
        yield f"makeProcessedBPM: {name} s darks, flats", (values != 0) & (values != _UNLIT)


def one_night(base: Path, seed: int, camera: str, array: str) -> dict[str, NDArray[np.int64]]:
    """Simulate and reduce; the counts behind `COLUMNS` for each way."""
    common = ["--seed", str(seed), "--camera", camera, "--array", array, "--frames", "0"]
    command(base, "keyhole", "simulate", "night", *common)
    short = ["--flats", "0", "--exptime", str(SHORT), "--coadds", "1"]
    command(base, "keyhole", "simulate", "night_short", *common, *short)
    flats = [f"../night/{path.name}" for path in sorted((base / "night").glob("N20120117*.fits"))]
    darks = {
        name: [f"../{folder}/{path.name}" for path in sorted((base / folder).glob("N20120102*.fits"))]
        for name, folder in (("60", "night"), ("1.2", "night_short"))
    }
    for name, files in darks.items():
        _reduce(base / f"dark_{name}", *files)
        _reduce(base / f"mask_{name}", *flats, *files, "-r", "makeProcessedBPM")
    _reduce(base / "flat", *flats)
    keyhole = (fits.getdata(base / "flat" / FLAT, "DQ") & _UNLIT) == 0
    truth = truth_of(build_night(seed, NightOptions(camera=camera, array=array)), keyhole)
    return {name: _counts(flags, truth, keyhole) for name, flags in flags_of(base)}


def _reduce(folder: Path, *words: str) -> None:
    """Run ``reduce`` in a folder of its own, whose database knows nothing yet."""
    folder.mkdir()
    command(folder, "reduce", *words)


def _counts(flags: Plane, truth: Truth, keyhole: Plane) -> NDArray[np.int64]:
    harmless = flags & ~truth.dark_sky
    planes = (
        *(flags, truth.dark_sky, flags & truth.dark_sky, truth.bright_sky, flags & truth.bright_sky),
        *(harmless, harmless & truth.sound, np.ones_like(flags)),
    )
    return np.array([1, *(np.count_nonzero(plane) for plane in planes)])


def row(camera: str, array: str, name: str, counts: NDArray[np.int64]) -> str:
    """One line of the table."""
    nights, flagged, dark, dark_found, bright, bright_found, harmless, sound, pixels = map(int, counts)
    cells = [camera, array, name, nights, flagged, dark, _share(dark_found, dark), bright, _share(bright_found, bright)]
    return "| " + " | ".join(map(str, [*cells, harmless, sound, f"{1e6 * harmless / pixels:.1f}"])) + " |"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[41, 42, 43, 44])
    chosen = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), sep="\n")
    for camera in CAMERAS:
        for array in ARRAYS:
            total: dict[str, NDArray[np.int64]] = {}
            for seed in chosen.seeds:
                with tempfile.TemporaryDirectory() as base:
                    for name, counts in one_night(Path(base), seed, camera, array).items():
                        total[name] = total.get(name, 0) + counts
            print("\n".join(row(camera, array, name, counts) for name, counts in total.items()), flush=True)


if __name__ == "__main__":
    main()
