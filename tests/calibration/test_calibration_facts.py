from __future__ import annotations

from datetime import datetime

import pytest
from tiny_frames import DARK, FLAT, MASTER_BPM, MASTER_DARK, MASTER_FLAT, SCIENCE, write_frame

from keyhole.calibration.facts import Facts, caltype_of_tags, facts_of, required_tags
from keyhole.headers import read_headers


def facts(path, cards, **changes):
    return facts_of(read_headers(write_frame(path, cards, **changes)))


def test_facts_of_a_raw_science_frame_are_those_of_its_header(tmp_path):
    got = facts(tmp_path / "N20120117S0019.fits", SCIENCE)
    assert got.name == "N20120117S0019.fits"
    assert got.caltype is None
    assert got.ut_datetime == datetime(2012, 1, 17, 5, 41, 49, 500000)
    assert (got.array_name, got.read_mode, got.well_depth_setting) == (
        "SN7638228.1",
        "Faint Objects",
        "Shallow",
    )
    assert (got.exposure_time, got.coadds, got.exposure_per_coadd) == (60.0, 2, 30.0)
    assert (got.camera, got.filter_name) == ("ShortBlue_G5538", "Open&J_G0517")
    assert (got.focal_plane_mask, got.disperser) == ("Acq_G5530&Acq_G5531", "MIRROR")
    assert (got.binning, got.qa_state, got.observation_id) == ("1x1", "Pass", "GN-2011B-Q-34-155")


@pytest.mark.parametrize(
    ("cards", "caltype"),
    [
        (DARK, None),
        (FLAT, None),
        (MASTER_DARK, "processed_dark"),
        (MASTER_FLAT, "processed_flat"),
        (MASTER_BPM, "processed_bpm"),
    ],
)
def test_only_processed_calibrations_have_a_type(tmp_path, cards, caltype):
    assert facts(tmp_path / "a.fits", cards).caltype == caltype


def test_exposure_of_a_prepared_master_is_not_multiplied_by_coadds_again(tmp_path):
    got = facts(tmp_path / "a.fits", MASTER_DARK, EXPTIME=60.0, COADDS=2)
    assert (got.exposure_time, got.exposure_per_coadd) == (60.0, 30.0)


def test_missing_cards_give_unknown_quantities(tmp_path):
    got = facts(tmp_path / "a.fits", SCIENCE, EXPTIME=None, DETBIAS=None, CAMERA=None, LNRS=3)
    assert got.exposure_time is None
    assert got.exposure_per_coadd is None
    assert got.well_depth_setting is None
    assert got.camera is None
    assert got.read_mode == "Unknown"


def test_a_mask_made_from_flats_is_a_mask():
    assert caltype_of_tags({"PROCESSED", "FLAT", "BPM", "CAL"}) == "processed_bpm"
    assert caltype_of_tags({"FLAT", "CAL"}) is None


def test_required_tags_are_the_words_of_the_type():
    assert required_tags("processed_dark") == {"PROCESSED", "DARK"}


def test_time_in_microseconds_is_exact():
    one = Facts(ut_datetime=datetime(2012, 1, 17, 5, 41, 49, 500000))
    other = Facts(ut_datetime=datetime(2012, 1, 17, 5, 41, 49, 500001))
    assert other.ut_microseconds - one.ut_microseconds == 1
    assert Facts(ut_datetime=datetime(2000, 1, 1, 0, 0, 1)).ut_microseconds == 1_000_000
    assert Facts().ut_microseconds is None


@pytest.mark.parametrize(
    ("telescope", "day", "ut", "night"),
    [
        ("Gemini-North", "2012-01-17", "21:59:59.9", "2012-01-16"),  # a second before noon on Mauna Kea
        ("Gemini-North", "2012-01-17", "22:00:00.0", "2012-01-17"),
        ("Gemini-North", "2012-01-18", "05:00:00.0", "2012-01-17"),
        ("Gemini-North", "2012-01-18", "18:00:00.0", "2012-01-17"),  # a dark taken the morning after
        ("Gemini-South", "2005-01-01", "15:59:59.9", "2004-12-31"),
        ("Gemini-South", "2005-01-01", "16:00:00.0", "2005-01-01"),
        ("Gemini-East", "2012-01-17", "05:00:00.0", None),
        (None, "2012-01-17", "05:00:00.0", None),
        ("Gemini-North", "0001-01-01", "05:00:00.0", None),
    ],
)
def test_a_night_lasts_from_noon_to_noon_at_the_telescope(tmp_path, telescope, day, ut, night):
    got = facts(tmp_path / "a.fits", SCIENCE, TELESCOP=telescope, DATE_OBS=day, UT=ut)
    assert got.night == night


def test_without_a_time_the_night_is_not_known(tmp_path):
    got = facts(tmp_path / "a.fits", SCIENCE, DATE_OBS=None, UT=None)
    assert (got.ut_datetime, got.night) == (None, None)


@pytest.mark.parametrize(("card", "mode"), [("sq", "sq"), ("QL", "ql"), (" ", None), (None, None)])
def test_processing_mode_is_that_of_its_card(tmp_path, card, mode):
    assert facts(tmp_path / "a.fits", MASTER_DARK, PROCMODE=card).processing_mode == mode
