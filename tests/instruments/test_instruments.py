from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from keyhole.errors import SetupError
from keyhole.instruments import available, instrument_from_toml, load, load_observatory, loader

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "gnirs.toml"
OWN = Path(loader.__file__).with_name("gnirs.toml").read_text(encoding="utf-8")

needs_facts = pytest.mark.skipif(not FACTS.exists(), reason="the reference numbers are not beside the repository")


def facts() -> dict:
    return tomllib.loads(FACTS.read_text(encoding="utf-8"))


def test_instrument_is_found_in_any_case_and_made_once():
    assert load("gnirs").name == "GNIRS"
    assert load("GNIRS") is load("GNIRS")
    assert available() == ("GNIRS",)


def test_unknown_instrument_is_named_with_the_known_ones():
    with pytest.raises(SetupError, match=r"'NIRI'.*GNIRS"):
        load("NIRI")
    with pytest.raises(SetupError, match="'Keck'"):
        load_observatory("Keck")


def test_raw_frames_have_two_rows_less_than_columns():
    assert load("GNIRS").shape == (1022, 1024)


@pytest.mark.parametrize(
    ("pairs", "averages", "mode"),
    [
        (32, 16, "Very Faint Objects"),
        (16, 16, "Faint Objects"),
        (1, 16, "Bright Objects"),
        (1, 1, "Very Bright Objects"),
        (16, 1, "Unknown"),
        (None, 1, "Unknown"),
        (-9999, -9999, "Unknown"),
    ],
)
def test_read_mode_follows_from_pairs_and_averages(pairs, averages, mode):
    assert load("GNIRS").read_mode(pairs, averages) == mode


@pytest.mark.parametrize(
    ("bias", "depth"),
    [
        (-0.281, "Shallow"),
        (0.3, "Shallow"),
        (-0.6, "Deep"),
        (0.4501, "Unknown"),
        (0.0, "Unknown"),
        (-0.69, "Deep"),
    ],
)
def test_well_depth_ignores_the_sign_of_the_bias(bias, depth):
    assert load("GNIRS").well_depth(bias) == depth


def test_well_depth_needs_less_than_the_tolerance():
    inside, outside = 0.6 + 0.0999999, 0.6 + 0.1000001
    assert load("GNIRS").well_depth(inside) == "Deep"
    assert load("GNIRS").well_depth(outside) == "Unknown"


def test_unlisted_array_mode_or_depth_has_no_detector():
    gnirs = load("GNIRS")
    assert gnirs.detector("SN7638228.1.2", "Faint Objects", "Deep").well == 190000.0
    assert gnirs.detector("SN7638228.1.9", "Faint Objects", "Deep") is None
    assert gnirs.detector("SN7638228.1.2", "Unknown", "Deep") is None
    assert gnirs.detector("SN7638228.1.2", "Faint Objects", None) is None
    assert gnirs.detector(None, None, None) is None


def test_deep_wells_read_very_faintly_are_not_corrected():
    gnirs = load("GNIRS")
    assert gnirs.nonlinearity("SN7638228.1.3", "Very Faint Objects", "Deep") is None
    assert gnirs.nonlinearity("SN7638228.1.3", "Very Faint Objects", "Shallow").time_delta > 2


def test_own_filter_wavelength_wins_over_the_observatory():
    gnirs = load("GNIRS")
    assert gnirs.effective_wavelength("H") == 1.63
    assert load_observatory("Gemini").effective_wavelength("H") == 1.635
    assert gnirs.effective_wavelength("J") == 1.25
    assert gnirs.effective_wavelength("XD") is None


@pytest.mark.parametrize(("micrometre", "band"), [(1.25, "J"), (1.15, "X"), (0.1, "None"), (2.125, "K"), (30.0, "Q")])
def test_band_is_the_nearest_and_the_earlier_on_a_tie(micrometre, band):
    assert load_observatory("Gemini").wavelength_band(micrometre) == band


def test_extinction_is_zero_for_what_is_not_listed():
    gemini = load_observatory("Gemini")
    assert gemini.nominal_extinction("Gemini-North", "g") == 0.14
    assert gemini.nominal_extinction("Gemini-North", "J") == 0.0
    assert gemini.nominal_extinction(None, None) == 0.0


def test_keyhole_is_known_for_listed_cameras_only():
    gnirs = load("GNIRS")
    assert gnirs.keyhole_expected("ShortBlue_G5538", True).default_box == (185, 829, 372, 503)
    assert gnirs.keyhole_expected("ShortRed_G5539", False) is None
    assert gnirs.keyhole_expected("ShortBlue_G5513", True) is None
    assert gnirs.keyhole_expected(None, True) is None


