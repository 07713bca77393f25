"""``keyhole night``: from a folder of raw frames to images with one command."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyhole.cli.common import tell
from keyhole.cli.night_report import NightReport
from keyhole.errors import InputError, ParameterError, SetupError

if TYPE_CHECKING:
    from keyhole.calibration import Store
    from keyhole.night import NightPlan
    from keyhole.night.run import GroupResult, NightResult

__all__ = ["add_parser", "print_plan"]

_EPILOG = """\
examples:
  keyhole night raw/2012-01-17                    masters, images, database and summary into keyhole_2012-01-17
  keyhole night raw/2012-01-17 -o out --jobs 2    two groups at once
  keyhole night raw/2012-01-17 --plan-only        write the plan, change it, and run it:
  keyhole night keyhole_2012-01-17/plan.toml
Run the same again after an interruption, or when frames have come: only what is missing or has changed is done.
exit code: 0 all groups have their products, 3 some have not, 130 interrupted, others as for reduce
"""
_PARTLY = 3
_PLAN = "plan.toml"
_SCHEDULER = "KEYHOLE_SCHEDULER"


def add_parser(commands: Any) -> None:
    """Add the command to those of ``keyhole``."""
    words = "reduce a whole folder of raw frames"
    parser = commands.add_parser(
        "night",
        help=words,
        description="Sort a folder of raw frames, make masters, and reduce every target.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="RAWDIR|PLAN.toml", help="folder of raw frames (with all below it), or a plan")
    add("-o", "--output", metavar="OUT", help="folder for products (default: keyhole_<name of RAWDIR>)")
    add("--plan-only", action="store_true", help="write the plan into OUT and show it; reduce nothing")
    add("-j", "--jobs", type=int, default=None, metavar="N", help="groups at once on this machine (default: cores)")
    add("--scheduler", metavar="URL", help=f"Dask scheduler to work on, such as tcp://host:8786 (or ${_SCHEDULER})")
    add("--best-effort", action="store_true", help="go on where a calibration is missing; products are marked")
    add("--watch", type=float, nargs="?", const=10.0, metavar="S", help="look for new frames every S seconds (10)")
    add("--json-events", metavar="FILE", help="append what happens to FILE, one JSON object a line")
    add("-c", "--config", metavar="FILE", help="configuration file of the calibration databases")
    parser.set_defaults(run=night)


def night(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if options.jobs is not None and options.jobs < 1:
        raise ParameterError(f"--jobs {options.jobs}: at least one group is reduced at a time")
    if options.watch is not None and options.watch <= 0:
        raise ParameterError(f"--watch {options.watch:g}: the time between two looks is a positive number of seconds")
    source = Path(options.source)
    if not source.exists():
        raise InputError(f"{source} does not exist; give a folder of raw frames, or a plan")
    if options.watch is not None and not source.is_dir():
        raise InputError(f"{source} is no folder; only a folder of raw frames can be watched")
    out = _output(options, source)
    if options.plan_only:
        _planned(options, source, out)
        return 0
    if options.watch is None:
        return _once(options, source, out)
    return _watch(options, source, out)


def _output(options: argparse.Namespace, source: Path) -> Path:
    if options.output is not None:
        return Path(options.output)
    if source.is_dir():
        return Path(f"keyhole_{source.absolute().name or 'night'}")
    # A plan lies where its products go.
    return source.parent


def _planned(options: argparse.Namespace, source: Path, out: Path) -> NightPlan:
    from keyhole.night.inventory import take_inventory
    from keyhole.night.memory import write_whole
    from keyhole.night.plan import make_plan
    from keyhole.night.planfile import plan_text, read_plan

    if not source.is_dir():
        plan = read_plan(source)
        print_plan(plan)
        return plan
    begin = time.perf_counter()
    plan = make_plan(take_inventory(source, leave_out=out), _stores(options, out))
    if not plan.groups:
        why = f"; {len(plan.aside)} files were looked at" if plan.aside else ", the folder is empty"
        raise InputError(f"{source} holds no frames that can be reduced{why}")
    try:
        out.mkdir(exist_ok=True)
        write_whole(out / _PLAN, plan_text(plan, name=str(out / _PLAN)))
    except OSError as error:
        raise SetupError(f"{out} cannot be written ({error.strerror}); choose another folder with -o") from error
    print_plan(plan)
    tell(f"plan written to {out / _PLAN} ({time.perf_counter() - begin:.1f} s)", sys.stdout)
    return plan


def _stores(options: argparse.Namespace, out: Path) -> list[Store]:
    """The user's databases; that of the folder of products holds nothing that cannot be made from the raw frames."""
    from keyhole.calibration import load_config, open_stores

    missing: list[SetupError] = []
    try:
        return list(open_stores(load_config(options.config), on_missing=missing.append))
    except SetupError as error:
        tell(f"warning: no calibration database was asked: {error}", sys.stderr)
        return []


