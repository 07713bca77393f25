"""File names as users write them: words, wildcards and ``@list`` files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyhole.errors import InputError

__all__ = ["Selection", "expand", "gather", "list_header", "unique"]

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Selection:
    """Files, each once.

    Attributes
    ----------
    files : list of str
        As written, in order.
    duplicates : list of str
        The further mentions of files that are already there, in order.
    """

    files: list[str]
    duplicates: list[str]


def expand(words: Iterable[str], *, cwd: Path | None = None) -> Selection:
    """Replace every ``@file`` by the file names in it, and keep each file once.

    A list holds any number of names per line, and may name further lists; what stands behind a word that
    starts with ``#`` is a comment. A line that as a whole names an existing file is one name, so names may
    hold blanks. Names in a list are relative to the current folder, not to the list.

    Parameters
    ----------
    words : iterable of str
        Command line words. Not changed.
    cwd : Path, optional
        Folder that relative names refer to; by default the current one.

    Returns
    -------
    Selection
        Names in order. Whether the files exist is not asked.

    Raises
    ------
    InputError
        A list is missing, empty, unreadable, or contains itself.
    """
    folder = Path.cwd() if cwd is None else cwd
    return unique(_expanded(words, folder), cwd=folder)


def gather(words: Iterable[str], *, cwd: Path | None = None) -> Selection:
    """Find the files that words mean: lists are read, wildcards matched and sorted, each file is kept once.

    Raises
    ------
    InputError
        A file or list does not exist, or a wildcard matches nothing.
    """
    folder = Path.cwd() if cwd is None else cwd
    files: list[str] = []
    for word in _expanded(words, folder):
        if (folder / word).is_dir():
            raise InputError(f"{word} is a folder; give the files in it, for example '{word.rstrip('/')}/*.fits'")
        if (folder / word).exists():
            files.append(word)
        elif _WILDCARDS.isdisjoint(word):
            raise InputError(f"{word}: no such file; check the name")
        else:
            files += _matches(word, folder)
    return unique(files, cwd=folder)


def unique(files: Iterable[str], *, cwd: Path | None = None) -> Selection:
    """Keep each file once, whatever way its name is written."""
    folder = Path.cwd() if cwd is None else cwd
    seen: set[str] = set()
    kept: list[str] = []
    duplicates: list[str] = []
    for file in files:
        real = os.path.realpath(folder / file)
        (duplicates if real in seen else kept).append(file)
        seen.add(real)
    return Selection(kept, duplicates)


def list_header(include: Sequence[str] | None, exclude: Sequence[str] | None, expression: str | None) -> list[str]:
    """Comment lines that say how the files of a list were chosen."""
    # A line break in the expression must not end the comment.
    words = " ".join(expression.split()) if expression else None
    return [f"# Tags: {include or None}", f"# Excluded tags: {exclude or None}", f"# Expression: {words}"]


def _expanded(words: Iterable[str], folder: Path) -> list[str]:
    result: list[str] = []
    for word in words:
        if word.startswith("@"):
            result += _read_list(word, folder, ())
        else:
            result.append(word)
    return result


def _matches(pattern: str, folder: Path) -> list[str]:
    # Path.glob would not take absolute patterns nor keep the leading "../" as written.
    found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    files = sorted(name for name in found if (folder / name).is_file())
    if not files:
        raise InputError(f"no file matches {pattern}; check the folder and the pattern")
    return files


def _read_list(word: str, folder: Path, parents: tuple[str, ...]) -> list[str]:
    name = word[1:]
    if not name:
        raise InputError("'@' must be followed by the name of a list file, without a blank between")
    path = folder / name
    real = os.path.realpath(path)
    if real in parents:
        raise InputError(f"the list {name} contains itself; remove the line that names it")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"the list {name} does not exist; check the name behind the @") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not a list of file names but a binary file; remove the @") from error
    except OSError as error:
        raise InputError(f"the list {name} cannot be read ({error.strerror}); check the file") from error
    result: list[str] = []
    for line in lines:
        for item in _items(line, folder):
            if item.startswith("@"):
                result += _read_list(item, folder, (*parents, real))
            else:
                result.append(item)
    if not result:
        raise InputError(f"the list {name} is empty; put at least one file name into it")
    return result


def _items(line: str, folder: Path) -> list[str]:
    whole = line.strip()
    if " " in whole and not whole.startswith("#") and (folder / whole).is_file():
        return [whole]
    items = []
    for item in whole.split():
        if item.startswith("#"):
            break
        items.append(item)
    return items
