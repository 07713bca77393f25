"""Maps of bad pixels without a header of an observatory."""

from __future__ import annotations

import gzip

import pytest
import tiny_frames
from known_facts import SCIENCE

from keyhole.calibration import CalibrationStore, disagreements, parse_user_cals
from keyhole.calibration.bare_map import is_bare_map, serves, why_no_mask
from keyhole.errors import CalibrationError, DataError
from keyhole.headers import read_headers


@pytest.fixture
def bare(tmp_path):
    return tiny_frames.write_frame(tmp_path / "map.fits", {})


def test_file_with_one_image_and_no_word_of_an_observatory_is_a_bare_map(bare, tmp_path):
    headers = read_headers(bare)
    assert is_bare_map(headers)
    assert serves("processed_bpm", headers)
    assert not serves("processed_dark", headers)
    mask = read_headers(tiny_frames.write_frame(tmp_path / "bpm.fits", tiny_frames.MASTER_BPM))
    assert serves("processed_bpm", mask) and not is_bare_map(mask)
    raw = read_headers(tiny_frames.write_frame(tmp_path / "raw.fits", tiny_frames.FLAT))
    assert not is_bare_map(raw) and not serves("processed_bpm", raw)
    assert "GCALFLAT" in why_no_mask("raw.fits", raw)


def test_bare_map_given_by_hand_is_taken_with_one_sentence_of_doubt(bare):
    given = parse_user_cals([f"processed_bpm:{bare}"]).get("processed_bpm")
    (words,) = disagreements(given, [SCIENCE, SCIENCE])
    assert words == "bad-pixel mask map.fits, given by hand, says nothing about array and date; it is used as it is"


def test_bare_map_is_no_dark(bare):
    with pytest.raises(CalibrationError, match="give a processed dark"):
        parse_user_cals([f"processed_dark:{bare}"])


def test_raw_frame_is_no_mask_and_the_way_to_make_it_one_is_told(tmp_path):
    raw = tiny_frames.write_frame(tmp_path / "raw.fits", tiny_frames.FLAT)
    with pytest.raises(CalibrationError, match=r"neither BPMASK nor PROCBPM .*keyhole bpm import .*raw\.fits -o"):
        parse_user_cals([f"processed_bpm:{raw}"])


def test_bare_map_is_not_registered_and_the_way_to_make_it_so_is_told(bare, tmp_path):
    store = CalibrationStore(tmp_path / "cal.db")
    store.create()
    words = r"keyhole bpm import .*map\.fits -o bpm_YYYYMMDD\.fits --like RAWFRAME\.fits --date YYYY-MM-DD"
    with pytest.raises(CalibrationError, match=words):
        store.add(bare)
    assert store.entries() == []


@pytest.mark.parametrize("stamp", ["BPMASK", "PROCBPM"])
def test_mask_with_either_stamp_is_registered(tmp_path, stamp):
    store = CalibrationStore(tmp_path / "cal.db")
    store.create()
    cards = {key: value for key, value in tiny_frames.FLAT.items() if key != "OBSTYPE"} | {stamp: "2012-01-01"}
    path = tiny_frames.write_frame(tmp_path / "bpm.fits", cards)
    packed = tmp_path / "packed_bpm.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [store.add(file).caltype for file in (path, packed)] == ["processed_bpm"] * 2


def test_map_that_was_cut_short_is_refused(bare, tmp_path):
    path = tmp_path / "short.fits"
    path.write_bytes(bare.read_bytes()[: 2880 + 2880 + 5])
    with pytest.raises(DataError, match="ends after 5765 of 5772 bytes"):
        parse_user_cals([f"processed_bpm:{path}"])
