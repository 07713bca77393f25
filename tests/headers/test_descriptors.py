from __future__ import annotations

import math

import pytest

from keyhole.errors import KeyholeError, ParameterError
from keyhole.headers import (
    DESCRIPTORS,
    Headers,
    Section,
    describe,
    describe_extension,
    descriptor_options,
    meaning,
)
from keyhole.headers.values import shortest_single

FULL = Section(0, 1024, 0, 1022)


def ask(headers, name, **options):
    return describe(headers, name, **options)


def test_unknown_descriptor_and_option_propose_the_known_ones(frame):
    with pytest.raises(ParameterError, match="'exposuretime' is not known; did you mean 'exposure_time'"):
        describe(frame(), "exposuretime")
    with pytest.raises(ParameterError, match=r"camera has no option 'short'; its options: stripID, pretty"):
        describe(frame(), "camera", short=True)
    with pytest.raises(ParameterError, match="1 science extension"):
        describe_extension(frame(), "gain", 1)


def test_every_descriptor_says_what_it_means_and_answers_an_almost_empty_header():
    empty = Headers({"INSTRUME": "GNIRS"}, ({},), "frame.fits")
    generic = Headers({"TELESCOP": "Gemini-North"}, ({},), "frame.fits")
    for name in DESCRIPTORS:
        assert meaning(name, "GNIRS").endswith(".")
        if name == "position_angle":
            with pytest.raises(KeyError, match="card PA is missing"):
                describe(empty, name)
            continue
        describe(empty, name)
        describe_extension(empty, name)
        if name != "slit_width":
            describe(generic, name)


def test_published_option_names_and_their_defaults():
    assert descriptor_options("target_ra") == {"offset": False, "pm": True, "icrs": False}
    assert list(descriptor_options("filter_name")) == ["stripID", "pretty", "keepID"]
    assert list(descriptor_options("central_wavelength")) == ["asMicrometers", "asNanometers", "asAngstroms"]
    assert descriptor_options("effective_wavelength") == {"output_units": None}
    assert list(descriptor_options("ut_datetime")) == ["strict", "dateonly", "timeonly"]


def test_descriptor_of_several_extensions_is_a_list_and_of_one_a_value(frame):
    headers = frame(extensions=({}, {"NAXIS1": 10}))
    assert ask(headers, "data_section") == [FULL, Section(0, 10, 0, 1022)]
    assert describe_extension(headers, "data_section", 1) == Section(0, 10, 0, 1022)
    assert describe_extension(headers, "data_section", -2) == FULL
    assert ask(headers, "gain") == [13.5, 13.5]
    assert describe_extension(headers, "gain", 1) == 13.5
    assert ask(headers, "camera") == describe_extension(headers, "camera")


def test_no_science_extension_gives_empty_lists(frame):
    assert ask(frame(extensions=()), "gain") == []


# --- exposure and detector


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({}, 60.0),
        ({"COADDS": None}, 30.0),
        ({"EXPTIME": -9999.0}, None),
        ({"EXPTIME": None}, None),
        ({"EXPTIME": 3}, 6.0),
    ],
)
def test_exposure_time_of_a_raw_frame_counts_all_coadds(frame, cards, seconds):
    found = ask(frame(cards), "exposure_time")
    assert found == seconds
    assert isinstance(found, float | None)


def test_exposure_time_of_a_prepared_frame_is_the_card(prepared):
    assert ask(prepared({"EXPTIME": 60.0}), "exposure_time") == 60.0


def test_detector_values_of_a_raw_frame_come_from_the_table(frame):
    headers = frame(COADDS=3)
    assert ask(headers, "read_mode") == "Faint Objects"
    assert ask(headers, "well_depth_setting") == "Shallow"
    assert ask(headers, "array_name") == ["SN7638228.1.2"]
    assert ask(headers, "gain") == [13.5]
    assert ask(headers, "read_noise") == [10.0 * math.sqrt(3)]
    saturation = int(78000 * 3 / 13.5)
    assert ask(headers, "saturation_level") == [saturation]
    assert ask(headers, "non_linear_level") == [int(0.95 * saturation)]


def test_raw_frame_ignores_values_in_its_extension(frame):
    assert ask(frame(extensions=({"GAIN": 1.0},)), "gain") == [13.5]


