"""Masters for the inputs of a run: given by hand, else from the databases; all before a pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.calibration import (
    Config,
    Facts,
    Found,
    Missing,
    Store,
    UserCal,
    disagreements,
    facts_of,
    find_for_frames,
    open_stores,
    store_for_masters,
)
from keyhole.engine.events import Caveat, EventSink, Note
from keyhole.engine.inputs import InputSet
from keyhole.errors import CalibrationError, SetupError

if TYPE_CHECKING:
    from keyhole.engine.run import Request

__all__ = ["Association", "associate", "store_products"]

_STORED_SUFFIXES = ("_dark", "_flat", "_bpm")


@dataclass(frozen=True)
class Association:
    """One master and the inputs it serves.

    Attributes
    ----------
    kind : str
        ``processed_dark`` and the like.
    path : Path or None
        The master; None: none was found and the run goes on without.
    origin : str
        Where it comes from.
    reason : str
        Why this one.
    frames : list of str
        Paths of the inputs.
    warnings : list of str
        Where it does not meet the rule in full.
    """

    kind: str
    path: Path | None
    origin: str
    reason: str
    frames: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def associate(inputs: InputSet, needed: dict[str, bool], request: Request) -> list[Association]:
    """Choose a master of each needed kind for each input.

    Parameters
    ----------
    inputs : InputSet
        Inputs of the run.
    needed : dict of str to bool
        Kind to whether the run cannot go on without.
    request : Request
        Masters given by hand, databases and mode.

    Raises
    ------
    CalibrationError
        A required master is missing; the message explains the nearest misses.
    SetupError
        A configured database cannot be opened.
    """
    facts = [facts_of(item.headers) for item in inputs.items]
    paths = [str(item.path) for item in inputs.items]
    chosen = [_by_hand(given, facts, paths) for kind in needed if (given := request.user_cals.get(kind)) is not None]
    open_kinds = {kind: needed[kind] for kind in needed if request.user_cals.get(kind) is None}
    stores, problem = _stores(request, open_kinds)
    if problem is not None:
        chosen.append(Association("database", None, "", problem, [], [problem]))
    for kind, required in open_kinds.items():
        answers = find_for_frames(stores, facts, kind)
        missing = [answer for answer in answers if isinstance(answer, Missing)]
        if missing and required:
            raise CalibrationError(_explain(missing))
        chosen += _grouped(kind, answers, paths)
    return chosen


def _by_hand(given: UserCal, facts: Sequence[Facts], paths: list[str]) -> Association:
    return Association(given.caltype, given.path, "given by hand", "", paths, list(disagreements(given, facts)))


def _stores(request: Request, open_kinds: dict[str, bool]) -> tuple[list[Store], str | None]:
    """Open the databases; a missing one is an error unless everything needed was given by hand."""
    config = request.config
    if config is None or not open_kinds:
        return [], None
    required = any(open_kinds.values())
    folders = [d.path.parent for d in config.databases if d.path is not None]
    lost = [folder for folder in folders if not folder.is_dir()]
    if not required and (not lost or request.user_cals.by_type):
        try:
            return list(open_stores(config)), None
        except SetupError as err:
            return [], f"no calibration database was asked: {err}"
    return list(open_stores(config)), None


def _explain(missing: list[Missing]) -> str:
    first = missing[0]
    more = f" ({len(missing)} frames are without)" if len(missing) > 1 else ""
    return first.sentence + more


def _grouped(kind: str, answers: Sequence[Found | Missing], paths: list[str]) -> list[Association]:
    groups: dict[Path | None, Association] = {}
    for answer, path in zip(answers, paths, strict=True):
        if isinstance(answer, Missing):
            why = "none fits" if answer.n_candidates else "none in the databases"
            new = Association(kind, None, "", why, [], list(answer.warnings))
        else:
            warnings = [*answer.notes, *answer.warnings]
            new = Association(kind, answer.path, f"from {answer.database}", answer.reason, [], warnings)
        group = groups.setdefault(new.path, new)
        group.frames.append(path)
    return list(groups.values())


def store_products(request: Request, outputs: Sequence[Path], emit: EventSink) -> None:
    """Register new masters in the database that takes them by itself, if one is configured."""
    masters = [path for path in outputs if path.stem.endswith(_STORED_SUFFIXES)]
    config: Config | None = request.config
    if config is None or not masters:
        return
    try:
        store = store_for_masters(config)
        if store is None:
            return
        for path in masters:
            store.add(path)
            emit(Note(f"{path.name} is registered in {store.location}"))
    except SetupError as err:
        emit(Caveat(f"the master is written but not registered: {err}"))
