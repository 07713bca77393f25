"""``keyhole completion``: scripts by which bash and zsh complete the commands.

The scripts are written from the parsers of the commands and the registered steps, so that they know what the
commands know; they hold all words themselves, as starting a program at each stroke of the tab key would be slow.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["add_parser", "run"]

# Commands whose parser a function of their module makes.
_COMMANDS = {
    "reduce": "make_parser",
    "caldb": "_parser",
    "dataselect": "_parser",
    "showpars": "make_parser",
    "showrecipes": "make_parser",
    "showd": "make_parser",
    "typewalk": "make_parser",
    "provenance": "make_parser",
}


@dataclass(frozen=True)
class _Words:
    """What can follow a command.

    Attributes
    ----------
    options : tuple of str
        Words that begin with a minus.
    values : tuple of (str, tuple of str)
        Option, and the words that may follow it; an option that takes a file name is not among them.
    first : tuple of str
        Words for the first argument, or any if nothing else is known.
    """

    options: tuple[str, ...]
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    first: tuple[str, ...] = ()


def add_parser(commands: Any) -> None:
    """Add the command to the parser of ``keyhole``."""
    parser = commands.add_parser(
        "completion",
        help="write the script by which a shell completes the commands",
        description='Write a completion script. bash: eval "$(keyhole completion bash)" in ~/.bashrc; '
        "zsh: the same with zsh in ~/.zshrc, after compinit.",
    )
    parser.add_argument("shell", choices=("bash", "zsh"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    words = dict(_all_words())
    print("\n".join(_bash(words) if options.shell == "bash" else _zsh(words)))
    return 0


def _all_words() -> Iterator[tuple[str, _Words]]:
    from keyhole.calibration import CALIBRATION_TYPES
    from keyhole.headers import DESCRIPTORS
    from keyhole.primitives import REGISTRY
    from keyhole.recipes import all_libraries

    steps = tuple(sorted(REGISTRY))
    recipes = tuple(sorted({name for library in all_libraries() for name in library.recipes}))
    settings = tuple(f"{name}:{field}=" for name in steps for field in REGISTRY[name].params.model_fields)
    more = {
        "--param": settings,
        "--recipe": (*recipes, *steps),
        "--user_cal": tuple(f"{kind}:" for kind in CALIBRATION_TYPES),
        "--descriptors": DESCRIPTORS,
    }
    for command, maker in _COMMANDS.items():
        parser = getattr(import_module(f"keyhole.cli.{command}"), maker)()
        first = steps if command == "showpars" else ()
        yield command, _words_of(parser, more, first)
    yield (
        "keyhole",
        _Words(("--help", "--version"), (), ("bpm", "completion", "night", "picture", "report", "simulate", "verify")),
    )


def _words_of(parser: argparse.ArgumentParser, more: dict[str, tuple[str, ...]], first: tuple[str, ...]) -> _Words:
    options: list[str] = []
    values = []
    for action in parser._actions:
        options += action.option_strings
        choices = tuple(map(str, action.choices or ()))
        words = choices or next((more[name] for name in action.option_strings if name in more), ())
        if action.option_strings and words:
            values += [(name, words) for name in action.option_strings]
        elif words:
            first = words
    return _Words(tuple(options), tuple(values), first)


def _bash(commands: dict[str, _Words]) -> Iterator[str]:
    yield "# Completion of the commands of Keyhole for bash; written by: keyhole completion bash"
    for command, words in commands.items():
        yield f"_keyhole_{command}() {{"
        # The colons of step:name are no ends of words here.
        yield "    local line=${COMP_LINE:0:COMP_POINT} word before"
        yield '    word=${line##*[[:space:]]}; before=${line%"$word"}; before=${before%"${before##*[![:space:]]}"}'
        yield "    before=${before##*[[:space:]]}"
        yield "    local found="
        yield '    case "$before" in'
        for names, choices in _grouped(words):
            yield f"        {'|'.join(names)}) found={_quoted(choices)} ;;"
        yield '        *) case "$word" in'
        yield f"               -*) found={_quoted(words.options)} ;;"
        yield f"               *) found={_quoted(words.first)} ;;"
        yield "           esac ;;"
        yield "    esac"
        yield '    COMPREPLY=($(compgen -W "$found" -- "$word"))'
        yield '    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%:*}":}")'
        yield "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null"
        yield "    return 0"
        yield "}"
        yield f"complete -o default -F _keyhole_{command} {command}"


def _zsh(commands: dict[str, _Words]) -> Iterator[str]:
    yield f"#compdef {' '.join(commands)}"
    yield "# Completion of the commands of Keyhole for zsh; written by: keyhole completion zsh"
    for command, words in commands.items():
        yield f"_keyhole_{command}() {{"
        yield '    local before="${words[CURRENT-1]}" word="${words[CURRENT]}"'
        yield '    case "$before" in'
        for names, choices in _grouped(words):
            yield f"        {'|'.join(names)}) compadd -S '' -- {' '.join(choices)}; return ;;"
        yield "    esac"
        yield f'    case "$word" in -*) compadd -- {" ".join(words.options)}; return ;; esac'
        if words.first:
            yield f"    compadd -- {' '.join(words.first)}"
        yield "    _files"
        yield "}"
        yield f"compdef _keyhole_{command} {command}"


def _grouped(words: _Words) -> Iterator[tuple[list[str], tuple[str, ...]]]:
    """Options that the same words may follow."""
    for choices in dict.fromkeys(choices for _, choices in words.values):
        yield [name for name, own in words.values if own == choices], choices


def _quoted(words: Iterable[str]) -> str:
    return f"'{' '.join(words)}'"
