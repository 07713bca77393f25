"""``keyhole bpm import``: a map from elsewhere becomes a mask that is registered and found."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import raw_file

from keyhole.calibration import facts_of
from keyhole.cli import caldb
from keyhole.cli.main import main
from keyhole.frames import read_frame
from keyhole.headers import read_headers


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    raw_file(tmp_path / "raw.fits", "science", CONID="ARC-III")
    values = np.zeros((64, 64), np.int32)
    values[2, 3] = values[60, 61] = 1
    values[5, 5] = 64
    fits.PrimaryHDU(values).writeto("map.fits")
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["bpm", "import", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_mask_knows_array_and_date_and_is_registered(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("map.fits.gz").write_bytes(gzip.compress(Path("map.fits").read_bytes()))
    code, out, _ = imported(capsys, "map.fits.gz", "-o", "bpm_a.fits", "--like", "raw.fits", "--date", "2011-12-05")
    assert code == 0
    assert "wrote bpm_a.fits: 2 bad pixels" in out
    assert "array SN7638228.1+ARC-III, for frames from 2011-12-05 00:00 UT on" in out
    facts = facts_of(read_headers("bpm_a.fits"))
    assert (facts.caltype, facts.instrument, facts.array_name) == ("processed_bpm", "GNIRS", "SN7638228.1+ARC-III")
    assert str(facts.ut_datetime) == "2011-12-05 00:00:00"
    assert facts.binning == "1x1"
    mask = read_frame("bpm_a.fits")
    assert np.argwhere(mask.data).tolist() == [[2, 3], [60, 61]]
    assert (mask.header["BITPIX"], mask.primary["OBJECT"], mask.primary["NBADPIX"]) == (16, "BPM", 2)
    assert mask.tables["PROVENANCE"].columns["filename"].tolist() == ["map.fits.gz"]
    assert caldb.main(["add", "bpm_a.fits"]) == 0
    assert "processed_bpm" in capsys.readouterr().out


def test_mask_holds_from_the_day_of_the_frame_if_nothing_else_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "from 2012-01-17 00:00 UT on" in imported(capsys, "map.fits", "-o", "a.fits", "--like", "raw.fits")[1]
    words = ["map.fits", "-o", "b.fits", "--like", "raw.fits", "--date", "2012-01-17T05:30:00-02:00"]
    assert "from 2012-01-17 07:30 UT on" in imported(capsys, *words)[1]


def test_map_is_cut_to_the_frame(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    larger = fits.ImageHDU(np.zeros((70, 70), np.uint8))
    larger.data[60, 61] = larger.data[69, 69] = 1
    larger.header["DETSEC"] = "[1:70,1:70]"
    fits.HDUList([fits.PrimaryHDU(), larger]).writeto("larger.fits")
    assert imported(capsys, "larger.fits", "-o", "a.fits", "--like", "raw.fits")[0] == 0
    assert np.argwhere(read_frame("a.fits").data).tolist() == [[60, 61]]


def test_surroundings_of_the_keyhole_are_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.ones((64, 64), np.int16)
    values[20:40] = 0
    values[30, 30] = 1
    fits.PrimaryHDU(values).writeto("dark_around.fits")
    out = imported(capsys, "dark_around.fits", "-o", "a.fits", "--like", "raw.fits")[1]
    assert "1 bad pixel; 2816 pixels left out as what the keyhole hides" in out
    assert np.argwhere(read_frame("a.fits").data).tolist() == [[30, 30]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.fits", "-o", "a.fits", "--like", "raw.fits"], "nowhere.fits"),
        (["map.fits", "-o", "a.fits", "--like", "nowhere.fits"], "nowhere.fits"),
        (["map.fits", "-o", "map.fits", "--like", "raw.fits"], "map.fits exists"),
        (["map.fits", "-o", "a.fits", "--like", "map.fits"], "does not tell the array; give another frame"),
        (["map.fits", "-o", "a.fits", "--like", "raw.fits", "--date", "today"], "--date today: expected a day"),
        (["small.fits", "-o", "a.fits", "--like", "raw.fits"], "small.fits is 5 x 5 pixels"),
        (["text.fits", "-o", "a.fits", "--like", "raw.fits"], "is no FITS file"),
        (["map.fits", "-o", "nowhere/a.fits", "--like", "raw.fits"], "nowhere"),
    ],
)
def test_what_cannot_become_a_mask_is_one_sentence_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    fits.PrimaryHDU(np.zeros((5, 5), np.int16)).writeto("small.fits")
    Path("text.fits").write_text("no FITS")
    before = {path: path.read_bytes() for path in here.iterdir()}
    code, out, err = imported(capsys, *words)
    (line,) = err.splitlines()
    assert (code != 0, out) == (True, "")
    assert line.startswith("error: ") and told in line
    assert {path: path.read_bytes() for path in here.iterdir()} == before
