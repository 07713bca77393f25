"""Masters for the inputs of a run: given by hand, else from the databases; all before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from keyhole.calibration import (
    Explanation,
    Facts,
    Found,
    Grade,
    Missing,
    MissingCalibrationError,
    Store,
    UserCal,
    facts_of,
    find_for_frames,
    judge_given,
    kind_of,
    open_stores,
    serves,
    store_for_masters,
    why_no_mask,
)
from keyhole.engine.events import Caveat, EventSink, Note
from keyhole.engine.inputs import InputSet
from keyhole.engine.plan import Needs
from keyhole.engine.request import Association, Request
from keyhole.errors import CalibrationError, SetupError
from keyhole.headers import check_complete, read_headers

__all__ = ["associate", "check_named", "store_products"]


def associate(inputs: InputSet, needs: Needs, request: Request) -> tuple[list[Association], tuple[str, ...]]:
    """Choose a master of each needed kind for each input.

    Parameters
    ----------
    inputs : InputSet
        Inputs of the run.
    needs : Needs
        Kinds, and whether the run cannot go on without.
    request : Request
        Masters given by hand, databases and mode.

    Returns
    -------
    list of Association
        Those given by hand first.
    tuple of str
        Why databases could not be asked, and what a run that makes do goes without, one sentence each.

    Raises
    ------
    MissingCalibrationError
        Required masters are missing; the message explains the nearest miss of each kind.
    SetupError
        A configured database cannot be opened and something may depend on it.
    """
    facts = [facts_of(item.headers) for item in inputs.items]
    paths = tuple(str(item.path) for item in inputs.items)
    by_hand = {kind: given for kind in needs.required if (given := request.user_cals.get(kind)) is not None}
    chosen = [_by_hand(given, facts, paths) for given in by_hand.values()]
    wanted = {kind: required for kind, required in needs.required.items() if kind not in by_hand}
    stores, problems = _stores(request, wanted) if wanted else ([], ())
    answers = {kind: find_for_frames(stores, facts, kind) for kind in wanted}
    lacking = {
        kind: missing
        for kind, found in answers.items()
        if (missing := [(path, answer) for path, answer in zip(paths, found, strict=True) if _is_missing(answer)])
    }
    required = [missing for kind, missing in lacking.items() if wanted[kind]]
    if required:
        sentences = [_explain([answer for _, answer in missing]) for missing in required]
        explanations = [told for missing in required for told in _explanations(missing)]
        raise MissingCalibrationError("; ".join([*sentences, *problems]), explanations)
    for kind, found in answers.items():
        chosen += _grouped(kind, found, paths, correction=kind in needs.corrections)
    if request.best_effort:
        without = [missing for kind, missing in lacking.items() if kind in needs.corrections]
        problems += tuple(_without(missing) for missing in without)
    return chosen, problems


def _without(missing: Sequence[tuple[str, Missing]]) -> str:
    first = missing[0][1]
    frames = f"{len(missing)} frame{'s' * (len(missing) > 1)}"
    return f"best effort: {frames} without {kind_of(first.caltype)}: {first.explanation.verdict}"


def _is_missing(answer: Found | Missing) -> TypeGuard[Missing]:
    return isinstance(answer, Missing)


def _explanations(missing: Sequence[tuple[str, Missing]]) -> list[Explanation]:
    """The different explanations of one kind, each with a file for which it holds."""
    different: dict[int, Explanation] = {}
    for path, answer in missing:
        different.setdefault(id(answer.explanation), replace(answer.explanation, path=path))
    return list(different.values())


def check_named(named: Sequence[tuple[str, str]], inputs: InputSet) -> list[Association]:
    """Check the masters that parameters of steps name, by their headers.

    Parameters
    ----------
    named : sequence of (str, str)
        Kind and file.
    inputs : InputSet
        Inputs of the run.

    Raises
    ------
    InputError, DataError
        A file is missing or damaged.
    CalibrationError
        A file is not of its kind.
    """
    if not named:
        return []
    frames = [facts_of(item.headers) for item in inputs.items]
    paths = tuple(str(item.path) for item in inputs.items)
    chosen = []
    for kind, file in named:
        headers = check_complete(file)
        facts = facts_of(headers)
        if not serves(kind, headers):
            if kind == "processed_bpm" and facts.caltype is None:
                raise CalibrationError(why_no_mask(file, headers))
            raise CalibrationError(
                f"{file} is no processed {kind_of(kind)} (tags {' '.join(sorted(facts.tags))}); name another file"
            )
        chosen.append(_by_hand(UserCal(kind, Path(file), facts), frames, paths, origin="named by a parameter"))
    return chosen


def _by_hand(
    given: UserCal, facts: Sequence[Facts], paths: tuple[str, ...], *, origin: str = "given by hand"
) -> Association:
    verdict = judge_given(given, facts)
    return Association(given.caltype, given.path, origin, verdict.reason, paths, verdict.warnings, verdict.grade)


def _stores(request: Request, wanted: Mapping[str, bool]) -> tuple[list[Store], tuple[str, ...]]:
    """Open the databases that are asked.

    Of several, those that are there are asked, and the others told. Where none is there, the run stops if a
    master is required of it, or if nothing was given by hand and even a folder is missing: then the
    configuration is wrong. Else the run goes on and says so.
    """
    config = request.config
    if config is None:
        return [], ()
    try:
        absent: list[str] = []
        stores = open_stores(config, on_missing=lambda err: absent.append(f"not asked: {err}"))
        return list(stores), tuple(absent)
    except SetupError as err:
        folders = [database.path.parent for database in config.databases if database.path is not None]
        misconfigured = not request.user_cals.by_type and not all(folder.is_dir() for folder in folders)
        if misconfigured or any(wanted.values()):
            raise
        return [], (f"no calibration database was asked: {err}",)


def _explain(missing: Sequence[Missing]) -> str:
    more = f" ({len(missing)} frames are without)" if len(missing) > 1 else ""
    return missing[0].sentence + more


def _grouped(
    kind: str, answers: Sequence[Found | Missing], paths: Sequence[str], *, correction: bool
) -> list[Association]:
    """One association per master, in the order of the inputs."""
    members: dict[Path | None, list[int]] = {}
    for index, answer in enumerate(answers):
        members.setdefault(answer.path if isinstance(answer, Found) else None, []).append(index)
    groups = []
    for path, indices in members.items():
        found = [answer for i in indices if isinstance(answer := answers[i], Found)]
        warnings = tuple(dict.fromkeys(text for i in indices for text in answers[i].warnings))
        frames = tuple(paths[i] for i in indices)
        if path is None:
            first = answers[indices[0]]
            why = "none fits" if isinstance(first, Missing) and first.explanation.total else "none in the databases"
            grade = Grade.MISSING if correction else None
            groups.append(Association(kind, None, "", why, frames, warnings, grade))
            continue
        worst = max(found, key=lambda answer: answer.grade)
        doubts: dict[str, str] = {}
        for answer in (worst, *found):
            # The distance in time differs from frame to frame; one line for each doubt is enough.
            for label, words in zip(answer.judgement.doubtful, answer.judgement.doubts, strict=True):
                doubts.setdefault(label, f"{kind_of(kind)} {path.name}: {words}")
        told = (*doubts.values(), *warnings)
        reason = worst.judgement.reason
        groups.append(
            Association(kind, path, f"from {worst.database}", reason, frames, told, worst.grade, worst.entry.md5)
        )
    return groups


def store_products(request: Request, outputs: Sequence[Path], emit: EventSink) -> None:
    """Register new masters in the database that takes them by itself, if one is configured.

    Parameters
    ----------
    request : Request
        Its configuration names the databases.
    outputs : sequence of Path
        Products; those that are no masters are passed over.
    emit : callable
        Told what was registered, or why it was not: the product itself stands in any case.
    """
    if request.config is None:
        return
    masters = [path for path in outputs if facts_of(read_headers(path)).caltype is not None]
    try:
        store = store_for_masters(request.config) if masters else None
        if store is None:
            return
        for path in masters:
            store.add(path)
            emit(Note(f"{path.name} is registered in {store.location}"))
    except SetupError as err:
        emit(Caveat(f"the master is written but not registered: {err}"))
