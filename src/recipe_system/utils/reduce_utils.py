"""Argument forms of the command ``reduce``, under the names that scripts know."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, overload

from keyhole.calibration import paths_by_input, paths_by_type
from keyhole.cli.reduce import make_parser
from keyhole.engine.parameters import parse_settings

__all__ = ["buildParser", "normalize_args", "normalize_ucals", "normalize_upload", "set_btypes"]

_SINGLE = ("adpkg", "config", "drpkg", "local_db_dir", "logfile", "logmode", "recipe", "recipename", "suffix")


@overload
def normalize_ucals(files: Iterable[str], cals: Iterable[str]) -> dict[tuple[str, str], str]: ...
@overload
def normalize_ucals(files: Iterable[str] | None) -> dict[str, str]: ...
def normalize_ucals(
    files: Iterable[str] | None, cals: Iterable[str] | None = None
) -> dict[tuple[str, str], str] | dict[str, str]:
    """Turn ``type:file`` words into what `Reduce.ucals` takes; the files are checked by their headers.

    With one argument, the words: ``{type: file}``. With two, the inputs and the words: the older form, ``{(key of
    the input, type): file}``.
    """
    return paths_by_type(files) if cals is None else paths_by_input(files or (), cals)


def set_btypes(userparams: Iterable[str] | None) -> list[tuple[str, Any]]:
    """Turn ``name=value`` words into pairs; None, True and False become what they mean."""
    return list(parse_settings(userparams or ()).items())


def normalize_args(args: argparse.Namespace) -> argparse.Namespace:
    """Replace lists of one word by the word, for options that take one."""
    lists = {name: value for name, value in vars(args).items() if name in _SINGLE and isinstance(value, list)}
    vars(args).update({name: value[0] if value else None for name, value in lists.items()})
    return args


def normalize_upload(inlist: Iterable[str] | None) -> list[str] | None:
    """Split words at commas, in lower case."""
    return [word for item in inlist for word in item.lower().split(",") if word] if inlist else None


def buildParser(version: str = "") -> argparse.ArgumentParser:
    """The parser of the command ``reduce``."""
    return make_parser()
