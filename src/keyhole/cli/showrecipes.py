"""The command ``showrecipes``: which recipe a frame gets, and its steps."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keyhole.cli.common import guarded

__all__ = ["main", "make_parser"]


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with the published options."""
    parser = argparse.ArgumentParser(prog="showrecipes", description="Show which recipe a frame gets, and its steps.")
    add = parser.add_argument
    add("file", help="a frame; what it is decides the recipe")
    add("-m", "--mode", default="sq", choices=("sq", "ql", "qa"), help="reduction mode (default: sq)")
    add("-r", "--recipe", default="_default", metavar="NAME", help="recipe, also one of a file: myrecipes.py:myreduce")
    add("--all", action="store_true", help="the names of all recipes for such a frame")
    add("--debug", action="store_true", help="accepted for compatibility; has no effect")
    add("--adpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    add("--drpkg", default=None, metavar="NAME", help="accepted for compatibility; has no effect")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = make_parser().parse_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _show_all(options) if options.all else _show(options))


def _show(options: argparse.Namespace) -> int:
    from keyhole.engine.recorder import record
    from keyhole.engine.user_recipes import choose_recipe, source_of
    from keyhole.headers import read_headers, tags
    from keyhole.recipes import libraries_for

    found = tags(read_headers(options.file))
    name, recipe = choose_recipe(found, options.recipe)
    print(f"Input file: {Path(options.file).resolve()}")
    print(f"Input tags: {' '.join(sorted(found))}")
    print(f"Input mode: {options.mode}")
    print(f"Recipe: {name}  ({source_of(recipe)})")
    for library in libraries_for(found)[:1]:
        if recipe in library.recipes.values():
            print(f"Recipe tags: {' '.join(sorted(library.tags))}")
    print("Steps:")
    for step in record(recipe):
        arguments = ", ".join(f"{key}={value!r}" for key, value in step.arguments.items())
        print(f"   p.{step.name}({arguments})")
    return 0


def _show_all(options: argparse.Namespace) -> int:
    from keyhole.headers import read_headers, tags
    from keyhole.recipes import libraries_for

    found = tags(read_headers(options.file))
    print(f"Input file: {Path(options.file).resolve()}")
    print(f"Input tags: {' '.join(sorted(found))}")
    libraries = libraries_for(found)
    for name in libraries[0].recipes if libraries else ():
        print(f"   {name}{'  (default)' if name == libraries[0].default else ''}")
    if not libraries:
        print("There is no recipe for such a frame")
    return 0
