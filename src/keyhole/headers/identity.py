"""Who took the frame, for which program, under which conditions: descriptors read from one card or a few."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from keyhole.headers.model import Headers, MissingCardError
from keyhole.headers.registry import answer, descriptor, primary_card, tags
from keyhole.headers.rules import airmass_of
from keyhole.headers.values import as_number, card, strip_id, text

__all__: list[str] = []

_PERCENTILE = re.compile(r"(\d\d)-percentile")

# Descriptors that are a card of the primary header as it stands.
_PLAIN = {
    "telescope": "Telescope.",
    "object": "Name of the target.",
    "observation_type": "Kind of exposure: OBJECT, FLAT, DARK, ARC.",
    "observation_class": "Use: science, acq, acqCal, partnerCal, progCal, dayCal.",
    "program_id": "Program.",
    "observation_id": "Observation within the program.",
    "data_label": "Label of the frame.",
    "observation_epoch": "Epoch of the observation, years.",
    "elevation": "Elevation of the telescope, degrees.",
    "azimuth": "Azimuth of the telescope, degrees.",
    "telescope_x_offset": "Telescope offset in x, arcsec.",
    "telescope_y_offset": "Telescope offset in y, arcsec.",
    "gain_setting": "Gain setting of the detector.",
    "read_speed_setting": "Read speed of the detector.",
}
# Names of mechanisms or detectors, with or without their component id.
_NAMED = {
    "camera": "Camera.",
    "decker": "Decker.",
    "detector_name": "Detector.",
    "lyot_stop": "Lyot stop.",
    "pupil_mask": "Pupil mask.",
    "disperser": "Disperser.",
    "focal_plane_mask": "Mask in the focal plane.",
    "slit": "Slit.",
}
_CONDITIONS = {
    "iq": "image quality",
    "cc": "cloud cover",
    "wv": "water vapour",
    "bg": "sky background",
}


def component_name(name: Any, *, strip_id_: bool, pretty: bool) -> str | None:
    """Name of a mechanism's position, without its component id if either option is set."""
    if name is None:
        return None
    return strip_id(str(name)) if strip_id_ or pretty else str(name)


def _plain(name: str) -> Callable[[Headers], Any]:
    def value_of_card(headers: Headers) -> Any:
        return primary_card(headers, name)

    return value_of_card


def _named(name: str) -> Callable[..., Any]:
    def name_of_position(headers: Headers, *, strip_id: bool = False, pretty: bool = False) -> str | None:
        return component_name(primary_card(headers, name), strip_id_=strip_id, pretty=pretty)

    return name_of_position


def _percentile(name: str) -> Callable[[Headers], int | None]:
    def percentile(headers: Headers) -> int | None:
        value = str(primary_card(headers, name, "")).strip()
        if value == "Any":
            return 100
        match = _PERCENTILE.fullmatch(value)
        return int(match[1]) if match else None

    return percentile


def _register_simple_ones() -> None:
    for name, meaning in _PLAIN.items():
        _register(name, _plain(name), meaning)
    for name, meaning in _NAMED.items():
        _register(name, _named(name), f"{meaning} `stripID` or `pretty` cut the component id.")
    for letters, meaning in _CONDITIONS.items():
        _register(f"raw_{letters}", _percentile(f"raw_{letters}"), f"Percentile of the {meaning}.")
        _register(
            f"requested_{letters}",
            _percentile(f"requested_{letters}"),
            f"Percentile of the {meaning} that was asked for.",
        )


