"""The command ``typewalk``: the tags of all files of a folder."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from keyhole import __version__
from keyhole.cli.common import guarded
from keyhole.errors import DataError, InputError, ParameterError, SetupError

__all__ = ["main", "make_parser"]

_COLUMN = 40
_USUAL = r"\.fits(\.gz|\.bz2)?$"


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(prog="typewalk", description="Show the tags of all FITS files of a folder.")
    add = parser.add_argument
    add("-d", "--dir", default=".", metavar="DIR", help="folder to begin with (default: the current one)")
    add("-n", "--norecurse", action="store_true", help="not the folders in it")
    add("-f", "--filemask", default=_USUAL, metavar="REGEX", help="names of files (default: FITS files)")
    add("--tags", nargs="+", metavar="TAG", help="only files with all of these tags")
    add("--or", dest="any_tag", action="store_true", help="one of --tags is enough")
    add("--xtags", nargs="+", default=[], metavar="TAG", help="no files with one of these tags")
    add("-o", "--out", default=None, metavar="FILE", help="write the files that --tags chooses to this list")
    add("-b", "--batch-size", type=int, default=None, metavar="N", help="accepted for compatibility; has no effect")
    add("--adpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = make_parser().parse_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _walk(options))


def _walk(options: argparse.Namespace) -> int:
    from keyhole.headers import read_headers, tags

    if options.out and not options.tags:
        raise ParameterError("-o needs --tags, which say what goes into the list")
    folder, chosen = None, []
    for path in _files(options):
        try:
            found = tags(read_headers(path))
        except DataError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if not _fits(found, options):
            continue
        if path.parent != folder:
            folder = path.parent
            print(f"directory: {folder.resolve()}")
        dots = "." * max(3, _COLUMN - len(path.name) - 5)
        print(f"     {path.name} {dots} {' '.join(f'({tag})' for tag in sorted(found))}")
        chosen.append(path.resolve())
    if options.out and chosen:
        _write(Path(options.out), chosen, options)
    return 0


def _files(options: argparse.Namespace) -> Iterator[Path]:
    top = Path(options.dir)
    if not top.is_dir():
        raise InputError(f"{top} is no folder; name one with -d")
    try:
        mask = re.compile(options.filemask)
    except re.error as error:
        raise ParameterError(f"-f {options.filemask}: no regular expression ({error})") from error
    paths = top.iterdir() if options.norecurse else top.rglob("*")
    for path in sorted(paths, key=lambda path: (path.parent, path.name)):
        if path.is_file() and mask.search(path.name):
            yield path


def _fits(found: frozenset[str], options: argparse.Namespace) -> bool:
    wanted = set(options.tags or ())
    right = not wanted or (bool(wanted & found) if options.any_tag else wanted <= found)
    return right and not found & set(options.xtags)


def _write(path: Path, chosen: list[Path], options: argparse.Namespace) -> None:
    lines = [
        f"# Written by typewalk (Keyhole {__version__})",
        f"# Date: {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"# Tags: {options.tags}",
        f"# Excluded tags: {options.xtags or None}",
        f"# Needed: {'one of the tags' if options.any_tag else 'all tags'}",
        *map(str, chosen),
    ]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"the list {path} cannot be written ({error.strerror}); choose another place") from error
    print(f"wrote {path}")
