"""The published ways to write a command line: inputs anywhere, and lists that hold options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["inline_options", "regroup"]

_TAKES: dict[str, Callable[[str], bool]] = {
    "--param": lambda word: "=" in word,
    "--user_cal": lambda word: ":" in word,
    "--upload": lambda word: word in ("metrics", "calibs", "science"),
}
_SHORT = {"-p": "--param"}


def regroup(argv: Iterable[str]) -> list[str]:
    """Give each value of ``-p``, ``--user_cal`` and ``--upload`` an option of its own.

    Such an option takes the words behind it as long as they look like its values; what follows is an input
    again. The first word always belongs to the option, so that a forgotten type or ``=`` is noticed and not
    taken for an input.

    Parameters
    ----------
    argv : iterable of str
        Words of the command line.

    Returns
    -------
    list of str
        The same words in the same order, with ``-p a=1 b=2 x.fits`` written as
        ``--param=a=1 --param=b=2 x.fits``.
    """
    words: list[str] = []
    option: str | None = None
    waiting = False
    for word in argv:
        if _is_option(word):
            if waiting and option is not None:
                words.append(option)
            option = _with_several_values(word)
            waiting = option is not None
            if option is None:
                words.append(word)
        elif option is not None and (waiting or (_TAKES[option](word) and not word.startswith("@"))):
            words.append(f"{option}={word}")
            waiting = False
        else:
            option = None
            words.append(word)
    if waiting and option is not None:
        words.append(option)
    return words


def inline_options(argv: Iterable[str]) -> list[str]:
    """Replace each ``@file`` that holds options by the words in it.

    A list that holds nothing but file names stays as it is, for `keyhole.selection` to read, unless it stands
    directly behind an option that takes several values. What stands behind a ``#`` is a comment.

    Parameters
    ----------
    argv : iterable of str
        Words of the command line.

    Returns
    -------
    list of str
        Words without lists of options.
    """
    return _inlined(argv, ())


def _inlined(argv: Iterable[str], parents: tuple[Path, ...]) -> list[str]:
    words: list[str] = []
    before = ""
    for word in argv:
        held = _words_in(word, parents) if word.startswith("@") else []
        if any(_is_option(item) for item in held) or (held and _with_several_values(before)):
            words += _inlined(held, (*parents, Path(word[1:]).resolve()))
        else:
            words.append(word)
        before = word
    return words


def _words_in(word: str, parents: tuple[Path, ...]) -> list[str]:
    """Words of a list; none if it cannot be read or contains itself, which is told when it is read as a list."""
    path = Path(word[1:])
    if path.resolve() in parents:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    words: list[str] = []
    for line in lines:
        for item in line.split():
            if item.startswith("#"):
                break
            words.append(item)
    return words


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1


def _with_several_values(word: str) -> str | None:
    """The long name of an option with several values, also if abbreviated; None for any other word."""
    if word in _SHORT:
        return _SHORT[word]
    if not word.startswith("--") or len(word) < len("--x"):
        return None
    matches = [name for name in _TAKES if name.startswith(word)]
    return matches[0] if len(matches) == 1 else None
