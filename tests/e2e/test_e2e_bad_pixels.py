"""Bad-pixel masks made, registered, imported and used by the installed commands on a simulated night."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from small_night import DARKS, FLATS, SCIENCE, small_playground
from tests_support import Playground

DARK, FLAT, MASK = "N20120102S0538_dark.fits", "N20120117S0034_flat.fits", "N20120117S0034_bpm.fits"
STACK = "N20120117S0014_stack.fits"
REAL_MAP = Path(__file__).parents[3] / "shared" / "data" / "gnirs_north_bpm_2012dec05.fits.gz"


def raw(names: tuple[str, ...], folder: str = "../playdata") -> str:
    return " ".join(f"{folder}/{name}.fits" for name in names)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, night: Path) -> Playground:
    """A playground without configuration: masters are registered where they are made."""
    made = small_playground(tmp_path_factory.mktemp("bpm"), night, configured=False)
    for name, files in (("flats", FLATS), ("darks", DARKS), ("science", SCIENCE)):
        (made.folder / f"{name}.lis").write_text("\n".join(raw(files).split()) + "\n")
    # The science frames again, taken after the flats.
    (made.folder / "later").mkdir()
    for name in SCIENCE:
        with fits.open(made.raw / f"{name}.fits") as hdus:
            hdus[0].header["DATE-OBS"] = "2012-01-18"
            hdus.writeto(made.folder / "later" / f"{name}.fits")
    return made


@pytest.fixture
def alone(here: Playground, tmp_path: Path) -> Playground:
    """A folder of its own, whose database is still to be made."""
    (tmp_path / "playdata").symlink_to(here.raw.resolve())
    for name in ("folder", "home"):
        (tmp_path / name).mkdir()
    return Playground(tmp_path / "folder", tmp_path / "home", tmp_path / "playdata")


def bad_of(path: Path) -> np.ndarray:
    with fits.open(path) as hdus:
        return np.asarray((hdus["DQ"].data & 1) != 0)


def test_flats_and_darks_in_one_list_make_a_mask_that_is_registered(here: Playground) -> None:
    done = here.run("reduce @flats.lis @darks.lis -r makeProcessedBPM")
    assert "4 flats and 3 darks" in done.stdout
    assert f"{MASK} is registered" in done.stdout
    with fits.open(here.folder / MASK) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "HISTORY", "PROVENANCE"]
        assert hdus["SCI"].header["BITPIX"] == 16
        assert set(np.unique(hdus["SCI"].data)) == {0, 1}
        header = hdus[0].header
        assert (header["OBJECT"], header["BPMSRC"]) == ("BPM", "learnt: 3 darks of 60 s, 4 flats")
        assert header["NBADPIX"] == (hdus["SCI"].data == 1).sum() > 100
        assert "BPMASK" in header and "PROCBPM" in header
        assert set(hdus["PROVENANCE"].data["filename"]) == {f"{name}.fits" for name in (*FLATS, *DARKS)}
    assert MASK in here.run("typewalk -n --tags BPM PROCESSED").stdout
    assert "processed_bpm" in here.run(f"caldb add {MASK}").stdout


def test_mask_serves_frames_taken_later_and_joins_what_the_masters_learnt(here: Playground) -> None:
    here.run("reduce @darks.lis")
    here.run("reduce @flats.lis")
    assert (fits.getheader(here.folder / DARK)["NHOTPIX"]) > 100
    # The darks are older than the mask, the flats are not.
    assert fits.getheader(here.folder / DARK)["BPMSRC"] == "learnt: 3 darks of 60 s"
    assert fits.getheader(here.folder / FLAT)["BPMSRC"].startswith(f"processed_bpm: {MASK}")
    before = here.run("reduce @science.lis --suffix _early")
    assert f"source of bad pixels: learnt: dark {DARK}" in before.stdout.replace("\n         ", " ")
    done = here.run(f"reduce {raw(SCIENCE, 'later')}")
    assert done.stdout.count("source of bad pixels") == 1
    with fits.open(here.folder / STACK) as hdus:
        source = hdus[0].header["BPMSRC"]
        assert source.startswith(f"processed_bpm: {MASK}; learnt: dark {DARK}")
        assert f"flat {FLAT}" in source
        assert {MASK, DARK, FLAT} <= set(hdus["PROVENANCE"].data["filename"])
        assert f"of mask {MASK} joined DQ bit 1" in " ".join(hdus[0].header["HISTORY"])


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ("--user_cal processed_bpm:../bpm.fits", "processed_bpm: bpm.fits"),
        ("-p addDQ:static_bpm=../bpm.fits", "static_bpm: bpm.fits"),
        ("-p addDQ:user_bpm=../bpm.fits", "user_bpm: bpm.fits"),
        ("-p addDQ:static_bpm=None", ""),
    ],
)
def test_mask_is_given_by_hand_or_left_out(alone: Playground, options: str, source: str) -> None:
    values = np.zeros((1022, 1024), np.uint8)
    values[500, 500] = 1
    fits.PrimaryHDU(values).writeto(alone.folder.parent / "bpm.fits")
    done = alone.run(f"reduce {raw(DARKS)} {options}")
    assert ("says nothing about array and date" in done.stderr.replace("\n         ", " ")) is bool(source)
    assert fits.getheader(alone.folder / DARK)["BPMSRC"] == "; ".join(filter(None, [source, "learnt: 3 darks of 60 s"]))
    assert bad_of(alone.folder / DARK)[500, 500] == bool(source)


def test_mixed_lists_are_refused_but_for_that_recipe_and_a_dark_does_not_lead(here: Playground) -> None:
    for command, words in (
        ("reduce @flats.lis @darks.lis", "give one kind at a time"),
        ("reduce @flats.lis @darks.lis -r makeProcessedFlat", "give one kind at a time"),
        ("reduce @flats.lis @science.lis -r makeProcessedBPM", "give one kind at a time"),
        ("reduce @darks.lis @flats.lis -r makeProcessedBPM", "a flat must come first"),
        ("reduce @darks.lis -r makeProcessedBPM", "the first file decides"),
    ):
        done = here.run(command, ok=False)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert line.startswith("error: ") and words in line, line


@pytest.mark.skipif(not REAL_MAP.is_file(), reason=f"{REAL_MAP} is not here")
def test_real_map_is_imported_registered_and_used(alone: Playground) -> None:
    shutil.copy(REAL_MAP, alone.folder / "map.fits.gz")
    done = alone.run("caldb add map.fits.gz", ok=False)
    assert done.returncode == 4 and "keyhole bpm import map.fits.gz" in done.stderr
    like = f"../playdata/{SCIENCE[0]}.fits"
    out = alone.run(f"keyhole bpm import map.fits.gz -o bpm.fits --like {like} --date 2011-12-05").stdout
    assert "512 bad pixels" in out
    alone.run("caldb add bpm.fits")
    done = alone.run(f"reduce {raw(DARKS)}")
    assert "bpm  bpm.fits (from" in done.stdout
    with fits.open(alone.folder / "map.fits.gz") as hdus:
        real = hdus[0].data != 0
    assert bad_of(alone.folder / DARK)[real].all()
