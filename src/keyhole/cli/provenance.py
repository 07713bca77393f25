"""The command ``provenance``: from which files a product was made, and by which steps."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from keyhole.cli.common import guarded

if TYPE_CHECKING:
    from keyhole.frames import Table

__all__ = ["main", "make_parser"]

_GAP = "  "


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(
        prog="provenance", description="Show from which files a product was made, and by which steps."
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="products")
    add("-p", "--provenance", action="store_true", help="only the files")
    add("--history", action="store_true", help="only the steps")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = make_parser().parse_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    from keyhole.frames import read_frame

    both = options.provenance == options.history
    for name in options.files:
        tables = read_frame(name).tables
        print(f"Reading {name}")
        if both or options.provenance:
            _print("Provenance", tables.get("PROVENANCE"))
        if both or options.history:
            _print("History", tables.get("HISTORY"))
    return 0


def _print(title: str, table: Table | None) -> None:
    if table is None or not len(table):
        print(f"{title}: none")
        return
    # The parameters of a step are long: they stand last.
    names = sorted(table.columns, key=lambda name: name == "args")
    rows = [names, *(list(map(str, row)) for row in zip(*(table.columns[name] for name in names), strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"{title}:")
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(_GAP.join(cells).rstrip())
