"""Finding the master for each frame, and explaining why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keyhole.calibration.entries import Entry, Store, checksum
from keyhole.calibration.facts import Facts, kind_of
from keyhole.calibration.rules import Judgement, Rule, age_in_words, is_known, judge, preference_key, rule_for

__all__ = ["Found", "Missing", "Rejected", "find", "find_for_frames"]

# So many near misses are kept for the explanation.
_MISSES_KEPT = 20


@dataclass(frozen=True)
class Rejected:
    """A calibration of the right type that does not fit.

    Attributes
    ----------
    entry : Entry
        The calibration.
    judgement : Judgement
        Criterion by criterion; at least one failed, unless the file itself could not be used.
    database : str
        Where it is registered.
    """

    entry: Entry
    judgement: Judgement
    database: str

    @property
    def words(self) -> str:
        """Name and everything that failed."""
        return f"{self.entry.name}: {'; '.join(check.words for check in self.judgement.failures)}"


@dataclass(frozen=True)
class Found:
    """The best calibration for a frame.

    Attributes
    ----------
    caltype : str
        ``processed_dark`` and the like.
    frame : Facts
        The frame it is for.
    entry : Entry
        The calibration, with its path.
    judgement : Judgement
        How it stands to the frame.
    database : str
        Where it was found.
    notes : tuple of str
        What differs although the rule is met; equal for frames that differ in nothing but time.
    warnings : tuple of str
        Better calibrations that could not be used because their file is gone or has changed.
    """

    caltype: str
    frame: Facts
    entry: Entry
    judgement: Judgement
    database: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.entry.path)

    @property
    def reason(self) -> str:
        """Why it was chosen: how far in time it is, and how much exposure where that was asked."""
        words = [check.words for check in self.judgement.checks if check.label == "total exposure"]
        if self.judgement.age is not None:
            words.append(age_in_words(self.judgement.age))
        return ", ".join(words)


@dataclass(frozen=True)
class Missing:
    """No calibration fits a frame.

    Attributes
    ----------
    caltype : str
        ``processed_dark`` and the like.
    frame : Facts
        The frame.
    needed : str
        What the frame asks for, in words.
    rejected : tuple of Rejected
        The nearest misses, nearest first.
    n_candidates : int
        Number of calibrations of the type in all databases.
    databases : tuple of str
        Where was looked.
    warnings : tuple of str
        Fitting calibrations that could not be used because their file is gone or has changed.
    """

    caltype: str
    frame: Facts
    needed: str
    rejected: tuple[Rejected, ...] = ()
    n_candidates: int = 0
    databases: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is missing, why, and what to do, in one sentence."""
        kind = kind_of(self.caltype)
        if not self.databases:
            where = "there is no calibration database"
        elif not self.n_candidates:
            where = f"there is none in {', '.join(self.databases)}"
        elif self.warnings:
            where = self.warnings[0]
        elif self.rejected:
            others = f"; {self.n_candidates - 1} more do not fit" if self.n_candidates > 1 else ""
            where = f"the nearest is {self.rejected[0].words}{others}"
        else:
            where = "none can be used"
        return (
            f"{self.frame.name}: no {kind} found for {self.needed}: {where}; "
            f"add one with 'caldb add FILE' or give it with '--user_cal {self.caltype}:FILE'"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """Every near miss with what failed, one line each."""
        return (*self.warnings, *(miss.words for miss in self.rejected))


def find(stores: Sequence[Store], frame: Facts, caltype: str) -> Found | Missing:
    """Find the best calibration of a type for one frame; see `find_for_frames`."""
    return find_for_frames(stores, [frame], caltype)[0]


def find_for_frames(stores: Sequence[Store], frames: Sequence[Facts], caltype: str) -> list[Found | Missing]:
    """Find the best calibration of a type for each frame.

    Frames that differ in nothing but time share one query, and each file is checked once. The first database
    that has a fitting calibration gives it; the next one is asked for the other frames only. A calibration
    whose file is gone or has changed since it was added is passed over for the next best one, with a warning.

    Parameters
    ----------
    stores : sequence of Store
        Databases in the order in which they are asked.
    frames : sequence of Facts
        Not changed.
    caltype : str
        ``processed_dark`` and the like.

    Returns
    -------
    list of Found or Missing
        One answer per frame, in order.
    """
    answers: dict[int, Found | Missing] = {}
    verified: dict[str, str | None] = {}
    groups: dict[tuple[object, ...], tuple[Rule, list[int]]] = {}
    for index, frame in enumerate(frames):
        rule = rule_for(caltype, frame.instrument)
        if rule is None:
            answers[index] = Missing(caltype, frame, f"{frame.instrument}, for which there is no rule")
            continue
        groups.setdefault(_quantities(rule, frame), (rule, []))[1].append(index)
    for rule, indices in groups.values():
        found = _find_for_group(stores, [frames[index] for index in indices], rule, verified)
        answers.update(zip(indices, found, strict=True))
    return [answers[index] for index in range(len(frames))]


def _quantities(rule: Rule, frame: Facts) -> tuple[object, ...]:
    return (frame.coadds, *(getattr(frame, criterion.quantity) for criterion in rule.criteria))


def _find_for_group(
    stores: Sequence[Store], frames: Sequence[Facts], rule: Rule, verified: dict[str, str | None]
) -> list[Found | Missing]:
    answers: dict[int, Found] = {}
    warnings: dict[int, list[str]] = {index: [] for index in range(len(frames))}
    for store in stores:
        open_indices = [index for index in range(len(frames)) if index not in answers]
        if not open_indices:
            break
        entries = store.candidates(rule, [frames[index] for index in open_indices])
        for index in open_indices:
            found, problems = _best(entries, frames[index], rule, verified)
            warnings[index] += problems
            if found is not None:
                entry, judgement = found
                answers[index] = Found(
                    rule.caltype,
                    frames[index],
                    entry,
                    judgement,
                    store.location,
                    judgement.doubts,
                    tuple(warnings[index]),
                )
    unanswered = [frames[index] for index in range(len(frames)) if index not in answers]
    nearby = _nearby(stores, unanswered[0], rule) if unanswered else ([], 0)
    databases = tuple(store.location for store in stores)
    return [
        answers.get(index)
        or Missing(
            rule.caltype,
            frame,
            _needed(rule, frame),
            _rejected(nearby[0], frame, rule),
            nearby[1],
            databases,
            tuple(warnings[index]),
        )
        for index, frame in enumerate(frames)
    ]


def _best(
    entries: Sequence[Entry], frame: Facts, rule: Rule, verified: dict[str, str | None]
) -> tuple[tuple[Entry, Judgement] | None, list[str]]:
    """The most preferred entry whose file can be used, and what is wrong with the better ones."""
    judged = [(entry, judge(rule, frame, entry.facts)) for entry in entries]
    fitting = [(entry, judgement) for entry, judgement in judged if judgement.passed]
    fitting.sort(key=lambda pair: (preference_key(rule, frame, pair[0].facts), -pair[0].id))
    problems: list[str] = []
    for entry, judgement in fitting:
        problem = _problem(entry, verified)
        if problem is None:
            return (entry, judgement), problems
        problems.append(problem)
    return None, problems


def _problem(entry: Entry, verified: dict[str, str | None]) -> str | None:
    """Say why the file of an entry cannot be used; None when it is there and unchanged."""
    if entry.path in verified:
        return verified[entry.path]
    problem: str | None = None
    try:
        if checksum(Path(entry.path)) != entry.md5:
            problem = f"{entry.path} has changed since it was added and is not used; add it again with: caldb add"
    except FileNotFoundError:
        problem = f"{entry.path} is no longer on disk and cannot be used; add it where it is now with: caldb add"
    except OSError as error:
        problem = f"{entry.path} cannot be read ({error.strerror}) and is not used; check its permissions"
    verified[entry.path] = problem
    return problem


def _nearby(stores: Sequence[Store], frame: Facts, rule: Rule) -> tuple[list[tuple[str, Entry]], int]:
    """Entries of the type that come nearest to a frame, with their database, and the number of all."""
    everything = [(store.location, entry) for store in stores for entry in store.entries(rule.caltype)]
    judged = [(pair, judge(rule, frame, pair[1].facts)) for pair in everything]
    judged.sort(key=lambda item: _distance(item[1]))
    return [pair for pair, _ in judged[:_MISSES_KEPT]], len(everything)


def _rejected(nearby: Sequence[tuple[str, Entry]], frame: Facts, rule: Rule) -> tuple[Rejected, ...]:
    misses = [Rejected(entry, judge(rule, frame, entry.facts), database) for database, entry in nearby]
    misses = [miss for miss in misses if not miss.judgement.passed]
    return tuple(sorted(misses, key=lambda miss: _distance(miss.judgement)))


def _distance(judgement: Judgement) -> tuple[int, float]:
    age = judgement.age
    return len(judgement.failures), float("inf") if age is None else abs(age.total_seconds())


def _needed(rule: Rule, frame: Facts) -> str:
    words = []
    for criterion in rule.criteria:
        value = getattr(frame, criterion.quantity)
        if criterion.quantity == "instrument":
            continue
        if not is_known(criterion.quantity, value):
            words.append(f"{criterion.label} not known")
        else:
            shown = f"{value:.10g}" if isinstance(value, float) else str(value)
            words.append(f"{criterion.label} {shown} {criterion.unit}".rstrip())
    return ", ".join(words)
