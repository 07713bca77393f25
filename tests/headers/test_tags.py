from __future__ import annotations

import pytest

from keyhole.headers import Headers, tags
from keyhole.headers.registry import is_prepared
from keyhole.headers.tagset import TagRule, granted_tags, in_order

SCIENCE = {"GEMINI", "GNIRS", "NORTH", "IMAGE", "RAW", "UNPREPARED", "SIDEREAL"}
LAMPS = {"GCALFLAT", "GCAL_IR_ON", "GCAL_IR_OFF", "LAMPON", "LAMPOFF"}
SPECTRUM = {"ACQMIR": "Out", "SLIT": "0.30arcsec_G5530", "GRATING": "32/mmSB_G5533"}
PROCESSED_CARDS = ("PROCARC", "GBIAS", "PROCBIAS", "PROCDARK", "GIFLAT", "PROCFLAT", "PROCPNHL", "PROCILLM")
PREPARED = {"GEM-TLM": "now", "PREPARE": "now"}


def walk(*rules: TagRule) -> set[str]:
    return set(granted_tags(in_order(rules), Headers({})))


def rule(name: str, *add: str, **fields: set[str]) -> TagRule:
    return TagRule(name, lambda _: add, **{field: frozenset(names) for field, names in fields.items()})


def test_blocking_rule_goes_first_and_ignores_whole_rules():
    assert walk(rule("a", "FLAT", "GCAL"), rule("z", "PIN", blocks={"FLAT"})) == {"PIN"}


def test_removal_hides_single_tags_of_later_rules():
    assert walk(rule("a", "FLAT", "GCAL"), rule("z", "PIN", remove={"GCAL"})) == {"PIN", "FLAT"}


def test_rule_that_blocks_its_own_tag_still_adds_it():
    assert walk(rule("a", "X", blocks={"X"}), rule("b", "X", "Y")) == {"X"}


def test_blocked_rule_blocks_and_removes_nothing():
    strong = rule("a", "A", blocks={"B", "Q"})
    weak = rule("b", "B", blocks={"C"}, remove=set())
    assert walk(strong, weak, rule("c", "C")) == {"A", "C"}


def test_granted_tag_is_never_taken_back():
    assert walk(rule("a", "A", blocks={"Q", "R"}), rule("b", "B", remove={"A"})) == {"A", "B"}


def test_blocked_by_looks_at_tags_granted_before():
    assert walk(rule("a", "LAMP", blocked_by={"DONE"}), rule("z", "DONE")) == {"DONE"}
    assert walk(rule("a", "LAMP", blocked_by={"DONE"}), rule("z", "OTHER")) == {"LAMP", "OTHER"}


def test_if_present_needs_all_of_its_tags_and_goes_last():
    late = rule("a", "LATE", if_present={"B", "C"})
    assert walk(late, rule("b", "B")) == {"B"}
    assert walk(late, rule("b", "B"), rule("c", "C")) == {"B", "C", "LATE"}


def test_missing_card_means_that_a_rule_does_not_apply():
    assert walk(TagRule("a", lambda primary: primary["NONE"]), rule("b", "B")) == {"B"}


def test_science_image_through_the_keyhole(frame):
    assert tags(frame()) == SCIENCE


@pytest.mark.parametrize("obstype", ["OBJECT", "DARK", "FLAT", "MASK", "ARC"])
@pytest.mark.parametrize("instrument", ["GNIRS", "NIRI", "NIRC2"])
@pytest.mark.parametrize("cards", [{}, PREPARED, {"BPMASK": 1, **PREPARED}, {"PROCSCI": 1, "PREPARED": "now"}])
def test_frame_is_prepared_if_its_tags_say_so(frame, obstype, instrument, cards):
    site = "Keck II" if instrument == "NIRC2" else "Gemini-North"
    headers = frame(OBSTYPE=obstype, INSTRUME=instrument, OBSERVAT=site, TELESCOP=site, **cards)
    assert is_prepared(headers) == ("PREPARED" in tags(headers))
    assert is_prepared(headers) == (bool(cards) and instrument != "NIRC2")


def test_south_and_missing_site(frame):
    assert "SOUTH" in tags(frame(OBSERVAT="Gemini-South"))
    assert not {"NORTH", "SOUTH"} & tags(frame(OBSERVAT=None))


def test_frame_of_another_observatory_has_no_tags():
    assert tags(Headers({"INSTRUME": "NIRC2", "TELESCOP": "Keck II", "OBSTYPE": "DARK"})) == frozenset()


def test_frame_of_another_gemini_instrument_has_the_shared_tags():
    found = tags(Headers({"INSTRUME": "NIRI", "TELESCOP": "Gemini-North", "ACQMIR": "In"}))
    assert found == {"GEMINI", "RAW", "UNPREPARED"}


@pytest.mark.parametrize("state", ["Invalid", "Moving", "in", None])
def test_mirror_in_no_clear_state_is_neither_image_nor_spectrum(frame, state):
    assert not {"IMAGE", "SPECT", "THRUSLIT"} & tags(frame(ACQMIR=state, SLIT="0.30 arcsec"))


