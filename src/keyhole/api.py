"""Keyhole as a library: open a frame, reduce frames, get a result.

Everything here is reached from the package itself: ``keyhole.open``, ``keyhole.reduce``, ``keyhole.step``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from keyhole.calibration import CALIBRATION_TYPES, Config, UserCals, parse_user_cals
from keyhole.calibration.service import active_config, chosen_config
from keyhole.cli.common import patient_collector
from keyhole.cli.console import Console
from keyhole.cli.script_log import Account
from keyhole.engine import Event, Request, run
from keyhole.engine.eventlog import EventLog, LogFile
from keyhole.engine.events import Caveat, Note, RunFailed, RunStarted, StepFinished
from keyhole.engine.parameters import parse_settings
from keyhole.engine.request import Association
from keyhole.engine.user_steps import step
from keyhole.errors import ParameterError
from keyhole.frames import Frame, read_frame
from keyhole.recipes import Recipe
from keyhole.selection import expand

__all__ = ["Result", "StepTiming", "open_frame", "reduce", "step"]

Files = str | Path | Iterable[str | Path]
Parameters = Mapping[str, Any] | Iterable[str | tuple[str, Any]]
Calibrations = Mapping[str, str | Path] | Iterable[str]


@dataclass(frozen=True)
class StepTiming:
    """How long a step took.

    Attributes
    ----------
    step : str
        Name of the step.
    seconds : float
        Wall time.
    """

    step: str
    seconds: float


@dataclass(frozen=True, repr=False)
class Result:
    """What a reduction made.

    Attributes
    ----------
    recipe : str
        Name of the recipe that was run.
    outputs : list of Path
        Final products.
    written : list of Path
        All files written, in order.
    warnings : list of str
        Weaker ways taken and doubts, each once; those that concern the products stand in their headers, too.
    notes : list of str
        Facts measured on the way, in order.
    timings : list of StepTiming
        In the order of the steps.
    calibrations : list of Association
        Masters that were used: kind, path, origin, reason, frames.
    seconds : float
        Wall time of the whole.
    """

    recipe: str
    outputs: list[Path]
    written: list[Path]
    warnings: list[str]
    notes: list[str]
    timings: list[StepTiming]
    calibrations: list[Association]
    seconds: float

    def open(self) -> Frame:
        """Read the first product.

        Raises
        ------
        ParameterError
            The recipe makes no product.
        """
        if not self.outputs:
            raise ParameterError(f"recipe {self.recipe} made no product that could be opened")
        return read_frame(self.outputs[0])

    def __str__(self) -> str:
        used = [
            f"{found.kind.removeprefix('processed_')} {found.path.name}" for found in self.calibrations if found.path
        ]
        lines = [
            f"{self.recipe}: {', '.join(str(path) for path in self.outputs) or 'no product'} ({self.seconds:.1f} s)",
            *([f"calibrations: {', '.join(used)}"] if used else []),
            *(f"warning: {text}" for text in self.warnings),
        ]
        return "\n".join(lines)

    # What a notebook shows of a run.
    __repr__ = __str__


def open_frame(path: str | Path) -> Frame:
    """Read a raw frame or a product.

    Parameters
    ----------
    path : path
        ``.fits``, ``.fits.gz`` or ``.fits.bz2`` with one science image.

    Returns
    -------
    Frame
        ``data``, ``variance``, ``mask``, headers and tables; ``describe("exposure_time")`` and ``tags`` answer
        what it is, ``to_astrodata()`` converts.

    Raises
    ------
    InputError, DataError
        The file does not exist, or is no such file.
    """
    return read_frame(path)


def reduce(
    files: Files,
    *,
    recipe: str | Recipe = "_default",
    mode: str = "sq",
    parameters: Parameters = (),
    calibrations: Calibrations = (),
    suffix: str | None = None,
    output_dir: str | Path = ".",
    config: str | Path | Config | None = None,
    account: Account | None = None,
    logfile: str | Path | EventLog | None = None,
    on_event: Callable[[Event], None] | None = None,
    notes: Sequence[str] = (),
    best_effort: bool = False,
    parameter_set: str | None = None,
) -> Result:
    """Reduce frames: darks and flats to a master each, science frames to a stacked image.

    Parameters
    ----------
    files : path or iterable of path
        Raw frames, or lists of them as ``@list``.
    recipe : str or callable
        What to do; by default what is usual for such frames. The name of a recipe or of a single step, a
        function in a file (``"myrecipes.py:myreduce"``), or a function that calls steps: ``def myreduce(p)``.
    mode : {'sq', 'ql', 'qa'}
        ``sq`` stops where a master is missing, the others go on and say so.
    parameters : mapping, or iterable of ``"name=value"`` or ``(name, value)``
        Parameters of steps, under ``name`` or ``step:name``; they win over those written in the recipe.
    calibrations : mapping of kind to path, or iterable of ``"kind:path"``
        Masters given by hand, such as ``{"processed_dark": path}``; the kind may be ``dark`` alone. Others are
        found in the databases.
    suffix : str, optional
        Ending of the output names in place of the recipe's.
    output_dir : path
        Where products go.
    config : path or Config, optional
        Configuration file, or configuration, of the calibration databases; by default the usual one.
    account : {'standard', 'verbose', 'debug', 'quiet'}, optional
        Print the account of the run as the command ``reduce`` does, with all notes, or nothing but warnings. By
        default nothing is printed: the logger ``keyhole.run`` gets it.
    logfile : path, optional
        Log file, appended.
    on_event : callable, optional
        Receives each event of the run, see `keyhole.engine.events`.
    notes : sequence of str
        Warnings to begin with.
    best_effort : bool
        Go on where a required dark or flat is missing; the products are marked (``CALGRADE`` 4).
    parameter_set : str, optional
        ``classic``: follow the published procedure; recipe and `parameters` win over it.

    Returns
    -------
    Result

    Raises
    ------
    KeyholeError
        See `keyhole.errors`; nothing is printed, and no half-written file is left.
    """
    selection = expand([str(files)] if isinstance(files, str | Path) else [str(file) for file in files])
    request = Request(
        files=selection.files,
        recipe=recipe,
        mode=mode,
        settings=_settings(parameters),
        user_cals=_user_cals(calibrations),
        suffix=suffix,
        config=_config(config),
        output_dir=Path(output_dir),
        best_effort=best_effort,
        parameter_set=parameter_set,
        notes=(*notes, *(f"{Path(file).name} is given more than once; used once" for file in selection.duplicates)),
    )
    record = _Record()
    sinks: list[Callable[[Event], None]] = [record]
    sinks.append(_account(account, logged=logfile is not None))
    if on_event is not None:
        sinks.append(on_event)
    with patient_collector(), _log_file(logfile) as log:
        if log is not None:
            sinks.insert(0, log)

        def emit(event: Event) -> None:
            for sink in sinks:
                sink(event)

        done = run(request, emit)
    return Result(
        recipe=record.recipe,
        outputs=done.outputs,
        written=done.written,
        warnings=record.warnings,
        notes=record.notes,
        timings=record.timings,
        calibrations=done.calibrations,
        seconds=done.seconds,
    )


class _Record:
    """Keeps of the events what belongs into the result."""

    def __init__(self) -> None:
        self.recipe = ""
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.timings: list[StepTiming] = []

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.recipe = event.recipe
            case Caveat() if event.text not in self.warnings:
                self.warnings.append(event.text)
            case Note():
                self.notes.append(event.text)
            case StepFinished():
                self.notes += event.notes
                self.timings.append(StepTiming(event.name, event.seconds))


def _account(account: Account | None, *, logged: bool) -> Callable[[Event], None]:
    if account is None:
        # A library tells what it does to those who listen; nobody has to.
        return _without_failure(EventLog(logging.getLogger("keyhole.run")))
    if account not in get_args(Account):
        raise ParameterError(f"account {account!r} is unknown; use {', '.join(get_args(Account))}")
    return Console(
        quiet=account == "quiet",
        verbose=account in ("verbose", "debug"),
        elsewhere="in the log file" if logged else "are not shown",
    )


def _without_failure(sink: Callable[[Event], None]) -> Callable[[Event], None]:
    """Whoever calls gets the error itself; logged as well it would be told twice."""

    def pass_on(event: Event) -> None:
        if not isinstance(event, RunFailed):
            sink(event)

    return pass_on


@contextmanager
def _log_file(target: str | Path | EventLog | None) -> Iterator[EventLog | None]:
    if target is None or isinstance(target, EventLog):
        yield target
        return
    log = LogFile(Path(target))
    try:
        yield log
    finally:
        log.close()


def _settings(parameters: Parameters) -> dict[str, Any]:
    """Parameters of all historical shapes as one mapping; of two for the same name the later wins."""
    items = parameters.items() if isinstance(parameters, Mapping) else parameters
    settings: dict[str, Any] = {}
    for item in items:
        if isinstance(item, str):
            new = parse_settings([item])
        elif len(item) == 2 and isinstance(item[0], str):
            new = parse_settings([f"{item[0]}={item[1]}"]) if isinstance(item[1], str) else {item[0]: item[1]}
        else:
            raise ParameterError(f"parameter {item!r}: expected 'name=value' or a pair of name and value")
        for key, value in new.items():
            settings.pop(key, None)  # an earlier mention must not keep its place
            settings[key] = value
    return settings


def _user_cals(calibrations: Calibrations) -> UserCals:
    if isinstance(calibrations, str):
        raise ParameterError(f"calibrations={calibrations!r}: give a list of 'kind:path', or a mapping")
    if not isinstance(calibrations, Mapping):
        return parse_user_cals(calibrations)
    return parse_user_cals(f"{_kind(kind)}:{path}" for kind, path in calibrations.items())


def _kind(kind: str) -> str:
    return f"processed_{kind}" if f"processed_{kind}" in CALIBRATION_TYPES else kind


def _config(config: str | Path | Config | None) -> Config:
    if config is None:
        return active_config()
    if isinstance(config, Config):
        return config
    if not Path(config).expanduser().is_file():
        raise ParameterError(f"the configuration file {config} does not exist; check the name")
    return chosen_config(file=config)
