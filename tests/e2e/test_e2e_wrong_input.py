"""Wrong input is answered in one clear sentence; nothing half-written is left, nothing is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests_support import Playground, make_playground

DARKS = [f"../playdata/N20120102S0{n}.fits" for n in range(538, 548)]
FLATS = [f"../playdata/N20120117S00{n}.fits" for n in range(34, 50)]
SCIENCE = [f"../playdata/N20120117S00{n}.fits" for n in range(14, 34)]
DARK, FLAT = "N20120102S0538_dark.fits", "N20120117S0034_flat.fits"


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory, night: Path) -> Path:
    """Master dark and flat of the night, made once."""
    made = make_playground(tmp_path_factory.mktemp("masters"), night, configured=False)
    made.run("reduce " + " ".join(DARKS[:3]))
    made.run("reduce " + " ".join([*FLATS[:2], *FLATS[8:10]]))
    return made.folder


def refused(playground: Playground, command: str, *words: str) -> str:
    """Run a command that must fail; return its error line."""
    before = {p: p.read_bytes() for p in playground.folder.rglob("*.fits")}
    done = playground.run(command, ok=False)
    assert done.returncode not in (0, 1), done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error:", "usage"))]
    assert len([e for e in errors if e.startswith("error:")]) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    after = {p: p.read_bytes() for p in playground.folder.rglob("*.fits")}
    assert after == before
    assert not [p.name for p in playground.folder.rglob("*.part")]
    return errors[0]


def changed(source: Path, target: Path, **cards: object) -> str:
    """Copy a raw frame with other header values."""
    with fits.open(source) as hdus:
        hdus[0].header.update(cards)
        hdus.writeto(target)
    return target.name


@pytest.fixture
def here(playground: Playground) -> Playground:
    playground.run("caldb init")
    return playground


def test_missing_file(here: Playground) -> None:
    refused(here, "reduce nowhere.fits", "nowhere.fits")


def test_missing_list(here: Playground) -> None:
    refused(here, "reduce @nowhere.lis", "nowhere.lis")


def test_empty_list(here: Playground) -> None:
    (here.folder / "empty.lis").write_text("# nothing\n\n")
    refused(here, "reduce @empty.lis", "empty.lis")


def test_no_input_at_all(here: Playground) -> None:
    refused(here, "reduce", "no input")


def test_text_called_fits(here: Playground) -> None:
    (here.folder / "text.fits").write_text("this is no FITS file\n")
    before = (here.folder / "text.fits").read_bytes()
    refused(here, f"reduce {DARKS[0]} text.fits", "text.fits")
    assert (here.folder / "text.fits").read_bytes() == before


@pytest.mark.parametrize("keep", [1500, 30_000, 2_000_000])
def test_file_cut_in_the_middle(here: Playground, keep: int) -> None:
    whole = (here.folder / DARKS[0]).read_bytes()
    (here.folder / "cut.fits").write_bytes(whole[:keep])
    refused(here, f"reduce {DARKS[1]} cut.fits", "cut.fits")


def test_frame_of_another_instrument(here: Playground) -> None:
    name = changed(here.folder / DARKS[0], here.folder / "N20120102S0001.fits", INSTRUME="NIRI")
    refused(here, f"reduce {DARKS[1]} {name}", name, "NIRI")


def test_fits_that_is_no_frame_at_all(here: Playground) -> None:
    fits.PrimaryHDU(np.zeros((4, 4), np.float32)).writeto(here.folder / "other.fits")
    refused(here, "reduce other.fits", "other.fits")


def test_darks_and_flats_in_one_list(here: Playground) -> None:
    refused(here, f"reduce {DARKS[0]} {FLATS[0]}", "dark", "flat", "N20120117S0034.fits")


def test_darks_of_different_exposure_time(here: Playground) -> None:
    name = changed(here.folder / DARKS[0], here.folder / "N20120102S0600.fits", EXPTIME=30.0)
    refused(here, f"reduce {DARKS[0]} {DARKS[1]} {name}", "exposure time", name, "30", "60")


def test_science_frames_in_different_filters(here: Playground) -> None:
    name = changed(here.folder / SCIENCE[0], here.folder / "N20120117S0600.fits", FILTER2="H_G0516")
    refused(here, f"reduce {SCIENCE[0]} {name}", "filter", name)


def test_no_matching_dark(here: Playground) -> None:
    refused(here, "reduce " + " ".join(SCIENCE[:3]), "dark", "60", "--user_cal processed_dark:")


def test_no_matching_flat(here: Playground, masters: Path) -> None:
    shutil.copy(masters / DARK, here.folder)
    here.run(f"caldb add {DARK}")
    refused(here, "reduce " + " ".join(SCIENCE[:3]), "flat", "J", "--user_cal processed_flat:")


def test_flat_of_another_filter_is_explained(here: Playground, masters: Path) -> None:
    shutil.copy(masters / DARK, here.folder)
    with fits.open(masters / FLAT) as hdus:
        hdus[0].header["FILTER2"] = "H_G0516"
        hdus.writeto(here.folder / "other_flat.fits")
    here.run(f"caldb add {DARK} other_flat.fits")
    refused(here, "reduce " + " ".join(SCIENCE[:3]), "other_flat.fits", "filter")


def test_master_given_by_hand_does_not_exist(here: Playground) -> None:
    refused(here, f"reduce {SCIENCE[0]} --user_cal processed_dark:nowhere.fits", "nowhere.fits")


def test_master_given_by_hand_is_of_the_wrong_kind(here: Playground, masters: Path) -> None:
    refused(here, f"reduce {SCIENCE[0]} --user_cal processed_dark:{masters / FLAT}", FLAT, "flat")


def test_kind_of_master_is_unknown_or_forgotten(here: Playground, masters: Path) -> None:
    refused(here, f"reduce {SCIENCE[0]} --user_cal processed_drak:{masters / DARK}", "processed_dark")
    refused(here, f"reduce {SCIENCE[0]} --user_cal {masters / DARK}", "TYPE:FILE")


def test_unknown_recipe_step_and_parameter(here: Playground) -> None:
    refused(here, f"reduce {DARKS[0]} -r makeProcesedDark", "makeProcessedDark")
    refused(here, f"reduce {DARKS[0]} -p stackDrks:nlow=1", "stackDarks")
    refused(here, f"reduce {DARKS[0]} -p stackDarks:nlw=1", "nlow")
    refused(here, f"reduce {DARKS[0]} -p lsigmaa=2", "lsigma")
    refused(here, f"reduce {DARKS[0]} -p nonsense", "name=value")
    refused(here, f"showpars {DARKS[0]} asociateSky", "associateSky")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("hsigma=-1", "[0"),
        ("operation=average", "median"),
        ("nlow=many", "[0, inf)"),
        ("addDQ:xshift=200", "100"),
    ],
)
def test_value_out_of_range(here: Playground, setting: str, words: str) -> None:
    refused(
        here, f"reduce {DARKS[0]} -p {setting}", words, setting.rsplit(":", maxsplit=1)[-1].split("=", maxsplit=1)[0]
    )


def test_all_mistakes_are_told_at_once(here: Playground) -> None:
    refused(here, f"reduce {DARKS[0]} -p hsigma=-1 nosuch=2", "hsigma", "nosuch")


def test_output_folder_cannot_be_written(here: Playground) -> None:
    # A log that cannot be opened is the first sign; it is told before any frame is read.
    (here.folder / "reduce.log").mkdir()
    refused(here, f"reduce {DARKS[0]}", "reduce.log")


def test_database_folder_is_missing(here: Playground) -> None:
    shutil.rmtree(here.folder.parent / "database")
    line = refused(here, "caldb list", "database")
    assert "caldb init" in line
    refused(here, "reduce " + " ".join(SCIENCE[:3]), "caldb init")


def test_same_file_twice_is_used_once_with_a_warning(here: Playground) -> None:
    done = here.run(f"reduce {DARKS[0]} {DARKS[1]} {DARKS[0]}")
    assert done.stderr.count("N20120102S0538.fits") == 1
    with fits.open(here.folder / DARK) as hdus:
        assert hdus[0].header["NCOMBINE"] == 2


def test_compressed_raw_files_are_reduced_as_they_are(here: Playground) -> None:
    for path in DARKS[:2]:
        shutil.copy(here.folder / path, here.folder)
    here.run("bzip2 N20120102S0538.fits && gzip N20120102S0539.fits")
    here.run("reduce N20120102S0538.fits.bz2 N20120102S0539.fits.gz")
    assert (here.folder / DARK).is_file()


def test_interrupted_run_leaves_nothing_half_written(here: Playground) -> None:
    environ = {"HOME": str(here.home), "PATH": "/usr/bin:/bin"}
    import sys

    command = [str(Path(sys.executable).parent / "reduce"), *DARKS]
    process = subprocess.Popen(
        command, cwd=here.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "prepare" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 or DARK in [p.name for p in here.folder.iterdir()]
    assert "Traceback" not in errors
    assert not [p.name for p in here.folder.iterdir() if p.name.endswith(".part")]


def test_two_runs_at_once_both_end_well(here: Playground) -> None:
    done = here.run(f"reduce {' '.join(DARKS[:2])} & one=$!; reduce {' '.join(DARKS[2:4])} && wait $one")
    assert done.returncode == 0
    assert {DARK, "N20120102S0540_dark.fits"} <= {p.name for p in here.folder.iterdir()}
