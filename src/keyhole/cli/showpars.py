"""The command ``showpars``: the parameters of a step for a given frame."""

from __future__ import annotations

import argparse
import sys

from keyhole.cli.common import guarded
from keyhole.errors import ParameterError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
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
    from rich.console import Console
    from rich.table import Table

    from keyhole.engine.parameters import describe_range, nearest, resolve
    from keyhole.headers import read_headers, tags
    from keyhole.primitives import REGISTRY
    from keyhole.recipes import mode_defaults

    found = tags(read_headers(options.file))
    if options.step not in REGISTRY:
        raise ParameterError(f"no step {options.step!r}{nearest(options.step, REGISTRY)}")
    step = REGISTRY[options.step]
    values = resolve(step.name, mode_defaults=mode_defaults(found, step.name), call={}, settings={}).values
    print(f"Frame tags: {' '.join(sorted(found))}")
    print(f"{step.name}: {step.summary}")
    if options.doc and step.function.__doc__:
        print(step.function.__doc__.strip())
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "value", "range"):
        table.add_column(heading, no_wrap=True)
    table.add_column("meaning")
    for name, info in step.params.model_fields.items():
        if name.startswith("debug_") and not options.all:
            continue
        table.add_row(name, repr(getattr(values, name)), describe_range(step.params, name), info.description or "")
    Console(width=None if sys.stdout.isatty() else 100, highlight=False).print(table)
    return 0
