"""The command ``reduce``: run a recipe on frames."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole import __version__
from keyhole.cli.common import guarded, tell
from keyhole.errors import SetupError

if TYPE_CHECKING:
    from keyhole.calibration import Config
    from keyhole.engine import Event, Request
    from keyhole.engine.account import Account

__all__ = ["main", "make_parser"]

_KINDS_OF_UPLOAD = ("metrics", "calibs", "science")
_WITHOUT_EFFECT = ("adpkg", "drpkg", "upload")


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(
        prog="reduce",
        description="Reduce GNIRS keyhole frames: darks and flats to masters, science to one stacked image.",
        epilog="Example: reduce @target.lis --user_cal processed_dark:N20120102S0538_dark.fits",
    )
    parser.add_argument("files", nargs="*", metavar="fitsfile", help="FITS files (.fits, .gz, .bz2) or @lists of them")
    _add_what_to_do(parser)
    _add_how_to_tell(parser)
    return parser


def _add_what_to_do(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-p",
        "--param",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of steps: name=value or step:name=value",
        nargs="+",
        action="extend",
    )
    add("--set", dest="parameter_set", default=None, metavar="NAME", help="set of parameters: classic = as published")
    add("-r", "--recipe", default="_default", metavar="NAME", help="recipe or single step (default: by the frames)")
    add("--qa", dest="mode", action="store_const", const="qa", help="mode for a quick judgement of quality")
    add("--ql", dest="mode", action="store_const", const="ql", help="quick-look mode: missing masters are no error")
    parser.set_defaults(mode="sq")
    add(
        "--crop",
        action="store_true",
        help="write the smallest box that holds all light (same as -p cropToLight:crop=True)",
    )
    add("--suffix", default=None, metavar="TEXT", help="ending of the output names")
    add(
        "--user_cal",
        default=[],
        metavar="TYPE:FILE",
        help="masters given by hand, such as processed_dark:FILE",
        nargs="+",
        action="extend",
    )
    add(
        "--best-effort",
        action="store_true",
        help="go on where a dark or flat is missing; the product is marked (CALGRADE 4)",
    )
    add(
        "--memory",
        type=_megabytes,
        default=None,
        metavar="MB",
        help="megabytes of frames held in memory, more wait on disk (default: 352)",
    )
    add("-c", "--config", default=None, metavar="FILE", help="configuration file of the calibration databases")
    add("--local_db_dir", default=None, metavar="DIR", help="calibration database, in place of the configured one")
    add("--adpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    add("--drpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    add(
        "--upload",
        choices=_KINDS_OF_UPLOAD,
        metavar="KIND",
        help="accepted for compatibility; nothing is uploaded",
        nargs="+",
        action="extend",
    )


def _add_how_to_tell(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-v", "--version", action="version", version=f"reduce (Keyhole) {__version__}")
    add("-d", "--displayflags", action="store_true", help="show how the command line was understood, and end")
    add(
        "--report",
        default=None,
        metavar="FILE",
        help="write a page (HTML) that shows the result and how good it is",
    )
    add("--logfile", default="reduce.log", metavar="NAME", help="log file, appended (default: reduce.log)")
    add(
        "--logmode",
        default="standard",
        choices=("standard", "quiet", "verbose", "debug", "rotating"),
        help="how much is shown (rotating: as standard)",
    )


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
    return guarded(lambda: _reduce(sys.argv[1:] if argv is None else argv))


def _reduce(argv: list[str]) -> int:
    from keyhole.cli.arguments import inline_options, regroup  # keeps --help quick

    options = make_parser().parse_intermixed_args(regroup(inline_options(argv)))
    # The engine loads numpy and astropy; --help and --version do not need them.
    from keyhole.calibration import MissingCalibrationError
    from keyhole.cli.console import Console
    from keyhole.engine import run
    from keyhole.engine.eventlog import LogFile

    request = _request(options)
    if options.displayflags:
        _display(request)
        return 0
    console = Console(quiet=options.logmode == "quiet", verbose=options.logmode in ("verbose", "debug"))
    log = LogFile(Path(options.logfile), debug=options.logmode == "debug")

    account = _account(options)

    def emit(event: Event) -> None:
        log(event)
        console(event)
        if account is not None:
            account(event)

    try:
        run(request, emit)
    except MissingCalibrationError as err:
        from keyhole.cli.why import print_explanations

        # The table belongs to the account; the error itself stays one sentence.
        if options.logmode != "quiet":
            print_explanations(err.explanations, sys.stdout, in_a_run=True)
        raise
    finally:
        log.close()
        if account is not None:
            _write_report(Path(options.report), account, options)
    return 0


def _account(options: argparse.Namespace) -> Account | None:
    """What gathers the events for a report; None where none is wanted."""
    if options.report is None:
        return None
    from keyhole.engine.account import Account

    return Account()


def _write_report(path: Path, account: Account, options: argparse.Namespace) -> None:
    """Write the page, also of a run that failed; that it cannot be written does not undo the products."""
    from keyhole.report.runs import write_run_report

    try:
        written = write_run_report(path, account, log=Path(options.logfile))
    except SetupError as error:
        tell(f"warning: {error}", sys.stderr)
    else:
        if options.logmode != "quiet":
            tell(f"report {written}", sys.stdout)


def _request(options: argparse.Namespace) -> Request:
    from keyhole.calibration import parse_user_cals
    from keyhole.engine import DEFAULT_MEMORY, Request
    from keyhole.engine.parameters import parse_settings
    from keyhole.selection import gather

    selection = gather(options.files)
    config = _configuration(options)
    return Request(
        files=selection.files,
        recipe=options.recipe,
        mode=options.mode,
        settings=parse_settings([*(["cropToLight:crop=True"] if options.crop else []), *options.param]),
        user_cals=parse_user_cals(options.user_cal),
        suffix=options.suffix,
        config=config,
        best_effort=options.best_effort,
        parameter_set=options.parameter_set,
        details=options.report is not None,
        memory=DEFAULT_MEMORY if options.memory is None else options.memory,
        notes=(
            *(f"--{name} has no effect in Keyhole" for name in _WITHOUT_EFFECT if getattr(options, name)),
            *(("--logmode rotating is taken as standard",) if options.logmode == "rotating" else ()),
            *(f"{Path(name).name} is given more than once; used once" for name in dict.fromkeys(selection.duplicates)),
            *config.notes,
        ),
    )


def _megabytes(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of megabytes; give a whole number such as 500")
    return int(text)


def _configuration(options: argparse.Namespace) -> Config:
    from keyhole.calibration import Config, Database, database_file, load_config

    if options.local_db_dir is not None:
        return Config((Database(database_file(options.local_db_dir), get=True, store=False),), source=None)
    return load_config(options.config)


def _display(request: Request) -> None:
    masters = [f"{given.caltype}:{given.path}" for given in request.user_cals.by_type.values()]
    rows = {
        "recipe": [str(request.recipe)],
        "mode": [request.mode],
        "parameters": [f"{key}={value}" for key, value in request.settings.items()],
        "user_cal": masters,
        "suffix": [request.suffix] if request.suffix is not None else [],
        "databases": [request.config.origin] if request.config is not None else [],
        "inputs": [str(file) for file in request.files],
    }
    for name, values in rows.items():
        for number, value in enumerate(values or ["-"]):
            print(f"{name if number == 0 else '':12s} {value}")
