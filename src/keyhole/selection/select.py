"""Choosing frames by tags and expression, reading nothing but headers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from keyhole.errors import DataError, InputError
from keyhole.headers import Headers, read_headers, tags
from keyhole.selection.expression import Expression, parse

__all__ = ["select"]

log = logging.getLogger(__name__)


def select(
    paths: Iterable[str],
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    expression: str | Expression | None = None,
    *,
    strict: bool = False,
    on_skipped: Callable[[str, DataError], None] | None = None,
) -> list[str]:
    """Choose the files that carry tags, lack others and meet an expression.

    Parameters
    ----------
    paths : iterable of str
        Files, in order.
    include, exclude : iterable of str
        All of the first and none of the second must be among a frame's tags.
    expression : str or Expression, optional
        See `keyhole.selection.expression.parse`.
    strict : bool
        How an expression given as text is compared.
    on_skipped : callable, optional
        Called with name and error for each file that is damaged or foreign and left out; else that is logged.

    Returns
    -------
    list of str
        Chosen files as given, order kept.

    Raises
    ------
    InputError
        A file does not exist.
    ParameterError
        The expression cannot be understood, or compares what cannot be compared.
    """
    wanted, unwanted = frozenset(include), frozenset(exclude)
    chosen = []
    meets = parse(expression, strict=strict) if isinstance(expression, str) else expression
    skipped = _log_skipped if on_skipped is None else on_skipped
    for path in paths:
        if not Path(path).exists():
            raise InputError(f"{path}: no such file; check the name")
        try:
            headers = read_headers(path)
            found = _tags_of(headers, path)
            if wanted <= found and unwanted.isdisjoint(found) and (meets is None or meets(headers)):
                chosen.append(path)
        except DataError as error:
            skipped(path, error)
    return chosen


def _tags_of(headers: Headers, path: str) -> frozenset[str]:
    found = tags(headers)
    if not found:
        raise DataError(f"{path}: the header is not that of a Gemini frame")
    return found


def _log_skipped(path: str, error: DataError) -> None:
    log.warning("left out: %s", error)
