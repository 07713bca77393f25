"""The published tutorial, word for word, in a temporary home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from tests_support import Playground

DARK, FLAT, STACK = "N20120102S0538_dark.fits", "N20120117S0034_flat.fits", "N20120117S0014_stack.fits"
SCIENCE = [f"../playdata/N20120117S00{n}.fits" for n in range(14, 34)]
MOST_LINES = 40


def listed(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_caldb_init_is_quiet_and_works(shared_playground: Playground) -> None:
    shared_playground.run("caldb init")
    assert (shared_playground.folder.parent / "database" / "cal_manager.db").is_file()


def test_dataselect_lists_the_darks(shared_playground: Playground) -> None:
    darks = [f"../playdata/N20120102S0{n}.fits" for n in range(538, 548)]
    shared_playground.run("dataselect ../playdata/*.fits --tags DARK -o darks60.lis")
    assert listed(shared_playground.folder / "darks60.lis") == darks
    shared_playground.run("dataselect ../playdata/*.fits --tags DARK --expr='exposure_time==60' -o darks60.lis")
    assert listed(shared_playground.folder / "darks60.lis") == darks


@pytest.mark.parametrize(
    "options",
    [
        "--tags IMAGE --xtags FLAT",
        "--xtags FLAT --expr='filter_name==\"J\"'",
        "--expr='object==\"GRB120116A\"'",
    ],
)
def test_the_three_target_lists_are_the_same(shared_playground: Playground, options: str) -> None:
    shared_playground.run(f"dataselect ../playdata/*.fits {options} -o target.lis")
    assert listed(shared_playground.folder / "target.lis") == SCIENCE


def test_dark_is_made_named_and_added(shared_playground: Playground) -> None:
    done = shared_playground.run("reduce @darks60.lis")
    assert DARK in done.stdout
    assert (shared_playground.folder / DARK).is_file()
    shared_playground.run(f"caldb add {DARK}")
    assert DARK in shared_playground.run("caldb list").stdout


def test_flat_is_made_named_and_added(shared_playground: Playground) -> None:
    shared_playground.run("dataselect ../playdata/*.fits --tags FLAT -o flats.lis")
    assert FLAT in shared_playground.run("reduce @flats.lis").stdout
    shared_playground.run(f"caldb add {FLAT}")


def test_showpars_tells_defaults_ranges_and_meanings(shared_playground: Playground) -> None:
    out = shared_playground.run("showpars ../playdata/N20120117S0014.fits associateSky").stdout
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip() and line[0] != " "}
    assert "600.0" in rows["time"] and "[0" in rows["time"]
    assert "1.0" in rows["distance"]
    for name in ("min_skies", "max_skies", "use_all"):
        assert name in rows
    assert "sky frame" in out


def test_caldb_says_which_masters_the_science_frames_will_get_and_why(shared_playground: Playground) -> None:
    out = shared_playground.run("caldb why ../playdata/N20120117S0014.fits").stdout
    text = " ".join(out.split())
    assert f"=> {DARK} is taken, grade 2 (usable with a doubt): 1 coadd of 60 s, frame has 2 coadds of 30 s" in text
    assert f"=> {FLAT} is taken, grade 0 (ideal): same night, same observation" in text
    assert max(map(len, out.splitlines())) <= 80


def test_science_finds_its_flat_in_the_database(shared_playground: Playground) -> None:
    done = shared_playground.run(f"reduce @target.lis --user_cal processed_dark:{DARK}")
    assert FLAT in done.stdout and STACK in done.stdout
    assert len((done.stdout + done.stderr).splitlines()) <= MOST_LINES
    assert max(map(len, done.stdout.splitlines())) <= 100
    with fits.open(shared_playground.folder / STACK) as hdus:
        assert [h.name for h in hdus][:4] == ["PRIMARY", "SCI", "VAR", "DQ"]
        assert hdus["SCI"].header["BUNIT"] == "electron"
        assert hdus[0].header["NCOMBINE"] == 20
        assert (hdus[0].header["DARKGRAD"], hdus[0].header["FLATGRAD"], hdus[0].header["CALGRADE"]) == (2, 0, 2)
        used = set(hdus["PROVENANCE"].data["filename"])
        assert {DARK, FLAT, *(Path(s).name for s in SCIENCE)} == used
        steps = list(hdus["HISTORY"].data["primitive"])
        assert steps[0] == "prepare" and "stackFrames" in steps


def test_the_stack_is_right(shared_playground: Playground) -> None:
    done = shared_playground.run(f"keyhole verify {STACK} ../playdata/truth.ecsv --json")
    figures = json.loads(done.stdout)
    assert figures["nan_pixels"] == 0
    assert abs(figures["flux_ratio"] - 1) <= 0.015
    assert figures["position_rms"] <= 0.03
    assert abs(figures["background"]) <= 0.1
    assert 0.95 <= figures["noise_ratio"] <= 1.05
    assert figures["saturated_stars"] > 0
    assert figures["saturated_flagged"] == figures["saturated_kept"] == figures["saturated_stars"]


@pytest.mark.parametrize(("product", "truth"), [(DARK, "dark"), (FLAT, "flat")])
def test_errors_of_the_masters_are_those_of_their_variance(
    shared_playground: Playground, product: str, truth: str
) -> None:
    done = shared_playground.run(f"keyhole verify {product} ../playdata/truth/{truth}.fits --json")
    figures = json.loads(done.stdout)
    assert 0.9 <= figures["pull_width"] <= 1.1
    if truth == "flat":
        assert abs(figures["median"] - 1) <= 0.002


def test_all_frames_are_registered(shared_playground: Playground) -> None:
    files = " ".join(SCIENCE[:8])
    calibrations = f"--user_cal processed_dark:../{DARK} processed_flat:../{FLAT}"
    (shared_playground.folder / "aligned").mkdir()
    shared_playground.run(
        f"cd aligned && reduce {files.replace('../', '../../')} {calibrations} "
        "-p resampleToCommonFrame:write_outputs=True"
    )
    truth = Table.read(shared_playground.raw / "truth" / "frames.ecsv")
    truth = truth[truth["kind"] == "OBJECT"][:8]
    true = np.column_stack([truth["dither_x"], truth["dither_y"]])
    headers = [
        fits.getheader(shared_playground.folder / "aligned" / f"N20120117S00{n}_align.fits", "SCI")
        for n in range(14, 22)
    ]
    found = -np.array([(header["AREA1_1"], header["AREA1_2"]) for header in headers])
    error = (found - found[0]) - (true - true[0])
    assert np.sqrt(np.mean(error**2)) <= 0.03


def test_science_finds_its_dark_by_itself_and_says_what_differs(shared_playground: Playground) -> None:
    done = shared_playground.run("reduce @target.lis --suffix _auto")
    assert DARK in done.stdout
    assert any("coadd" in line for line in done.stderr.splitlines())


def test_masters_given_by_hand_need_no_database(shared_playground: Playground, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    alone = Playground(shared_playground.folder, home, shared_playground.raw)
    before = (shared_playground.folder / STACK).stat().st_mtime_ns
    alone.run(f"reduce @target.lis --user_cal processed_dark:{DARK} processed_flat:{FLAT}")
    assert (shared_playground.folder / STACK).stat().st_mtime_ns > before
    assert not (shared_playground.folder / "cal_manager.db").exists()


def test_stacks_of_parts_combine_into_one_and_are_kept(shared_playground: Playground) -> None:
    folder = shared_playground.folder
    for name, files in (("first.lis", SCIENCE[:10]), ("second.lis", SCIENCE[10:])):
        (folder / name).write_text("\n".join(files) + "\n")
    calibrations = f"--user_cal processed_dark:{DARK} processed_flat:{FLAT}"
    shared_playground.run(f"reduce @first.lis {calibrations}")
    shared_playground.run(f"reduce @second.lis {calibrations}")
    parts = [STACK, "N20120117S0024_stack.fits"]
    (folder / "stacks.lis").write_text("\n".join(parts) + "\n")
    before = (folder / STACK).read_bytes()
    done = shared_playground.run("reduce @stacks.lis -r alignAndStack")
    assert (folder / STACK).read_bytes() == before
    written = [word for word in done.stdout.split() if word.endswith("_stack.fits") and "aligned" in word]
    with fits.open(folder / written[0]) as hdus:
        assert hdus[0].header["NCOMBINE"] == 20
        assert set(parts) <= set(hdus["PROVENANCE"].data["filename"])
        assert hdus[0].header["TOTEXP"] == 1200
    figures = json.loads(shared_playground.run(f"keyhole verify {written[0]} ../playdata/truth.ecsv --json").stdout)
    assert abs(figures["flux_ratio"] - 1) <= 0.015


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_science_frames_are_a_legal_input(shared_playground: Playground, n: int) -> None:
    folder = shared_playground.folder
    shutil.rmtree(folder / "few", ignore_errors=True)
    (folder / "few").mkdir()
    files = " ".join(f"../{path}" for path in SCIENCE[:n])
    shared_playground.run(f"cd few && reduce {files} --user_cal processed_dark:../{DARK} processed_flat:../{FLAT}")
    done = shared_playground.run(f"keyhole verify few/{STACK} ../playdata/truth.ecsv --json")
    figures = json.loads(done.stdout)
    assert figures["nan_pixels"] == 0
    assert abs(figures["background"]) <= 0.1
    # A single frame keeps its cosmic rays, and the flat is not corrected by the sky of one or two.
    assert abs(figures["flux_ratio"] - 1) <= (0.015 if n > 2 else 0.03)


def test_caldb_remove_keeps_the_file(shared_playground: Playground) -> None:
    shared_playground.run(f"caldb remove {FLAT}")
    assert FLAT not in shared_playground.run("caldb list").stdout
    assert (shared_playground.folder / FLAT).is_file()


def test_without_configuration_masters_are_kept_in_the_current_folder(tmp_path: Path, night: Path) -> None:
    from tests_support import make_playground

    alone = make_playground(tmp_path, night, configured=False)
    done = alone.run("reduce ../playdata/N20120102S053[89].fits ../playdata/N20120102S054?.fits")
    assert (alone.folder / "cal_manager.db").is_file()
    assert "cal_manager.db" in done.stdout
    assert DARK in alone.run("caldb list").stdout


def test_masters_and_parameters_are_made_and_shown_without_packages_they_do_not_need(
    shared_playground: Playground,
) -> None:
    heavy = ("scipy", "sqlalchemy", "astropy", "astrodata", "asdf")
    slow = (*heavy, "sep")
    code = (
        "import sys\nfrom keyhole.cli import {0}\ncode = {0}.main({1!r})\n"
        "print('CODE', code, 'LOADED', *[name for name in {2!r} if name in sys.modules])"
    )
    for name, words in (
        ("darks", "--tags DARK --expr='exposure_time==60'"),
        ("flats", "--tags FLAT"),
        ("stars", "--tags IMAGE --xtags FLAT"),
    ):
        shared_playground.run(f"dataselect ../playdata/*.fits {words} -o lean_{name}.lis")
    for module, words, known in (
        ("reduce", ["@lean_darks.lis"], slow),
        ("reduce", ["@lean_flats.lis"], slow),
        ("reduce", ["@lean_stars.lis", "--user_cal", f"processed_dark:{DARK}", f"processed_flat:{FLAT}"], heavy),
        ("showpars", ["../playdata/N20120117S0014.fits", "associateSky"], slow),
    ):
        script = shared_playground.folder / "loads.py"
        script.write_text(code.format(module, words, known))
        out = shared_playground.run("python loads.py").stdout
        assert out.splitlines()[-1] == "CODE 0 LOADED", out
