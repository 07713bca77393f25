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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keyhole.engine.account import Account

__all__ = ["PREVIEWS", "Job", "Outcome", "event_as_dict", "reduce_group"]

PREVIEWS = "previews"


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
    recipe, mode, inputs : str
        What was run, and on what, in words.
    failed_step : str or None
        The step at which it failed.
    frames, figures, caveats, notes, steps, calibrations, sources
        The account of the run, see `keyhole.engine.account.Account`.
    previews : list of dict
        Pictures, in the folder of products: ``file``, ``role``, ``product`` and how to read them.
    host : str
        Where it ran.
    """

    name: str
    products: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    defect: str | None = None
    seconds: float = 0.0
    recipe: str = ""
    mode: str = ""
    inputs: str = ""
    failed_step: str | None = None
    frames: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    caveats: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    calibrations: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    previews: list[dict[str, Any]] = field(default_factory=list)
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

    from keyhole.engine.account import Account
    from keyhole.errors import KeyholeError

    begin = time.perf_counter()
    scratch = Path(job.scratch)
    # What an interrupted run left there is not trusted.
    shutil.rmtree(scratch, ignore_errors=True)
    record = Account()
    previews: list[dict[str, Any]] = []
    error = defect = None
    products: dict[str, str] = {}
    try:
        scratch.mkdir(parents=True)
        products = _reduce(job, scratch, record)
        previews = _put_previews(job, record)
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
    told = record.kept()
    told.pop("error")
    return Outcome(job.name, products, error, defect, seconds, host=socket.gethostname(), previews=previews, **told)


def _reduce(job: Job, scratch: Path, record: Account) -> dict[str, str]:
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
            details=True,
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


def _put_previews(job: Job, record: Account) -> list[dict[str, Any]]:
    """Write the pictures into the folder of previews; a product's first one is enough."""
    told: dict[str, dict[str, Any]] = {}
    folder = Path(job.out) / PREVIEWS
    for drawn in record.previews:
        name = f"{job.name}_{drawn.role}.png"
        name = name if name not in told else f"{job.name}_{drawn.role}_{len(told)}.png"
        draft = Path(job.scratch) / name
        draft.write_bytes(drawn.png)
        _put(draft, folder)
        told[name] = {"file": f"{PREVIEWS}/{name}", "role": drawn.role, "product": drawn.name, **drawn.facts}
    return list(told.values())


def _put(path: Path, folder: Path) -> None:
    """Move a file into a folder; who looks there sees the old one or the whole new one."""
    if path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(folder / path.name)


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
    # Pictures stand in files of their own.
    fields.pop("png", None)
    if isinstance(fields.get("error"), BaseException):
        fields["error"] = str(fields["error"])
    stamp = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return {"event": type(event).__name__, "group": group, "time": stamp, **fields}
