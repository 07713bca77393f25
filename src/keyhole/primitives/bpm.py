"""From master darks and a flat to a mask of bad pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.errors import InputError
from keyhole.frames import Frame, merge_provenance
from keyhole.imaging import bits
from keyhole.imaging.flat import threshold_flat
from keyhole.imaging.quality import hot_pixels
from keyhole.primitives.bad_pixels import darks_in_words, flats_in_words, name_learnt, write_history
from keyhole.primitives.base import Context, Params, Response, Sigma, primitive

__all__ = ["MakeBPMParams", "make_bpm"]

_DARK_LIMITS = ("dark_lo_thresh", "dark_hi_thresh")
_FLAT_LIMITS = ("flat_lo_thresh", "flat_hi_thresh")
# Cards of the flat that say nothing about a mask.
_OF_THE_FLAT = ("BUNIT", "VARNOISE", "FLATLEV", "GAIN", "RDNOISE", "EFFRDN", "SATLEVEL", "NONLINEA")


class MakeBPMParams(Params):
    """Parameters of makeBPM."""

    suffix: str | None = Field("_bpm", description="Ending of the output name")
    override_thresh: bool = Field(
        False,
        description="True = the fixed limits *_thresh decide, as published; False = pixels are held against their "
        "neighbours, and a fixed limit counts only if it is given",
    )
    dark_lo_thresh: float | None = Field(-20.0, description="A dark pixel with fewer electrons is bad; None = no limit")
    dark_hi_thresh: float | None = Field(100.0, description="A dark pixel with more electrons is bad; None = no limit")
    flat_lo_thresh: float | None = Field(
        0.1, lt=1, description="A lit pixel of the normalised flat below this is bad; None = no limit"
    )
    flat_hi_thresh: float | None = Field(
        1.25, ge=1, description="A lit pixel of the normalised flat above this is bad; None = no limit"
    )
    keep_unilluminated: bool = Field(
        False, description="Write 64 outside the keyhole; False = nothing: only the darks are judged there"
    )
    dark_sigma: Sigma = Field(6.0, description="A bad pixel of a dark is off its neighbours by more sigma than these")
    dark_rate: float = Field(2.0, ge=0, description="and by more electrons per second than these")
    flat_weak: Response = Field(0.5, description="A lit pixel with less response is bad")
    flat_tolerance: Response = Field(
        0.2, description="A lit pixel that differs from its neighbours by a larger part (and by 5 sigma) is bad"
    )

    def limits(self, names: tuple[str, str]) -> tuple[float, float]:
        """The fixed limits that count, low and high; infinite where none does."""
        low, high = (getattr(self, n) if self.override_thresh or n in self.model_fields_set else None for n in names)
        return (-np.inf if low is None else low, np.inf if high is None else high)


class _Found(NamedTuple):
    """Bad pixels of the darks and of the flat, and pixels that no light reaches, each (ny, nx) bool."""

    dark: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    unlit: NDArray[np.bool_]


@primitive("makeBPM", MakeBPMParams, scope="list", stamp="BPMASK")
def make_bpm(frames: list[Frame], params: MakeBPMParams, context: Context) -> list[Frame]:
    """Make a mask of bad pixels, 1 = bad, of a normalised flat and the darks in the stream ``darks``.

    Hot and cold pixels stand out of their neighbours in a dark, noisy ones were found by
    stackDarks, dead and weak ones stand out in the flat. Outside the keyhole only the darks can
    tell; missing light is no flaw.
    """
    darks = list(context.streams.get("darks", []))
    strange = [frame.name for frame in darks if "DARK" not in frame.tags]
    if strange:
        raise InputError(f"{strange[0]} in the stream 'darks' is no dark; makeProcessedBPM puts the right ones there")
    for frame in frames:
        if "NORMLIZE" not in frame.primary:
            raise InputError(f"{frame.name} is no normalised flat; make a mask with the recipe makeProcessedBPM")
        for dark in darks:
            if dark.data.shape != frame.data.shape:
                raise InputError(f"{dark.name} and {frame.name} have different shapes; give frames of one kind")
    if not darks:
        context.caveat("no darks: the mask knows no hot, cold and noisy pixels", frames)
    return [_mask_of(frame, darks, params, context) for frame in frames]


def _mask_of(flat: Frame, darks: list[Frame], params: MakeBPMParams, context: Context) -> Frame:
    dead, unlit = _bad_in_flat(flat, params)
    dark = np.zeros(flat.data.shape, bool)
    for frame in darks:
        dark |= _bad_in_dark(frame, params)
    found = _Found(dark, dead, unlit)
    out = flat.copy()
    values = np.where(found.dark | found.flat, bits.BAD, 0)
    if params.keep_unilluminated:
        values = np.where(found.unlit, values | bits.UNILLUMINATED, values)
    # A mask is the one product whose pixels are whole numbers.
    out.data = values.astype(np.int16)
    out.variance = out.mask = out.path = None
    out.planes = {}
    merge_provenance(out, [flat, *darks])
    _describe(out, found, darks, context)
    return out


def _bad_in_flat(flat: Frame, params: MakeBPMParams) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bad pixels of a flat, and those that no light reaches."""
    mask = flat.mask if flat.mask is not None else np.zeros(flat.data.shape, np.uint16)
    judged = threshold_flat(flat.data, mask, weak=params.flat_weak, tolerance=params.flat_tolerance).mask
    unlit = (judged & bits.UNILLUMINATED) != 0
    bad = ((mask if params.override_thresh else judged) & bits.BAD) != 0
    low, high = params.limits(_FLAT_LIMITS)
    return bad | (~unlit & ((flat.data < low) | (flat.data > high))), unlit


def _bad_in_dark(dark: Frame, params: MakeBPMParams) -> NDArray[np.bool_]:
    """Bad pixels of a master dark."""
    low, high = params.limits(_DARK_LIMITS)
    bad = (dark.data < low) | (dark.data > high)
    if not params.override_thresh:
        least = params.dark_rate * float(dark.describe("exposure_time") or 0)
        bad |= hot_pixels(dark.data, dark.variance, dark.mask, nsigma=params.dark_sigma, minimum=least)
        if dark.mask is not None:
            bad |= (dark.mask & bits.BAD) != 0
    return np.asarray(bad)


def _describe(out: Frame, found: _Found, darks: list[Frame], context: Context) -> None:
    """Say in the header what the mask is and what it was made of. Changes `out`."""
    for keyword in _OF_THE_FLAT:
        out.header.remove(keyword, ignore_missing=True)
    phu = out.primary
    phu["OBJECT"] = "BPM"
    # The lamp cards alone would still make it a flat.
    phu["OBSTYPE"] = "BPM"
    counts = [int(np.count_nonzero(plane)) for plane in (found.dark | found.flat, found.dark, found.flat)]
    for keyword, count, words in zip(
        ("NBADPIX", "NHOTPIX", "NDEADPIX"),
        counts,
        ("Bad pixels in the mask", "of these hot, cold or noisy in the darks", "of these dead or weak in the flats"),
        strict=True,
    ):
        phu[keyword] = (count, words)
    origins = [*(darks_in_words(dark) for dark in darks), flats_in_words(out)]
    for origin in origins:
        name_learnt(out, origin)
    words = f"{counts[1]} hot, cold or noisy, {counts[2]} dead or weak"
    write_history(out, f"{words}, learnt from {', '.join(origins)}.")
    context.note(f"{words} pixels")