def test_detector_values_of_a_prepared_frame_come_from_its_extension(prepared):
    headers = prepared(GAIN=1.0, RDNOISE=14.2, SATLEVEL=89991.0, NONLINEA=64273.5)
    assert ask(headers, "gain") == [1.0]
    assert ask(headers, "read_noise") == [14.2]
    assert ask(headers, "saturation_level") == [89991.0]
    assert ask(headers, "non_linear_level") == [64273.5]


def test_prepared_frame_without_the_cards_falls_back_to_the_table(prepared, frame):
    assert ask(prepared(RDNOISE=14.2), "gain") == [13.5]
    stamps = {"GEM-TLM": "x", "PREPARE": "x"}
    partly = frame(stamps, extensions=({"GAIN": 1.0}, {}))
    assert ask(partly, "gain") == [13.5, 13.5]
    assert describe_extension(partly, "gain", 0) == 1.0


@pytest.mark.parametrize(
    "cards", [{"ARRAYID": "SN1"}, {"LNRS": 7}, {"DETBIAS": -0.45}, {"DETBIAS": None}, {"COADDS": -9999}]
)
def test_unknown_detector_setting_has_no_values(frame, cards):
    for name in ("gain", "read_noise", "saturation_level", "non_linear_level"):
        assert ask(frame(cards), name) == [None]


def test_array_of_the_south_and_new_controller(frame):
    assert ask(frame(ARRAYID="UNKNOWN"), "read_noise") == [12.0 * math.sqrt(2)]
    headers = frame(ARRAYID="SN7638228.1.3", CONID="ARC-III")
    assert ask(headers, "array_name") == ["SN7638228.1.3+ARC-III"]
    assert ask(headers, "saturation_level") == [int(90000 * 2 / 13.5)]
    assert ask(frame(ARRAYID=None, CONID="ARC-III"), "array_name") == [None]


def test_read_mode_card_wins_over_the_settings(frame):
    assert ask(frame(READMODE="Bright Objects"), "read_mode") == "Bright Objects"
    assert ask(frame(LNRS=None), "read_mode") == "Unknown"


@pytest.mark.parametrize(
    ("units", "adu"), [((None,), True), (("adu",), True), (("electron",), False), ((None, "ADU"), True)]
)
def test_unit_of_the_data(frame, units, adu):
    assert ask(frame(extensions=[{"BUNIT": unit} for unit in units]), "is_in_adu") is adu


def test_extensions_that_disagree_about_the_unit_are_an_error(frame):
    with pytest.raises(ValueError, match="disagree") as raised:
        ask(frame(extensions=({"BUNIT": "adu"}, {"BUNIT": "electron"})), "is_in_adu")
    assert isinstance(raised.value, KeyholeError)


def test_sections_are_the_full_frame_unless_recorded(frame):
    headers = frame()
    for name in ("data_section", "detector_section", "array_section"):
        assert ask(headers, name) == [FULL]
        assert ask(headers, name, pretty=True) == ["[1:1024,1:1022]"]
    cut = frame(extensions=({"DETSEC": "[11:20,1:5]", "NAXIS1": 10, "NAXIS2": 5},))
    assert ask(cut, "detector_section") == ask(cut, "array_section") == [(10, 20, 0, 5)]
    assert ask(cut, "data_section", pretty=True) == ["[1:10,1:5]"]
    half = frame(extensions=({"DETSEC": "[11:20,1:5]"}, {}))
    assert ask(half, "detector_section") == [FULL, FULL]
    assert ask(headers, "overscan_section") == ask(headers, "amp_read_area", pretty=True) == [None]


def test_section_converts_to_text_and_slices():
    section = Section.from_text("[11:20,1:5]")
    assert section.as_iraf_section() == "[11:20,1:5]"
    assert section.as_slice() == (slice(0, 5), slice(10, 20))
    with pytest.raises(ValueError, match="not of the form"):
        Section.from_text("11-20")


def test_binning_and_constants(frame):
    assert ask(frame(), "binning") == "1x1"
    assert ask(frame(XBIN=2), "binning") == "2x1"
    assert ask(frame(), "is_coadds_summed") is True
    assert ask(frame(), "detector_roi_setting") == "Fixed"
    assert ask(frame(), "dispersion_axis") == [2]


