"""The published word order: inputs may stand after options that take several values."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["regroup"]

_TAKES: dict[str, Callable[[str], bool]] = {
    "--param": lambda word: "=" in word,
    "--user_cal": lambda word: ":" in word,
    "--upload": lambda word: word in ("metrics", "calibs", "science"),
}
_SHORT = {"-p": "--param"}


def regroup(argv: list[str]) -> list[str]:
    """Move inputs that follow a value of ``-p``, ``--user_cal`` or ``--upload`` to the front.

    The first word after such an option always belongs to it, so that a forgotten type or ``=`` is noticed and
    not taken for an input.

    Parameters
    ----------
    argv : list of str
        Words of the command line.

    Returns
    -------
    list of str
        The same words, inputs first.
    """
    inputs: list[str] = []
    rest: list[str] = []
    option: str | None = None
    first = False
    for word in argv:
        if word.startswith("-") and len(word) > 1:
            option, first = _long_name(word), True
            rest.append(word)
        elif option is not None and (first or (_TAKES[option](word) and not word.startswith("@"))):
            rest.append(word)
            first = False
        elif option is not None:
            inputs.append(word)
        else:
            rest.append(word)
    return inputs + rest


def _long_name(word: str) -> str | None:
    if word in _SHORT:
        return _SHORT[word]
    if "=" in word or len(word) < len("--u"):
        return None
    matches = [name for name in _TAKES if name.startswith(word)] if word.startswith("--") else []
    return matches[0] if len(matches) == 1 else None