def _register(name: str, function: Callable[..., Any], meaning: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = meaning
    descriptor(name=name)(function)


_register_simple_ones()


@descriptor()
def instrument(headers: Headers, *, generic: bool = False) -> str | None:
    """Instrument; `generic` is for instruments that exist at both sites under different names."""
    found: str | None = primary_card(headers, "instrument")
    return found


@descriptor()
def calibration_key(headers: Headers) -> str | None:
    """Key under which the calibrations of a frame are remembered: the data label without ``_stack``."""
    label = answer(headers, "data_label")
    return None if label is None else str(label).replace("_stack", "")


@descriptor()
def group_id(headers: Headers) -> str | None:
    """Frames with equal text may be stacked."""
    found: str | None = answer(headers, "observation_id")
    return found


@descriptor("GNIRS", name="group_id")
def gnirs_group_id(headers: Headers) -> str:
    """Frames with equal text may be stacked: same detector settings and, but for darks, same optical path."""
    kinds = tags(headers)
    detector = (answer(headers, "well_depth_setting"), answer(headers, "detector_section", pretty=True))
    path = (answer(headers, "disperser", pretty=True), answer(headers, "focal_plane_mask", pretty=True))
    mode = answer(headers, "read_mode")
    parts: tuple[Any, ...]
    if "DARK" in kinds:
        parts = (mode, answer(headers, "exposure_time"), answer(headers, "coadds"))
    else:
        light = (answer(headers, "filter_name", pretty=True), answer(headers, "camera"))
        parts = (answer(headers, "observation_id"), *light, mode)
    parts += detector + path
    if {"IMAGE", "FLAT"} <= kinds:
        parts += ("GNIRS_IMAGE_FLAT",)
    return "_".join(map(str, parts))


@descriptor()
def qa_state(headers: Headers) -> str:
    """Verdict of the quality assessment: Undefined, Pass, Usable, Fail, CHECK."""
    pair = tuple(text(headers.primary, keyword) or "UNKNOWN" for keyword in ("RAWPIREQ", "RAWGEMQA"))
    wanted, usable = (value.upper() for value in pair)
    if "UNKNOWN" in (wanted, usable):
        return "Undefined"
    if usable == "USABLE" and wanted in ("YES", "NO"):
        return "Pass" if wanted == "YES" else "Usable"
    if usable == "BAD":
        return "Fail"
    return "CHECK" if "CHECK" in (wanted, usable) else ":".join(pair)


@descriptor()
def airmass(headers: Headers) -> float | None:
    """Airmass; None when absent, no number, or below 1."""
    return airmass_of(headers.primary)


@descriptor()
def cass_rotator_pa(headers: Headers) -> float | None:
    """Position angle of the Cassegrain rotator, degrees; None beyond a full turn."""
    angle = as_number(primary_card(headers, "cass_rotator_pa"))
    return angle if angle is not None and abs(angle) <= 360 else None


@descriptor()
def is_ao(headers: Headers) -> bool:
    """Whether the light comes through the adaptive optics."""
    return text(headers.primary, "AOFOLD") == "IN"


@descriptor()
def ao_seeing(headers: Headers) -> float | None:
    """Seeing that the adaptive optics measured, arcsec: reported, or from its r0 in cm at 0.5 micrometre."""
    seeing = as_number(primary_card(headers, "ao_seeing"))
    r_zero = as_number(primary_card(headers, "r_zero_val"))
    if seeing is not None or not r_zero:
        return seeing
    return 206265.0 * 0.98 * 0.5e-6 / (0.01 * r_zero)


@descriptor()
def wavefront_sensor(headers: Headers) -> str | None:
    """Wavefront sensors that guided, joined by ``&``."""
    sensors = [
        name for name in ("AOWFS", "OIWFS", "PWFS1", "PWFS2") if text(headers.primary, f"{name}_ST") == "guiding"
    ]
    if "GWFS1CFG" in headers.primary:
        sensors.append("GEMS")
    return "&".join(sorted(sensors)) or None


@descriptor()
def gcal_lamp(headers: Headers) -> str | None:
    """Lamp of the calibration unit, 'Off' when none shines out of it, None when it is not in use."""
    lamp, shutter = card(headers.primary, "GCALLAMP"), card(headers.primary, "GCALSHUT")
    if lamp is None or shutter is None:
        return None
    name = str(lamp).strip().upper()
    shut = str(shutter).strip().upper() == "CLOSED" and name in ("IRHIGH", "IRLOW")
    return "Off" if shut or name in ("", "NO VALUE") else str(lamp)


@descriptor()
def position_angle(headers: Headers) -> Any:
    """Position angle of the +y axis, degrees east of north."""
    return primary_card(headers, "position_angle")


@descriptor("GNIRS", name="position_angle")
def gnirs_position_angle(headers: Headers) -> float:
    """Position angle of the +y axis, degrees east of north, 0 to 360.

    Raises
    ------
    MissingCardError
        The header does not tell it.
    """
    angle = as_number(primary_card(headers, "position_angle"))
    if angle is None:
        raise MissingCardError(f"{headers.name}: card PA is missing, the orientation is not known")
    return (angle + 90.0) % 360.0
