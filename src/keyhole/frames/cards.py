"""Headers to and from `astropy.io.fits`, which writes files and which other programs understand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyhole.headers import Header

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["from_astropy", "to_astropy"]

_LONGEST = 8


def from_astropy(header: fits.Header) -> Header:
    """The cards of an astropy header; those that nobody changed keep their text."""
    return Header(header.tostring(sep="", endcard=False, padding=False))


def to_astropy(header: Header) -> fits.Header:
    """The same cards as an astropy header.

    Raises
    ------
    ValueError
        A keyword is no legal one.
    """
    from astropy.io import fits

    return fits.Header([_card(fits, name, card) for name, card in header.texts()])


def _card(fits: Any, name: str, card: Any) -> Any:
    if isinstance(card, str):
        return fits.Card.fromstring(card)
    long = len(name) > _LONGEST or " " in name
    return fits.Card(f"HIERARCH {name}" if long else name, card.value, card.comment)
