"""The command ``reduce``: run a recipe on frames."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole import __version__
from keyhole.cli.common import guarded

if TYPE_CHECKING:
    from keyhole.calibration import Config

__all__ = ["main", "make_parser"]

_KINDS_OF_UPLOAD = ("metrics", "calibs", "science")


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(
        prog="reduce",
        description="Reduce GNIRS keyhole frames: darks and flats to masters, science to one stacked image.",
        epilog="Example: reduce @target.lis --user_cal processed_dark:N20120102S0538_dark.fits",
    )
    add = parser.add_argument
    add(
        "files",
        nargs="*",
        metavar="fitsfile",
        help="FITS files (.fits, .fits.gz, .fits.bz2) or @lists of them",
    )
    add("-v", "--version", action="version", version=f"reduce (Keyhole) {__version__}")
    add("-d", "--displayflags", action="store_true", help="show how the command line was understood, and end")
    add(
        "-p",
        "--param",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of steps: name=value or step:name=value",
    )
    add("--qa", dest="mode", action="store_const", const="qa", help="mode for a quick judgement of quality")
    add(
        "--ql",
        dest="mode",
        action="store_const",
        const="ql",
        help="quick-look mode: missing masters are no error",
    )
    add(
        "-r",
        "--recipe",
        default="_default",
        metavar="NAME",
        help="recipe or single step (default: by what the frames are)",
    )
    add("--suffix", default=None, metavar="TEXT", help="ending of the output names")
    add(
        "--user_cal",
        nargs="+",
        action="extend",
        default=[],
        metavar="TYPE:FILE",
        help="masters given by hand, such as processed_dark:FILE",
    )
    add("-c", "--config", default=None, metavar="FILE", help="configuration file of the calibration databases")
    add(
        "--local_db_dir",
        default=None,
        metavar="DIR",
        help="folder of the calibration database, in place of the configured one",
    )
    add("--logfile", default="reduce.log", metavar="NAME", help="log file, appended (default: reduce.log)")
    add(
        "--logmode",
        default="standard",
        choices=("standard", "quiet", "verbose", "debug"),
        help="how much is shown",
    )
    add("--adpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    add("--drpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    add(
        "--upload",
        nargs="+",
        default=None,
        choices=_KINDS_OF_UPLOAD,
        metavar="KIND",
        help="accepted for compatibility; nothing is uploaded",
    )
    parser.set_defaults(mode="sq")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return guarded(lambda: _reduce(sys.argv[1:] if argv is None else argv))


def _reduce(argv: list[str]) -> int:
    from keyhole.cli.arguments import regroup  # keeps --help quick

    parser = make_parser()
    options = parser.parse_args(regroup(argv))
    # The engine loads numpy and astropy; --help and --version do not need them.
    from keyhole.calibration import parse_user_cals
    from keyhole.cli.console import Console, LogFile
    from keyhole.engine import Request, run
    from keyhole.engine.parameters import parse_settings
    from keyhole.selection import expand

    selection = expand(options.files)
    request = Request(
        files=selection.files,
        recipe=options.recipe,
        mode=options.mode,
        settings=parse_settings(options.param),
        user_cals=parse_user_cals(options.user_cal),
        suffix=options.suffix,
        config=_configuration(options),
        notes=tuple(f"{Path(f).name} is given more than once; used once" for f in selection.duplicates),
    )
    if options.displayflags:
        _display(request)
        return 0
    console = Console(quiet=options.logmode == "quiet", verbose=options.logmode in ("verbose", "debug"))
    log = LogFile(Path(options.logfile), debug=options.logmode == "debug")
    try:

        def emit(event: object) -> None:
            console(event)  # type: ignore[arg-type]
            log(event)  # type: ignore[arg-type]

        for name in ("adpkg", "drpkg", "upload"):
            if getattr(options, name):
                print(f"warning: --{name} has no effect in Keyhole", file=sys.stderr)
        run(request, emit)
    finally:
        log.close()
    return 0


def _configuration(options: argparse.Namespace) -> Config:
    from keyhole.calibration import Config, Database, database_file, load_config

    if options.local_db_dir is not None:
        return Config((Database(database_file(options.local_db_dir), get=True, store=False),), source=None)
    return load_config(options.config)


def _display(request: object) -> None:
    from dataclasses import fields

    for item in fields(request):  # type: ignore[arg-type]
        print(f"{item.name:12s} {getattr(request, item.name)}")
