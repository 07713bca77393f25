"""The command ``showpars``: the parameters of a step, or of all steps, for a given frame."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from keyhole.cli.common import guarded

if TYPE_CHECKING:
    from keyhole.engine.catalogue import StepSheet

__all__ = ["main", "make_parser"]

_WIDTH_IN_A_PIPE = 100
_WIDEST_RANGE = 34


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(
        prog="showpars",
        description="Show the parameters of a step, or of all steps of the recipe for a frame, with their values, "
        "ranges and meanings.",
    )
    add = parser.add_argument
    add("file", help="a frame; its kind decides recipe and values")
    add("step", nargs="?", help="name of a step, such as associateSky (default: all steps of the recipe)")
    add("-r", "--recipe", default="_default", metavar="NAME", help="recipe, also one of a file: myrecipes.py:myreduce")
    add("-a", "--all", action="store_true", help="also parameters named debug_...")
    add("-d", "--doc", action="store_true", help="also the description of the step")
    add("--json", action="store_true", help="print JSON")
    add("--adpkg", default=None, help="accepted for compatibility; has no effect")
    add("--drpkg", default=None, help="accepted for compatibility; has no effect")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0, or that of the error.
    """
    options = make_parser().parse_intermixed_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    # numpy and the steps load only here, so that --help answers at once.
    from keyhole.engine.catalogue import recipe_sheets, step_sheet
    from keyhole.headers import read_headers, tags

    found = tags(read_headers(options.file))
    if options.step is None:
        sheets = recipe_sheets(found, options.recipe)
    else:
        sheets = [step_sheet(found, options.step, options.recipe)]
    if options.json:
        content = {"file": options.file, "tags": sorted(found), "steps": [asdict(sheet) for sheet in sheets]}
        print(json.dumps(content, indent=2, default=str))
        return 0
    print(f"Frame tags: {' '.join(sorted(found))}")
    for number, sheet in enumerate(sheets):
        if number:
            print()
        _print(sheet, options)
    return 0


def _print(sheet: StepSheet, options: argparse.Namespace) -> None:
    print(textwrap.fill(f"{sheet.name}: {sheet.summary}", _width(), subsequent_indent="    "))
    if options.doc and sheet.description:
        print(sheet.description)
    _print_table(sheet, everything=options.all)
    if any(item.origin == "recipe" for item in sheet.parameters):
        print(f"* as recipe {sheet.recipe} calls the step; the step itself has another default")


def _print_table(sheet: StepSheet, *, everything: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("range", max_width=_WIDEST_RANGE)
    table.add_column("meaning")
    for item in sheet.parameters:
        if item.name.startswith("debug_") and not everything:
            continue
        mark = " *" if item.origin == "recipe" else ""
        cells = f"{item.value!r}{mark}", item.range, item.meaning
        # As Text, for rich would read [0, inf) as a mark-up.
        table.add_row(item.name, *(Text(cell) for cell in cells))
    Console(width=_width(), highlight=False).print(table)


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_IN_A_PIPE
