"""The command ``showpars``: the parameters of a step for a given frame."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keyhole.cli.common import guarded

if TYPE_CHECKING:
    from keyhole.engine.parameters import Resolved
    from keyhole.primitives import Primitive

__all__ = ["main"]

_WIDTH_IN_A_PIPE = 100
_WIDEST_RANGE = 34


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0, or that of the error.
    """
    parser = argparse.ArgumentParser(
        prog="showpars", description="Show the parameters of a step, with defaults, ranges and meanings."
    )
    parser.add_argument("file", help="a frame; its kind decides the defaults")
    parser.add_argument("step", help="name of a step, such as associateSky")
    parser.add_argument("-a", "--all", action="store_true", help="also parameters named debug_...")
    parser.add_argument("-d", "--doc", action="store_true", help="also the description of the step")
    parser.add_argument("--adpkg", default=None, help="accepted for compatibility; has no effect")
    parser.add_argument("--drpkg", default=None, help="accepted for compatibility; has no effect")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    # numpy and the steps load only here, so that --help answers at once.
    from keyhole.engine.parameters import resolve
    from keyhole.engine.recorder import step_named
    from keyhole.headers import read_headers, tags
    from keyhole.recipes import mode_defaults

    found = tags(read_headers(options.file))
    step = step_named(options.step)
    recipe, call = _usual_call(found, step.name)
    resolved = resolve(step.name, mode_defaults=mode_defaults(found, step.name), call=call, settings={})
    print(f"Frame tags: {' '.join(sorted(found))}")
    print(f"{step.name}: {step.summary}")
    # The first line of the description is the summary, which stands there already.
    description = inspect.cleandoc(step.function.__doc__ or "").partition("\n")[2]
    if options.doc and description:
        print(description)
    _print_table(step, resolved, everything=options.all)
    if "recipe" in resolved.origins.values():
        print(f"* as recipe {recipe} calls the step; the step itself has another default")
    return 0


def _usual_call(found: frozenset[str], step: str) -> tuple[str, Mapping[str, Any]]:
    """The usual recipe for such frames, and the parameters of its first call of the step."""
    from keyhole.engine.recorder import record
    from keyhole.recipes import find_recipe, libraries_for

    if not libraries_for(found):
        return "", {}
    name, recipe = find_recipe(found)
    return name, next((call.parameters for call in record(recipe) if call.name == step), {})


def _print_table(step: Primitive, resolved: Resolved, *, everything: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from keyhole.engine.parameters import describe_range

    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("range", max_width=_WIDEST_RANGE)
    table.add_column("meaning")
    for name, info in step.params.model_fields.items():
        if name.startswith("debug_") and not everything:
            continue
        mark = " *" if resolved.origins.get(name) == "recipe" else ""
        cells = f"{getattr(resolved.values, name)!r}{mark}", describe_range(step.params, name), info.description or ""
        # As Text, for rich would read [0, inf) as a mark-up.
        table.add_row(name, *(Text(cell) for cell in cells))
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE, highlight=False).print(table)
