"""From ADU to electrons with honest noise and a linear response."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from keyhole.errors import DataError
from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.noise import pedestal, variance_model
from keyhole.imaging.quality import expected_defect, level_of_defect, linearised_level, nonlinearity_correct
from keyhole.instruments import NonLinearity
from keyhole.primitives.base import Context, Params, primitive
from keyhole.primitives.figures import tell_level
from keyhole.primitives.keyhole import expected_keyhole
from keyhole.primitives.light import record_light

__all__ = [
    "ADUToElectronsParams",
    "AddVARParams",
    "NonlinearityParams",
    "add_var",
    "adu_to_electrons",
    "correct_nonlinearity",
]

_FEWEST_UNLIT = 1000
# Every so many rows are looked at before all of them.
_SPARSE = 64
_ALL_BUT_UNLIT = bits.MASK_DTYPE(0xFFFF & ~bits.UNILLUMINATED)
# Light that is missing by non-linearity and worth a word, and pixels in which it is: more than hot ones.
_WORTH_A_WORD = 0.01
_FEWEST_BRIGHT = 30


class ADUToElectronsParams(Params):
    """Parameters of ADUToElectrons."""

    suffix: str | None = Field("_ADUToElectrons", description="Ending of the output name")


@primitive("ADUToElectrons", ADUToElectronsParams, scope="frame", stamp="ADUTOELE", windowed=True)
def adu_to_electrons(frames: list[Frame], params: ADUToElectronsParams, context: Context) -> list[Frame]:
    """Multiply by the gain; levels in the header follow."""
    for frame in frames:
        if str(frame.header.get("BUNIT", "adu")).lower() == "electron":
            context.caveat("already in electrons; left as it is", [frame])
            continue
        gain = float(frame.describe("gain"))
        frame.data = frame.data * np.float32(gain)
        if frame.variance is not None:
            frame.variance = frame.variance * np.float32(gain**2)
        for key in ("SATLEVEL", "NONLINEA"):
            frame.header[key] = (_level(frame, key) * gain, "electron")
        frame.header["GAIN"] = (1.0, "electrons / pixel unit")
        frame.header["BUNIT"] = ("electron", "Unit of the pixels")
    return frames


class AddVARParams(Params):
    """Parameters of addVAR."""

    suffix: str | None = Field("_varAdded", description="Ending of the output name")
    read_noise: bool = Field(False, description="Add the read-noise term")
    poisson_noise: bool = Field(False, description="Add the photon-noise term")


@primitive("addVAR", AddVARParams, scope="frame", stamp="ADDVAR", windowed=True)
def add_var(frames: list[Frame], params: AddVARParams, context: Context) -> list[Frame]:
    """Make the variance plane from read noise and photon noise, the electronic offset left out."""
    for frame in frames:
        electrons = str(frame.header.get("BUNIT", "adu")).lower() == "electron"
        gain = 1.0 if electrons else float(frame.describe("gain"))
        offset = _offset(frame, context)
        added = variance_model(
            frame.data,
            read_noise=float(frame.describe("read_noise")),
            pedestal=offset,
            gain=gain,
            read=params.read_noise,
            poisson=params.poisson_noise,
        )
        frame.variance = added if frame.variance is None else frame.variance + added
        words = [w for w, on in (("read", params.read_noise), ("Poisson", params.poisson_noise)) if on]
        frame.header["VARNOISE"] = (", ".join(words), "Noise terms in the variance")
        record_light(frame, offset)
        tell_level(frame, offset, context)
    return frames


def _offset(frame: Frame, context: Context) -> float:
    """Electronic offset of a frame; 0 where no pixel is known to be dark, which counts everything as light."""
    unlit = None
    if frame.mask is not None:
        if not any(bits.usable(part & _ALL_BUT_UNLIT).any() for part in (frame.mask[::_SPARSE], frame.mask)):
            return 0.0
        if bits.any_set(frame.mask, bits.UNILLUMINATED):
            unlit = (frame.mask & bits.UNILLUMINATED) != 0
    if unlit is not None and np.count_nonzero(unlit) >= _FEWEST_UNLIT:
        return pedestal(frame.data, unlit, frame.mask)
    # Darks see no light at all, and most pixels of a flat through a known keyhole see none either.
    tags = frame.tags
    mostly_dark = "DARK" in tags or ("FLAT" in tags and expected_keyhole(frame, context) is not None)
    return pedestal(frame.data, None, frame.mask) if mostly_dark else 0.0


class NonlinearityParams(Params):
    """Parameters of nonlinearityCorrect."""

    suffix: str | None = Field("_nonlinearityCorrected", description="Ending of the output name")
    do_cal: Literal["procmode", "force", "skip"] = Field("procmode", description="skip = do not do it")


@primitive("nonlinearityCorrect", NonlinearityParams, scope="frame", stamp="LINCORR", windowed=True)
def correct_nonlinearity(frames: list[Frame], params: NonlinearityParams, context: Context) -> list[Frame]:
    """Make the response linear where the array's polynomial is known."""
    for frame in frames:
        array, mode = frame.describe("array_name"), frame.describe("read_mode")
        well = frame.describe("well_depth_setting")
        known = context.instrument(frame).nonlinearity(array, mode, well)
        if params.do_cal == "skip":
            continue
        coadds = int(frame.describe("coadds") or 1)
        if known is None:
            _tell_uncorrected(frame, coadds, context)
            continue
        exposure = float(frame.describe("exposure_time")) / coadds
        frame.data, frame.variance = nonlinearity_correct(
            frame.data,
            frame.variance,
            coadds=coadds,
            exposure_per_coadd=exposure,
            time_delta=known.time_delta,
            even=known.even,
            odd=known.odd,
        )
        _move_levels(frame, known, coadds)
    return frames


