"""A whole run: everything that can be wrong is found before the first pixel is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyhole.calibration import Config, UserCals
from keyhole.engine.associations import Association, associate, store_products
from keyhole.engine.events import CalibrationChosen, Caveat, EventSink, RunFailed, RunFinished, RunStarted
from keyhole.engine.inputs import InputSet, accept
from keyhole.engine.parameters import resolve, unknown_settings
from keyhole.engine.recorder import PlannedStep, record
from keyhole.engine.runner import RunContext, Runner
from keyhole.errors import InputError, ParameterError, SetupError
from keyhole.frames import Frame, read_frame
from keyhole.instruments import available
from keyhole.primitives import REGISTRY
from keyhole.recipes import find_recipe, mode_defaults

__all__ = ["Request", "Result", "run"]

_MODES = ("sq", "ql", "qa")


@dataclass(frozen=True)
class Request:
    """What to reduce, and how.

    Attributes
    ----------
    files : sequence of path
        Inputs; the first gives the name of the product.
    recipe : str
        Name of a recipe or a step; ``_default``: chosen by what the frames are.
    mode : {'sq', 'ql', 'qa'}
        ``sq`` stops where a calibration is missing, the others go on and say so.
    settings : mapping
        ``name`` or ``step:name`` to value.
    user_cals : UserCals
        Masters given by hand.
    suffix : str or None
        Ending of the output names in place of the recipe's.
    config : Config or None
        Calibration databases; None: none is asked.
    output_dir : Path
        Where products go.
    notes : tuple of str
        Warnings from reading the request itself, told when the run starts.
    """

    files: Sequence[str | Path]
    recipe: str = "_default"
    mode: str = "sq"
    settings: Mapping[str, Any] = field(default_factory=dict)
    user_cals: UserCals = field(default_factory=lambda: UserCals({}))
    suffix: str | None = None
    config: Config | None = None
    output_dir: Path = field(default_factory=Path)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes
    ----------
    outputs : list of Path
        Final products, the ones a user would go on with.
    written : list of Path
        All files written.
    caveats : dict of str to int
        Weaker ways taken, with the number of cases.
    calibrations : list of Association
        Masters used and where from.
    seconds : float
        Wall time.
    """

    outputs: list[Path]
    written: list[Path]
    caveats: dict[str, int]
    calibrations: list[Association]
    seconds: float


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

    Raises
    ------
    KeyholeError
        See `keyhole.errors`; what a user can cause is found before pixels are read wherever possible.
    """
    begin = time.perf_counter()
    runner: Runner | None = None
    try:
        inputs, name, recipe, plan = _plan(request)
        emit(
            RunStarted(
                [str(i.path) for i in inputs.items],
                inputs.summary,
                name,
                request.mode,
                [s.name for s in plan],
            )
        )
        for text in (*request.notes, *inputs.warnings, *request.user_cals.notes):
            emit(Caveat(text))
        associations = associate(inputs, _needed(plan, inputs, request), request)
        for found in associations:
            emit(CalibrationChosen(found.kind, _text(found.path), found.origin, found.reason, found.frames))
            for warning in found.warnings:
                emit(Caveat(warning))
        context = _context(request, inputs, associations, emit, clock)
        for found in associations:
            context.caveats.update(found.warnings)
        frames = [_read(item.path) for item in inputs.items]
        runner = Runner(
            context,
            frames=frames,
            settings=request.settings,
            mode_defaults=lambda step: mode_defaults(inputs.tags, step),
            total=len(plan),
            emit=emit,
        )
        recipe(runner)
        outputs = _finish(request, context)
        store_products(request, outputs, emit)
    except BaseException as err:
        emit(RunFailed(err, runner.current if runner else None))
        raise
    seconds = time.perf_counter() - begin
    emit(RunFinished([str(path) for path in outputs], seconds, len(context.caveats)))
    return Result(outputs, context.outputs, dict(context.caveats), associations, seconds)


def _plan(request: Request) -> tuple[InputSet, str, Callable[[Any], None], list[PlannedStep]]:
    if request.mode not in _MODES:
        raise ParameterError(f"mode {request.mode!r} is unknown; use sq, ql or qa")
    _check_folder(request.output_dir)
    inputs = accept(request.files, supported=lambda name: name.upper() in available())
    name, recipe = find_recipe(inputs.tags, request.recipe)
    plan = record(recipe)
    steps = [step.name for step in plan]
    if inputs.kind == "reduced image" and "prepare" in steps:
        raise InputError(f"{inputs.items[0].path.name} is reduced already; combine such images with -r alignAndStack")
    if inputs.kind != "reduced image" and "stackFrames" in steps and "prepare" not in steps:
        raise InputError(f"{inputs.items[0].path.name} is raw; recipe {name} combines reduced images")
    mistakes = unknown_settings(request.settings, steps)
    for step in plan:
        try:
            resolve(
                step.name,
                mode_defaults=mode_defaults(inputs.tags, step.name),
                call=step.parameters,
                settings=request.settings,
            )
        except ParameterError as err:
            mistakes.append(str(err))
    if mistakes:
        raise ParameterError("; ".join(dict.fromkeys(mistakes)))
    return inputs, name, recipe, plan


def _check_folder(folder: Path) -> None:
    import os  # only here

    if not folder.is_dir():
        raise SetupError(f"output folder {folder.resolve()} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SetupError(f"output folder {folder.resolve()} cannot be written; run in a folder of your own")


def _needed(plan: list[PlannedStep], inputs: InputSet, request: Request) -> dict[str, bool]:
    """Kinds of masters the plan asks for, and whether the run cannot go on without."""
    needed: dict[str, bool] = {}
    for step in plan:
        resolved = resolve(
            step.name,
            mode_defaults=mode_defaults(inputs.tags, step.name),
            call=step.parameters,
            settings=request.settings,
        )
        if resolved.skip:
            continue
        for kind in REGISTRY[step.name].calibrations:
            do_cal = getattr(resolved.values, "do_cal", "optional")
            named = getattr(resolved.values, kind.removeprefix("processed_"), None)
            if do_cal == "skip" or named:
                continue
            required = do_cal == "force" or (do_cal == "procmode" and request.mode == "sq")
            needed[kind] = needed.get(kind, False) or required
    return needed


def _context(
    request: Request,
    inputs: InputSet,
    associations: list[Association],
    emit: EventSink,
    clock: Callable[[], datetime],
) -> RunContext:
    roots = {str(item.path): _root(item.path, item.headers.primary) for item in inputs.items}
    chosen = {
        (roots[frame], found.kind): found.path
        for found in associations
        if found.path is not None
        for frame in found.frames
    }
    return RunContext(
        mode=request.mode,
        calibrations=chosen,
        output_dir=request.output_dir,
        protected=frozenset(item.path.resolve() for item in inputs.items),
        emit=emit,
        clock=clock,
    )


def _root(path: Path, primary: Mapping[str, Any]) -> str:
    from keyhole.frames.frame import strip_extension

    return strip_extension(Path(str(primary.get("ORIGNAME") or path.name)).name)


def _read(path: Path) -> Frame:
    frame = read_frame(path)
    if "ORIGNAME" not in frame.primary:
        name = path.name.removesuffix(".gz").removesuffix(".bz2")
        frame.primary["ORIGNAME"] = (name, "Original filename prior to processing")
    return frame


def _finish(request: Request, context: RunContext) -> list[Path]:
    outputs = []
    for frame in context.streams["main"]:
        path = request.output_dir / frame.name
        if request.suffix is not None:
            frame.name = f"{frame.root.split('_')[0]}{request.suffix}.fits"
            path = Path(context.write(frame))
        elif path not in context.outputs:
            path = Path(context.write(frame))
        outputs.append(path)
    return outputs


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
