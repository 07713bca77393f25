"""``caldb``: look after the database of calibrations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.cli.common import guarded, tell
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
  caldb check                                are the files still what they were
  caldb remove N20120102S0538_dark.fits      forget it; its file stays where it is
"""

_EXAMPLES = {
    "init": """\
examples:
  caldb init                       make the database that the configuration names
  caldb init -d ~/masters/         make cal_manager.db in a folder
  caldb init -w                    empty it, or overwrite what another program left there
""",
    "add": """\
examples:
  caldb add N20120102S0538_dark.fits         one master
  caldb add ~/masters @more.lis              all masters below a folder, and those in a list
Adding a file again changes nothing; one that has moved is followed to its new place.
""",
    "list": """\
examples:
  caldb list                       everything
  caldb list dark bpm              master darks and bad-pixel masks only
  caldb list --json flat           for programs

--json prints one list with one object per entry, by name and path: name, path, type, md5, size (bytes), added,
tags, then what the file says about itself, from instrument to processing_mode (null where not known), and the
database. Times are UT.
""",
    "check": """\
examples:
  caldb check                      one line for each file that needs a look, with what to do
  caldb check --json               the same for programs

Told are files that are missing, cannot be read, or have changed since they were added, and contents that are at
several places. The exit code is 0 when all is well, else 4.
--json prints one list with one object per problem: problem (missing, unreadable, changed, duplicate), name, path,
type, others (other places of the same content), advice, and the database.
""",
    "rebuild": """\
examples:
  caldb rebuild ~/masters          make the database anew from all masters below a folder
  caldb rebuild -d new.db a b      ... of another database, from two folders

All headers are read first, then the content is replaced at once: if this is interrupted the old content is still
there. Entries of files elsewhere are kept as long as their file exists. Damaged files are named and passed over
(exit code 3).
""",
    "remove": """\
examples:
  caldb remove N20120102S0538_dark.fits      all files of this name, wherever they are
""",
    "config": """\
examples:
  caldb config                     which file was read, and what it means
  caldb config -c mine.cfg         what another one would mean
""",
}


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
        "check": _check,
        "rebuild": _rebuild,
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
        return actions.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=_EXAMPLES.get(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )

    init = action("init", "make the database")
    init.add_argument("-w", "--wipe", action="store_true", help="empty it if it exists")
    add = action("add", "register masters; the files stay where they are")
    add.add_argument("files", nargs="+", metavar="FILE", help="files, @lists, or folders with all below them")
    add.add_argument("-k", "--walk", action="store_true", help="accepted for old scripts; folders are always walked")
    listing = action("list", "show what is registered")
    listing.add_argument("types", nargs="*", metavar="TYPE", help="dark, flat, bpm ...; by default all")
    check = action("check", "compare the files with what they were when they were added")
    for parser_of_text in (listing, check):
        parser_of_text.add_argument("--json", action="store_true", help="for programs")
    rebuild = action("rebuild", "make the database anew from the masters below some folders")
    rebuild.add_argument("folders", nargs="+", metavar="FOLDER", help="folders with all below them")
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
    named: set[str] = set()
    for added in store.add_all(_files(options.files, named)):
        if not isinstance(added.outcome, KeyholeError):
            entry = added.outcome
            place = f"  {entry.path}  {entry.md5}" if options.verbose else ""
            # At once: what was said to be registered is, whatever happens next.
            tell(f"Registered {entry.name}  {entry.caltype}{place}", sys.stdout)
        elif isinstance(added.outcome, CalibrationError) and added.path not in named:
            # A folder may hold anything; only what was named must be a calibration.
            left_out += 1
        else:
            code = max(code, _report(added.outcome))
    _tell_left_out(left_out)
    return code


def _list(options: argparse.Namespace) -> int:
    from keyhole.calibration.entries import is_gone
    from keyhole.calibration.service import calibration_types

    types = calibration_types(options.types)
    found = [
        (store, [entry for entry in store.entries() if not types or entry.caltype in types])
        for store in _stores(options)
    ]
    if options.json:
        _print_json([entry.as_dict() | {"database": store.location} for store, entries in found for entry in entries])
        return 0
    for store, entries in found:
        print(f"Database: {store.location}")
        width = max([30, *(len(entry.name) for entry in entries)])
        for entry in entries:
            gone = "  (no longer on disk)" if is_gone(entry.path) else ""
            kind = f"{entry.caltype:<20} " if options.verbose else ""
            print(f"{entry.name:<{width}} {kind}{entry.path}{gone}")
        if not entries:
            print(f"(no calibrations {'of this type ' if types else ''}yet; add them with: caldb add FILE)")
    return 0


def _check(options: argparse.Namespace) -> int:
    from keyhole.calibration.checkup import check_files

    counts = []
    problems = []
    for store in _stores(options):
        entries = store.entries()
        counts.append(f"{len(entries)} in {store.location}")
        problems += [(store.location, problem) for problem in check_files(entries)]
    if options.json:
        _print_json([problem.as_dict() | {"database": location} for location, problem in problems])
    else:
        for _, problem in problems:
            print(f"{problem.kind.value:<10} {problem.words}")
        print(f"{len(problems) or 'No'} problem{'' if len(problems) == 1 else 's'} ({', '.join(counts)})")
    return CalibrationError.exit_code if problems else 0


def _rebuild(options: argparse.Namespace) -> int:
    from keyhole.calibration import service

    store = _store(options)
    rebuilt = service.rebuild(store, options.folders)
    for error in rebuilt.damaged:
        _report(error)
    for entry in rebuilt.dropped:
        print(f"Dropped {entry.name}; its file {entry.path} is gone or cannot be used")
    if options.verbose:
        for entry in rebuilt.masters:
            print(f"Registered {entry.name}  {entry.caltype}  {entry.path}  {entry.md5}")
    _tell_left_out(rebuilt.left_out)
    total, below = len(store.entries()), len(rebuilt.masters)
    print(f"The calibration database {store.location} holds {total} calibrations, {below} from these folders")
    return DataError.exit_code if rebuilt.damaged else 0


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


def _files(words: Sequence[str], named: set[str]) -> Iterator[str]:
    """The files to add; those that were named themselves, not by the folder they are in, are put into `named`."""
    from keyhole.calibration.service import fits_files_below
    from keyhole.selection.lists import expand

    for word in expand(words).files:
        if Path(word).is_dir():
            yield from (str(path) for path in fits_files_below(word))
        else:
            named.add(word)
            yield word


def _tell_left_out(count: int) -> None:
    if count:
        are = "file that is no processed calibration" if count == 1 else "files that are no processed calibrations"
        tell(f"Left out {count} {are}", sys.stdout)


def _print_json(items: Sequence[object]) -> None:
    import json

    print(json.dumps(items, indent=2))


def _report(error: KeyholeError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