def _once(options: argparse.Namespace, source: Path, out: Path) -> int:
    plan = _planned(options, source, out)
    result = _run(options, plan, out)
    _tell_end(result)
    return 0 if result.whole else _PARTLY


def _watch(options: argparse.Namespace, source: Path, out: Path) -> int:
    """Reduce what is there, and again whenever files have come or changed, until interrupted."""
    seen: dict[Path, tuple[int, int]] = {}
    while True:
        now = dict(_states(source, out))
        if now != seen and _settled(now, source, out, options.watch):
            seen = now
            try:
                _once(options, source, out)
            except InputError as error:
                tell(f"{error}; waiting for frames", sys.stderr)
            tell(f"waiting for new frames in {source}; end with Ctrl-C", sys.stdout)
        time.sleep(options.watch)


def _states(source: Path, out: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path in source.rglob("*.fits*"):
        if out.absolute() not in path.absolute().parents and path.is_file():
            status = path.stat()
            yield path, (status.st_size, status.st_mtime_ns)


def _settled(now: dict[Path, tuple[int, int]], source: Path, out: Path, seconds: float) -> bool:
    """Whether no file is just being written."""
    time.sleep(min(1.0, seconds))
    return dict(_states(source, out)) == now


def _run(options: argparse.Namespace, plan: NightPlan, out: Path) -> NightResult:
    from keyhole.night.executors import open_executor
    from keyhole.night.run import run_plan

    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise SetupError(f"{out} cannot be made ({error.strerror}); choose another folder with -o") from error
    scheduler = options.scheduler or os.environ.get(_SCHEDULER) or None
    jobs = options.jobs or os.cpu_count() or 1
    executor = open_executor(jobs=min(jobs, len(plan.groups)), scheduler=scheduler)
    report, result = NightReport(plan, out), None
    with _view(plan, options.json_events) as show:

        def changed(found: GroupResult) -> None:
            show(found)
            report(found)

        try:
            result = run_plan(plan, out, executor=executor, best_effort=options.best_effort, tell=changed)
        finally:
            executor.close(now=result is None)
            report.finish(result)
    return result


def _view(plan: NightPlan, events: str | None) -> Any:
    from keyhole.cli.night_view import view

    return view(len(plan.groups), events)


def print_plan(plan: NightPlan) -> None:
    """Print the groups with what they need, and the files left aside, as tables."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from keyhole.calibration import Grade

    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 80)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("group", overflow="fold", max_width=34)
    table.add_column("frames, and what serves them", overflow="fold")
    for group in plan.groups:
        table.add_row(Text(group.name, style="bold"), Text(group.summary or f"{len(group.files)} files"))
        for kind, need in group.needs.items():
            source = need.group or (Path(need.path).name if need.path else "none")
            grade = f", grade {need.grade} ({Grade(need.grade).words})" if need.grade is not None else ""
            reason = f": {need.reason}" if need.reason else ""
            style = "red" if need.missing else ""
            table.add_row(Text(f"  {kind}"), Text(f"{source}{grade}{reason}", style=style))
    console.print(table)
    if plan.aside:
        tell(f"left aside: {len(plan.aside)}", sys.stdout)
        reasons: dict[str, list[str]] = {}
        for item in plan.aside:
            reasons.setdefault(item.why, []).append(item.path)
        for why, paths in reasons.items():
            few = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
            console.print(Text(f"  {few}: {why}"))


def _tell_end(result: NightResult) -> None:
    for lost in result.of_state("failed", "skipped"):
        tell(f"{lost.group.name} {lost.state}: {lost.reason}", sys.stderr)
    images = [name for found in result.of_state("done", "kept") for name in _images(found)]
    for name in images:
        tell(f"image    {result.out / name}", sys.stdout)
    counts = [
        f"{len(found)} {state}" for state in ("done", "kept", "failed", "skipped") if (found := result.of_state(state))
    ]
    tell(f"report   {result.out / 'index.html'}", sys.stdout)
    tell(f"summary  {result.out / 'summary.json'}", sys.stdout)
    tell(f"{', '.join(counts)} in {result.seconds:.1f} s", sys.stdout)


def _images(found: GroupResult) -> list[str]:
    products = found.outcome.products if found.outcome is not None else {}
    return [name for name in products if name.endswith("_stack.fits")]
