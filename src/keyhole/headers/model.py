"""The headers of one frame, and the errors of reading values from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from keyhole.errors import DataError

__all__ = ["HeaderValueError", "Headers", "MissingCardError", "Section"]


@dataclass(frozen=True)
class Headers:
    """Primary header and headers of the science extensions of one frame.

    Attributes
    ----------
    primary : mapping
        Keyword to value; a `Cards` of our reader or an astropy Header.
    extensions : tuple of mapping
        One for each SCIENCE extension: an image extension that is called ``SCI`` or has no name, as in raw
        files. The ``VAR`` and ``DQ`` planes and the tables of a product are not counted, so that its
        descriptors have one value per science plane. A file that holds one image in its primary unit has that
        unit as extension.
    name : str
        File name or path, for messages and as last resort for the date.
    single : bool
        Whether one extension is meant instead of the whole frame: descriptors that have a value per extension
        then answer with the value instead of a list.
    """

    primary: Mapping[str, Any]
    extensions: tuple[Mapping[str, Any], ...] = ()
    name: str = ""
    single: bool = False


class HeaderValueError(DataError, ValueError):
    """A card holds a value with which a question cannot be answered."""


class MissingCardError(DataError, KeyError):
    """A card is missing without which a question cannot be answered."""

    def __str__(self) -> str:
        """The message as it is; a KeyError would put it in quotes."""
        return str(self.args[0]) if self.args else ""


class Section(NamedTuple):
    """A rectangle of pixels, 0-based and half-open."""

    x1: int
    x2: int
    y1: int
    y2: int

    def as_iraf_section(self) -> str:
        """The section as text ``[x1:x2,y1:y2]``, 1-based and inclusive."""
        return f"[{self.x1 + 1}:{self.x2},{self.y1 + 1}:{self.y2}]"

    def as_slice(self) -> tuple[slice, slice]:
        """The section as (rows, columns) to index an array (ny, nx)."""
        return slice(self.y1, self.y2), slice(self.x1, self.x2)

    @classmethod
    def from_text(cls, text: str) -> Section:
        """The section that a text ``[x1:x2,y1:y2]`` means.

        Raises
        ------
        HeaderValueError
            The text is of another form.
        """
        try:
            (x1, x2), (y1, y2) = (map(int, axis.split(":")) for axis in text.strip().strip("[]").split(","))
        except ValueError:
            raise HeaderValueError(f"section {text!r} is not of the form [x1:x2,y1:y2]") from None
        return cls(x1 - 1, x2, y1 - 1, y2)
