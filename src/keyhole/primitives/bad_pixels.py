"""Bad pixels that a frame gets from masks and masters, and what its header says of where they come from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError, DataError
from keyhole.frames import Frame, MasterPart
from keyhole.headers import Section
from keyhole.imaging import bits
from keyhole.imaging.bad_pixels import bad_in_map, place_map, without_surroundings

__all__ = [
    "LEARNT_CARDS",
    "PlacedMask",
    "bad_pixels_for",
    "count_bad",
    "darks_in_words",
    "flats_in_words",
    "name_learnt",
    "name_masks",
    "name_master",
    "write_history",
]

# Cards in masters: number of bad pixels that were learnt from the darks, and from the flats.
LEARNT_CARDS = ("NHOTPIX", "NNOISYPX", "NDEADPIX")

_CARD = "BPMSRC"
_NONE = "none"
_HISTORY_WIDTH = 72
_LEARNT, _FLAGGED = "learnt: ", "flagged in: "


class PlacedMask(NamedTuple):
    """A bad-pixel mask as it applies to a frame.

    Attributes
    ----------
    bad : (ny, nx) bool
        Bad pixels.
    hidden : int
        Pixels that the mask calls bad, but only for want of light outside the keyhole; they are not in `bad`.
    """

    bad: NDArray[np.bool_]
    hidden: int


def bad_pixels_for(frame: Frame, mask: Frame) -> PlacedMask:
    """Bad pixels of a frame after a bad-pixel mask, which is cut to the part of the detector that the frame shows.

    Where neither says which part it shows, both must have the same shape.

    Raises
    ------
    DataError
        The mask does not fit, or holds no mask.
    """
    own, wanted = _section(mask), _section(frame)
    one_shape = mask.data.shape == frame.data.shape
    if own is None and wanted is None and not one_shape:
        shapes = ", ".join(f"{f.name} is {f.data.shape[1]} x {f.data.shape[0]} pixels" for f in (mask, frame))
        raise DataError(f"bad-pixel mask {shapes}, and no DETSEC card says which part of the array; give one that fits")
    try:
        bad = bad_in_map(mask.data)
        if not (one_shape and (own is None or wanted is None or own == wanted)):
            bad = place_map(bad, own or _whole(mask), wanted or _whole(frame))
    except AlgorithmError as err:
        raise DataError(f"bad-pixel mask {mask.name} cannot be used for {frame.name}: {err}; give another") from err
    if bad.shape != frame.data.shape:
        card = frame.header.get("DETSEC")
        raise DataError(f"{frame.name}: its DETSEC card {card} does not fit its pixels; correct or remove the card")
    flaws = without_surroundings(bad)
    return PlacedMask(flaws, int(np.count_nonzero(bad) - np.count_nonzero(flaws)))


def _section(frame: Frame) -> Section | None:
    text = frame.header.get("DETSEC", frame.primary.get("DETSEC"))
    if text is None:
        return None
    try:
        return Section.from_text(str(text))
    except DataError as err:
        raise DataError(f"{frame.name}, card DETSEC: {err}; correct or remove the card") from err


def _whole(frame: Frame) -> Section:
    ny, nx = frame.data.shape
    return Section(0, nx, 0, ny)


def count_bad(frame: Frame) -> int:
    """Number of pixels flagged bad (bit 1)."""
    return 0 if frame.mask is None else int(np.count_nonzero(frame.mask & bits.MASK_DTYPE(bits.BAD)))


def name_masks(frame: Frame, masks: Sequence[str]) -> None:
    """Write down which masks were used, such as ``processed_bpm: NAME``; an empty list: none. Changes `frame`."""
    _, learnt, flagged = _parts(frame)
    _write(frame, list(masks), learnt, flagged)


def name_learnt(frame: Frame, source: str) -> None:
    """Write down that bad pixels were learnt from `source`, such as ``dark NAME``. Changes `frame`."""
    masks, learnt, flagged = _parts(frame)
    _write(frame, masks, [*learnt, source], flagged)


def name_master(frame: Frame, part: MasterPart, word: str) -> None:
    """Write down that the bad pixels of a master joined those of a frame. Changes `frame`."""
    count = part.once(count_bad)
    if not count:
        return
    master = part.frame
    masks, learnt, flagged = _parts(frame)
    name = f"{word} {master.name}"
    number = sum(int(master.primary.get(card, 0)) for card in LEARNT_CARDS)
    (learnt if number else flagged).append(name)
    _write(frame, masks, learnt, flagged)
    write_history(frame, f"{count} flagged in {name} joined DQ bit 1; {number} of them were learnt there.")


def flats_in_words(flat: Frame) -> str:
    """How many flats a lamp flat was made of: ``16 flats``."""
    count = int(flat.primary.get("NCOMBINE", 1)) + int(flat.primary.get("NLAMPOFF", 0))
    return f"{count} flat{'s' * (count > 1)}"


def darks_in_words(dark: Frame) -> str:
    """How many darks a master dark was made of: ``10 darks of 60 s``."""
    count = int(dark.primary.get("NCOMBINE", 1))
    exposure = dark.describe("exposure_time")
    return f"{count} dark{'s' * (count > 1)}" + ("" if exposure is None else f" of {exposure:g} s")


def write_history(frame: Frame, sentence: str) -> None:
    """Add a HISTORY card on bad pixels to the primary header. Changes `frame`."""
    for line in textwrap.wrap(f"Bad pixels: {sentence}", _HISTORY_WIDTH):
        frame.primary.add_history(line)


def _parts(frame: Frame) -> tuple[list[str], list[str], list[str]]:
    """Masks, sources from which was learnt, and masters that bring flags of their own."""
    masks: list[str] = []
    learnt: list[str] = []
    flagged: list[str] = []
    for part in str(frame.primary.get(_CARD, _NONE)).split("; "):
        head = next((word for word in (_LEARNT, _FLAGGED) if part.startswith(word)), "")
        items = [item for item in part.removeprefix(head).split(", ") if item != _NONE]
        {_LEARNT: learnt, _FLAGGED: flagged}.get(head, masks).extend(items)
    return masks, learnt, flagged


def _write(frame: Frame, masks: list[str], learnt: list[str], flagged: list[str]) -> None:
    parts = [
        head + ", ".join(dict.fromkeys(names))
        for head, names in (("", masks), (_LEARNT, learnt), (_FLAGGED, flagged))
        if names
    ]
    # Names are long: the value may need all of the card, and more.
    frame.primary[_CARD] = "; ".join(parts) or _NONE
