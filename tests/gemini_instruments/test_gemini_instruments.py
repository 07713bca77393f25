from __future__ import annotations

import inspect

import astrodata
import numpy as np
import pytest
from astropy.io import fits

import gemini_instruments
from gemini_instruments import AstroDataGemini, AstroDataGnirs

# astrodata keeps files open until it is told to read their pixels.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

CARDS = {
    "INSTRUME": "GNIRS",
    "OBSERVAT": "Gemini-North",
    "OBJECT": "a star",
    "ACQMIR": "In",
    "SLIT": "Acq_G5530",
    "CAMERA": "ShortBlue_G5540",
    "FILTER1": "Open",
    "FILTER2": "J_G0517",
    "ARRAYID": "SN7638228.1.2",
    "LNRS": 16,
    "NDAVGS": 16,
    "DETBIAS": -0.3,
    "COADDS": 2,
    "EXPTIME": 30.0,
}


@pytest.fixture
def raw(tmp_path):
    """Make a raw frame of 7 x 11 pixels; keywords change its cards (None removes one)."""

    def make(**changes):
        primary = fits.PrimaryHDU()
        primary.header.update({key: value for key, value in {**CARDS, **changes}.items() if value is not None})
        path = tmp_path / "N20200301S0001.fits"
        image = fits.ImageHDU(np.zeros((7, 11), np.float32))
        fits.HDUList([primary, image]).writeto(path, overwrite=True)
        return astrodata.open(str(path))

    return make


def test_package_has_the_names_that_users_import():
    assert gemini_instruments.gnirs.AstroDataGnirs is AstroDataGnirs
    assert gemini_instruments.gemini.AstroDataGemini is AstroDataGemini
    assert issubclass(AstroDataGnirs, AstroDataGemini)


@pytest.mark.parametrize(
    ("cards", "cls"),
    [
        ({}, AstroDataGnirs),
        ({"INSTRUME": "gnirs", "OBSERVAT": None}, AstroDataGnirs),
        ({"INSTRUME": "NIRI"}, AstroDataGemini),
        ({"INSTRUME": "NIRI", "OBSERVAT": None, "TELESCOP": "Gemini-South"}, AstroDataGemini),
        ({"INSTRUME": "NIRC2", "OBSERVAT": "Keck"}, astrodata.AstroData),
    ],
)
def test_class_follows_from_the_header(raw, cards, cls):
    assert type(raw(**cards)) is cls


def test_tags_follow_the_header_as_it_is_now(raw):
    ad = raw()
    assert {"GNIRS", "IMAGE", "RAW", "UNPREPARED"} <= ad.tags
    ad.phu["PREPARE"] = "now"
    assert "PREPARED" in ad.tags
    assert ad[0].tags == ad.tags


def test_whole_object_gives_lists_and_slice_gives_values(raw):
    ad = raw()
    assert ad.gain() == [13.5]
    assert ad[0].gain() == 13.5
    assert ad.data_section() == [(0, 11, 0, 7)]
    assert isinstance(ad[0].data_section(), astrodata.Section)
    assert ad[0].data_section().as_iraf_section() == "[1:11,1:7]"
    assert ad.exposure_time() == ad[0].exposure_time() == 60.0


def test_section_is_that_of_the_array_as_it_is_now(raw):
    ad = raw()
    ad[0].reset(np.zeros((3, 4), np.float32))
    assert ad.data_section(pretty=True) == ["[1:4,1:3]"]


def test_pixels_stay_on_disk_for_a_descriptor(raw):
    ad = raw()
    ad.data_section()
    ad.group_id()
    assert not isinstance(ad.nddata[0]._data, np.ndarray)


def test_descriptors_are_listed_with_their_options(raw):
    ad = raw()
    assert {"gain", "read_noise", "saturation_level", "non_linear_level"} <= set(ad.descriptors)
    assert "prism_motor_steps" not in ad.descriptors
    assert str(inspect.signature(ad.target_ra)) == "(offset=False, pm=True, icrs=False)"
    assert ad.filter_name(False, True) == ad.filter_name(pretty=True) == "J"
    assert ad.camera.__doc__
    with pytest.raises(TypeError):
        ad.camera(short=True)


def test_keywords_of_the_instrument_win(raw):
    ad = raw()
    assert ad._keyword_for("array_name") == "ARRAYID"
    assert ad._keyword_for("exposure_time") == "EXPTIME"


def test_errors_are_those_of_python(raw):
    with pytest.raises(KeyError, match="PA"):
        raw().position_angle()
    with pytest.raises(ValueError, match="Wide") as raised:
        raw(CAMERA="Wide").pixel_scale()
    assert type(raised.value) is ValueError


def test_product_answers_from_its_own_cards(raw, tmp_path):
    ad = raw()
    ad.phu["PREPARE"] = ad.phu["GEM-TLM"] = "now"
    ad[0].hdr.update({"GAIN": 1.0, "RDNOISE": 14.2, "SATLEVEL": 89991.0, "NONLINEA": 64273.5, "BUNIT": "electron"})
    ad[0].variance = np.ones((7, 11), np.float32)
    ad[0].mask = np.zeros((7, 11), np.uint16)
    path = tmp_path / "product.fits"
    ad.write(str(path))
    again = astrodata.open(str(path))
    assert (again.gain(), again.read_noise()) == ([1.0], [14.2])
    assert (again.saturation_level(), again.non_linear_level()) == ([89991.0], [64273.5])
    assert again.exposure_time() == 30.0
    assert again.is_in_adu() is False
    assert "RAW" not in again.tags