def test_mask_row_belongs_to_prepared_spectra(frame):
    stamps = {"GEM-TLM": "x", "PREPARE": "x"}
    row = ({"MDFROW": 3},)
    assert ask(frame({**stamps, "ACQMIR": "Out"}, extensions=row), "mdf_row_id") == [3]
    assert ask(frame(stamps, extensions=row), "mdf_row_id") is None
    assert ask(frame(ACQMIR="Out", extensions=row), "mdf_row_id") is None


# --- optical path


@pytest.mark.parametrize(
    ("wheels", "options", "expected"),
    [
        (("Open", "J_G0517"), {}, "Open&J_G0517"),
        (("Open", "J_G0517"), {"stripID": True}, "Open&J"),
        (("Open", "J_G0517"), {"pretty": True}, "J"),
        (("Open", "J_G0517"), {"keepID": True}, "J_G0517"),
        (("YPHOT_G0544", "Open"), {"pretty": True}, "YPHOT"),
        (("ND100X_G0532", "H_G0516"), {"pretty": True}, "H"),
        (("nd100", "K_G0503_b"), {"keepID": True}, "K_G0503"),
        (("Dark_G0511", "J_G0517"), {"pretty": True}, "Dark&J"),
        (("Dark_G0511", "Open"), {"pretty": True}, "Dark&blank"),
        (("Open", "Open"), {"pretty": True}, "open"),
        (("Clear", "Block"), {"pretty": True}, "Block&blank"),
        (("Open", "DK_G1"), {"pretty": True}, "DK&dark"),
        (("Open", "X_(order_6)_G0518"), {"pretty": True}, "X_(order_6)"),
        (("Open", None), {"pretty": True}, None),
    ],
)
def test_filter_name(frame, wheels, options, expected):
    assert ask(frame(FILTER1=wheels[0], FILTER2=wheels[1]), "filter_name", **options) == expected


@pytest.mark.parametrize(
    ("slit", "decker", "plain", "pretty"),
    [
        ("0.30 arcsec", "SC_Long", "0.30arcsec&SC_Long", "0.30arcsec"),
        ("0.30arcsec_G5530", "SCXD_G5531", "0.30arcsec_G5530&SCXD_G5531", "0.30arcsecXD"),
        ("1.0 arcsec", "SCLong_G5531", "1.00arcsec&SCLong_G5531", "1.00arcsec"),
        ("Acquisition", "Acquisition", "Acq&Acq", "Acq"),
        ("Acq_G5530", "Acq_G5531", "Acq_G5530&Acq_G5531", "Acq"),
        ("HR-IFU_G5530", "HR-IFU_G5531", "HR-IFU_G5530&HR-IFU_G5531", "HR-IFU"),
        ("LR-IFU_G5530", "LR-IFU_G5531", "LR-IFU_G5530&LR-IFU_G5531", "LR-IFU"),
        ("IFU_G5530", "IFU_G5531", "IFU_G5530&IFU_G5531", "IFU"),
        ("LgPinholes", "SC_XD", "LgPinholes&SC_XD", "LgPinholesXD"),
        ("Acq_G5530", "Pinhole_G5531", "Acq_G5530&Pinhole_G5531", "Acq&Pinhole"),
        (None, "Acq_G5531", None, None),
        ("Acq_G5530", None, None, None),
    ],
)
def test_focal_plane_mask(frame, slit, decker, plain, pretty):
    headers = frame(SLIT=slit, DECKER=decker)
    assert ask(headers, "focal_plane_mask") == plain
    assert ask(headers, "focal_plane_mask", pretty=True) == pretty


@pytest.mark.parametrize(
    ("slit", "width"), [("0.675 arcsec", 0.675), ("1.0arcsec_G5530", 1.0), ("Acq", None), (None, None)]
)
def test_slit_width(frame, slit, width):
    assert ask(frame(SLIT=slit), "slit_width") == width


@pytest.mark.parametrize(
    ("grating", "prism", "plain", "pretty"),
    [
        ("32/mmSB_G5533", "MIR_G5537", "32/mm_G5533", "32/mm"),
        ("32/mmSB_G5533", "SB+SXD_G5536", "32/mm_G5533&SXD_G5536", "32/mm&SXD"),
        ("10/mmLBLX_G5532", "LB+LXD_G5535", "10/mm_G5532&LXD_G5535", "10/mm&LXD"),
        ("111/mm_G5505", "SXD_G5509", "111/mm_G5505&SXD_G5509", "111/mm&SXD"),
        ("10/mmLR_G5507", "MIR_G5511", "10/mm_G5507", "10/mm"),
        ("32/mmSB_G5533", "Unknown", None, None),
        ("32/mmSB_G5533", None, None, None),
        (None, "MIR_G5537", None, None),
    ],
)
def test_disperser_of_a_spectrum(frame, grating, prism, plain, pretty):
    headers = frame(ACQMIR="Out", GRATING=grating, PRISM=prism)
    assert ask(headers, "disperser") == plain
    assert ask(headers, "disperser", pretty=True) == ask(headers, "disperser", stripID=True) == pretty