@pytest.mark.parametrize(
    ("cards", "kinds"),
    [
        ({"PRISM": "MIR_G5537"}, {"SPECT", "LS"}),
        ({"PRISM": "SB+SXD_G5536"}, {"SPECT", "XD"}),
        ({"PRISM": "No Value"}, {"SPECT"}),
        ({"SLIT": "SmPinholes_G5530", "PRISM": "LB+LXD_G5535"}, {"SPECT", "XD"}),
        ({"SLIT": "HR-IFU_G5530"}, {"SPECT", "IFU"}),
        ({"SLIT": "Acq_G5530"}, {"SPECT"}),
        ({"GRATING": "UNKNOWN"}, {"SPECT"}),
        ({"SLIT": None}, {"SPECT"}),
    ],
)
def test_kind_of_spectrum(frame, cards, kinds):
    assert tags(frame({**SPECTRUM, **cards})) & {"IMAGE", "SPECT", "LS", "XD", "IFU", "THRUSLIT"} == kinds


@pytest.mark.parametrize(
    ("slit", "prism", "kinds"),
    [
        ("0.30 arcsec", "MIR_G5511", {"THRUSLIT", "LS"}),
        ("0.30arcsec_G5530", "SB+SXD_G5536", {"THRUSLIT", "XD"}),
        ("HR-IFU_G5530", "none", {"THRUSLIT"}),
        ("Acquisition", "MIR_G5511", set()),
        (None, "MIR_G5511", set()),
    ],
)
def test_image_through_a_slit(frame, slit, prism, kinds):
    found = tags(frame(SLIT=slit, PRISM=prism))
    assert "IMAGE" in found
    assert found & {"THRUSLIT", "LS", "XD"} == kinds


@pytest.mark.parametrize("mirror", ["In", "Out"])
def test_dark_is_neither_image_nor_spectrum(frame, mirror):
    found = tags(frame(OBSTYPE="DARK", ACQMIR=mirror, SLIT="0.30arcsec_G5530"))
    assert found == (SCIENCE - {"IMAGE"}) | {"DARK", "CAL"}


def test_arc(frame):
    found = tags(frame({**SPECTRUM, "OBSTYPE": "ARC", "GCALLAMP": "Ar", "GCALSHUT": "CLOSED"}))
    assert {"ARC", "CAL", "SPECT"} <= found
    assert not found & (LAMPS | {"FLAT"})


@pytest.mark.parametrize(
    ("lamp", "shutter", "expected"),
    [
        ("IRhigh", "OPEN", {"GCALFLAT", "GCAL_IR_ON", "LAMPON"}),
        ("IRhigh", "CLOSED", {"GCALFLAT", "GCAL_IR_OFF", "LAMPOFF"}),
        ("IRlow", "OPEN", {"GCAL_IR_ON", "LAMPON"}),
        ("IRlow", "CLOSED", {"GCAL_IR_OFF", "LAMPOFF"}),
        ("No Value", "CLOSED", {"GCAL_IR_OFF", "LAMPOFF"}),
        ("No Value", "OPEN", set()),
        ("QH", "CLOSED", {"GCALFLAT", "GCAL_IR_OFF", "LAMPOFF"}),
        ("QH", "OPEN", {"GCALFLAT", "GCAL_IR_ON", "LAMPON"}),
        ("QH1", "No Value", {"GCALFLAT"}),
        ("IRHIGH", "OPEN", set()),
    ],
)
def test_lamps_of_a_flat(frame, lamp, shutter, expected):
    found = tags(frame(OBSTYPE="FLAT", GCALLAMP=lamp, GCALSHUT=shutter))
    assert {"FLAT", "CAL", "IMAGE"} <= found
    assert found & LAMPS == expected


def test_flat_lamp_needs_no_flat_type(frame):
    assert {"GCALFLAT", "FLAT", "CAL"} <= tags(frame(GCALLAMP="IRhigh", GCALSHUT="OPEN"))


def test_optical_spectrograph_has_no_infrared_lamp_tags(frame):
    found = tags(frame(INSTRUME="GMOS-N", OBSTYPE="FLAT", GCALLAMP="QH", GCALSHUT="OPEN"))
    assert found & LAMPS == {"GCALFLAT"}


def test_pinholes_are_no_flat_and_have_no_lamp_off(frame):
    cards = {
        **SPECTRUM,
        "OBSTYPE": "FLAT",
        "SLIT": "SmPinholes_G5530",
        "GCALLAMP": "QH",
        "GCALSHUT": "CLOSED",
    }
    found = tags(frame(cards))
    assert {"PINHOLE", "CAL"} <= found
    assert not found & (LAMPS | {"FLAT"})


def test_processed_pinholes_keep_their_tag(frame):
    found = tags(frame({"OBSTYPE": "FLAT", "SLIT": "LgPinholes", "GCALLAMP": "QH", "PROCPNHL": "x"}))
    assert {"PINHOLE", "CAL", "PROCESSED"} <= found
    assert not found & {"FLAT", "GCALFLAT"}


