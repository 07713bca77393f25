"""Dark and flat correction, and the illumination the lamp gets wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keyhole.errors import CalibrationError
from keyhole.frames import Frame, MasterPart, add_provenance
from keyhole.imaging.flat import divide_by_flat
from keyhole.primitives.bad_pixels import name_master
from keyhole.primitives.base import Context, Params, primitive
from keyhole.primitives.noise import record_dark_noise, record_flat_noise

__all__ = ["DarkParams", "FlatParams", "dark_correct", "flat_correct"]

DoCal = Literal["procmode", "force", "skip"]


class DarkParams(Params):
    """Parameters of darkCorrect."""

    suffix: str | None = Field("_darkCorrected", description="Ending of the output name")
    do_cal: DoCal = Field(
        "procmode",
        description="procmode = required in sq, optional in qa and ql; force = required; skip = not done",
    )
    dark: str | None = Field(None, description="Master dark to use instead of the one from the databases")


class FlatParams(Params):
    """Parameters of flatCorrect."""

    suffix: str | None = Field("_flatCorrected", description="Ending of the output name")
    do_cal: DoCal = Field(
        "procmode",
        description="procmode = required in sq, optional in qa and ql; force = required; skip = not done",
    )
    flat: str | None = Field(None, description="Master flat to use instead of the one from the databases")


@primitive("darkCorrect", DarkParams, scope="frame", stamp="DARKCORR", calibrations=("processed_dark",), windowed=True)
def dark_correct(frames: list[Frame], params: DarkParams, context: Context) -> list[Frame]:
    """Subtract the master dark; variances add and flags join."""
    for frame in frames:
        part = _master(frame, params.do_cal, params.dark, "processed_dark", context)
        if part is None:
            continue
        dark = part.frame
        _check_fit(dark, frame, "dark")
        frame.data = frame.data - dark.data
        if frame.variance is not None and dark.variance is not None:
            frame.variance = frame.variance + dark.variance
            record_dark_noise(frame, part)
        _join_flags(frame, part, "dark")
        frame.primary["DARKIM"] = (dark.name, "Master dark that was subtracted")
        _record(frame, dark, "darkCorrect", context)
    return frames


@primitive("flatCorrect", FlatParams, scope="frame", stamp="FLATCORR", calibrations=("processed_flat",), windowed=True)
def flat_correct(frames: list[Frame], params: FlatParams, context: Context) -> list[Frame]:
    """Divide by the master flat; relative variances add and flags join."""
    for frame in frames:
        part = _master(frame, params.do_cal, params.flat, "processed_flat", context)
        if part is None:
            continue
        flat = part.frame
        _check_fit(flat, frame, "flat")
        wanted, given = frame.describe("filter_name", pretty=True), flat.describe("filter_name", pretty=True)
        if wanted != given:
            raise CalibrationError(
                f"{flat.name}: the flat is of filter {given}, {frame.name} of {wanted}; give one of {wanted}"
            )
        frame.data, frame.variance = divide_by_flat(frame.data, frame.variance, flat.data, flat.variance)
        if frame.variance is not None:
            record_flat_noise(frame, part, frame.data)
        _join_flags(frame, part, "flat")
        frame.primary["FLATIM"] = (flat.name, "Master flat that was divided by")
        _record(frame, flat, "flatCorrect", context)
    return frames


def _master(frame: Frame, do_cal: DoCal, named: str | None, kind: str, context: Context) -> MasterPart | None:
    if do_cal == "skip":
        return None
    found = context.read_calibration(named, kind) if named else context.calibration(frame, kind)
    if found is None:
        words = kind.replace("_", " ")
        required = context.mode == "sq" and not context.best_effort
        if do_cal == "force" or (do_cal == "procmode" and required):
            raise CalibrationError(f"{frame.name}: no {words} is at hand; name one with --user_cal {kind}:FILE")
        context.caveat(f"no {words}; the frames are used without that correction", [frame])
        return None
    return context.part(found, frame)


def _check_fit(master: Frame, frame: Frame, words: str) -> None:
    if master.data.shape != frame.data.shape:
        ny, nx = frame.data.shape if frame.window is None else frame.window.shape
        raise CalibrationError(
            f"{master.name}: the {words} is {master.data.shape[1]} x {master.data.shape[0]} pixels, "
            f"{frame.name} is {nx} x {ny}; give one of the same size"
        )
    units = [str(f.header.get("BUNIT", "adu")).lower() for f in (master, frame)]
    if words == "dark" and units[0] != units[1]:
        raise CalibrationError(f"{master.name}: the dark is in {units[0]}, {frame.name} in {units[1]}")


def _join_flags(frame: Frame, part: MasterPart, word: str) -> None:
    flags = part.frame.mask
    if flags is None:
        return
    name_master(frame, part, word)
    frame.mask = flags if frame.mask is None else frame.mask | flags


def _record(frame: Frame, master: Frame, step: str, context: Context) -> None:
    if master.path is not None:
        add_provenance(frame, context.timestamp(), master.path.name, context.checksum(master.path), step)
