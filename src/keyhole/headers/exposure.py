"""Exposure and detector: times, coadds, noise, gain, limits, sections."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keyhole.headers.model import Headers, HeaderValueError, Section
from keyhole.headers.registry import (
    answer,
    descriptor,
    extension_cards,
    instrument_of,
    is_prepared,
    primary_card,
    tags,
)
from keyhole.headers.values import as_number, card, number
from keyhole.instruments import Detector, Instrument

__all__: list[str] = []


@descriptor()
def exposure_time(headers: Headers) -> float | None:
    """Exposure time of the frame with all its coadds, seconds; None when absent or negative."""
    seconds = as_number(primary_card(headers, "exposure_time"))
    if seconds is None or seconds < 0:
        return None
    # Preparation rewrites the card from one coadd to all of them.
    if is_prepared(headers) or not answer(headers, "is_coadds_summed"):
        return seconds
    return seconds * float(answer(headers, "coadds"))


@descriptor()
def coadds(headers: Headers) -> int:
    """Number of exposures that were summed by the controller."""
    count = as_number(primary_card(headers, "coadds"))
    return 1 if count is None else int(count)


@descriptor()
def is_coadds_summed(headers: Headers) -> bool:
    """Whether coadds are summed rather than averaged."""
    return True


@descriptor()
def read_mode(headers: Headers) -> str | None:
    """Read mode."""
    found: str | None = primary_card(headers, "read_mode")
    return found


@descriptor("GNIRS", name="read_mode")
def gnirs_read_mode(headers: Headers) -> str:
    """Read mode, "Very Bright Objects" to "Very Faint Objects"; "Unknown" for other settings."""
    named = primary_card(headers, "read_mode")
    if named is not None:
        return str(named)
    pairs, averages = number(headers.primary, "LNRS"), number(headers.primary, "NDAVGS")
    if pairs is None or averages is None:
        return "Unknown"
    return _known(headers).read_mode(int(pairs), int(averages))


@descriptor()
def well_depth_setting(headers: Headers) -> str | None:
    """Well depth."""
    found: str | None = primary_card(headers, "well_depth_setting")
    return found


@descriptor("GNIRS", name="well_depth_setting")
def gnirs_well_depth_setting(headers: Headers) -> str | None:
    """Well depth from the detector bias: "Shallow", "Deep", "Unknown"; None without the card."""
    bias = number(headers.primary, "DETBIAS")
    return None if bias is None else _known(headers).well_depth(bias)


@descriptor(per_extension=True)
def array_name(headers: Headers) -> list[str | None]:
    """Name of the detector array of each extension."""
    return extension_cards(headers, "array_name")


@descriptor("GNIRS", name="array_name", per_extension=True)
def gnirs_array_name(headers: Headers) -> list[str | None]:
    """Name of the detector array and, where there is a choice, of its controller."""
    name, controller = primary_card(headers, "array_name"), card(headers.primary, "CONID")
    if name is not None and controller is not None:
        name = f"{name}+{controller}"
    return [name] * len(headers.extensions)


@descriptor(per_extension=True)
def gain(headers: Headers) -> list[Any]:
    """Gain, electrons per ADU."""
    return extension_cards(headers, "gain")


@descriptor(per_extension=True)
def read_noise(headers: Headers) -> list[Any]:
    """Read noise, electrons."""
    return extension_cards(headers, "read_noise")


@descriptor(per_extension=True)
def saturation_level(headers: Headers) -> list[Any]:
    """Level at which the detector saturates, in the unit of the data."""
    return extension_cards(headers, "saturation_level")


@descriptor(per_extension=True)
def non_linear_level(headers: Headers) -> list[Any]:
    """Level above which the response cannot be trusted to be linear, in the unit of the data."""
    return extension_cards(headers, "non_linear_level")


@descriptor("GNIRS", name="gain", per_extension=True)
def gnirs_gain(headers: Headers) -> list[Any]:
    """Gain, electrons per ADU, 1 for data in electrons; None for an unknown array."""
    return _recorded_or(headers, "gain", lambda detector, _: detector.gain)


@descriptor("GNIRS", name="read_noise", per_extension=True)
def gnirs_read_noise(headers: Headers) -> list[Any]:
    """Read noise of the frame with all its coadds, electrons whatever the unit of the data."""
    return _recorded_or(headers, "read_noise", lambda detector, count: detector.read_noise * math.sqrt(count))


@descriptor("GNIRS", name="saturation_level", per_extension=True)
def gnirs_saturation_level(headers: Headers) -> list[Any]:
    """Level at which the detector saturates, in the unit of the data."""
    return _recorded_or(headers, "saturation_level", _saturation)


@descriptor("GNIRS", name="non_linear_level", per_extension=True)
def gnirs_non_linear_level(headers: Headers) -> list[Any]:
    """Level above which the response cannot be corrected to be linear, in the unit of the data."""

    def limit(detector: Detector, count: int) -> int:
        return int(detector.linear_limit * _saturation(detector, count))

    return _recorded_or(headers, "non_linear_level", limit)


@descriptor()
def is_in_adu(headers: Headers) -> bool:
    """Whether the data are in ADU, as data without a unit are.

    Raises
    ------
    HeaderValueError
        Some extensions are and some are not.
    """
    units = extension_cards(headers, "bunit")
    kinds = {unit is None or str(unit).strip().upper() == "ADU" for unit in units}
    if len(kinds) > 1:
        raise HeaderValueError(f"{headers.name}: the extensions disagree about the unit: BUNIT = {units}")
    return kinds.pop() if kinds else True


@descriptor(per_extension=True)
def data_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels that hold data."""
    return _pretty(_recorded_sections(headers, "data_section"), pretty)


