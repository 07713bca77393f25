from __future__ import annotations

import bz2
import gzip
import logging
from pathlib import Path

import pytest
import tiny_frames
from tiny_frames import write_frame

from keyhole.errors import InputError, ParameterError
from keyhole.selection import select


@pytest.fixture
def night(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frame(Path("dark60.fits"), tiny_frames.DARK)
    write_frame(Path("dark10.fits"), tiny_frames.DARK, EXPTIME=10.0)
    write_frame(Path("flat.fits"), tiny_frames.FLAT)
    write_frame(Path("image2.fits"), tiny_frames.SCIENCE)
    write_frame(Path("image1.fits"), tiny_frames.SCIENCE)
    return ["dark60.fits", "dark10.fits", "flat.fits", "image2.fits", "image1.fits"]


def test_the_lists_of_the_tutorial(night):
    assert select(night, ["DARK"]) == ["dark60.fits", "dark10.fits"]
    assert select(night, ["DARK"], expression="exposure_time==60") == ["dark60.fits"]
    assert select(night, ["FLAT"]) == ["flat.fits"]
    target = ["image2.fits", "image1.fits"]
    assert select(night, ["IMAGE"], ["FLAT"]) == target
    assert select(night, exclude=["FLAT"], expression='filter_name=="J"') == target
    assert select(night, expression='object=="GRB120116A"') == target


def test_all_tags_must_be_there_and_none_of_the_excluded(night):
    assert select(night, ["IMAGE", "FLAT"]) == ["flat.fits"]
    assert select(night, (), ["DARK", "FLAT"]) == ["image2.fits", "image1.fits"]
    assert select(night, ["NO_SUCH_TAG"]) == []
    assert select(night) == night
    assert select([], ["DARK"]) == []


def test_compressed_files_are_read_as_they_are(night):
    content = Path("dark60.fits").read_bytes()
    Path("a.fits.gz").write_bytes(gzip.compress(content))
    Path("b.fits.bz2").write_bytes(bz2.compress(content))
    assert select(["a.fits.gz", "b.fits.bz2"], ["DARK"]) == ["a.fits.gz", "b.fits.bz2"]


@pytest.mark.parametrize("expression", [None, "IMAGE or exposure_time==60"])
def test_damaged_and_foreign_files_are_named_and_left_out(night, expression):
    Path("text.fits").write_text("not FITS")
    Path("cut.fits").write_bytes(Path("flat.fits").read_bytes()[:1000])
    Path("empty.fits").touch()
    write_frame(Path("foreign.fits"), {"INSTRUME": "CAMERA", "TELESCOP": "mine", "EXPTIME": 60.0})
    write_frame(Path("bare.fits"), {})
    skipped = {}
    odd = ["text.fits", "cut.fits", "empty.fits", "foreign.fits", "bare.fits"]
    chosen = select([*odd, "image1.fits"], expression=expression, on_skipped=skipped.__setitem__)
    assert chosen == ["image1.fits"]
    assert list(skipped) == odd
    for name, error in skipped.items():
        assert name in str(error)


def test_without_a_listener_the_files_left_out_are_logged(night, caplog):
    Path("text.fits").write_text("not FITS")
    with caplog.at_level(logging.WARNING, "keyhole.selection"):
        select(["text.fits", *night])
    assert "text.fits" in caplog.text


def test_a_frame_of_another_gemini_instrument_does_not_stop_a_selection(night):
    write_frame(Path("niri.fits"), tiny_frames.SCIENCE, INSTRUME="NIRI")
    assert select(["niri.fits", "image1.fits"], expression='camera=="ShortBlue_G5538"')[-1] == "image1.fits"


def test_a_missing_file_is_an_error(night):
    with pytest.raises(InputError, match=r"gone\.fits"):
        select([*night, "gone.fits"])


def test_a_wrong_expression_is_refused_before_any_file_is_read():
    with pytest.raises(ParameterError, match="nonsense"):
        select(["gone.fits"], expression="nonsense==1")
