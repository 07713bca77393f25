"""Why a calibration is taken or not: the table of candidates and criteria, on the screen or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.table import Table

    from keyhole.calibration import Candidate, Config, Explanation

__all__ = ["KINDS", "add_arguments", "print_explanations", "why"]

KINDS = ("dark", "flat", "bpm")
_WIDTH = 80
# Kinds without which a frame is not reduced; a frame is asked for these, and for the mask.
_REQUIRED = ("dark", "flat")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``caldb why`` takes."""
    parser.add_argument("frame", metavar="FRAME", help="raw frame, or any file with its headers")
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help="dark, flat or bpm (default: what the frame needs)", default=[]
    )
    parser.add_argument("--json", action="store_true", help="for programs: the same as JSON")


def why(options: argparse.Namespace, config: Config) -> int:
    """Run ``caldb why``.

    Returns
    -------
    int
        0 when something fits for every kind that was asked for or is required, else 4.
    """
    from keyhole.calibration import explain, facts_of, open_stores
    from keyhole.errors import CalibrationError, ParameterError
    from keyhole.headers import read_headers

    unknown = [kind for kind in options.kinds if kind.removeprefix("processed_") not in KINDS]
    if unknown:
        raise ParameterError(f"caldb why: unknown kind '{unknown[0]}'; known kinds are {', '.join(KINDS)}")
    frame = facts_of(read_headers(options.frame))
    asked = tuple(dict.fromkeys(kind.removeprefix("processed_") for kind in options.kinds))
    missing: list[str] = []
    stores = open_stores(config, on_missing=lambda error: missing.append(str(error)))
    for problem in missing:
        print(f"warning: {problem}", file=sys.stderr)
    kinds = asked or needed_by(frame.tags)
    told = [explain(stores, frame, f"processed_{kind}", path=options.frame) for kind in kinds]
    if options.json:
        print(json.dumps([_as_dict(item) for item in told], indent=2))
    else:
        print_explanations(told, sys.stdout)
    lacking = [kind for kind, item in zip(kinds, told, strict=True) if item.chosen is None]
    failed = [kind for kind in lacking if kind in asked or kind in _REQUIRED]
    return CalibrationError.exit_code if failed else 0


def needed_by(tags: Iterable[str]) -> tuple[str, ...]:
    """Kinds of masters that the recipe for a frame asks for."""
    return ("bpm",) if {"DARK", "FLAT", "BPM"} & set(tags) else KINDS


def print_explanations(explanations: Iterable[Explanation], stream: TextIO) -> None:
    """Print for each frame and kind: what is needed, the candidates with their checks, the verdict and a way out."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    width = None if stream.isatty() else _WIDTH
    console = Console(file=stream, highlight=False, soft_wrap=False, width=width)
    for number, told in enumerate(explanations):
        if number:
            console.print()
        kind = told.caltype.removeprefix("processed_")
        needed = ", ".join(f"{label} {value}" for label, value in told.needed)
        console.print(Text(f"{kind} for {told.frame.name}: {needed}" if needed else f"{kind} for {told.frame.name}"))
        if told.candidates:
            console.print(_table(told, unicode=_can_print(console.encoding)))
            hidden = told.total - len(told.candidates)
            if hidden > 0:
                console.print(Text(f"  and {hidden} more that {'fits' if hidden == 1 else 'fit'} less well"))
        for line in _remarks(told):
            console.print(Padding(Text(line), (0, 0, 0, 2)))
        console.print(Text(f"=> {told.verdict}"))
        if told.command is not None:
            console.print(Text("   to use it anyway:"))
            # A command is copied: it must not be broken into lines.
            print(f"     {told.command}", file=stream, flush=True)


def _table(told: Explanation, *, unicode: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    marks = {True: Text("✓" if unicode else "ok"), False: Text("✗" if unicode else "NO", style="bold red")}
    table = Table(box=box.SIMPLE_HEAD if unicode else box.ASCII2, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("candidate", overflow="fold", min_width=24)
    table.add_column("grade", justify="center")
    for head in _heads(told):
        table.add_column(head, justify="center", no_wrap=True)
    for candidate in told.candidates:
        judgement = candidate.judgement
        checks = [check for check in judgement.checks if check.label != "instrument"]
        style = "bold" if candidate is told.chosen else ""
        grade = f"{judgement.grade:d}" if candidate.problem is None else "-"
        cells = [marks[check.passed] for check in checks]
        table.add_row(Text(candidate.entry.name, style=style), grade, *cells, marks[candidate.problem is None])
    return table


def _heads(told: Explanation) -> Iterator[str]:
    from keyhole.calibration import rule_for

    rule = rule_for(told.caltype, told.frame.instrument)
    for criterion in rule.criteria if rule else ():
        if criterion.quantity != "instrument":
            yield criterion.head or criterion.label
    yield from ("time", "QA", "file")


def _remarks(told: Explanation) -> Iterator[str]:
    """One line for each candidate that is not taken and has something against it."""
    for candidate in told.candidates:
        if candidate is told.chosen:
            continue
        if not candidate.judgement.passed:
            yield f"{candidate.entry.name}: {candidate.near_miss}"
        elif candidate.problem is not None:
            yield f"{candidate.entry.name}: {candidate.problem}"
        else:
            judgement = candidate.judgement
            yield (
                f"{candidate.entry.name}: fits too, grade {judgement.grade:d} ({judgement.grade.words}): "
                f"{judgement.reason}"
            )


def _can_print(encoding: str) -> bool:
    try:
        "✓✗─".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _as_dict(told: Explanation) -> dict[str, Any]:
    return {
        "kind": told.caltype.removeprefix("processed_"),
        "frame": told.frame.name,
        "needed": dict(told.needed),
        "databases": list(told.databases),
        "total": told.total,
        "chosen": None if told.chosen is None else told.chosen.entry.path,
        "verdict": told.verdict,
        "command": told.command,
        "candidates": [_candidate_as_dict(candidate) for candidate in told.candidates],
    }


def _candidate_as_dict(candidate: Candidate) -> dict[str, Any]:
    judgement = candidate.judgement
    age = judgement.age
    return {
        "name": candidate.entry.name,
        "path": candidate.entry.path,
        "database": candidate.database,
        "grade": int(judgement.grade),
        "usable": candidate.usable,
        "age_days": None if age is None else round(age.total_seconds() / 86400, 4),
        "checks": {check.label: {"passed": check.passed, "value": check.value} for check in judgement.checks},
        "doubts": list(judgement.doubts),
        "merits": list(judgement.merits),
        "problem": candidate.problem,
    }