def _tell_uncorrected(frame: Frame, coadds: int, context: Context) -> None:
    """Tell by how much counts may be low that cannot be corrected: a warning where stars are that bright."""
    array, mode = frame.describe("array_name"), frame.describe("read_mode")
    well = frame.describe("well_depth_setting")
    limit = _level(frame, "NONLINEA") / coadds
    similar = context.instrument(frame).similar_nonlinearities(mode, well)
    if not similar or frame.tags & {"DARK", "FLAT"}:
        context.note(f"no polynomial is known for array {array}; flagged above {limit:.0f} e- per coadd")
        return
    curves = [(curve.gamma, curve.eta) for found in similar for curve in (found.even, found.odd)]
    worst = expected_defect(limit, curves)
    frame.header["LINERR"] = (round(worst, 4), "Light missing at the linearity limit, if as in similar arrays")
    onset = level_of_defect(_WORTH_A_WORD, curves)
    bright = np.flatnonzero(frame.data > onset * coadds)
    if frame.mask is not None:
        bright = bright[bits.usable(frame.mask.reshape(-1)[bright])]
    if bright.size >= _FEWEST_BRIGHT:
        context.caveat(
            f"array {array} has no known non-linearity: bright stars stay uncorrected; similar arrays read "
            f"{100 * _WORTH_A_WORD:.0f} % low at {onset:.0f} e- per coadd and {100 * worst:.0f} % low at {limit:.0f}, "
            "above which pixels are flagged (2)",
            [frame],
        )
    else:
        context.note(f"no polynomial is known for array {array}; flagged above {limit:.0f} e- per coadd")


def _level(frame: Frame, key: str) -> float:
    """A level that prepare wrote down."""
    if key not in frame.header:
        raise DataError(f"{frame.name}: card {key} is missing, as the frame was not prepared; let prepare run first")
    return float(frame.header[key])


def _move_levels(frame: Frame, known: NonLinearity, coadds: int) -> None:
    for key in ("SATLEVEL", "NONLINEA"):
        level = linearised_level(_level(frame, key), coadds=coadds, even=known.even)
        frame.header[key] = (round(level, 3), "electron")
