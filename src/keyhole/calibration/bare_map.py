"""Maps of bad pixels without the header of an observatory: usable by hand, but not to be found by a search."""

from __future__ import annotations

from keyhole.calibration.facts import Facts, required_tags
from keyhole.headers import Headers, tags

__all__ = ["how_to_import", "is_bare_map", "serves", "silence_of", "why_no_mask"]

_BPM = "processed_bpm"


def is_bare_map(headers: Headers) -> bool:
    """Whether a file holds one two-dimensional image and no word of telescope and instrument."""
    images = headers.extensions
    return not tags(headers) and len(images) == 1 and images[0].get("NAXIS") == 2


def serves(caltype: str, headers: Headers) -> bool:
    """Whether a file that a user names may serve as a master of this type: a bare map may, as bad-pixel mask."""
    return required_tags(caltype) <= tags(headers) or (caltype == _BPM and is_bare_map(headers))


def why_no_mask(name: str, headers: Headers) -> str:
    """Say why a file cannot serve as bad-pixel mask, and what to do."""
    found = tags(headers)
    if not found:
        return (
            f"{name} is no bad-pixel mask: that is one two-dimensional image, in the first unit or in one that is "
            "called SCI or has no name, and not packed by fpack; give such a file"
        )
    return (
        f"{name} is no bad-pixel mask: it has neither BPMASK nor PROCBPM in its header (tags "
        f"{' '.join(sorted(found))}); if it is a map of bad pixels, {how_to_import(name)}"
    )


def silence_of(caltype: str, facts: Facts) -> str:
    """What a bare map, used as bad-pixel mask, leaves open; nothing for any other file."""
    if caltype != _BPM or facts.tags:
        return ""
    return f"bad-pixel mask {facts.name}, given by hand, says nothing about array and date; it is used as it is"


def how_to_import(name: str) -> str:
    """Say how a bare map becomes a mask that can be registered and found."""
    return (
        "make it a bad-pixel mask that can be found with: "
        f"keyhole bpm import {name} -o bpm_YYYYMMDD.fits --like RAWFRAME.fits --date YYYY-MM-DD"
    )
