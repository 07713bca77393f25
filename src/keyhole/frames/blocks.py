"""Headers and images as they stand in a FITS file, the same bytes as `astropy.io.fits` writes.

Only what is of the usual form: loading astropy takes longer than writing a product, and all that it does for such
headers is to put them in order. Anything else is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keyhole.headers import Header
from keyhole.headers.header import Setting

__all__ = ["card_text", "header_block", "image_data", "image_header"]

_BLOCK: Final = 2880
_CARD: Final = 80
_ROWS: Final = 64
"""Rows that are put in the order of bytes of a file at once: they stay in the cache."""
_ZERO: Final = 32768
_LINES: Final = ("HISTORY", "COMMENT", "")
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?"
_USUAL: Final = re.compile(rf"[A-Z0-9_-]{{1,8}} *= (?: *'(?:''|[^'])*'| *{_NUMBER}| *[TF]) *(?:/[ -~]*)?")
_MORE: Final = re.compile(r"CONTINUE  '[^']*' *")
_PART: Final = 67
"""Characters of a text that goes on in the next card."""
_STRUCTURE: Final = re.compile(r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|BSCALE|BZERO)")
# What astropy treats in ways of its own.
_SPECIAL: Final = re.compile(
    r"(GROUPS|BLANK|CONTINUE|CHECKSUM|DATASUM|T(?:FIELDS|FORM|TYPE|UNIT|DIM|NULL|SCAL|ZERO)\d*)"
)
_IMAGES: Final = {"u1": 8, "i2": 16, "u2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


def card_text(keyword: str, setting: Setting) -> str | None:
    """The card with a value; None: it needs more than one line, or its keyword more than eight characters.

    Parameters
    ----------
    keyword : str
    setting : Setting
        Text, whole number, truth value or float, and the comment.
    """
    value = setting.value
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        field = f"'{quoted:8}'"
        text = f"{field:20}" if value else "''"
    elif isinstance(value, bool | np.bool_):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, int | np.integer):
        text = f"{value:>20d}"
    elif isinstance(value, float | np.floating):
        text = f"{_number(value):>20}"
    else:
        return None
    if not re.fullmatch(r"[A-Z0-9_-]{1,8}", keyword):
        return None
    if len(text) > _CARD - 10:
        # A quoted quote must not be parted.
        return None if setting.comment or "'" in value or value.endswith(" ") else _continued(keyword, value)
    comment = f" / {setting.comment}" if setting.comment else ""
    # A comment that does not fit is cut.
    return f"{keyword:8}= {text}{comment}"[:_CARD].ljust(_CARD)


def _continued(keyword: str, text: str) -> str:
    """Cards with a text that is too long for one, parted behind a blank where there is one."""
    parts = []
    while len(text) > _PART or (len(text) == _PART and " " in text):
        cut = text.rfind(" ", 0, _PART) + 1 or _PART
        parts.append(text[:cut])
        text = text[cut:]
    first, *others = [*(f"'{part}&'" for part in parts), f"'{text}'"]
    cards = [f"{keyword:8}= {first}", *(f"CONTINUE  {other}" for other in others)]
    return "".join(card.ljust(_CARD) for card in cards)


def _number(value: float | np.floating[Any]) -> str:
    """A float in at most 20 characters."""
    text = str(value).replace("e", "E")
    mark = text.find("E")
    return text[:20] if len(text) <= 20 or mark < 0 else text[: 20 - (len(text) - mark)] + text[mark:]


@lru_cache(maxsize=4096)
def _is_usual(card: str) -> bool:
    """Whether a card that was read is one that any program writes like this."""
    first, *others = (card[start : start + _CARD] for start in range(0, len(card), _CARD))
    return len(card) % _CARD == 0 and bool(_USUAL.fullmatch(first)) and all(map(_MORE.fullmatch, others))


def header_block(structure: list[tuple[str, Any, str | None]], header: Header) -> bytes | None:
    """A header in whole blocks: what describes the data, then all other cards.

    Parameters
    ----------
    structure : list of (keyword, value, comment)
        The cards at the beginning.
    header : Header
        The others; what it says of the structure is left out.

    Returns
    -------
    bytes or None
        None: a card is not of the usual form, or stands there twice.
    """
    cards = [card_text(keyword, Setting(value, comment)) for keyword, value, comment in structure]
    seen = set()
    for keyword, card in header.texts():
        if keyword in _LINES:
            if len(str(card)) != _CARD or not str(card).isprintable():
                return None
            cards.append(str(card))
            continue
        if _STRUCTURE.fullmatch(keyword):
            continue
        if keyword in seen or _SPECIAL.fullmatch(keyword):
            return None
        seen.add(keyword)
        if isinstance(card, str):
            cards.append(card if _is_usual(card) else None)
        else:
            cards.append(card_text(keyword, card))
    known = [card for card in cards if card is not None and card.isascii()]
    # Blank cards at the end are room for others: astropy fills it.
    if len(known) < len(cards) or not known or not known[-1].strip():
        return None
    text = "".join(known) + "END".ljust(_CARD)
    return text.encode("ascii").ljust(-(-len(text) // _BLOCK) * _BLOCK)


def image_header(plane: NDArray[Any], header: Header) -> bytes | None:
    """Header of an image extension; None: see `header_block`, or pixels of another type.

    Parameters
    ----------
    plane : (ny, nx)
    header : Header
    """
    kind = plane.dtype.newbyteorder("=").str[1:]
    if kind not in _IMAGES or plane.ndim != 2:
        return None
    structure: list[tuple[str, Any, str | None]] = [
        ("XTENSION", "IMAGE", "Image extension"),
        ("BITPIX", _IMAGES[kind], "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", plane.shape[1], None),
        ("NAXIS2", plane.shape[0], None),
        ("PCOUNT", 0, "number of parameters"),
        ("GCOUNT", 1, "number of groups"),
    ]
    # FITS has signed numbers only.
    structure += [("BSCALE", 1, None), ("BZERO", _ZERO, None)] if kind == "u2" else []
    return header_block(structure, header)


def image_data(plane: NDArray[Any]) -> Iterator[bytes]:
    """Pixels as they follow `image_header`, some rows at a time, in whole blocks.

    Parameters
    ----------
    plane : (ny, nx)
    """
    for start in range(0, len(plane), _ROWS):
        part = plane[start : start + _ROWS]
        if plane.dtype.kind == "u" and plane.dtype.itemsize == 2:
            part = (part.astype(np.uint16) ^ np.uint16(_ZERO)).view(np.int16)
        yield part.astype(part.dtype.newbyteorder(">"), order="C").tobytes()
    yield bytes(-plane.nbytes % _BLOCK)
