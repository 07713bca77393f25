"""A checked view of a TOML table: a wrong, missing or superfluous entry is told by file, table and key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from keyhole.errors import SetupError

__all__ = ["CheckedTable"]


class CheckedTable:
    """One table of an instrument file.

    Parameters
    ----------
    source : str
        File name, for messages.
    path : str
        Dotted name of the table in the file, for messages.
    content : mapping
        What tomllib read.
    """

    def __init__(self, source: str, path: str, content: object) -> None:
        self.source, self.path = source, path
        if not isinstance(content, dict):
            raise self.error(f"is {content!r} instead of a table")
        self._content: dict[str, Any] = content
        self._seen: set[str] = set()

    def error(self, what: str) -> SetupError:
        """An error that names file and table."""
        return SetupError(f"{self.source}: table [{self.path}] {what}; correct the file or reinstall keyhole")

    def raw(self, key: str) -> Any:
        """The entry `key`, which must exist."""
        self._seen.add(key)
        if key not in self._content:
            raise self.error(f"lacks {key!r}")
        return self._content[key]

    def table(self, key: str) -> CheckedTable:
        """The table below `key`."""
        return CheckedTable(self.source, f"{self.path}.{key}".lstrip("."), self.raw(key))

    def tables(self, key: str) -> list[CheckedTable]:
        """The array of tables below `key`."""
        found = self.raw(key)
        if not isinstance(found, list):
            raise self.error(f"has {key} = {found!r} instead of a list of tables")
        return [CheckedTable(self.source, f"{self.path}.{key}[{i}]", item) for i, item in enumerate(found)]

    def text(self, key: str) -> str:
        """A string that is not blank."""
        return self._as_text(key, self.raw(key))

    def number(self, key: str) -> float:
        """A finite number."""
        return self._as_number(key, self.raw(key))

    def positive(self, key: str) -> float:
        """A finite number above zero."""
        value = self.number(key)
        if value <= 0:
            raise self.error(f"has {key} = {value}, which must be above 0")
        return value

    def integer(self, key: str) -> int:
        """An integer."""
        return self.as_integer(key, self.raw(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of at least one string."""
        found = self.raw(key)
        if not isinstance(found, list) or not found:
            raise self.error(f"has {key} = {found!r} instead of a list of names")
        return tuple(self._as_text(key, item) for item in found)

    def numbers(self, key: str, length: int) -> tuple[float, ...]:
        """A list of `length` numbers."""
        return self.as_numbers(key, self.raw(key), length)

    def provenance(self) -> None:
        """Check that the table says its unit and its origin."""
        self.text("unit")
        self.text("origin")

    def number_map(self) -> dict[str, float]:
        """All entries as numbers by name."""
        return {key: self.number(key) for key in list(self._content)}

    def text_map(self) -> dict[str, str]:
        """All entries as strings by name."""
        return {key: self.text(key) for key in list(self._content)}

    def table_map(self) -> dict[str, CheckedTable]:
        """All entries as tables by name."""
        return {key: self.table(key) for key in list(self._content)}

    def rows(self, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """Each list in ``rows`` as a mapping from column name to value."""
        found = self.raw("rows")
        if not isinstance(found, list):
            raise self.error("has rows that are no list")
        for row in found:
            if not isinstance(row, list) or len(row) != len(columns):
                raise self.error(f"has the row {row!r}, which does not fill the columns {', '.join(columns)}")
            yield dict(zip(columns, row, strict=True))

    def close(self) -> None:
        """Complain about entries that nobody asked for: most likely a misspelt name."""
        extra = sorted(set(self._content) - self._seen)
        if extra:
            raise self.error(f"has the unknown entry {extra[0]!r}")

    def _as_text(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"has {key} = {value!r} instead of a text")
        return value

    def _as_number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.error(f"has {key} = {value!r} instead of a number")
        return float(value)

    def as_integer(self, key: str, value: object) -> int:
        """`value` if it is an integer."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"has {key} = {value!r} instead of an integer")
        return value

    def as_numbers(self, key: str, value: object, length: int) -> tuple[float, ...]:
        """`value` as a tuple if it is a list of `length` numbers."""
        if not isinstance(value, list) or len(value) != length:
            raise self.error(f"has {key} = {value!r} instead of {length} numbers")
        return tuple(self._as_number(key, item) for item in value)

    def checked(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """`row` after checking that each cell is a text or a finite number."""
        for key, value in row.items():
            if isinstance(value, str):
                self._as_text(key, value)
            else:
                self._as_number(key, value)
        return dict(row)
