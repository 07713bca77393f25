"""Why a calibration is taken or not: the table of candidates and criteria, on the screen or as JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from keyhole.cli.common import tell

if TYPE_CHECKING:
    from rich.table import Table

    from keyhole.calibration import Candidate, Config, Explanation, Facts, Judgement, RawSet

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
    parser.add_argument("--raw", metavar="FOLDER", help="also name raw frames in a folder that would make a master")
    parser.add_argument("--json", action="store_true", help="for programs: the same as JSON")


def why(options: argparse.Namespace, config: Config) -> int:
    """Run ``caldb why``.

    Returns
    -------
    int
        0 when something fits for every kind that was asked for or is required, else 4.
    """
    from keyhole.calibration import explain, facts_of, open_stores, raw_sets
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
    makeable = raw_sets(_facts_below(options.raw)) if options.raw is not None else []
    if options.json:
        print(json.dumps([_as_dict(item, makeable) for item in told], indent=2))
    else:
        print_explanations(told, sys.stdout)
        _print_sets(told, makeable, options.raw)
    lacking = [kind for kind, item in zip(kinds, told, strict=True) if item.chosen is None]
    failed = [kind for kind in lacking if kind in asked or kind in _REQUIRED]
    return CalibrationError.exit_code if failed else 0


def _facts_below(folder: str) -> Iterator[Facts]:
    from keyhole.calibration import facts_of
    from keyhole.calibration.service import fits_files_below
    from keyhole.errors import DataError, InputError
    from keyhole.headers import read_headers

    if not Path(folder).is_dir():
        raise InputError(f"{folder} is no folder; name the one that holds the raw frames")
    for path in fits_files_below(folder):
        try:
            yield replace(facts_of(read_headers(path)), name=str(path))
        except DataError as error:
            print(f"warning: {error}", file=sys.stderr)


def _print_sets(told: Sequence[Explanation], makeable: Sequence[RawSet], folder: str | None) -> None:
    for explanation in told if folder is not None else ():
        kind = explanation.caltype.removeprefix("processed_")
        if kind == "bpm":
            continue
        fitting = _fitting_sets(explanation, makeable)
        for made, judgement in fitting:
            count, grade = len(made.names), judgement.grade
            tell(f"\n{count} raw frames in {folder} would make a {kind} of grade {grade:d}:", sys.stdout)
            tell(f"     reduce {shlex.join(made.names)}", sys.stdout)
        if not fitting:
            tell(f"\nno raw frames in {folder} would make a {kind}", sys.stdout)


def _fitting_sets(told: Explanation, makeable: Sequence[RawSet]) -> list[tuple[RawSet, Judgement]]:
    """Raw sets that would make a fitting master, the best first."""
    from keyhole.calibration import judge_set
    from keyhole.calibration.judging import preference_key

    fitting = []
    for made in makeable:
        judged = judge_set(made, told.frame) if made.caltype == told.caltype else None
        if judged is not None and judged[1].passed:
            key = preference_key(judged[0], told.frame, made.frames[0])
            fitting.append((key, made, judged[1]))
    return [(made, judgement) for _, made, judgement in sorted(fitting, key=lambda item: item[0])]


def needed_by(tags: Iterable[str]) -> tuple[str, ...]:
    """Kinds of masters that the recipe for a frame asks for."""
    return ("bpm",) if {"DARK", "FLAT", "BPM"} & set(tags) else KINDS


def print_explanations(explanations: Iterable[Explanation], stream: TextIO, *, in_a_run: bool = False) -> None:
    """Print for each frame and kind: what is needed, the candidates with their checks, the verdict and a way out.

    Parameters
    ----------
    explanations : iterable of Explanation
    stream : text stream
        Where to.
    in_a_run : bool
        The reader has just given a command, which needs no more than one option.
    """
    from rich.console import Console

    console = Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH)
    width = console.width

    def say(text: str, indent: str = "  ") -> None:
        lines = textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        tell("\n".join(lines), stream)

    for number, told in enumerate(explanations):
        if number:
            tell("", stream)
        kind = told.caltype.removeprefix("processed_")
        needed = ", ".join(f"{label} {value}" for label, value in told.needed)
        say(f"{kind} for {told.frame.name}: {needed}" if needed else f"{kind} for {told.frame.name}")
        if told.candidates:
            console.print(_table(told, unicode=_can_print(console.encoding)))
            hidden = told.total - len(told.candidates)
            if hidden > 0:
                say(f"and {hidden} more that {'fits' if hidden == 1 else 'fit'} less well")
        for line in _remarks(told):
            say(f"- {line}", "    ")
        say(f"=> {told.verdict}", "   ")
        if told.command is not None:
            # A command is copied: it must not be broken into lines.
            way = f"by adding:\n     {told.option}" if in_a_run else f"with:\n     {told.command}"
            tell(f"   use it anyway {way}", stream)


def _table(told: Explanation, *, unicode: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    marks = {True: Text("✓" if unicode else "ok"), False: Text("✗" if unicode else "NO", style="bold red")}
    # No frame: a flat has nine criteria, and a terminal 80 columns.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
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
    """One line for each candidate but the first, which the verdict is about."""
    for candidate in told.candidates[1:]:
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
        "✓✗".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _as_dict(told: Explanation, makeable: Sequence[RawSet]) -> dict[str, Any]:
    return {
        "kind": told.caltype.removeprefix("processed_"),
        "frame": told.frame.name,
        "needed": dict(told.needed),
        "databases": list(told.databases),
        "total": told.total,
        "chosen": None if told.chosen is None else told.chosen.entry.path,
        "verdict": told.verdict,
        "command": told.command,
        "raw_sets": [
            {"frames": list(made.names), "grade": int(judgement.grade), "reason": judgement.reason}
            for made, judgement in _fitting_sets(told, makeable)
        ],
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
