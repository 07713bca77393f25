"""The optical path: slit, filter, disperser, wavelengths, pixel scale and what follows from it."""

from __future__ import annotations

import math
import re
from typing import Any

from keyhole.headers.identity import component_name
from keyhole.headers.model import Headers, HeaderValueError
from keyhole.headers.registry import (
    answer,
    descriptor,
    extension_cards,
    instrument_of,
    is_prepared,
    observatory,
    primary_card,
    tags,
)
from keyhole.headers.rules import airmass_of
from keyhole.headers.values import as_number, card, number, shortest_single, strip_id, text

__all__: list[str] = []

MICROMETRE = 1e-6
# Units per micrometre.
OUTPUT_UNITS = {"micrometers": 1.0, "nanometers": 1e3, "angstroms": 1e4}

_ARCSEC = re.compile(r"(\d+\.?\d*)\s*arcsec")
_GRATING_LETTERS = re.compile(r"mm[A-Za-z]*_G")
_PRISM = re.compile(r"(?:[A-Z]{2}\+)?(\w+_G\d+)")
_COMPONENT = re.compile(r"_G\d{4}")


@descriptor("GNIRS", name="slit")
def gnirs_slit(headers: Headers, *, strip_id: bool = False, pretty: bool = False) -> str | None:
    """Slit, spelt alike for all years: ``0.30arcsec``, ``1.00arcsec``, ``Acq``."""
    name = primary_card(headers, "slit")
    if name is None:
        return None
    spelt = str(name).replace(" ", "").replace("1.0arcsec", "1.00arcsec")
    return component_name(spelt, strip_id_=strip_id, pretty=pretty)


@descriptor("GNIRS")
def slit_width(headers: Headers) -> float | None:
    """Width of the slit, arcsec; None for what is no slit."""
    match = _ARCSEC.match(answer(headers, "slit", pretty=True) or "")
    return float(match[1]) if match else None


@descriptor("GNIRS", name="focal_plane_mask")
def gnirs_focal_plane_mask(headers: Headers, *, strip_id: bool = False, pretty: bool = False) -> str | None:
    """Slit and decker, ``0.30arcsec_G5530&SCLong_G5531``; `pretty` the usual short name of the pair."""
    options = {"strip_id": strip_id, "pretty": pretty}
    slit, decker = answer(headers, "slit", **options), answer(headers, "decker", **options)
    if slit is None or decker is None:
        return None
    slit, decker = slit.replace("Acquisition", "Acq"), decker.replace("Acquisition", "Acq")
    if not pretty:
        return f"{slit}&{decker}"
    if "Long" in decker:
        return str(slit)
    if "XD" in decker:
        return f"{slit}XD"
    shared = (name for name in ("HR-IFU", "LR-IFU", "IFU", "Acq") if name in slit and name in decker)
    return next(shared, f"{slit}&{decker}")


@descriptor("GNIRS", name="disperser")
def gnirs_disperser(headers: Headers, *, strip_id: bool = False, pretty: bool = False) -> str | None:
    """Grating and prism, ``32/mm_G5533&SXD_G5536``; behind a mirror the grating; for images MIRROR."""
    if text(headers.primary, "ACQMIR") == "In":
        return "MIRROR"
    grating, prism = card(headers.primary, "GRATING"), card(headers.primary, "PRISM")
    match = _PRISM.fullmatch(str(prism).strip())
    if grating is None or match is None:
        return None
    # The letters tell with which cameras a grating is used: it is the same grating.
    parts = [_GRATING_LETTERS.sub("mm_G", str(grating).strip())]
    if not match[1].startswith("MIR"):
        parts.append(match[1])
    return "&".join(str(component_name(part, strip_id_=strip_id, pretty=pretty)) for part in parts)


@descriptor()
def filter_name(headers: Headers, *, strip_id: bool = False, pretty: bool = False, keep_id: bool = False) -> str | None:
    """Filters of both wheels, ``Open&J_G0517``.

    Parameters
    ----------
    headers : Headers
        Headers of the frame.
    strip_id : bool
        Cut the component ids: ``Open&J``.
    pretty : bool
        Only what shapes the band: ``J``; wins over `strip_id`.
    keep_id : bool
        As `pretty`, with the component ids: ``J_G0517``.
    """
    wheels = [card(headers.primary, keyword) for keyword in ("FILTER1", "FILTER2")]
    if None in wheels:
        return None
    names = [str(wheel).strip() for wheel in wheels]
    if pretty or keep_id:
        return _band_filters(names, keep_id=keep_id)
    if strip_id:
        names = [_cut(name) for name in names]
    return "&".join(names)


