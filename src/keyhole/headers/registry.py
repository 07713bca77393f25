"""The list of descriptors: which function answers which question, for which instrument."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from keyhole.errors import ParameterError
from keyhole.headers.model import Headers
from keyhole.headers.rules import GEMINI_RULES, GNIRS_RULES, is_gemini, says_prepared
from keyhole.headers.tagset import granted_tags
from keyhole.headers.values import card, text
from keyhole.instruments import Instrument, Observatory, load, load_observatory

__all__ = [
    "GENERIC",
    "OPTION_NAMES",
    "Descriptor",
    "answer",
    "descriptor",
    "entry",
    "extension_cards",
    "find",
    "instrument_of",
    "is_prepared",
    "keyword_for",
    "names",
    "observatory",
    "one_extension",
    "primary_card",
    "tags",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])

GENERIC = "Gemini"
# The published option names, and those of our functions.
OPTION_NAMES = {
    "stripID": "strip_id",
    "keepID": "keep_id",
    "asMicrometers": "as_micrometers",
    "asNanometers": "as_nanometers",
    "asAngstroms": "as_angstroms",
}


@dataclass(frozen=True)
class Descriptor:
    """One question to a frame and the function that answers it.

    Attributes
    ----------
    function : callable
        Takes `Headers` and keyword-only options.
    per_extension : bool
        The function answers with a list of one value per extension (or None for all).
    """

    function: Callable[..., Any]
    per_extension: bool

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """Published names of the options, in their published order, and their defaults."""
        # Asked for by few: a command need not look at the signatures of all descriptors when it starts.
        published = {ours: theirs for theirs, ours in OPTION_NAMES.items()}
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {published.get(item.name, item.name): item.default for item in parameters}


_TABLES: dict[str, dict[str, Descriptor]] = {GENERIC: {}, "GNIRS": {}}
_RULES = {GENERIC: GEMINI_RULES, "GNIRS": GNIRS_RULES}


def descriptor(
    instrument: str = GENERIC, *, name: str = "", per_extension: bool = False
) -> Callable[[_Function], _Function]:
    """Register the decorated function as a descriptor of `instrument`, by default of all Gemini instruments.

    The name of the descriptor is that of the function unless `name` says otherwise.
    """

    def register(function: _Function) -> _Function:
        _TABLES[instrument][name or function.__name__] = Descriptor(function, per_extension)
        return function

    return register


def find(headers: Headers, name: str) -> Descriptor:
    """The descriptor `name` for the instrument of a frame.

    Raises
    ------
    ParameterError
        There is none of that name; the message proposes a similar one.
    """
    return entry(name, _table_of(headers))


def entry(name: str, instrument: str) -> Descriptor:
    """The descriptor `name` of an instrument, which is the observatory's if it has none of its own.

    Raises
    ------
    ParameterError
        There is none of that name; the message proposes a similar one.
    """
    found = _TABLES.get(instrument, {}).get(name) or _TABLES[GENERIC].get(name)
    if found is None:
        raise ParameterError(f"descriptor {name!r} is not known{_proposal(name)}")
    return found


def answer(headers: Headers, name: str, **options: Any) -> Any:
    """What the descriptor `name` says of a frame, or of one extension if `headers.single`.

    Parameters
    ----------
    headers : Headers
        Headers of the frame.
    name : str
        Name of the descriptor.
    **options
        Its options, by their published names or ours.

    Raises
    ------
    ParameterError
        Descriptor or option are not known.
    """
    found = find(headers, name)
    for option in options:
        if OPTION_NAMES.get(option, option) not in map(_our_name, found.options):
            known = ", ".join(found.options) or "none"
            raise ParameterError(f"descriptor {name} has no option {option!r}; its options: {known}")
    value = found.function(headers, **{_our_name(option): value for option, value in options.items()})
    if found.per_extension and headers.single and isinstance(value, list):
        return value[0] if value else None
    return value


def tags(headers: Headers) -> frozenset[str]:
    """Tags of a frame: what it is and what was done to it.

    A frame that was not taken at Gemini has none.
    """
    if not is_gemini(headers.primary):
        return frozenset()
    return granted_tags(_RULES[_table_of(headers)], headers)


def is_prepared(headers: Headers) -> bool:
    """Whether the frame went through preparation, after which values stand in its extension headers."""
    # What the tags would say: no rule hides this one.
    return is_gemini(headers.primary) and says_prepared(headers.primary)


def instrument_of(headers: Headers) -> Instrument | None:
    """What is known about the instrument of a frame; None for an instrument without a file."""
    table = _table_of(headers)
    return None if table == GENERIC else load(table)


def observatory() -> Observatory:
    """Tables that all Gemini instruments share."""
    return load_observatory(GENERIC)


def keyword_for(headers: Headers, name: str) -> str:
    """Header keyword of the descriptor `name`, for the instrument of a frame."""
    instrument = instrument_of(headers)
    own = instrument.keywords.get(name) if instrument else None
    return own or observatory().keywords[name]


def primary_card(headers: Headers, name: str, default: Any = None) -> Any:
    """Value of the card in the primary header that the descriptor `name` is read from."""
    return card(headers.primary, keyword_for(headers, name), default)


def extension_cards(headers: Headers, name: str) -> list[Any]:
    """Values, one per extension, of the card that the descriptor `name` is read from; None where absent."""
    keyword = keyword_for(headers, name)
    return [card(extension, keyword) for extension in headers.extensions]


def one_extension(headers: Headers, index: int) -> Headers:
    """The frame seen as its extension `index` alone.

    Raises
    ------
    ParameterError
        There is no such extension.
    """
    count = len(headers.extensions)
    if not -count <= index < count:
        raise ParameterError(f"{headers.name} has {count} science extension(s): there is no number {index}")
    return replace(headers, extensions=(headers.extensions[index],), single=True)


def names(instrument: str = "") -> frozenset[str]:
    """Names of the descriptors and other methods that an instrument has of its own, by default of all."""
    tables = [_TABLES[instrument]] if instrument else _TABLES.values()
    return frozenset(name for table in tables for name in table)


def _table_of(headers: Headers) -> str:
    instrument = text(headers.primary, "INSTRUME").upper()
    return instrument if instrument in _TABLES else GENERIC


def _our_name(option: str) -> str:
    return OPTION_NAMES.get(option, option)


def _proposal(name: str) -> str:
    # Slow to import and wanted for mistakes only.
    from difflib import get_close_matches

    close = get_close_matches(name, names(), n=1)
    return f"; did you mean {close[0]!r}?" if close else ": see keyhole.headers.DESCRIPTORS"
