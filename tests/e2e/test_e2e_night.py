"""``keyhole night`` as a user runs it: one command, and again after it was killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from small_night import small_playground
from tests_support import Playground

STACK, DARK, FLAT = "N20120117S0014_stack.fits", "N20120102S0538_dark.fits", "N20120117S0034_flat.fits"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, night: Path) -> Playground:
    return small_playground(tmp_path_factory.mktemp("night"), night, configured=False)


@pytest.fixture(scope="module")
def undisturbed(small: Playground) -> str:
    (small.raw / "junk.fits").write_text("no FITS at all")
    return small.run("keyhole night ../playdata -o out --jobs 2").stdout


def content(folder: Path, name: str) -> list[object]:
    """All pixels and tables of a product but its time stamps."""
    parts: list[object] = []
    with fits.open(folder / name) as hdus:
        for hdu in hdus:
            if isinstance(hdu, fits.ImageHDU):
                parts += [hdu.name, hdu.data.copy()]
            elif hdu.name == "PROVENANCE":
                # The sums of masters differ by the time stamps in these.
                raw = [row["md5"] for row in hdu.data if not row["filename"].endswith(("_dark.fits", "_flat.fits"))]
                parts += [list(hdu.data["filename"]), raw]
            elif hdu.name == "OBJCAT":
                parts += [len(hdu.data), np.asarray(hdu.data["FLUX_AUTO"])]
    return parts


def same(first: list[object], second: list[object]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_one_command_makes_masters_image_database_and_summary(small: Playground, undisturbed: str) -> None:
    out = small.folder / "out"
    for name in (DARK, FLAT, STACK):
        assert (out / name).is_file()
    assert "junk.fits" in undisturbed
    assert "3 done" in undisturbed
    assert max(map(len, undisturbed.splitlines())) <= 80
    told = json.loads((out / "summary.json").read_text())
    groups = {group["makes"]: group for group in told["groups"]}
    assert {group["state"] for group in groups.values()} == {"done"}
    assert groups["image"]["figures"]["frames_combined"]["value"] == 4
    used = [frame["figures"]["fwhm"] for frame in groups["image"]["frames"] if frame["used"]]
    assert len(used) == 4 and all(0.3 < seeing["value"] < 1.2 and seeing["unit"] == "arcsec" for seeing in used)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "4 of 4 frames on stars" in page and page.count("data:image/png") == 4
    assert [item["file"] for item in told["aside"]] == ["junk.fits"]
    used = {item["kind"]: item["file"] for item in groups["image"]["calibrations"]}
    assert (used["dark"], used["flat"]) == (DARK, FLAT)
    assert DARK in small.run("caldb -d out/calibrations.db list").stdout


def test_the_image_is_that_of_the_step_by_step_way(small: Playground, undisturbed: str) -> None:
    names = " ".join(f"../playdata/N20120117S00{number}.fits" for number in range(14, 18))
    calibrations = f"processed_dark:out/{DARK} processed_flat:out/{FLAT}"
    small.run(f"reduce {names} --user_cal {calibrations}")
    assert same(content(small.folder, STACK), content(small.folder / "out", STACK))


def test_a_changed_plan_does_only_what_it_changes(small: Playground, undisturbed: str) -> None:
    plan = small.folder / "out" / "plan.toml"
    before = plan.read_text()
    plan.write_text(before.replace('  "N20120117S0017.fits",\n', ""))
    out = small.run("keyhole night out/plan.toml").stdout
    assert "2 kept" in out.splitlines()[-1] and "1 done" in out.splitlines()[-1]
    with fits.open(small.folder / "out" / STACK) as hdus:
        assert hdus[0].header["NCOMBINE"] == 3
    plan.write_text(before)
    small.run("keyhole night out/plan.toml")


def test_killed_at_random_moments_and_run_again_it_ends_with_the_same_products(
    small: Playground, undisturbed: str
) -> None:
    moments = random.Random(7)
    environ = os.environ | {"HOME": str(small.home)}
    command = [str(Path(sys.executable).with_name("keyhole")), "night", "../playdata", "-o", "again", "--jobs", "2"]
    for _ in range(3):
        process = subprocess.Popen(
            command, cwd=small.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(1.0, 7.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = small.run("keyhole night ../playdata -o again --jobs 2").stdout
    assert "failed" not in done
    for name in (DARK, FLAT, STACK):
        assert same(content(small.folder / "again", name), content(small.folder / "out", name)), name
    left = [path.name for path in (small.folder / "again").rglob("*") if path.name.startswith(".") and path.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("keyhole night nowhere", 2, "nowhere does not exist"),
        ("keyhole night empty", 2, "holds no frames that can be reduced"),
        ("keyhole night ../playdata -o no/such/folder", 6, "cannot be written"),
        ("keyhole night ../playdata --jobs 0", 2, "--jobs 0"),
        ("keyhole night bad.toml", 2, "bad.toml is no plan"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(small: Playground, command: str, code: int, words: str) -> None:
    (small.folder / "empty").mkdir(exist_ok=True)
    (small.folder / "bad.toml").write_text("a plan? = no")
    done = small.run(command, ok=False)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