def test_disperser_of_an_image_is_a_mirror(frame):
    assert ask(frame(), "disperser") == "MIRROR"


def test_camera_with_and_without_id(frame):
    assert ask(frame(), "camera") == "ShortBlue_G5540"
    assert ask(frame(), "camera", pretty=True) == ask(frame(), "camera", stripID=True) == "ShortBlue"
    assert ask(frame(CAMERA=None), "camera", pretty=True) is None


def test_shortest_single_is_numpy_float32_as_text():
    np = pytest.importorskip("numpy")
    values = np.random.default_rng(7).uniform(0.9, 5.5, 500) * np.repeat([1e-6, 1e-3, 1.0, 1e3, 1e4], 100)
    for value in [*values.tolist(), 0.0, -3.86e-10, 1e-44]:
        assert shortest_single(value) == float(str(np.float32(value)))


def test_central_wavelength_has_single_precision_in_any_unit(frame):
    headers = frame(GRATWAVE=2.20769548228953)
    assert ask(headers, "central_wavelength") == 2.2076954e-06
    assert ask(headers, "central_wavelength", asMicrometers=True) == 2.2076955
    assert ask(headers, "central_wavelength", asNanometers=True) == 2207.6956
    assert ask(headers, "central_wavelength", asAngstroms=True) == 22076.955
    assert ask(headers, "central_wavelength", asAngstroms=True, asNanometers=True) == 2.2076954e-06
    assert ask(headers, "actual_central_wavelength") == 2.2076954e-06
    assert ask(frame(GRATWAVE=-9999.0), "central_wavelength") is None


def test_effective_wavelength_is_of_the_filter_for_images_and_of_the_grating_for_spectra(frame):
    assert ask(frame(), "effective_wavelength") == 1.25 * 1e-6
    assert ask(frame(FILTER2="H_G0516"), "effective_wavelength", output_units="nanometers") == 1630.0
    assert ask(frame(FILTER2="XD_G0526"), "effective_wavelength") is None
    spectrum = frame(ACQMIR="Out", GRATWAVE=2.2)
    assert ask(spectrum, "effective_wavelength", output_units="angstroms") == pytest.approx(22000.0)
    assert ask(spectrum, "effective_wavelength", output_units="parsec") == pytest.approx(2.2e-6)
    assert ask(frame(OBSTYPE="DARK"), "effective_wavelength") is None
    assert ask(frame(ACQMIR="Invalid"), "wavelength_band") is None


@pytest.mark.parametrize(
    ("name", "band"), [("YPHOT_G0544", "Y"), ("J_G0517", "J"), ("H2_G0522", "K"), ("PAH", "L"), ("M", "M")]
)
def test_wavelength_band_of_images(frame, name, band):
    assert ask(frame(FILTER2=name), "wavelength_band") == band


def test_dispersion_by_filter_or_by_order(frame):
    assert ask(frame(), "dispersion") == [-3.86e-10]
    assert ask(frame(CAMERA="LongBlue_G5542"), "dispersion", asNanometers=True) == [-0.129]
    cross = frame(ACQMIR="Out", SLIT="0.30arcsec", PRISM="SB+SXD_G5536", FILTER2="XD_G0526", GRATORD=3)
    assert ask(cross, "dispersion", asNanometers=True) == [-0.646]
    assert describe_extension(cross, "dispersion", asAngstroms=True) == -6.46
    for cards in ({"CAMERA": None}, {"FILTER2": "Open"}, {"GRATING": "Mirror"}):
        assert ask(frame(cards), "dispersion") is None


@pytest.mark.parametrize(
    ("camera", "scale"),
    [("ShortBlue_G5513", 0.1517), ("ShortRed_G5539", 0.15), ("LongRed_G5543", 0.05095), (None, None)],
)
def test_pixel_scale_of_the_camera(frame, camera, scale):
    assert ask(frame(CAMERA=camera, CD1_1=1.0, CD2_2=1.0), "pixel_scale") == scale


