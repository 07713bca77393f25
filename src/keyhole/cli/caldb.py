"""``caldb``: look after the database of calibrations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.cli.common import guarded
from keyhole.errors import CalibrationError, DataError, InputError, KeyholeError, SetupError

if TYPE_CHECKING:
    from keyhole.calibration import CalibrationStore, Config

__all__ = ["main"]

# The rooms behind this command are imported where they are used, so that help comes at once.

_EPILOG = """\
examples:
  caldb init                                 make the database
  caldb add N20120102S0538_dark.fits         register a master; its file stays where it is
  caldb list                                 what is registered
  caldb remove N20120102S0538_dark.fits      forget it; its file stays where it is
"""
_FITS_ENDINGS = (".fits", ".fits.gz", ".fits.bz2")


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
    actions = {"init": _init, "add": _add, "list": _list, "remove": _remove, "config": _config}
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
    return parser


def _init(options: argparse.Namespace) -> int:
    for store in _stores(options, "init"):
        folder = Path(store.location).parent
        if "://" not in store.location and not folder.exists():
            try:
                folder.mkdir()
            except OSError as error:
                raise SetupError(
                    f"the folder {folder} for the calibration database cannot be made ({error.strerror}); "
                    "make it first, or choose another one"
                ) from error
        if store.create(wipe=options.wipe):
            print(f"{'Emptied' if options.wipe else 'Made'} the calibration database {store.location}")
        else:
            print(f"The calibration database {store.location} is already there and is kept; use -w to empty it")
    return 0


def _add(options: argparse.Namespace) -> int:
    store = _stores(options, "add")[0]
    code = left_out = 0
    if not store.exists and _may_make(options):
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
    for store in _stores(options, "list"):
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
    store = _stores(options, "remove")[0]
    code = 0
    for name in options.files:
        removed = store.remove(name)
        for entry in removed:
            print(f"Forgot {entry.name}; the file {entry.path} is untouched")
        if not removed:
            _report(InputError(f"{Path(name).name} is not in {store.location}; see what is there with: caldb list"))
            code = InputError.exit_code
    return code


def _config(options: argparse.Namespace) -> int:
    config = _configuration(options)
    print(f"Configuration: {config.source or 'none'}")
    if config.standalone is not None:
        print(f"Standalone: {config.standalone}")
    for database in config.databases:
        state = (
            "" if database.path is None or database.path.exists() else "  (does not exist; make it with: caldb init)"
        )
        print(f"Database: {database.location}{state}")
        print(f"  Get: {'yes' if database.get else 'no'}  Store: {'yes' if database.store else 'no'}")
    for note in config.notes:
        print(note)
    if config.implicit:
        print("No configuration file: the database of the current folder is used, and made on first use")
    elif not config.databases:
        print("No database is named there; add a line 'databases = PATH get store' below [calibs]")
    return 0


def _configuration(options: argparse.Namespace) -> Config:
    from keyhole.calibration.config import load_config

    return load_config(options.config)


def _may_make(options: argparse.Namespace) -> bool:
    """Whether a database may be made without ``caldb init``: only where nothing was configured."""
    return options.database is None and _configuration(options).implicit


def _stores(options: argparse.Namespace, action: str) -> Sequence[CalibrationStore]:
    from keyhole.calibration.config import database_file
    from keyhole.calibration.store import CalibrationStore

    if options.database is not None:
        return [CalibrationStore(database_file(options.database))]
    config = _configuration(options)
    databases = config.databases
    if not databases:
        raise SetupError(
            f"{config.source} names no calibration database; "
            "add a line 'databases = PATH get store' below [calibs], or give one with -d"
        )
    if len(databases) > 1 and action in {"add", "remove"}:
        databases = tuple(database for database in databases if database.store)
        if len(databases) != 1:
            raise SetupError(f"{config.source} names several databases; say with -d which one to change")
    return [CalibrationStore(database.location) for database in databases]


def _files(words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The files to add, and whether each was named itself instead of the folder it is in."""
    from keyhole.selection.lists import expand

    for word in expand(words).files:
        if not Path(word).is_dir():
            yield word, True
            continue
        for path in sorted(Path(word).rglob("*.fits*")):
            if path.name.endswith(_FITS_ENDINGS) and path.is_file():
                yield str(path), False


def _report(error: KeyholeError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