@pytest.mark.parametrize(("use", "granted"), [("acq", True), ("acqCal", True), ("science", False), (None, False)])
def test_acquisition_comes_from_the_class(frame, use, granted):
    assert ("ACQUISITION" in tags(frame(OBSCLASS=use))) is granted


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, {"SIDEREAL"}),
        ({"TRKFRAME": "", "FRAME": "APPT"}, {"SIDEREAL"}),
        ({"RATRACK": -0.0, "DECTRACK": 0}, {"SIDEREAL"}),
        ({"RATRACK": "0.0"}, {"SIDEREAL"}),
        ({"RATRACK": 1.003}, {"NON_SIDEREAL"}),
        ({"DECTRACK": None}, {"NON_SIDEREAL"}),
        ({"RATRACK": "No Value"}, {"NON_SIDEREAL"}),
        ({"TRKFRAME": "No Value", "FRAME": "No Value"}, set()),
        ({"TRKFRAME": None, "FRAME": None}, set()),
        ({"TRKFRAME": "", "FRAME": "AZEL_TOPO"}, {"AZEL_TARGET"}),
        (
            {"FRAME": "AZEL_TOPO", "RATRACK": 1.0, "AIRMASS": 1.0},
            {"NON_SIDEREAL", "AZEL_TARGET", "AT_ZENITH"},
        ),
        ({"TRKFRAME": "", "FRAME": "AZEL_TOPO", "AIRMASS": 0.5}, {"AZEL_TARGET"}),
    ],
)
def test_tracking(frame, cards, expected):
    assert tags(frame(cards)) & {"SIDEREAL", "NON_SIDEREAL", "AZEL_TARGET", "AT_ZENITH"} == expected


@pytest.mark.parametrize(
    ("cards", "granted"),
    [
        ({"OBSMODE": "ifu"}, {"IFU", "SPECT"}),
        ({"OBSMODE": " "}, set()),
        ({"DATATYPE": "marked-nodandchop"}, {"NODCHOP"}),
        ({"GIFRINGE": "x"}, {"FRINGE", "CAL", "PROCESSED"}),
        ({"PROCFRNG": "x"}, {"FRINGE", "CAL", "PROCESSED"}),
        ({"PROCSTND": "x"}, {"STANDARD", "CAL", "PROCESSED"}),
        ({"PROCSTND": False}, {"PROCESSED"}),
        ({"PROCTELL": True}, {"TELLURIC", "CAL"}),
        ({"EXTRACT": "x"}, {"EXTRACTED"}),
        ({"TRIMOVER": "x"}, {"OVERSCAN_TRIMMED"}),
        ({"SUBOVER": "x"}, {"OVERSCAN_SUBTRACTED"}),
        ({"PROCSOFT": "x", "PROCSVER": "1", "PROCMODE": "sq"}, set()),
        ({"OBSTYPE": "FLAT", "PROCSCI": "x"}, {"FLAT", "CAL"}),
        *(({card: "x"}, {"PROCESSED"}) for card in PROCESSED_CARDS),
    ],
)
def test_tags_of_processing_and_mode(frame, cards, granted):
    assert tags(frame(cards)) == SCIENCE | granted


def test_mask_is_neither_image_nor_spectrum(frame):
    assert tags(frame(OBSTYPE="mask")) == (SCIENCE - {"IMAGE"}) | {"MASK"}


@pytest.mark.parametrize("card", ["BPMASK", "PROCBPM"])
def test_bad_pixel_mask_made_from_flats_and_darks_is_only_that(frame, card):
    cards = {card: "x", "OBSTYPE": "DARK", "GCALLAMP": "IRhigh", "GCALSHUT": "OPEN", "FRAME": "AZEL_TOPO"}
    found = tags(frame({**cards, "RATRACK": 1.0}))
    assert found == {"GEMINI", "GNIRS", "NORTH", "RAW", "UNPREPARED", "BPM", "CAL", "PROCESSED"}


def test_products_of_a_keyhole_night(frame):
    base = {"GEMINI", "GNIRS", "NORTH", "PREPARED", "SIDEREAL"}
    assert tags(frame(PREPARED)) == base | {"IMAGE"}
    assert tags(frame({**PREPARED, "PROCSCI": "sq"})) == base | {"IMAGE", "PROCESSED", "PROCESSED_SCIENCE"}
    lamp = {"OBSTYPE": "FLAT", "GCALLAMP": "IRhigh", "GCALSHUT": "OPEN", "PROCFLAT": "x"}
    assert tags(frame({**PREPARED, **lamp})) == base | {"IMAGE", "FLAT", "CAL", "GCALFLAT", "PROCESSED"}
    dark = {"OBSTYPE": "DARK", "PROCDARK": "x"}
    assert tags(frame({**PREPARED, **dark})) == base | {"DARK", "CAL", "PROCESSED"}


def test_processed_science_is_not_raw_even_without_the_software_card(frame):
    assert "RAW" not in tags(frame(GMOSAIC="x"))


def test_tags_of_an_astropy_header(frame):
    fits = pytest.importorskip("astropy.io.fits")
    header = fits.Header(dict(frame().primary))
    header["OBSCLASS"] = None
    header.add_comment("anything")
    assert tags(Headers(header)) == SCIENCE