def test_camera_without_known_scale_is_an_error(frame):
    with pytest.raises(ValueError, match=r"camera 'Wide'.*ShortBlue") as raised:
        ask(frame(CAMERA="Wide_G1"), "pixel_scale")
    assert isinstance(raised.value, KeyholeError)


@pytest.mark.parametrize(
    ("cards", "x"),
    [
        ({}, -20.0),
        ({"INPORT": 1}, 20.0),
        ({"INPORT": 1, "AOFOLD": "IN"}, -20.0),
        ({"QOFFSET": None}, None),
        ({"CAMERA": None}, None),
    ],
)
def test_detector_offsets_swap_p_and_q(frame, cards, x):
    found = ask(frame(cards), "detector_x_offset")
    assert found == (None if x is None else pytest.approx(x))
    if "CAMERA" not in cards:
        assert ask(frame(cards), "detector_y_offset") == pytest.approx(-10.0)


def test_extinction_in_the_infrared_is_nothing(frame):
    assert ask(frame(), "nominal_atmospheric_extinction") == 0.0
    assert ask(frame(AIRMASS=None), "nominal_atmospheric_extinction") is None
    optical = frame(INSTRUME="GMOS-N", FILTER2="g_G0301", AIRMASS=1.5)
    assert ask(optical, "nominal_atmospheric_extinction") == pytest.approx(0.07)
    assert ask(frame(), "nominal_photometric_zeropoint") == [None]


# --- identity and conditions


@pytest.mark.parametrize(
    ("wanted", "usable", "state"),
    [
        ("YES", "USABLE", "Pass"),
        ("yes", "usable", "Pass"),
        ("NO", "USABLE", "Usable"),
        ("YES", "BAD", "Fail"),
        ("UNKNOWN", "BAD", "Undefined"),
        ("CHECK", "USABLE", "CHECK"),
        ("YES", "CHECK", "CHECK"),
        ("Maybe", "USABLE", "Maybe:USABLE"),
        (None, "USABLE", "Undefined"),
    ],
)
def test_quality_verdict(frame, wanted, usable, state):
    assert ask(frame(RAWPIREQ=wanted, RAWGEMQA=usable), "qa_state") == state


@pytest.mark.parametrize(
    ("text", "percentile"),
    [
        ("70-percentile", 70),
        ("Any", 100),
        ("100-percentile", None),
        ("5-percentile", None),
        ("UNKNOWN", None),
        (None, None),
    ],
)
def test_percentiles(frame, text, percentile):
    headers = frame(RAWIQ=text, REQBG=text)
    assert ask(headers, "raw_iq") == percentile
    assert ask(headers, "requested_bg") == percentile


@pytest.mark.parametrize(
    ("value", "mass"), [(1.2, 1.2), ("1.5", 1.5), (" ", None), (0.99, None), (-9999.0, None), (None, None)]
)
def test_airmass(frame, value, mass):
    assert ask(frame(AIRMASS=value), "airmass") == mass


@pytest.mark.parametrize(
    ("cards", "lamp"),
    [
        ({}, None),
        ({"GCALLAMP": "IRhigh", "GCALSHUT": "OPEN"}, "IRhigh"),
        ({"GCALLAMP": "IRhigh", "GCALSHUT": "CLOSED"}, "Off"),
        ({"GCALLAMP": "QH", "GCALSHUT": "CLOSED"}, "QH"),
        ({"GCALLAMP": "No Value", "GCALSHUT": "OPEN"}, "Off"),
        ({"GCALLAMP": "", "GCALSHUT": "OPEN"}, "Off"),
        ({"GCALLAMP": "IRhigh"}, None),
    ],
)
def test_lamp(frame, cards, lamp):
    assert ask(frame(cards), "gcal_lamp") == lamp


def test_adaptive_optics_and_its_seeing(frame):
    assert ask(frame(AOFOLD="IN"), "is_ao") is True
    assert ask(frame(AOFOLD="in"), "is_ao") is False
    assert ask(frame(AOFOLD=None), "is_ao") is False
    assert ask(frame(AOSEEING=0.6, RZEROVAL=10.0), "ao_seeing") == 0.6
    assert ask(frame(RZEROVAL=10.0), "ao_seeing") == pytest.approx(206265 * 0.98 * 0.5e-6 / 0.1)
    assert ask(frame(), "ao_seeing") is None


