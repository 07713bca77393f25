"""A header that can be changed: what a frame carries from step to step.

`Cards` is what is needed to look at thousands of files; this is the same, with the order of the cards, their
comments, and the possibility to set and remove some. Cards nobody changed keep their text to the letter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from sys import intern
from typing import Any, NamedTuple

from keyhole.headers.cards import CARD, COMMENTARY, card_comment, card_value

__all__ = ["Card", "Header", "Setting"]

_ABSENT = object()
_LINE = 72
_Name = str | tuple[str, int]


class Card(NamedTuple):
    """One card, to look at."""

    keyword: str
    value: Any
    comment: str


class Setting(NamedTuple):
    """Value and comment of a card that was set; None as comment: none."""

    value: Any
    comment: str | None


class Header(MutableMapping[str, Any]):
    """The cards of one header unit, in their order, from keyword to value.

    Keywords are upper case; they are found in any case. ``header[key] = value`` keeps the comment of a card that is
    there, ``header[key] = value, comment`` sets it; a new card stands before the commentary at the end. ``HISTORY``,
    ``COMMENT`` and blank keywords give all their lines, a tuple of str; to set them adds a line. Of a repeated
    keyword the first card counts.

    Parameters
    ----------
    cards : mapping or str, optional
        Keyword to value or to (value, comment); or the text of all cards before END.
    """

    __slots__ = ("_cards", "_commentary", "_names", "_values")

    def __init__(self, cards: Mapping[str, Any] | str = "") -> None:
        # A card is text as long as nobody has set it. Commentary and repeated cards have a number in their name.
        self._cards: dict[_Name, str | Setting] = {}
        self._values: dict[str, Any] = {}
        # Each keyword once, as long as no card comes or goes.
        self._names: tuple[str, ...] | None = None
        self._commentary = 0
        if isinstance(cards, str):
            self._take(cards)
        else:
            for keyword, value in cards.items():
                self[keyword] = value

    def _take(self, text: str) -> None:
        last: _Name = ""
        cards = self._cards
        for start in range(0, len(text), CARD):
            # Frames of a night have most cards in common.
            image = intern(text[start : start + CARD])
            name: _Name = image[:8].rstrip()
            if name == "CONTINUE" and isinstance(text_before := cards.get(last), str):
                cards[last] = text_before + image
                continue
            if name == "HIERARCH":
                long, sign, _ = image[8:].partition("=")
                name = long.strip().upper() if sign else ("HIERARCH", self._next())
            if name in COMMENTARY or name in cards:
                name = (str(name), self._next())
            cards[intern(name) if isinstance(name, str) else name] = image
            last = name

    def _next(self) -> int:
        self._commentary += 1
        return self._commentary

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of a card, `default` when there is none."""
        value = self._values.get(keyword, _ABSENT)
        if value is not _ABSENT:
            return value
        found = self._cards.get(keyword)
        if found is None:
            usual = keyword.strip().upper()
            if usual in COMMENTARY:
                return self._lines(usual) or default
            return default if usual == keyword else self.get(usual, default)
        value = self._values[keyword] = found.value if isinstance(found, Setting) else card_value(keyword, found)
        return value

    def __getitem__(self, keyword: str) -> Any:
        """Value of a card.

        Raises
        ------
        KeyError
            There is none.
        """
        value = self.get(keyword, _ABSENT)
        if value is _ABSENT:
            raise KeyError(f"Keyword {keyword!r} not found.")
        return value

    def __setitem__(self, keyword: str, value: Any) -> None:
        """Set the value of a card, or value and comment.

        Raises
        ------
        ValueError
            It is nothing that a card can hold: text of printable ASCII, a finite number, a truth value or None.
        """
        comment: str | None = None
        if isinstance(value, tuple):
            value, comment = value if len(value) == 2 else (value[0], None)
        name = keyword.strip().upper()
        value = _checked(name, value)
        if name in COMMENTARY:
            self._add_lines(name, str(value))
            return
        found = self._cards.get(name)
        if found is not None:
            before = self.get(name)
            known = found.comment if isinstance(found, Setting) else card_comment(found)
            if comment is None:
                comment = known
            if type(before) is type(value) and before == value and (comment or "") == (known or ""):
                return
        self._values[name] = value
        if found is not None:
            self._cards[name] = Setting(value, comment)
        else:
            self._append(name, Setting(value, comment))

    def __delitem__(self, keyword: str) -> None:
        """Remove a card, all of them where there are several.

        Raises
        ------
        KeyError
            There is none.
        """
        name = keyword.strip().upper()
        doomed: list[_Name] = [name] if name in self._cards else []
        # Only commentary and repeated cards have a number.
        if self._commentary:
            doomed += [key for key in self._cards if isinstance(key, tuple) and key[0] == name]
        if not doomed:
            raise KeyError(f"Keyword {keyword!r} not found.")
        for key in doomed:
            del self._cards[key]
        self._names = None
        self._values.pop(name, None)

    def __contains__(self, keyword: object) -> bool:
        """Whether a card has this name."""
        if keyword in self._cards:
            return True
        usual = str(keyword).strip().upper()
        return usual in self._cards or (usual in COMMENTARY and bool(self._lines(usual)))

    def __iter__(self) -> Iterator[str]:
        """Keywords in the order of the cards, each once."""
        if self._names is None:
            self._names = tuple(dict.fromkeys([key if isinstance(key, str) else key[0] for key in self._cards]))
        return iter(self._names)

    def __len__(self) -> int:
        """Number of different keywords."""
        iter(self)
        return len(self._names or ())

    def __repr__(self) -> str:
        """Short description."""
        return f"<Header: {len(self)} keywords>"

    def copy(self) -> Header:
        """A header of its own with the same cards."""
        out = Header()
        out._cards = self._cards.copy()
        out._values = self._values.copy()
        out._names = self._names
        out._commentary = self._commentary
        return out

    __copy__ = copy

    def set(
        self,
        keyword: str,
        value: Any = None,
        comment: str | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Set a card, and move it before or behind another one."""
        self[keyword] = value, comment
        place = before if before is not None else after
        if place is None or place.strip().upper() not in self._cards:
            return
        name, mark = keyword.strip().upper(), place.strip().upper()
        self._names = None
        card = self._cards.pop(name)
        names = list(self._cards)
        index = names.index(mark) + (before is None)
        self._cards = {key: self._cards.get(key, card) for key in (*names[:index], name, *names[index:])}

    def remove(self, keyword: str, ignore_missing: bool = False) -> None:
        """Remove a card; KeyError when there is none, unless that may be."""
        if not ignore_missing or keyword in self:
            del self[keyword]

    def add_history(self, text: str) -> None:
        """Add ``HISTORY`` cards behind those that are there."""
        self["HISTORY"] = text

    def add_comment(self, text: str) -> None:
        """Add ``COMMENT`` cards behind those that are there."""
        self["COMMENT"] = text

    @property
    def comments(self) -> MutableMapping[str, str]:
        """Keyword to comment, blank where there is none."""
        return _Comments(self)

    @property
    def cards(self) -> list[Card]:
        """All cards in their order, each line of the commentary for itself."""
        return [_card(key, card) for key, card in self.texts()]

    def append(self, card: tuple[str, Any] | tuple[str, Any, str]) -> None:
        """Set a card given as (keyword, value) or (keyword, value, comment)."""
        self[card[0]] = card[1:] if len(card) > 2 else card[1]

    def rename_keyword(self, old: str, new: str) -> None:
        """Give a card another name, in its place; KeyError when there is none, ValueError when the name is taken."""
        before, after = old.strip().upper(), new.strip().upper()
        if after in self:
            raise ValueError(f"Keyword {new!r} is there already.")
        setting = Setting(self[before], self.comments[before])
        self._cards = {
            after if key == before else key: setting if key == before else card for key, card in self._cards.items()
        }
        self._values.pop(before, None)
        self._names = None

    def texts(self) -> Iterator[tuple[str, str | Setting]]:
        """Keyword and card in their order: its text if it is as it was read, else value and comment."""
        for key, card in self._cards.items():
            yield (key if isinstance(key, str) else key[0]), card

    def _lines(self, name: str) -> tuple[str, ...]:
        found = (card for key, card in self._cards.items() if isinstance(key, tuple) and key[0] == name)
        return tuple(str(card)[8:].rstrip() for card in found)

    def _add_lines(self, name: str, text: str) -> None:
        self._names = None
        names = list(self._cards)
        same = [i for i, key in enumerate(names) if isinstance(key, tuple) and key[0] == name]
        parts = [text[i : i + _LINE] for i in range(0, len(text), _LINE)] or [""]
        new: dict[_Name, str | Setting] = {(name, self._next()): f"{name:8s}{part}".ljust(CARD) for part in parts}
        index = same[-1] + 1 if same else len(names)
        behind = {key: self._cards.pop(key) for key in names[index:]}
        self._cards |= new | behind

    def _append(self, name: str, card: Setting) -> None:
        """Add a card before the commentary at the end."""
        self._names = None
        behind = []
        while self._cards and isinstance(key := next(reversed(self._cards)), tuple) and key[0] in COMMENTARY:
            behind.append((key, self._cards.pop(key)))
        self._cards[name] = card
        self._cards.update(reversed(behind))


class _Comments(MutableMapping[str, str]):
    """The comments of a header."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._cards = {key: card for key, card in header.texts() if key not in COMMENTARY}

    def __getitem__(self, keyword: str) -> str:
        return _comment(self._cards[keyword.strip().upper()])

    def __setitem__(self, keyword: str, comment: str) -> None:
        self._header[keyword] = (self._header[keyword], comment)
        self._cards = {key: card for key, card in self._header.texts() if key not in COMMENTARY}

    def __delitem__(self, keyword: str) -> None:
        self[keyword] = ""

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)


