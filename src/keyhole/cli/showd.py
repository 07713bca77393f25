"""The command ``showd``: what descriptors say of files, as a table."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from typing import Any

from keyhole.cli.common import guarded

__all__ = ["main", "make_parser"]

_GAP = 3


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(
        prog="showd",
        description="Show what descriptors say of files.",
        epilog="Example: showd -d filter_name,exposure_time,object ../playdata/*.fits",
    )
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="files, quoted wildcards or @lists; - reads names from the input")
    add("-d", "--descriptors", metavar="A,B", required=True, help="names of descriptors, separated by commas")
    add("--csv", action="store_true", help="comma-separated values")
    add("--long", action="store_true", help="full names in place of short ones")
    add("--debug", action="store_true", help="accepted for compatibility; has no effect")
    add("--adpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = make_parser().parse_intermixed_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    from keyhole.errors import InputError
    from keyhole.headers import meaning
    from keyhole.selection import gather

    names = [name.strip() for name in options.descriptors.split(",") if name.strip()]
    for name in names:
        meaning(name)  # an unknown one is refused before any file is read
    words = [word for item in options.files for word in (sys.stdin.read().split() if item == "-" else [item])]
    if not words:
        raise InputError("no files; name FITS files, an @list, or - for names on the input")
    rows = [["filename", *names]]
    rows += [_row(path, names, long=options.long) for path in gather(words).files]
    if options.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        print("\n".join(_table(rows)))
    return 0


def _row(path: str, names: Iterable[str], *, long: bool) -> list[str]:
    from keyhole.headers import read_headers

    headers = read_headers(path)
    return [path, *(str(_value(headers, name, long=long)) for name in names)]


def _value(headers: Any, name: str, *, long: bool) -> Any:
    """One value, or the list of one per extension if they differ; None if the frame does not have it."""
    from keyhole.headers import describe, descriptor_options

    instrument = str(headers.primary.get("INSTRUME", "")).strip()
    pretty = not long and "pretty" in descriptor_options(name, instrument if instrument == "GNIRS" else "Gemini")
    try:
        value = describe(headers, name, **({"pretty": True} if pretty else {}))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    if isinstance(value, list) and len(set(map(str, value))) == 1:
        return value[0]
    return value


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        (" " * _GAP).join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return [rule, lines[0], rule, *lines[1:]]
