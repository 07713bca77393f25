"""A whole run: everything that can be wrong is found before the first pixel is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from keyhole.calibration import Grade, kind_of
from keyhole.engine.associations import associate, check_named, store_products
from keyhole.engine.context import RunContext, caveats_of
from keyhole.engine.events import CalibrationChosen, Caveat, EventSink, Note, RunFailed, RunFinished, RunStarted
from keyhole.engine.inputs import Input, require_plain_name
from keyhole.engine.memory import keep_freed_memory
from keyhole.engine.plan import Plan, make_plan
from keyhole.engine.recorder import PlannedFrame
from keyhole.engine.request import Association, Request, Result
from keyhole.engine.runner import Runner
from keyhole.engine.served import Served
from keyhole.frames import Frame, Parking, add_provenance

__all__ = ["run"]

_MEGABYTE = 1_000_000


class _Masters(NamedTuple):
    """Masters of a run; a step is handed those that its parameters name by name, the chosen ones by frame."""

    chosen: list[Association]
    named: list[Association]
    caveats: list[str]


def run(
    request: Request,
    emit: EventSink,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Result:
    """Reduce frames.

    Parameters
    ----------
    request : Request
        Inputs, recipe, parameters, calibrations.
    emit : callable
        Receives the events of the run.
    clock : callable
        Returns the current time; a seam for tests.

    Returns
    -------
    Result
        What was written, and how.

    Raises
    ------
    KeyholeError
        See `keyhole.errors`; what a user can cause is found before pixels are read wherever possible.
    """
    keep_freed_memory()
    # The last bits of matrix products depend on the number of threads, and must not on where a run happens.
    with threadpool_limits(1, user_api="blas"):
        return _run(request, emit, clock)


def _run(request: Request, emit: EventSink, clock: Callable[[], datetime]) -> Result:
    begin = time.perf_counter()
    runner: Runner | None = None
    try:
        plan = make_plan(request)
        _announce(plan, request, emit)
        masters = _choose_masters(plan, request, emit)
        with Parking(request.output_dir, request.memory * _MEGABYTE) as parking:
            context, inputs = _open(plan, request, masters, emit, clock, parking=parking)
            runner = Runner(
                context,
                inputs=inputs,
                settings=request.settings,
                mode_defaults=lambda step: request.defaults(plan.inputs.tags, step),
                total=len(plan.steps),
                emit=emit,
            )
            plan.recipe(runner)
            runner.finish()
            outputs = _finish(request, context, saved=runner.saved) if runner.changed else []
        _tell_bad_pixels(context, emit)
        store_products(request, outputs, emit)
        _remind(request, masters, outputs, emit)
    except BaseException as err:
        emit(RunFailed(err, runner.current if runner else None))
        raise
    seconds = time.perf_counter() - begin
    emit(RunFinished([str(path) for path in outputs], seconds, len(context.caveats)))
    return Result(outputs, context.outputs, dict(context.caveats), [*masters.chosen, *masters.named], seconds)


def _announce(plan: Plan, request: Request, emit: EventSink) -> None:
    files = [str(item.path) for item in plan.inputs.items]
    steps = [step.name for step in plan.steps]
    emit(RunStarted(files, plan.inputs.summary, plan.recipe_name, request.mode, steps))
    for text in (*request.notes, *plan.inputs.warnings, *request.user_cals.notes, *plan.warnings):
        emit(Caveat(text))


def _choose_masters(plan: Plan, request: Request, emit: EventSink) -> _Masters:
    """Choose and announce the masters; the doubts about them are caveats of the products."""
    named = check_named(plan.needs.named, plan.inputs)
    chosen, problems = associate(plan.inputs, plan.needs, request)
    caveats = [*plan.needs.waived, *problems]
    for found in (*named, *chosen):
        if found.path is not None:
            require_plain_name(found.path)
        path = None if found.path is None else str(found.path)
        emit(CalibrationChosen(found.kind, path, found.origin, found.reason, list(found.frames), found.grade))
        caveats += found.warnings
    caveats = list(dict.fromkeys(caveats))
    for text in caveats:
        emit(Caveat(text))
    return _Masters(chosen, named, caveats)


def _remind(request: Request, masters: _Masters, outputs: list[Path], emit: EventSink) -> None:
    """Say again, where it is read last, what a product was made without."""
    kinds = [kind_of(found.kind) for found in masters.chosen if found.grade is Grade.MISSING]
    if request.best_effort and kinds and outputs:
        names = ", ".join(path.name for path in outputs)
        without = " and ".join(f"a {kind}" for kind in dict.fromkeys(kinds))
        emit(Caveat(f"{names}: made without {without} (best effort, CALGRADE {Grade.MISSING:d}); do not measure on it"))


def _open(
    plan: Plan,
    request: Request,
    masters: _Masters,
    emit: EventSink,
    clock: Callable[[], datetime],
    *,
    parking: Parking,
) -> tuple[RunContext, list[Callable[..., Frame]]]:
    """Lay out what steps will ask for, and how each input is read when its turn comes."""
    items = plan.inputs.items
    roots = {str(item.path): _root_of(item) for item in items}
    files = [found.path for found in (*masters.chosen, *masters.named) if found.path is not None]
    context = RunContext(
        mode=request.mode,
        served=Served(
            {(roots[file], found.kind): found for found in masters.chosen for file in found.frames}, masters.named
        ),
        best_effort=request.best_effort,
        details=request.details,
        parking=parking,
        output_dir=request.output_dir,
        protected=[*(item.path for item in items), *files],
        checksums={found.path: found.md5 for found in masters.chosen if found.path is not None and found.md5},
        emit=emit,
        clock=clock,
    )
    context.caveats.update(masters.caveats)
    for item in items:
        context.caveats.update(caveats_of(item.headers.primary))
        context.served.inherit(item.headers.primary)
    return context, [partial(_read, item, context, plan.recipe_name) for item in items]


def _root_of(item: Input) -> str:
    """Name of the raw file that an input is, or was made of, as its frame will tell."""
    return PlannedFrame(item).root


def _read(item: Input, context: RunContext, recipe: str, *, stored: bool = False) -> Frame:
    frame = context.read_input(item.path, stored=stored)
    if "PREPARED" in item.tags:
        # Raw frames are entered by prepare.
        add_provenance(frame, context.timestamp(), item.path.name, context.checksum(item.path), recipe)
    return frame


def _tell_bad_pixels(context: RunContext, emit: EventSink) -> None:
    """Say once where the bad pixels of the products come from."""
    sources = (frame.primary.get("BPMSRC") for frame in context.streams["main"])
    for text in dict.fromkeys(str(source) for source in sources if source is not None):
        emit(Note(f"source of bad pixels: {text}"))


def _finish(request: Request, context: RunContext, *, saved: bool) -> list[Path]:
    """Write the frames of ``main`` that are not on disk as they are now; returns the final products."""
    outputs = []
    for frame in context.streams["main"]:
        path = request.output_dir / frame.name
        if request.suffix is not None:
            frame.name = f"{frame.root}{request.suffix}.fits"
        if request.suffix is not None or not saved:
            path = Path(context.write(frame))
        outputs.append(path)
    return outputs