def _comment(card: str | Setting) -> str:
    return (card.comment or "") if isinstance(card, Setting) else card_comment(card)


def _card(keyword: str, card: str | Setting) -> Card:
    if keyword in COMMENTARY:
        return Card(keyword, str(card)[8:].rstrip(), "")
    return Card(keyword, card.value if isinstance(card, Setting) else card_value(keyword, card), _comment(card))


def _checked(name: str, value: Any) -> Any:
    """A value that a card can hold."""
    if isinstance(value, str):
        if not (value.isascii() and (value.isprintable())):
            raise ValueError(f"{name}: {value!r} is not printable ASCII text")
        return value
    if value is None or isinstance(value, bool | int):
        return value
    if not isinstance(value, float | complex):
        # A number of numpy: whole and truth values are as good as those of Python; other floats have a shorter text.
        plain = value.item() if getattr(value, "shape", None) == () else value
        if not isinstance(plain, bool | int | float | complex):
            raise ValueError(f"{name}: a card cannot hold {value!r}")
        if not isinstance(plain, float):
            value = plain
    if isinstance(value, complex):
        if not (math.isfinite(value.real) and math.isfinite(value.imag)):
            raise ValueError(f"{name}: {value!r} is not finite")
    elif not isinstance(value, int) and not math.isfinite(value):
        raise ValueError(f"{name}: {value!r} is not finite")
    return value
