"""Choosing frames by tags and expression, under the names that scripts know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from keyhole.selection import Expression, list_header, select
from keyhole.selection import parse as _parse

__all__ = ["expr_parser", "select_data", "writeheader"]


def select_data(
    inputs: Iterable[str],
    tags: Sequence[str] = (),
    xtags: Sequence[str] = (),
    expression: str | Expression = "True",
    adpkg: str | None = None,
) -> list[str]:
    """Names of the files that carry all `tags`, none of `xtags`, and meet the expression; order kept.

    `adpkg` has no effect. See `keyhole.selection.select`.
    """
    return select(inputs, tags, xtags, expression)


def expr_parser(expression: str, strict: bool = False) -> Expression:
    """Read an expression for `select_data`; see `keyhole.selection.expression.parse`."""
    return _parse(expression, strict=strict)


def writeheader(fh: TextIO, tags: Sequence[str] | None, xtags: Sequence[str] | None, expression: str | None) -> None:
    """Write the comment lines of a list of files to an open file."""
    fh.writelines(f"{line}\n" for line in list_header(tags, xtags, expression))