@descriptor()
def central_wavelength(
    headers: Headers, *, as_micrometers: bool = False, as_nanometers: bool = False, as_angstroms: bool = False
) -> float | None:
    """Central wavelength that the disperser is set to, metres unless one of the options is set.

    In images that is where the grating happens to be parked: see `effective_wavelength`.
    """
    micrometre = as_number(primary_card(headers, "central_wavelength"))
    if micrometre is None or micrometre < 0:
        return None
    return shortest_single(micrometre * _units_per_micrometre(as_micrometers, as_nanometers, as_angstroms))


@descriptor("GNIRS")
def actual_central_wavelength(
    headers: Headers, *, as_micrometers: bool = False, as_nanometers: bool = False, as_angstroms: bool = False
) -> float | None:
    """Central wavelength of the grating; the same as `central_wavelength`."""
    return central_wavelength(
        headers, as_micrometers=as_micrometers, as_nanometers=as_nanometers, as_angstroms=as_angstroms
    )


@descriptor("GNIRS")
def prism_motor_steps(headers: Headers) -> Any:
    """Position of the prism turret, motor steps."""
    return card(headers.primary, "PRSM_ENG")


@descriptor()
def effective_wavelength(headers: Headers, *, output_units: str | None = None) -> float | None:
    """Wavelength that the frame is about: of the filter for images, of the disperser for spectra; else None.

    Parameters
    ----------
    headers : Headers
        Headers of the frame.
    output_units : str, optional
        "micrometers", "nanometers" or "angstroms"; anything else means metres.
    """
    kinds = tags(headers)
    micrometre: float | None = None
    if "IMAGE" in kinds:
        source = instrument_of(headers) or observatory()
        micrometre = source.effective_wavelength(answer(headers, "filter_name", pretty=True) or "")
    elif "SPECT" in kinds:
        micrometre = answer(headers, "central_wavelength", as_micrometers=True)
    return None if micrometre is None else micrometre * OUTPUT_UNITS.get(output_units or "", MICROMETRE)


@descriptor()
def wavelength_band(headers: Headers) -> str | None:
    """Photometric band nearest to the effective wavelength."""
    micrometre = answer(headers, "effective_wavelength", output_units="micrometers")
    return None if micrometre is None else observatory().wavelength_band(micrometre)


@descriptor(per_extension=True)
def dispersion(
    headers: Headers, *, as_micrometers: bool = False, as_nanometers: bool = False, as_angstroms: bool = False
) -> list[Any]:
    """Dispersion, metres per pixel unless one of the options is set."""
    factor = _units_per_micrometre(as_micrometers, as_nanometers, as_angstroms) / MICROMETRE
    metres = [as_number(value) for value in extension_cards(headers, "dispersion")]
    return [None if value is None else shortest_single(value * factor) for value in metres]


@descriptor("GNIRS", name="dispersion", per_extension=True)
def gnirs_dispersion(
    headers: Headers, *, as_micrometers: bool = False, as_nanometers: bool = False, as_angstroms: bool = False
) -> list[float] | None:
    """Dispersion along y, metres per pixel unless one of the options is set; None where none is known."""
    instrument = instrument_of(headers)
    camera = text(headers.primary, "CAMERA")
    length = next((length for length in ("Short", "Long") if length in camera), "")
    if "XD" in tags(headers):
        order = number(headers.primary, "GRATORD")
        letter = "" if order is None or instrument is None else instrument.xd_orders.get(int(order), "")
    else:
        letter = (answer(headers, "filter_name", pretty=True) or "")[:1]
    ruling = _GRATING_LETTERS.sub("mm_G", text(headers.primary, "GRATING"))
    nanometre = instrument.dispersion(_cut(ruling), length, letter) if instrument else None
    if nanometre is None:
        return None
    factor = _units_per_micrometre(as_micrometers, as_nanometers, as_angstroms)
    return [shortest_single(nanometre / 1e3 * factor)] * len(headers.extensions)


@descriptor(per_extension=True)
def dispersion_axis(headers: Headers) -> list[Any] | None:
    """Axis along which wavelength changes, 1 for x; None before preparation."""
    return extension_cards(headers, "dispersion_axis") if is_prepared(headers) else None


@descriptor("GNIRS", name="dispersion_axis", per_extension=True)
def gnirs_dispersion_axis(headers: Headers) -> list[int]:
    """Axis along which wavelength changes: 2, y."""
    return [2] * len(headers.extensions)


