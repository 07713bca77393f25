"""The command ``keyhole report``: a page that shows products, or the summary of a night."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keyhole.errors import InputError

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  keyhole report N20120117S0014_stack.fits                 the product, as far as its headers tell
  keyhole report one_stack.fits other_stack.fits -o a.html side by side, with difference and blink
  keyhole report keyhole_2012-01-17                        the page of a night again, from its summary.json
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser of ``keyhole``."""
    parser = commands.add_parser(
        "report",
        help="show products as a page",
        description="Write a page that shows a product, or compares several; also those of another pipeline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("products", nargs="+", type=Path, metavar="PRODUCT", help="products, or the folder of a night")
    parser.add_argument("-o", "--output", type=Path, default=None, help="HTML to write (default: beside the first)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw; returns the exit code.

    Raises
    ------
    KeyholeError
        See `keyhole.report.runs.write_product_report`.
    """
    folders = [path for path in options.products if path.is_dir()]
    if folders:
        if len(options.products) > 1:
            raise InputError(f"{folders[0]} is a folder; give it alone, or products alone")
        written = _night(folders[0], options.output)
    else:
        from keyhole.report.runs import write_product_report

        first = options.products[0]
        name = first.name.removesuffix(".gz").removesuffix(".bz2").removesuffix(".fits")
        written = write_product_report(options.output or first.with_name(f"{name}_report.html"), options.products)
    print(f"wrote {written}")
    return 0


def _night(folder: Path, output: Path | None) -> Path:
    import json

    from keyhole.report.files import PAGE, picture_in, write_page

    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no summary of a night ({error}); give the folder of its products") from error
    if not isinstance(summary, dict) or summary.get("schema") != "keyhole-night-2":
        raise InputError(f"{folder}/summary.json is of another version of Keyhole; run keyhole night again")
    return write_page(output or folder / PAGE, summary, picture_in(folder))