def test_guiding_sensors_are_sorted(frame):
    cards = {"PWFS2_ST": "guiding", "AOWFS_ST": "guiding", "OIWFS_ST": "parked", "GWFS1CFG": "x"}
    assert ask(frame(cards), "wavefront_sensor") == "AOWFS&GEMS&PWFS2"
    assert ask(frame(), "wavefront_sensor") is None


def test_angles_of_telescope_and_frame(frame):
    assert ask(frame(), "position_angle") == 80.0
    assert ask(frame(PA=-9999.0), "position_angle") == 171.0
    assert ask(frame(CRPA=-71.2), "cass_rotator_pa") == -71.2
    assert ask(frame(CRPA=-9999.0), "cass_rotator_pa") is None


def test_calibration_key_is_the_label_of_the_frame_itself(frame):
    assert ask(frame(DATALAB="GN-1-2-003_stack_stack"), "calibration_key") == "GN-1-2-003"
    assert ask(frame(DATALAB=None), "calibration_key") is None


def test_group_of_science_darks_and_flats(frame):
    section = "['[1:1024,1:1022]']"
    science = f"GN-2020A-Q-1-2_J_ShortBlue_G5540_Faint Objects_Shallow_{section}_MIRROR_Acq"
    assert ask(frame(), "group_id") == science
    assert describe_extension(frame(), "group_id") == science.replace(section, "[1:1024,1:1022]")
    assert ask(frame(OBSTYPE="FLAT"), "group_id") == science + "_GNIRS_IMAGE_FLAT"
    dark = frame(OBSTYPE="DARK", ACQMIR="Out", SLIT="0.30arcsec_G5530", DECKER="SCLong_G5531")
    assert ask(dark, "group_id") == f"Faint Objects_60.0_2_Shallow_{section}_32/mm_0.30arcsec"


def test_keyword_cards_and_undefined_values(frame):
    headers = frame(PRSM_ENG=None, XOFFSET=1.5, DETNAME="x_G1")
    assert ask(headers, "telescope_x_offset") == 1.5
    assert ask(headers, "detector_name", pretty=True) == "x"
    assert ask(headers, "object") == "a star"
    fits = pytest.importorskip("astropy.io.fits")
    header = fits.Header({"INSTRUME": "GNIRS", "OBJECT": None, "COADDS": None})
    undefined = Headers(header)
    assert ask(undefined, "object") is None
    assert ask(undefined, "coadds") == 1


# --- the generic layer, for instruments without a table


def test_generic_values_come_from_the_cards(frame):
    extension = {
        "GAIN": 2.0,
        "RDNOISE": 3.0,
        "SATLEVEL": 100,
        "NONLINEA": 90,
        "ARRAYNAM": "e2v",
        "DATASEC": "[1:4,1:3]",
    }
    headers = frame(
        {"INSTRUME": "NIRI", "WELDEPTH": "deep", "DISPERSR": "grism_G1", "FPMASK": "f6"},
        extensions=(extension, {}),
    )
    assert ask(headers, "gain") == [2.0, None]
    assert ask(headers, "read_noise") == [3.0, None]
    assert ask(headers, "array_name") == ["e2v", None]
    assert ask(headers, "data_section") == [(0, 4, 0, 3), None]
    assert ask(headers, "detector_section") == [None, None]
    assert ask(headers, "well_depth_setting") == "deep"
    assert ask(headers, "read_mode") is None
    assert ask(headers, "disperser", stripID=True) == "grism"
    assert ask(headers, "focal_plane_mask") == "f6"
    assert ask(headers, "group_id") == "GN-2020A-Q-1-2"
    assert ask(headers, "position_angle") == 350.0
    assert ask(headers, "dispersion_axis") is None


def test_generic_scale_and_offsets_come_from_the_wcs(frame):
    cd = {"CD1_1": 0.0, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 0.0}
    headers = frame({**cd, "INSTRUME": "NIRI", "INPORT": 1})
    assert ask(headers, "pixel_scale") == pytest.approx(0.36)
    assert ask(headers, "detector_x_offset") == pytest.approx(-1.517 / 0.36)
    assert ask(headers, "detector_y_offset") == pytest.approx(-3.034 / 0.36)
    assert ask(frame(INSTRUME="NIRI"), "pixel_scale") is None