@descriptor()
def pixel_scale(headers: Headers) -> float | None:
    """Pixel scale of the WCS, mean over the extensions, arcsec per pixel."""
    scales = []
    for extension in headers.extensions:
        header = extension if "CD1_1" in extension else headers.primary
        cd = [number(header, f"CD{i}_{j}") for i, j in ((1, 1), (2, 2), (1, 2), (2, 1))]
        if cd[0] is None or cd[1] is None:
            return None
        scales.append(3600.0 * math.sqrt(abs(cd[0] * cd[1] - (cd[2] or 0.0) * (cd[3] or 0.0))))
    return sum(scales) / len(scales) if scales else None


@descriptor("GNIRS", name="pixel_scale")
def gnirs_pixel_scale(headers: Headers) -> float | None:
    """Pixel scale of the camera, arcsec per pixel; the WCS of raw frames is not to be trusted.

    Raises
    ------
    HeaderValueError
        The camera is not known.
    """
    camera = answer(headers, "camera", pretty=True)
    instrument = instrument_of(headers)
    if camera is None or instrument is None:
        return None
    scale = instrument.pixel_scale(camera)
    if scale is None:
        known = ", ".join(instrument.pixel_scales)
        raise HeaderValueError(f"{headers.name}: camera {camera!r} has no known pixel scale; known are {known}")
    return scale


@descriptor()
def detector_x_offset(headers: Headers) -> float | None:
    """Offset of the telescope along x, pixels."""
    offset = _offset_in_pixels(headers, "POFFSET")
    return -offset if offset is not None and number(headers.primary, "INPORT") == 1 else offset


@descriptor()
def detector_y_offset(headers: Headers) -> float | None:
    """Offset of the telescope along y, pixels."""
    return _offset_in_pixels(headers, "QOFFSET")


@descriptor("GNIRS", name="detector_x_offset")
def gnirs_detector_x_offset(headers: Headers) -> float | None:
    """Offset of the telescope along x, pixels; the side-looking port without adaptive optics mirrors it."""
    offset = _offset_in_pixels(headers, "QOFFSET")
    mirrored = number(headers.primary, "INPORT") == 1 and not answer(headers, "is_ao")
    return -offset if offset is not None and mirrored else offset


@descriptor("GNIRS", name="detector_y_offset")
def gnirs_detector_y_offset(headers: Headers) -> float | None:
    """Offset of the telescope along y, pixels."""
    offset = _offset_in_pixels(headers, "POFFSET")
    return None if offset is None else -offset


@descriptor(per_extension=True)
def nominal_photometric_zeropoint(headers: Headers) -> list[Any]:
    """Nominal photometric zero point, mag."""
    return extension_cards(headers, "nominal_photometric_zeropoint")


@descriptor("GNIRS", name="nominal_photometric_zeropoint", per_extension=True)
def gnirs_nominal_photometric_zeropoint(headers: Headers) -> list[float | None]:
    """Nominal photometric zero point by camera and filter, mag; None where none is published."""
    instrument = instrument_of(headers)
    setting = answer(headers, "camera", pretty=True), answer(headers, "filter_name", pretty=True)
    return [instrument.nominal_zeropoint(*setting) if instrument else None] * len(headers.extensions)


@descriptor()
def nominal_atmospheric_extinction(headers: Headers) -> float | None:
    """Nominal extinction at the airmass of the frame above that at the zenith, mag."""
    mass = airmass_of(headers.primary)
    if mass is None:
        return None
    site, light = answer(headers, "telescope"), answer(headers, "filter_name", pretty=True)
    return observatory().nominal_extinction(site, light) * (mass - 1.0)


def _cut(name: str) -> str:
    """The name without its component id; for functions whose option hides the helper's name."""
    return strip_id(name)


def _band_filters(wheels: list[str], *, keep_id: bool) -> str:
    """Those filters of the two wheels that shape the band."""
    kept = []
    for wheel in wheels:
        name = _cut(wheel)
        if "open" in name.lower() or "Clear" in name or name.lower().startswith("nd"):
            continue
        component = _COMPONENT.search(wheel)
        kept.append(name + component[0] if keep_id and component else name)
    kept = kept or ["open"]
    if any("Block" in wheel or "Dark" in wheel for wheel in wheels):
        kept.append("blank")
    if any("DK" in wheel for wheel in wheels):
        kept.append("dark")
    return "&".join(kept[:2])


def _units_per_micrometre(as_micrometers: bool, as_nanometers: bool, as_angstroms: bool) -> float:
    """Factor from micrometre to the one unit that is asked for; metres if none is, or several are."""
    wanted = [as_micrometers, as_nanometers, as_angstroms]
    if wanted.count(True) != 1:
        return MICROMETRE
    return list(OUTPUT_UNITS.values())[wanted.index(True)]


def _offset_in_pixels(headers: Headers, keyword: str) -> float | None:
    offset, scale = number(headers.primary, keyword), answer(headers, "pixel_scale")
    return None if offset is None or not scale else offset / scale
