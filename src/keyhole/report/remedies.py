"""Known caveats: what each means for the science, and what to do about it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["RANKS", "Remedy", "remedy_for"]

RANKS: Final = ("note", "care", "serious")
"""Ranks of a warning, the mildest first."""


class Remedy(NamedTuple):
    """What to make of a caveat.

    Attributes
    ----------
    rank : str
        One of `RANKS`.
    meaning : str
        What it means for the science.
    action : str
        What to do.
    """

    rank: str
    meaning: str
    action: str


_UNKNOWN: Final = Remedy(
    "care",
    "A weaker way was taken than the usual one.",
    "Read what the log says about this step, and judge whether your measurement depends on it.",
)

# The first that fits counts. Words are those of the caveats themselves.
_KNOWN: Final[tuple[tuple[str, Remedy], ...]] = (
    (
        r"best effort|made without a",
        Remedy(
            "serious",
            "A correction is missing altogether: levels, bad pixels or the response are wrong.",
            "Do not measure on this image. Find or take the missing calibration and run again.",
        ),
    ),
    (
        r"fill the wells",
        Remedy(
            "serious",
            "Not stars but the light that is everywhere reaches the wells: counts are too low, by an unknown part.",
            "Do not measure on this image. Take shorter exposures with more coadds, or the deep well.",
        ),
    ),
    (
        r"^no processed (dark|flat|bpm)|without that correction",
        Remedy(
            "serious",
            "Without dark hot pixels and offsets stay; without flat fluxes are wrong by the response, some per cent.",
            'Give a master with the plan (dark = "/path", flat = "/path") and run again.',
        ),
    ),
    (
        r"^dark .*(coadd|exposure)",
        Remedy(
            "note",
            "The dark was taken with another split into coadds: its read noise differs a little, its level is right.",
            "Fine for most work. For faint limits take darks with the same coadds and exposure as the science frames.",
        ),
    ),
    (
        r"^(dark|flat|bpm) .*(day|night|old)",
        Remedy(
            "care",
            "The master is old: hot pixels come and go, and the response may have changed.",
            "Prefer a master of the same night; compare the number of hot pixels with a newer one.",
        ),
    ),
    (
        r"^(dark|flat|bpm) ",
        Remedy(
            "care",
            "The master does not meet the rule in full for these frames.",
            "Ask `caldb why` which others there are; name a better one in the plan.",
        ),
    ),
    (
        r"no known non-linearity",
        Remedy(
            "care",
            "Bright stars read too faint: about 1 % near the level named, several per cent close to saturation.",
            "Use stars below that level as photometric standards; leave out what is flagged with DQ bit 2.",
        ),
    ),
    (
        r"hardly any light",
        Remedy(
            "note",
            "The frame was taken with the telescope closed or behind a dome: it holds no sky.",
            "Nothing: it was left out. Delete its line in plan.toml to be rid of the warning.",
        ),
    ),
    (
        r"lies [\d.]+ arcsec from its commanded place",
        Remedy(
            "note",
            "The telescope was not where it was sent. The stars told the true place, which was used.",
            "Check the alignment of this frame by the number of matched stars; guide star lost?",
        ),
    ),
    (
        r"too few sources to align by",
        Remedy(
            "serious",
            "These frames lie only as well as the telescope points: stars of the stack are blurred by it.",
            "Leave the frames out, or lower detectSources:detect_thresh so that stars are found.",
        ),
    ),
    (
        r"aligned on all light",
        Remedy(
            "care",
            "Alignment is good to about a tenth of a pixel in place of a hundredth.",
            "Fine for photometry; for astrometry leave these frames out.",
        ),
    ),
    (
        r"transparency changed|no common star tells",
        Remedy(
            "care",
            "Clouds: counts were scaled to the median frame. Relative fluxes hold; the absolute scale does not.",
            "Calibrate on stars in the field, not on a standard of another time. Leave out the worst frames if "
            "depth matters.",
        ),
    ),
    (
        r"sources contradict the commanded offsets|stars move against",
        Remedy(
            "care",
            "The headers tell the dither pattern wrongly; the stars decided.",
            "Check the orientation of the image (north arrow) against a catalogue before measuring positions.",
        ),
    ),
    (
        r"WCS of (the|\d+) headers?|WCS of the header",
        Remedy(
            "care",
            "The absolute position is less certain than usual; see the expected error of the position.",
            "Tie the image to catalogue stars before publishing positions.",
        ),
    ),
    (
        r"fewer than \d+ skies exist",
        Remedy(
            "care",
            "The sky is made of very few frames: it is noisy, and stars may have left traces in it.",
            "Trust faint sources only if they show in both halves of the data; take more dithers next time.",
        ),
    ),
    (
        r"skies within|further in time",
        Remedy(
            "care",
            "Skies from farther in time serve some frames: the sky may have changed its shape.",
            "Look at the sky residuals of these frames below.",
        ),
    ),
    (
        r"illumination taken from",
        Remedy(
            "care",
            "The large-scale response comes from so few frames that a real slope of the sky may be in it: fluxes may "
            "differ by some per cent over the field.",
            "Take three dithered frames or more; or compare with illuminationCorrect:min_frames=3.",
        ),
    ),
    (
        r"known to be without light",
        Remedy(
            "note",
            "Nothing tells the zero of the read-out from the sky: offsets between quadrants and rows stay.",
            "Look for steps at the middle of the array; keep addDQ:add_illum_mask on where the keyhole is known.",
        ),
    ),
    (
        r"no pixel is lit|every pixel is flagged",
        Remedy(
            "serious",
            "Nothing of the frame can be used.",
            "Look at the raw frame; delete its line in plan.toml if it holds no image.",
        ),
    ),
    (
        r"separateSky|both on target and on the sky|neither on target nor on the sky",
        Remedy(
            "care",
            "The frames named by hand do not fit those that are there: targets may be in the sky, or frames are lost.",
            "Check the names in separateSky:ref_obj and ref_sky.",
        ),
    ),
    (
        r"^no darks: the mask",
        Remedy(
            "care",
            "Hot and noisy pixels are not in the mask; they look like faint stars and cosmic rays.",
            "Give darks together with the flats.",
        ),
    ),
    (
        r"lamp-on and lamp-off flats differ",
        Remedy(
            "care",
            "Dark current and thermal light do not cancel: the flat has a pedestal, fluxes are wrong by it.",
            "Use lamp-on and lamp-off flats of one exposure time.",
        ),
    ),
    (
        r"is no raw image|prepare mends it",
        Remedy("note", "The WCS was looked at, not changed.", "Let prepare run to mend it."),
    ),
    (
        r"illumination unchecked",
        Remedy(
            "care",
            "The flat's large scales come from the lamp alone: fluxes may be wrong by some per cent along the bar.",
            "Compare fluxes of stars that several frames show at different places.",
        ),
    ),
    (
        r"cosmic rays are recognised by their sharpness",
        Remedy(
            "care",
            "With so few frames a cosmic ray can pass for a faint star.",
            "Believe a faint source only if two frames show it.",
        ),
    ),
    (
        r"look like cosmic rays",
        Remedy(
            "serious",
            "So many hits mean that the frame does not lie where it is thought to lie.",
            "Look at its place in the alignment plot; leave it out in plan.toml.",
        ),
    ),
    (
        r"single dark|keeps its noise",
        Remedy(
            "care",
            "A dark of one frame adds its full noise to every frame, and its cosmic rays.",
            "Take at least five darks of this exposure.",
        ),
    ),
    (
        r"no lamp-off flats",
        Remedy(
            "care",
            "What glows without the lamp stays in the flat: thermal light (K band) and hot pixels.",
            "Take flats with the lamp off as well.",
        ),
    ),
    (
        r"keyhole is drawn at its usual place|no keyhole is known",
        Remedy(
            "care",
            "The edge of the lit area is not that of these frames: pixels at the rim may be lost or wrong.",
            "Keep away from the edge, or shift the mask: addIllumMaskToDQ:xshift, yshift.",
        ),
    ),
    (
        r"bad-pixel mask",
        Remedy(
            "note",
            "The mask marks what the keyhole hides; that was recognised.",
            "Nothing; a mask of the array itself would be better.",
        ),
    ),
    (
        r"weight",
        Remedy(
            "care",
            "Frames of different quality count the same.",
            "Look at the per-frame table; leave out the worst by hand.",
        ),
    ),
    (
        r"not on one grid",
        Remedy(
            "serious",
            "Stars of different frames lie on different pixels: the image is blurred or doubled.",
            "Run resampleToCommonFrame before stackFrames.",
        ),
    ),
    (
        r"was prepared before|already in electrons|holds? no number|no mask to apply",
        Remedy(
            "note",
            "The input was not as the telescope wrote it; it was taken as it is.",
            "Start from the raw frame if you did not mean this.",
        ),
    ),
)


def remedy_for(caveat: str) -> Remedy:
    """What is known of a caveat, by its words; a general advice for one that is not known."""
    for pattern, remedy in _KNOWN:
        if re.search(pattern, caveat):
            return remedy
    return _UNKNOWN