def test_dispersion_needs_ruling_length_and_letter():
    gnirs = load("GNIRS")
    assert gnirs.dispersion("111/mm", "Long", "K") == -0.0618
    assert gnirs.dispersion("10/mm", "Short", "K") is None
    assert gnirs.xd_orders[3] == "K"


@needs_facts
def test_detector_tables_are_those_of_the_facts():
    gnirs = load("GNIRS")
    rows = facts()["detector"]
    assert len(gnirs.detectors) == len(rows)
    for row in rows:
        found = gnirs.detector(row["array_name"], row["read_mode"], row["well_depth"])
        for field in ("read_noise", "gain", "well", "linear_limit", "nonlinear_limit"):
            assert getattr(found, field) == row[field]


@needs_facts
def test_nonlinearity_tables_are_those_of_the_facts():
    gnirs = load("GNIRS")
    rows = facts()["nonlinearity"]
    assert len(gnirs.nonlinearities) == sum(len(row["array_names"]) for row in rows)
    for row in rows:
        for array in row["array_names"]:
            found = gnirs.nonlinearity(array, row["read_mode"], row["well_depth"])
            assert found.time_delta == row["time_delta"]
            assert found.even == (row["even_gamma"], row["even_eta"])
            assert found.odd == (row["odd_gamma"], row["odd_eta"])


@needs_facts
def test_other_tables_are_those_of_the_facts():
    gnirs, reference = load("GNIRS"), facts()
    assert dict(gnirs.pixel_scales) == reference["pixel_scale"]
    assert dict(gnirs.filter_wavelengths) == reference["filter_wavelength"]["gnirs"]
    assert dict(gnirs.observatory.filter_wavelengths) == reference["filter_wavelength"]["generic"]
    assert list(gnirs.observatory.wavelength_bands.items()) == list(reference["wavelength_band"].items())
    assert dict(gnirs.observatory.extinctions) == reference["nominal_extinction"]
    assert dict(gnirs.dispersions) == reference["dispersion"]
    assert {str(n): letter for n, letter in gnirs.xd_orders.items()} == reference["xd_order"]


@needs_facts
def test_keyhole_numbers_are_those_of_the_facts():
    gnirs, reference = load("GNIRS"), facts()["keyhole"]
    rows = reference.pop("expected")
    for name, value in reference.items():
        found = getattr(gnirs.keyhole, name)
        assert (list(found) if isinstance(value, list) else found) == value
    assert len(gnirs.expected_keyholes) == len(rows)
    for row in rows:
        found = gnirs.keyhole_expected(row["camera"], row["wings"])
        assert list(found.centroid) == row["centroid"]
        assert found.expected_pixels == row["expected_pixels"]
        assert found.default_pixels == row["default_pixels"]
        assert list(found.default_box) == row["default_box"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tolerance = 0.1", "", r"\[well_depth\] lacks 'tolerance'"),
        (
            "tolerance = 0.1",
            "tolerance = 0.1\ntolerence = 0.2",
            r"\[well_depth\] has the unknown entry 'tolerence'",
        ),
        ("tolerance = 0.1", "tolerance = -0.1", "must be above 0"),
        (
            "ShortRed = 0.15",
            'ShortRed = "0.15"',
            r"\[pixel_scale.values\] has ShortRed = '0.15' instead of a number",
        ),
        ('unit = "volt"', "", r"\[well_depth\] lacks 'unit'"),
        ("[1, 16, ", "[1, ", "does not fill the columns lnrs, ndavgs, name"),
        (
            "145.0, 13.5, 90000.0",
            "145.0, -13.5, 90000.0",
            "impossible value for UNKNOWN / Very Bright Objects",
        ),
        ("0.714286, 1.0", "1.714286, 1.0", "impossible value"),
        ('names = ["SN7638228.1"]', 'names = ["UNKNOWN"]', "two rows for UNKNOWN"),
        ("detect_box_px = 5 ", "detect_box_px = 5.5 ", "instead of an integer"),
        (
            'columns = ["camera", "wings"',
            'columns = ["camera", "wing"',
            r"\[keyhole.expected\] has the columns",
        ),
        ("[instrument]", "[instrument", "is no TOML"),
    ],
)
def test_broken_file_is_refused_with_table_and_key(old, new, message):
    assert old in OWN
    with pytest.raises(SetupError, match=message):
        instrument_from_toml(OWN.replace(old, new, 1), source="gnirs.toml")


def test_every_table_of_numbers_says_its_origin():
    content = tomllib.loads(OWN)
    for name, table in content.items():
        if name in ("keywords", "detector", "nonlinearity"):
            continue
        assert table["origin"]
    for name in ("detector", "nonlinearity"):
        assert all(array["origin"] for array in content[name]["array"])
