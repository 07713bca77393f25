"""``dataselect``: choose frames by tags and expression, and write a list of them."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keyhole.cli.common import guarded
from keyhole.errors import DataError, SetupError
from keyhole.selection import gather, list_header, select
from keyhole.selection.expression import TAG_NAMES

__all__ = ["main"]

_EPILOG = """\
examples:
  dataselect ../playdata/*.fits --tags FLAT -o flats.lis
  dataselect ../playdata/*.fits --tags DARK --expr='exposure_time==60' -o darks60.lis
  dataselect ../playdata/*.fits --xtags FLAT --expr='filter_name=="J"' -o target.lis

An expression compares descriptors and tags with == != < <= > >= in, joined by and, or, not.
Text stands in quotes.
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
        0, with or without a match; else the exit code of the error.
    """
    options = _parser().parse_args(argv)
    return guarded(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dataselect",
        description="Choose FITS files by what their headers say.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", help="files, quoted wildcards (sorted), or @lists")
    parser.add_argument("-t", "--tags", type=_tag_list, help="all of these tags, separated by commas")
    parser.add_argument("--xtags", type=_tag_list, help="none of these tags, separated by commas")
    parser.add_argument("--expr", help="an expression that must be true")
    parser.add_argument("--strict", action="store_true", help="compare numbers exactly and names in full")
    parser.add_argument("-o", "--output", help="write the names to this list instead of the screen")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the names also when a list is written")
    parser.add_argument("--debug", action="store_true", help="accepted for old scripts; has no effect")
    parser.add_argument("--adpkg", metavar="NAME", help="accepted for old scripts; has no effect")
    return parser


def _tag_list(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def _run(options: argparse.Namespace) -> int:
    if options.adpkg:
        _warn(f"--adpkg {options.adpkg} has no effect: instruments are not defined by packages here")
    selection = gather(options.inputs)
    if selection.duplicates:
        count = len(set(selection.duplicates))
        _warn(f"{count} {'file is' if count == 1 else 'files are'} given more than once; used once")

    def left_out(path: str, error: DataError) -> None:
        text = str(error)
        _warn(text if path in text else f"{path}: {text}", prefix="left out")

    chosen = select(
        selection.files,
        options.tags or (),
        options.xtags or (),
        options.expr,
        strict=options.strict,
        on_skipped=left_out,
    )
    if options.output:
        _write_list(Path(options.output), chosen, options)
    if options.verbose or not options.output:
        for name in chosen:
            print(name)
    if not chosen:
        _warn(f"none of {len(selection.files)} files is chosen")
        _warn_of_unknown_tags(options.tags or ())
    return 0


def _write_list(path: Path, chosen: Sequence[str], options: argparse.Namespace) -> None:
    lines = [*list_header(options.tags, options.xtags, options.expr), *chosen]
    if path.is_dir():
        raise SetupError(f"the list {path} cannot be written: it is a folder; give a file name with -o")
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SetupError(
            f"the list {path} cannot be written ({error.strerror}); choose another place with -o"
        ) from error


def _warn_of_unknown_tags(tags: Sequence[str]) -> None:
    """A tag that no frame ever has is mostly a slip of the hand."""
    for tag in tags:
        if tag not in TAG_NAMES:
            near = difflib.get_close_matches(tag.upper(), sorted(TAG_NAMES), n=1)
            _warn(f"no frame has the tag {tag}" + (f"; did you mean {near[0]}?" if near else ""))


def _warn(text: str, *, prefix: str = "warning") -> None:
    print(f"{prefix}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
