"""Header cards: found at once, their values understood when somebody asks.

A frame has some 180 cards and a question needs a few of them, so a header is kept as text and each value is
parsed on first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from sys import intern
from typing import Any

__all__ = ["CardValue", "Cards", "card_comment", "card_value"]

CardValue = str | int | float | bool | complex | None

CARD = 80
COMMENTARY = frozenset({"COMMENT", "HISTORY", ""})
# Keywords that need more than "the first card of a name counts".
SPECIAL = COMMENTARY | {"CONTINUE", "HIERARCH"}

_STRING = re.compile(r"\s*'((?:[^']|'')*)'")
_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?")
_COMPLEX = re.compile(r"\(([^,]+),([^,]+)\)")


class Cards(Mapping[str, CardValue]):
    """The cards of one header unit as a read-only mapping from keyword to value.

    Parameters
    ----------
    text : str
        All cards up to, not including, END; a multiple of 80 characters.

    Notes
    -----
    A repeated keyword counts the first time it occurs. ``COMMENT``, ``HISTORY`` and blank keywords give all
    their lines joined by line feeds, whether or not they look like ``COMMENT = 'string'``. A long string
    continued on ``CONTINUE`` cards is one value. A ``HIERARCH`` card is found under its long name in upper
    case. A card without a value, and an undefined value, give None. Text that is no legal value is given as
    it stands.
    """

    __slots__ = ("_images", "_values")

    def __init__(self, text: str = "") -> None:
        self._images = _index(text)
        self._values: dict[str, CardValue] = {}

    def __getitem__(self, keyword: str) -> CardValue:
        """Value of the first card named `keyword`; KeyError when there is none."""
        try:
            return self._values[keyword]
        except KeyError:
            value = _value(keyword, self._images[keyword])
            self._values[keyword] = value
            return value

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of the first card named `keyword`, `default` when there is none."""
        try:
            return self._values[keyword]
        except KeyError:
            return self[keyword] if keyword in self._images else default

    def share(self) -> None:
        """Hold each card once with all others that share: frames of a night have most of them in common."""
        self._images = {intern(keyword): intern(image) for keyword, image in self._images.items()}

    def __contains__(self, keyword: object) -> bool:
        """Whether a card has this name; its value is not looked at."""
        return keyword in self._images

    def __iter__(self) -> Iterator[str]:
        """Keywords in the order of the header, each once."""
        return iter(self._images)

    def __len__(self) -> int:
        """Number of different keywords."""
        return len(self._images)

    def __repr__(self) -> str:
        """Short description."""
        return f"<Cards: {len(self)} keywords>"


def _index(text: str) -> dict[str, str]:
    """The card images by keyword; continued and repeated commentary cards are joined to one image."""
    images: dict[str, str] = {}
    last = ""
    for start in range(0, len(text), CARD):
        keyword = text[start : start + 8].rstrip()
        if keyword not in SPECIAL:
            if keyword in images:
                last = ""
            else:
                images[keyword] = text[start : start + CARD]
                last = keyword
            continue
        card = text[start : start + CARD]
        if keyword == "CONTINUE":
            if last:
                images[last] += card
        elif keyword == "HIERARCH":
            name, sign, _ = card[8:].partition("=")
            last = name.strip().upper()
            if sign:
                images.setdefault(last, _plain(card))
        elif keyword or card.strip():
            images[keyword] = f"{images[keyword]}\n{card[8:].rstrip()}" if keyword in images else card.rstrip()
            last = ""
    return images


def _value(keyword: str, image: str) -> CardValue:
    """The value of a card image."""
    if keyword in COMMENTARY:
        return image[8:]
    if image[8:9] != "=":
        return image[8:CARD].strip() or None
    return _string(image) if image[9:CARD].lstrip().startswith("'") else _scalar(image[9:CARD])


def card_value(keyword: str, image: str) -> CardValue:
    """The value that the text of a card holds.

    Parameters
    ----------
    keyword : str
        Its name; the long one of a ``HIERARCH`` card.
    image : str
        80 characters, or more with its ``CONTINUE`` cards.
    """
    return _value(keyword, _plain(image))


def card_comment(image: str) -> str:
    """The comment of a card, blank where it has none."""
    image = _plain(image)
    if image[8:9] != "=":
        return ""
    found = []
    for start in range(0, len(image), CARD):
        rest = image[start + (9 if start == 0 else 8) : start + CARD]
        text = _STRING.match(rest)
        found.append((rest[text.end() :] if text else rest).partition("/")[2].strip())
    return " ".join(part for part in found if part)


def _plain(image: str) -> str:
    """A ``HIERARCH`` card as if its keyword were short; others as they are."""
    if not image.startswith("HIERARCH"):
        return image
    _, sign, rest = image[8:].partition("=")
    return f"HIERARCH= {rest}".ljust(CARD) if sign else image


def _string(image: str) -> str:
    """A string value; trailing blanks do not count, an ampersand at the end leads to the next card."""
    parts: list[str] = []
    for start in range(0, len(image), CARD):
        field = image[start + 9 : start + CARD] if start == 0 else image[start + 8 : start + CARD]
        match = _STRING.match(field)
        if match is None:
            # The closing quote is missing: everything counts, as the writer will have meant.
            parts.append(field.strip().lstrip("'").rstrip())
            break
        part = match[1].replace("''", "'").rstrip()
        more = part.endswith("&") and start + CARD < len(image)
        parts.append(part[:-1] if more else part)
        if not more:
            break
    return "".join(parts).rstrip()


def _scalar(field: str) -> CardValue:
    """A value that is no string."""
    text = field.partition("/")[0].strip()
    if not text:
        return None
    if text in ("T", "F"):
        return text == "T"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    pair = _COMPLEX.fullmatch(text)
    if pair and all(_FLOAT.fullmatch(part.strip()) for part in pair.groups()):
        return complex(_float(pair[1].strip()), _float(pair[2].strip()))
    return text


def _float(text: str) -> float:
    return float(text.upper().replace("D", "E"))
