"""The command ``keyhole bpm``: bad-pixel masks from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser", "run_import"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser of ``keyhole``."""
    words = "make bad-pixel maps from elsewhere usable"
    parser = commands.add_parser("bpm", help=words, description=f"{words[0].upper()}{words[1:]}.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    words = "write a map of bad pixels as a mask that caldb add takes"
    importer = actions.add_parser("import", help=words, description=f"{words[0].upper()}{words[1:]}.")
    add = importer.add_argument
    add("map", type=Path, metavar="MAP", help="FITS image (.fits, .gz, .bz2), 0 = good, anything else bad")
    add("-o", "--output", type=Path, required=True, metavar="MASK", help="mask to write, such as bpm_2012dec05.fits")
    add("--like", type=Path, required=True, metavar="FRAME", help="any frame taken with that array")
    add("--date", metavar="YYYY-MM-DD", help="first day (UT) for which the mask holds (default: that of the frame)")
    importer.set_defaults(run=run_import)


def run_import(options: argparse.Namespace) -> int:
    """Write the mask; returns the exit code."""
    from keyhole.engine.mask_import import import_mask  # astropy is slow to load

    made = import_mask(options.map, options.output, like=options.like, date=options.date)
    more = f"; {made.hidden} pixels left out as what the keyhole hides" if made.hidden else ""
    print(f"wrote {made.path}: {made.bad} bad pixel{'s' * (made.bad != 1)}{more}")
    print(f"array {made.array}, for frames from {made.start:%Y-%m-%d %H:%M} UT on; register it with: caldb add")
    return 0
