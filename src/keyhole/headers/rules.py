"""What makes a frame an image, a dark, a lamp-on flat: the tag rules of Gemini frames and of GNIRS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keyhole.headers.tagset import TagRule, in_order
from keyhole.headers.values import as_number, card, number, text
from keyhole.instruments import available

__all__ = ["GEMINI_RULES", "GNIRS_RULES", "airmass_of", "is_gemini", "says_prepared"]

Primary = Mapping[str, Any]

PROCESSED_CARDS = (
    "PROCARC",
    "GBIAS",
    "PROCBIAS",
    "PROCDARK",
    "GIFLAT",
    "PROCFLAT",
    "GIFRINGE",
    "PROCFRNG",
    "PROCPNHL",
    "PROCSTND",
    "PROCILLM",
)
BLOCKED_BY_BPM = frozenset(
    {
        "IMAGE",
        "SPECT",
        "NON_SIDEREAL",
        "AZEL_TARGET",
        "GCALFLAT",
        "LAMPON",
        "GCAL_IR_ON",
        "GCAL_IR_OFF",
        "DARK",
    }
)
IMAGE_AND_SPECT = frozenset({"IMAGE", "SPECT"})
PROCESSED = frozenset({"PROCESSED"})


def is_gemini(primary: Primary) -> bool:
    """Whether a frame was taken at one of the Gemini telescopes, or with an instrument that is only there."""
    sites = ("GEMINI-NORTH", "GEMINI-SOUTH")
    if text(primary, "OBSERVAT").upper() in sites or text(primary, "TELESCOP").upper() in sites:
        return True
    return text(primary, "INSTRUME").upper() in available()


def airmass_of(primary: Primary) -> float | None:
    """Airmass; None when absent, no number, or below 1, which no sky has."""
    value = as_number(card(primary, "AIRMASS"))
    return value if value is not None and value >= 1 else None


def says_prepared(primary: Primary) -> bool:
    """Whether a card tells that the frame was prepared."""
    # The card of our own preparation is found without a walk through all names.
    return "PREPARE" in primary or _name_contains(primary, "PREPAR")


def _when(condition: Callable[[Primary], object], *tags: str) -> Callable[[Primary], tuple[str, ...]]:
    """The `tags` if `condition` holds."""
    return lambda primary: tags if condition(primary) else ()


def _has(*keywords: str) -> Callable[[Primary], bool]:
    """Whether any of the cards exists."""
    return lambda primary: any(keyword in primary for keyword in keywords)


def _equals(keyword: str, *values: str) -> Callable[[Primary], bool]:
    """Whether a card has one of these values, upper and lower case told apart."""
    return lambda primary: text(primary, keyword) in values


def _name_contains(primary: Primary, part: str) -> bool:
    """Whether the name of any card contains `part`."""
    return part in "\n".join(primary)


def _site(primary: Primary) -> tuple[str, ...]:
    site = text(primary, "OBSERVAT").upper()
    return {"GEMINI-NORTH": ("NORTH",), "GEMINI-SOUTH": ("SOUTH",)}.get(site, ())


def _prepared(primary: Primary) -> tuple[str, ...]:
    return ("PREPARED",) if says_prepared(primary) else ("UNPREPARED",)


def _tracking(primary: Primary) -> tuple[str, ...]:
    if not {"FK5", "APPT"} & {text(primary, "TRKFRAME"), text(primary, "FRAME")}:
        return ()
    still = number(primary, "RATRACK") == 0 and number(primary, "DECTRACK") == 0
    return ("SIDEREAL",) if still else ("NON_SIDEREAL",)


def _azimuth_elevation(primary: Primary) -> tuple[str, ...]:
    if text(primary, "FRAME") != "AZEL_TOPO":
        return ()
    return ("AZEL_TARGET", "AT_ZENITH") if airmass_of(primary) == 1.0 else ("AZEL_TARGET",)


def _mode(primary: Primary) -> tuple[str, ...]:
    mode = text(primary, "OBSMODE").strip().upper()
    if not mode:
        return ()
    return (mode,) if mode == "IMAGE" else (mode, "SPECT")


def _infrared_lamp(primary: Primary, shutter: str) -> bool:
    """Whether a lamp of the infrared side of the calibration unit is selected, with its shutter so."""
    lamp = text(primary, "GCALLAMP")
    known = lamp in ("IRhigh", "IRlow") or lamp.startswith("QH")
    return known and _lamps_apply(primary) and text(primary, "GCALSHUT") == shutter


def _no_lamp(primary: Primary) -> bool:
    closed = text(primary, "GCALLAMP") == "No Value" and text(primary, "GCALSHUT") == "CLOSED"
    return closed and _lamps_apply(primary)


def _lamps_apply(primary: Primary) -> bool:
    """The optical spectrographs do not use the infrared side."""
    return not text(primary, "INSTRUME").upper().startswith("GMOS")


def _gcal_flat(primary: Primary) -> bool:
    lamp = text(primary, "GCALLAMP")
    return lamp == "IRhigh" or lamp.startswith("QH")


def _processed_science(primary: Primary) -> bool:
    return text(primary, "OBSTYPE") == "OBJECT" and _has("GMOSAIC", "PROCSCI")(primary)


def _spectrum(primary: Primary) -> tuple[str, ...]:
    if text(primary, "ACQMIR") != "Out":
        return ()
    slit = text(primary, "SLIT").lower()
    if "ifu" in slit:
        return ("SPECT", "IFU")
    if ("arcsec" in slit or "pin" in slit) and "mm" in text(primary, "GRATING"):
        return ("SPECT", *_slit_mode(primary))
    return ("SPECT",)


def _slit_mode(primary: Primary) -> tuple[str, ...]:
    """Long slit behind the mirror, cross-dispersed behind an XD prism."""
    prism = text(primary, "PRISM")
    if "MIR" in prism:
        return ("LS",)
    return ("XD",) if "XD" in prism else ()


def _through_slit(primary: Primary) -> tuple[str, ...]:
    # A frame that does not tell its slit is not said to be taken through one.
    return ("THRUSLIT", *_slit_mode(primary)) if "Acq" not in str(primary["SLIT"]) else ()


def _gnirs_flat(primary: Primary, *, pinholes: bool) -> bool:
    return text(primary, "OBSTYPE") == "FLAT" and ("Pinholes" in text(primary, "SLIT")) is pinholes


_GEMINI = (
    TagRule("observatory", _when(is_gemini, "GEMINI")),
    TagRule("site", _site),
    TagRule("raw", _when(lambda primary: "GEM-TLM" not in primary, "RAW")),
    TagRule("prepared", _prepared),
    TagRule("overscan_trimmed", _when(lambda p: _name_contains(p, "TRIMOVER"), "OVERSCAN_TRIMMED")),
    TagRule("overscan_subtracted", _when(lambda p: _name_contains(p, "SUBOVER"), "OVERSCAN_SUBTRACTED")),
    TagRule("gcal_flat", _when(_gcal_flat, "GCALFLAT", "FLAT", "CAL")),
    TagRule("lamp_on", _when(lambda p: _infrared_lamp(p, "OPEN"), "GCAL_IR_ON", "LAMPON"), blocked_by=PROCESSED),
    TagRule(
        "lamp_off",
        _when(lambda p: _infrared_lamp(p, "CLOSED"), "GCAL_IR_OFF", "LAMPOFF"),
        blocked_by=PROCESSED | {"PINHOLE"},
    ),
    TagRule("lamp_off_no_lamp", _when(_no_lamp, "GCAL_IR_OFF", "LAMPOFF"), blocked_by=PROCESSED),
    TagRule("acquisition", _when(_equals("OBSCLASS", "acq", "acqCal"), "ACQUISITION")),
    TagRule("tracking", _tracking),
    TagRule("azimuth_elevation", _azimuth_elevation),
    TagRule("mode", _mode),
    TagRule("nod_and_chop", _when(_equals("DATATYPE", "marked-nodandchop"), "NODCHOP")),
    TagRule("fringe", _when(_has("GIFRINGE", "PROCFRNG"), "FRINGE", "CAL")),
    TagRule("standard", _when(lambda primary: card(primary, "PROCSTND"), "STANDARD", "CAL")),
    TagRule("telluric", _when(lambda primary: card(primary, "PROCTELL"), "TELLURIC", "CAL")),
    TagRule("extracted", _when(_has("EXTRACT"), "EXTRACTED")),
    TagRule("mask", _when(lambda p: text(p, "OBSTYPE").upper() == "MASK", "MASK"), blocks=IMAGE_AND_SPECT),
    TagRule("bad_pixel_mask", _when(_has("BPMASK", "PROCBPM"), "BPM", "CAL", "PROCESSED"), blocks=BLOCKED_BY_BPM),
    TagRule("processed_calibration", _when(_has(*PROCESSED_CARDS), "PROCESSED")),
    TagRule(
        "processed_science",
        _when(_processed_science, "PROCESSED_SCIENCE", "PROCESSED"),
        blocks=frozenset({"RAW"}),
    ),
)

_GNIRS = (
    TagRule("instrument", lambda _: ("GNIRS",)),
    TagRule("image", _when(_equals("ACQMIR", "In"), "IMAGE")),
    TagRule("spectrum", _spectrum),
    TagRule("through_slit", _through_slit, if_present=frozenset({"IMAGE"})),
    TagRule("dark", _when(_equals("OBSTYPE", "DARK"), "DARK", "CAL"), blocks=IMAGE_AND_SPECT),
    TagRule("arc", _when(_equals("OBSTYPE", "ARC"), "ARC", "CAL")),
    TagRule("flat", _when(lambda primary: _gnirs_flat(primary, pinholes=False), "FLAT", "CAL")),
    TagRule(
        "pinhole",
        _when(lambda primary: _gnirs_flat(primary, pinholes=True), "PINHOLE", "CAL"),
        remove=frozenset({"GCALFLAT"}),
        blocks=frozenset({"FLAT"}),
    ),
)

_REPLACED = frozenset(rule.name for rule in _GNIRS)

GEMINI_RULES = in_order(_GEMINI)
GNIRS_RULES = in_order((*(rule for rule in _GEMINI if rule.name not in _REPLACED), *_GNIRS))
