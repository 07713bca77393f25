"""Preparation: headers standardised, detector numbers written down, the WCS made trustworthy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keyhole import __version__
from keyhole.errors import DataError
from keyhole.frames import Frame, add_provenance
from keyhole.primitives.base import Arcsec, Context, Params, Seconds, primitive
from keyhole.primitives.figures import tell_conditions
from keyhole.primitives.wcs import WCS_KEYS, check_pointing, knows_target, mend_axes, move_wcs

__all__ = ["PrepareParams", "prepare"]


# Policies that leave a missing WCS missing.
_NEVER_REBUILT = ("exit", "ignore")
# Tags of frames that look at no place on the sky.
_CALIBRATIONS = frozenset({"DARK", "FLAT", "ARC", "BIAS", "PINHOLE"})


class PrepareParams(Params):
    """Parameters of prepare."""

    suffix: str | None = Field("_prepared", description="Ending of the output name; replaces the previous one")
    require_wcs: bool = Field(True, description="Refuse a science frame that has no usable WCS")
    bad_wcs: Literal["exit", "fix", "new", "ignore"] = Field(
        "fix",
        description="WCS that disagrees with target and offsets: exit = stop, fix = rebuild those from "
        "the target position, new = rebuild all, ignore = leave as is",
    )
    axes: Literal["angle", "header"] = Field(
        "angle",
        description="Axes of a WCS that are turned or mirrored against position angle and port: angle = mend them, "
        "header = believe them",
    )
    debug_consistency_limit: Arcsec = Field(
        30.0, ge=2, description="Largest accepted distance (arcsec) of the WCS from target plus offset"
    )
    debug_max_deadtime: Seconds = Field(
        60.0, ge=10, description="Accepted for compatibility; every frame is checked by itself"
    )
    mdf: str | None = Field(None, description="Mask-definition file; has no effect on imaging")
    attach_mdf: bool = Field(True, description="Attach a mask definition to slit spectra; no effect on imaging")


@primitive("prepare", PrepareParams, scope="frame", stamp="PREPARE")
def prepare(frames: list[Frame], params: PrepareParams, context: Context) -> list[Frame]:
    """Standardise headers, write down the detector's numbers and mend the WCS."""
    for frame in frames:
        tell_conditions(frame, context)
        tags = frame.tags
        if "PREPARED" in tags:
            context.caveat(f"{frame.name} was prepared before; left as it is")
            continue
        science = not tags & _CALIBRATIONS
        _validate(frame, params, context, science=science)
        _standardise(frame, context)
        if not science:
            continue
        move_wcs(frame)
        absent = any(key not in frame.header for key in WCS_KEYS)
        if not (absent and params.bad_wcs in _NEVER_REBUILT):
            if absent or params.bad_wcs == "new":
                useless = "it is not there" if absent else "a new one is wanted"
            else:
                useless, mended = mend_axes(frame, context, believe_direction=params.axes == "header")
                for text in mended:
                    context.note(f"{text}; mended")
            check_pointing(frame, params.bad_wcs, params.debug_consistency_limit, context, useless=useless)
        frame.primary["SDZWCS"] = (context.timestamp(), "UT of standardizeWCS")
    return frames


def _validate(frame: Frame, params: PrepareParams, context: Context, *, science: bool) -> None:
    if frame.describe("gain") is None:
        array, mode = frame.describe("array_name"), frame.describe("read_mode")
        well = frame.describe("well_depth_setting")
        raise DataError(
            f"{frame.name}: no gain is known for array {array}, read mode {mode}, well depth {well}; "
            "leave the frame out"
        )
    complete = all(key in frame.primary or key in frame.header for key in WCS_KEYS)
    if science and params.require_wcs and not complete:
        if params.bad_wcs in _NEVER_REBUILT:
            raise DataError(f"{frame.name}: no WCS in the header; -p prepare:bad_wcs=fix rebuilds it from the target")
        if not knows_target(frame):
            raise DataError(f"{frame.name}: neither WCS nor target position in the header; leave the frame out")
    stamp = context.timestamp()
    frame.primary["VALDATA"] = (stamp, "UT time stamp for validateData")
    frame.primary["SDZSTRUC"] = (stamp, "UT of standardizeStructure")


def _standardise(frame: Frame, context: Context) -> None:
    # Every answer is taken before the first card changes: a prepared frame answers differently.
    detector = {
        "RDNOISE": (frame.describe("read_noise"), "electrons"),
        "GAIN": (frame.describe("gain"), "electrons / ADU"),
        "NONLINEA": (frame.describe("non_linear_level"), "ADU"),
        "SATLEVEL": (frame.describe("saturation_level"), "ADU"),
    }
    filter_name = frame.describe("filter_name", pretty=True)
    scale, exposure = frame.describe("pixel_scale"), frame.describe("exposure_time")
    stamp = context.timestamp()
    phu, ext = frame.primary, frame.header
    phu["PROCSOFT"] = ("Keyhole", "Processing software")
    phu["PROCSVER"] = (__version__, "Version of the processing software")
    phu["PROCMODE"] = (context.mode, "Processing mode")
    for key, (value, unit) in detector.items():
        ext[key] = (value, unit)
        phu.remove(key, ignore_missing=True)
    ext["BUNIT"] = ("adu", "Unit of the pixels")
    if scale is not None:
        for header in (phu, ext):
            header["PIXSCALE"] = (scale, "Pixel scale in arcsec/pixel")
    if filter_name is not None:
        phu["FILTER"] = (filter_name, "Combined filter name")
    if exposure is not None:
        phu["EXPTIME"] = (exposure, "Total exposure time, all coadds (s)")
    phu["SDZHDRSG"] = (stamp, "UT of standardizeObservatoryHeaders")
    phu["SDZHDRSI"] = (stamp, "UT of standardizeInstrumentHeaders")
    phu["GEM-TLM"] = (stamp, "UT last modification with the pipeline")
    if frame.path is not None:
        add_provenance(frame, stamp, frame.path.name, context.checksum(frame.path), "prepare")
