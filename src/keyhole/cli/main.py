"""The command ``keyhole``: what goes beyond the published commands."""

from __future__ import annotations

import argparse
import sys

from keyhole import __version__
from keyhole.cli import bpm, completion, night, picture, report, simulate, verify
from keyhole.cli.common import guarded

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="keyhole",
        description="Reduce a whole night; simulate nights, judge products, draw and compare them; import masks.",
    )
    parser.add_argument("-v", "--version", action="version", version=f"keyhole {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    night.add_parser(commands)
    simulate.add_parser(commands)
    verify.add_parser(commands)
    picture.add_parser(commands)
    report.add_parser(commands)
    bpm.add_parser(commands)
    completion.add_parser(commands)
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: int(options.run(options)))
