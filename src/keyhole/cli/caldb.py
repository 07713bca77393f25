"""``caldb``: look after the database of calibrations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.cli.common import guarded
from keyhole.cli.why import add_arguments as add_why_arguments
from keyhole.cli.why import why
from keyhole.errors import CalibrationError, DataError, InputError, KeyholeError

if TYPE_CHECKING:
    from keyhole.calibration import CalibrationStore, Config

__all__ = ["main"]

# The rooms behind this command are imported where they are used, so that help comes at once.

_EPILOG = """\
examples:
  caldb init                                 make the database
  caldb add N20120102S0538_dark.fits         register a master; its file stays where it is
  caldb list                                 what is registered
  caldb why N20120117S0014.fits dark         which dark is taken for a frame, and why not the others
  caldb remove N20120102S0538_dark.fits      forget it; its file stays where it is
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program name; by default those of the process.

    Returns
    -------
    int
        0, or the exit code of the (first) error.
    """
    parser = _parser()
    options = parser.parse_args(argv, argparse.Namespace(database=None, config=None, verbose=False))
    if options.action is None:
        parser.print_help(sys.stderr)
        return 2
    actions = {
        "init": _init,
        "add": _add,
        "list": _list,
        "remove": _remove,
        "config": _config,
        "why": _why,
        "rules": _rules,
    }
    return guarded(lambda: actions[options.action](options))


def _parser() -> argparse.ArgumentParser:
    # The common options may stand before or behind the action; without a default of their own the second
    # parser does not undo what the first one read.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("-d", "--database", metavar="PATH", help="database file, or the folder that holds it")
    common.add_argument("-c", "--config", metavar="FILE", help="configuration file")
    common.add_argument("-v", "--verbose", action="store_true", help="say more")
    parser = argparse.ArgumentParser(
        prog="caldb",
        description="Look after the database of calibrations.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")

    def action(name: str, words: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=words, description=words, parents=[common])

    init = action("init", "make the database")
    init.add_argument("-w", "--wipe", action="store_true", help="empty it if it exists")
    add = action("add", "register masters; the files stay where they are")
    add.add_argument("files", nargs="+", metavar="FILE", help="files, @lists, or folders with all below them")
    add.add_argument("-k", "--walk", action="store_true", help="accepted for old scripts; folders are always walked")
    action("list", "show what is registered")
    remove = action("remove", "forget masters; the files stay where they are")
    remove.add_argument("files", nargs="+", metavar="NAME", help="file names; a folder in front is ignored")
    action("config", "show which databases are used, and where that is said")
    action("rules", "show what makes a calibration fit, as a table in Markdown")
    add_why_arguments(action("why", "show which masters fit a frame, which do not, and why"))
    return parser


def _init(options: argparse.Namespace) -> int:
    from keyhole.calibration import service

    for store in _stores(options):
        if service.make(store, wipe=options.wipe):
            print(f"{'Emptied' if options.wipe else 'Made'} the calibration database {store.location}")
        else:
            print(f"The calibration database {store.location} is already there and is kept; use -w to empty it")
    return 0


def _add(options: argparse.Namespace) -> int:
    store = _store(options)
    code = left_out = 0
    # A database is made without ``caldb init`` only where nothing was configured.
    if not store.exists and _configuration(options).implicit:
        store.create()
        print(f"Made the calibration database {store.location}")
    for file, explicit in _files(options.files):
        try:
            entry = store.add(file)
        except (CalibrationError, DataError, InputError) as error:
            # A folder may hold anything; only what was named must be a calibration.
            if not explicit and isinstance(error, CalibrationError):
                left_out += 1
                continue
            code = max(code, _report(error))
        else:
            place = f"  {entry.path}  {entry.md5}" if options.verbose else ""
            print(f"Registered {entry.name}  {entry.caltype}{place}")
    if left_out:
        are = "file that is no processed calibration" if left_out == 1 else "files that are no processed calibrations"
        print(f"Left out {left_out} {are}")
    return code


def _list(options: argparse.Namespace) -> int:
    for store in _stores(options):
        entries = store.entries()
        print(f"Database: {store.location}")
        width = max([30, *(len(entry.name) for entry in entries)])
        for entry in entries:
            gone = "" if Path(entry.path).exists() else "  (no longer on disk)"
            kind = f"{entry.caltype:<20} " if options.verbose else ""
            print(f"{entry.name:<{width}} {kind}{entry.path}{gone}")
        if not entries:
            print("(no calibrations yet; add them with: caldb add FILE)")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from keyhole.calibration import service

    store = _store(options)
    code = 0
    for name in options.files:
        try:
            for entry in service.remove(store, name):
                print(f"Forgot {entry.name}; the file {entry.path} is untouched")
        except InputError as error:
            code = _report(error)
    return code


def _config(options: argparse.Namespace) -> int:
    from keyhole.calibration import service

    print("\n".join(service.explain_config(_configuration(options))))
    return 0


def _why(options: argparse.Namespace) -> int:
    return why(options, _configuration(options))


def _rules(options: argparse.Namespace) -> int:
    from keyhole.cli.rules import rule_table

    print(rule_table("GNIRS"))
    return 0


def _configuration(options: argparse.Namespace) -> Config:
    from keyhole.calibration import Config, Database, database_file, load_config

    if options.database is not None:
        return Config((Database(database_file(options.database), get=True, store=True),), source=None)
    return load_config(options.config)


def _stores(options: argparse.Namespace) -> list[CalibrationStore]:
    from keyhole.calibration.database import CalibrationStore
    from keyhole.calibration.service import require_databases

    return [CalibrationStore(database.location) for database in require_databases(_configuration(options))]


def _store(options: argparse.Namespace) -> CalibrationStore:
    from keyhole.calibration.service import store_to_change

    return store_to_change(_configuration(options))


def _files(words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The files to add, and whether each was named itself instead of the folder it is in."""
    from keyhole.calibration.service import fits_files_below
    from keyhole.selection.lists import expand

    for word in expand(words).files:
        if Path(word).is_dir():
            yield from ((str(path), False) for path in fits_files_below(word))
        else:
            yield word, True


def _report(error: KeyholeError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