@descriptor(per_extension=True)
def detector_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels of the detector that an extension covers."""
    return _pretty(_recorded_sections(headers, "detector_section"), pretty)


@descriptor(per_extension=True)
def array_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels of the array that an extension covers."""
    return _pretty(_recorded_sections(headers, "array_section"), pretty)


@descriptor(per_extension=True)
def overscan_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Overscan pixels, None where there are none."""
    return _pretty(_recorded_sections(headers, "overscan_section"), pretty)


@descriptor(per_extension=True)
def amp_read_area(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels read by the amplifier of an extension."""
    return _pretty(_recorded_sections(headers, "amp_read_area"), pretty)


@descriptor("GNIRS", name="data_section", per_extension=True)
def gnirs_data_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels that hold data: all of them."""
    return _pretty(_full_sections(headers), pretty)


@descriptor("GNIRS", name="detector_section", per_extension=True)
def gnirs_detector_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels of the detector that an extension covers: as recorded for all of them, else all pixels."""
    recorded = _recorded_sections(headers, "detector_section")
    return _pretty(_full_sections(headers) if None in recorded else recorded, pretty)


@descriptor("GNIRS", name="array_section", per_extension=True)
def gnirs_array_section(headers: Headers, *, pretty: bool = False) -> list[Any]:
    """Pixels of the array that an extension covers: the same as those of the detector."""
    return gnirs_detector_section(headers, pretty=pretty)


@descriptor()
def detector_roi_setting(headers: Headers) -> str:
    """How the region of interest was chosen."""
    return "Fixed"


@descriptor()
def detector_rois_requested(headers: Headers) -> None:
    """Regions of interest that were asked for: none."""


@descriptor()
def detector_x_bin(headers: Headers) -> int:
    """Binning along x."""
    return int(primary_card(headers, "detector_x_bin", 1))


@descriptor()
def detector_y_bin(headers: Headers) -> int:
    """Binning along y."""
    return int(primary_card(headers, "detector_y_bin", 1))


@descriptor()
def binning(headers: Headers) -> str:
    """Binning as ``XxY``."""
    return f"{answer(headers, 'detector_x_bin')}x{answer(headers, 'detector_y_bin')}"


@descriptor(per_extension=True)
def mdf_row_id(headers: Headers) -> list[Any] | None:
    """Row of the mask definition that an extension of a prepared spectrum was cut for."""
    kinds = tags(headers)
    if "IMAGE" in kinds or "PREPARED" not in kinds:
        return None
    return extension_cards(headers, "mdf_row_id")


def _saturation(detector: Detector, count: int) -> int:
    return int(detector.well * count / detector.gain)


def _recorded_or(headers: Headers, name: str, from_table: Callable[[Detector, int], float | int]) -> list[Any]:
    """What preparation recorded in every extension, else the value from the detector table."""
    recorded = extension_cards(headers, name)
    if None not in recorded and is_prepared(headers):
        return recorded
    instrument, mode = _known(headers), answer(headers, "read_mode")
    depth, count = answer(headers, "well_depth_setting"), answer(headers, "coadds")
    detectors = [instrument.detector(array, mode, depth) for array in gnirs_array_name(headers)]
    # A failed reading gives -9999 coadds.
    return [from_table(detector, count) if detector and count > 0 else None for detector in detectors]


def _known(headers: Headers) -> Instrument:
    """The instrument of a frame for which a table of descriptors exists."""
    instrument = instrument_of(headers)
    if instrument is None:
        raise HeaderValueError(f"{headers.name}: nothing is known about its instrument")
    return instrument


def _recorded_sections(headers: Headers, name: str) -> list[Section | None]:
    texts = extension_cards(headers, name)
    return [None if text is None else Section.from_text(str(text)) for text in texts]


def _full_sections(headers: Headers) -> list[Section | None]:
    shapes = [(number(ext, "NAXIS1"), number(ext, "NAXIS2")) for ext in headers.extensions]
    return [Section(0, int(nx), 0, int(ny)) if nx and ny else None for nx, ny in shapes]


def _pretty(sections: list[Section | None], pretty: bool) -> list[Any]:
    if not pretty:
        return list(sections)
    return [section and section.as_iraf_section() for section in sections]
