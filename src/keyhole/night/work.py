"""Reducing one group: in a folder of its own, then its products are put in place all at once.

What is sent to another process or machine is names, never pixels.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Job", "Outcome", "event_as_dict", "reduce_group"]


@dataclass(frozen=True)
class Job:
    """All that is needed to reduce a group, in plain values.

    Attributes
    ----------
    name, makes : str
        Of the group.
    files : tuple of str
        Absolute paths.
    calibrations : mapping of str to str
        ``dark``, ``flat``, ``bpm`` to absolute paths of masters.
    parameters : mapping
        ``name`` or ``step:name`` to value.
    best_effort : bool
        Go on where a calibration is missing.
    out, scratch, events : str
        Folder of the products, folder to work in, and file that events are appended to; absolute.
    folder : str
        Folder within `out` for the products of this group, where another group has frames of the same name; else
        empty.
    """

    name: str
    makes: str
    files: tuple[str, ...]
    calibrations: Mapping[str, str]
    parameters: Mapping[str, Any]
    best_effort: bool
    out: str
    scratch: str
    events: str
    folder: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a group.

    Attributes
    ----------
    name : str
        Of the group.
    products : dict of str to str
        Path within the folder of products to MD5 sum; empty where it failed.
    error : str or None
        Why it failed, in one sentence.
    defect : str or None
        The traceback, where the error is none that a user can cause.
    seconds : float
        Wall time.
    recipe : str
        What was run.
    caveats : list of str
        Weaker ways taken.
    notes : list of str
        Facts measured on the way.
    steps : list of dict
        ``name``, ``seconds`` of each step.
    calibrations : list of dict
        ``kind``, ``file``, ``grade``, ``reason`` of each master.
    host : str
        Where it ran.
    """

    name: str
    products: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    defect: str | None = None
    seconds: float = 0.0
    recipe: str = ""
    caveats: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    calibrations: list[dict[str, Any]] = field(default_factory=list)
    host: str = ""


def reduce_group(job: Job) -> Outcome:
    """Reduce a group; an error is part of the outcome, so that other groups go on.

    Raises
    ------
    KeyboardInterrupt
        As it comes; nothing half-written is left in the folder of products.
    """
    import time
    import traceback

    from keyhole.errors import KeyholeError

    begin = time.perf_counter()
    scratch = Path(job.scratch)
    # What an interrupted run left there is not trusted.
    shutil.rmtree(scratch, ignore_errors=True)
    record = _Record()
    error = defect = None
    products: dict[str, str] = {}
    try:
        scratch.mkdir(parents=True)
        products = _reduce(job, scratch, record)
    except KeyholeError as problem:
        error = str(problem)
    except OSError as problem:
        place, reason = problem.filename or scratch, problem.strerror or problem
        error = f"{place}: {reason}; see to the space and the permissions there, and run again"
    except Exception as problem:
        error = f"a defect of Keyhole: {type(problem).__name__}: {problem}"
        defect = traceback.format_exc()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.perf_counter() - begin
    return Outcome(job.name, products, error, defect, seconds, host=socket.gethostname(), **record.kept())


def _reduce(job: Job, scratch: Path, record: _Record) -> dict[str, str]:
    from keyhole.calibration import parse_user_cals
    from keyhole.engine import Request, run
    from keyhole.engine.eventlog import LogFile
    from keyhole.frames import file_md5

    log = LogFile(scratch / f"{job.name}.log")
    with _EventFile(Path(job.events), job.name) as write:

        def emit(event: Any) -> None:
            log(event)
            record(event)
            write(event)

        request = Request(
            files=list(job.files),
            settings=dict(job.parameters),
            user_cals=parse_user_cals(f"processed_{kind}:{path}" for kind, path in job.calibrations.items()),
            output_dir=scratch,
            best_effort=job.best_effort,
        )
        try:
            result = run(request, emit)
        finally:
            log.close()
            _put(scratch / f"{job.name}.log", Path(job.out) / "logs")
    # The last product first: who sees the stack marked as finished, sees the others, too.
    made = [path for path in dict.fromkeys(result.written) if path.is_file()]
    sums = {str(Path(job.folder) / path.name): file_md5(path) for path in made}
    for path in made:
        _put(path, Path(job.out) / job.folder)
    return sums


def _put(path: Path, folder: Path) -> None:
    """Move a file into a folder; who looks there sees the old one or the whole new one."""
    if path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(folder / path.name)


class _Record:
    """Keeps of the events what belongs into the outcome."""

    def __init__(self) -> None:
        self._recipe = ""
        self._caveats: list[str] = []
        self._notes: list[str] = []
        self._steps: list[dict[str, Any]] = []
        self._calibrations: list[dict[str, Any]] = []

    def __call__(self, event: Any) -> None:
        from keyhole.engine.events import CalibrationChosen, Caveat, Note, RunStarted, StepFinished

        match event:
            case RunStarted():
                self._recipe = event.recipe
            case Caveat() if event.text not in self._caveats:
                self._caveats.append(event.text)
            case Note():
                self._notes.append(event.text)
            case StepFinished():
                self._notes += [f"{event.name}: {note}" for note in event.notes]
                self._steps.append({"name": event.name, "seconds": round(event.seconds, 4)})
            case CalibrationChosen():
                name = None if event.path is None else Path(event.path).name
                grade = None if event.grade is None else int(event.grade)
                kind = event.kind.removeprefix("processed_")
                chosen = {"kind": kind, "file": name, "grade": grade, "reason": event.reason}
                self._calibrations.append(chosen)

    def kept(self) -> dict[str, Any]:
        return {
            "recipe": self._recipe,
            "caveats": self._caveats,
            "notes": self._notes,
            "steps": self._steps,
            "calibrations": self._calibrations,
        }


class _EventFile:
    """Events of a group, one JSON object a line, whole lines only: who reads along never sees half of one."""

    def __init__(self, path: Path, group: str) -> None:
        self._path = path
        self._group = group

    def __enter__(self) -> Callable[[Any], None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        return self._write

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _write(self, event: Any) -> None:
        line = json.dumps(event_as_dict(event, self._group), default=str)
        os.write(self._file, f"{line}\n".encode())


def event_as_dict(event: Any, group: str) -> dict[str, Any]:
    """An event as plain values: ``event``, ``group``, ``time`` (UT), and its own fields."""
    fields = asdict(event) if is_dataclass(event) and not isinstance(event, type) else {}
    if isinstance(fields.get("error"), BaseException):
        fields["error"] = str(fields["error"])
    stamp = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return {"event": type(event).__name__, "group": group, "time": stamp, **fields}
