"""Finding the master for each frame, with its grade, and explaining every choice and every miss."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keyhole.calibration.entries import Entry, Store, checksum
from keyhole.calibration.facts import Facts, kind_of
from keyhole.calibration.judging import Judgement, judge, preference_key, value_in_words
from keyhole.calibration.rules import Grade, Rule, rule_for
from keyhole.errors import CalibrationError

__all__ = [
    "Candidate",
    "Explanation",
    "Found",
    "Missing",
    "MissingCalibrationError",
    "explain",
    "find",
    "find_for_frames",
]

# So many candidates are shown in an explanation; the others are counted.
_SHOWN = 12
# So many that fit a group of frames are fetched at once; where there are more, each frame is ranked by the
# database itself.
_AT_ONCE = 64
# So many of the best are fetched for one frame; more only where the files of all of them are unusable.
_BEST = 8


@dataclass(frozen=True)
class Candidate:
    """A calibration of the right type, held against a frame.

    Attributes
    ----------
    entry : Entry
        The calibration.
    judgement : Judgement
        Criterion by criterion.
    database : str
        Where it is registered.
    problem : str or None
        Why its file cannot be used; None when it can, or when nobody looked.
    """

    entry: Entry
    judgement: Judgement
    database: str
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Whether it may be chosen automatically."""
        return self.judgement.passed and self.problem is None

    @property
    def words(self) -> str:
        """Name and everything that speaks against it."""
        against = [check.words for check in self.judgement.failures]
        return f"{self.entry.name}: {'; '.join([*against, *([self.problem] if self.problem else [])])}"

    @property
    def near_miss(self) -> str:
        """What agrees and what does not, as one says it: ``same read mode and array, but 94 days before``."""
        against = "; ".join(check.words for check in self.judgement.failures) or self.problem or "nothing"
        # That the instrument is the same, and the quality not bad, goes without saying.
        same = [c.label for c in self.judgement.checks if c.passed and c.label not in ("instrument", "quality", "time")]
        if not same:
            return against
        agreeing = f"{', '.join(same[:-1])} and {same[-1]}" if len(same) > 1 else same[0]
        return f"same {agreeing}, but {against}"


@dataclass(frozen=True)
class Explanation:
    """All that speaks for and against the calibrations of a type for one frame.

    Attributes
    ----------
    caltype : str
        ``processed_dark`` and the like.
    frame : Facts
        The frame.
    path : str
        Its file as the user named it, for commands.
    needed : tuple of (str, str)
        Quantity and value that the frame asks for; empty when there is no rule.
    candidates : tuple of Candidate
        The best first, then the nearest misses.
    chosen : Candidate or None
        What is taken automatically.
    total : int
        Number of calibrations of the type in all databases.
    databases : tuple of str
        Where was looked.
    """

    caltype: str
    frame: Facts
    path: str
    needed: tuple[tuple[str, str], ...]
    candidates: tuple[Candidate, ...] = ()
    chosen: Candidate | None = None
    total: int = 0
    databases: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence: what is taken and why, or what comes nearest and what is in its way."""
        kind = kind_of(self.caltype)
        if not self.needed:
            return f"no rule says what makes a {kind} fit frames of {self.frame.instrument or 'an unknown instrument'}"
        if self.chosen is not None:
            grade = self.chosen.judgement.grade
            return f"{self.chosen.entry.name} is taken, grade {grade:d} ({grade.words}): {self.chosen.judgement.reason}"
        if not self.databases:
            return "there is no calibration database; make one with: caldb init"
        if not self.candidates:
            return f"no {kind} is registered in {', '.join(self.databases)}"
        nearest = self.candidates[0]
        return f"no {kind} fits; the nearest is {nearest.entry.name}: {nearest.near_miss}"

    @property
    def option(self) -> str | None:
        """The option that uses the nearest miss anyway; None when something fits or nothing is near."""
        if self.chosen is not None:
            return None
        for candidate in self.candidates:
            if Path(candidate.entry.path).exists():
                return f"--user_cal {shlex.quote(f'{self.caltype}:{candidate.entry.path}')}"
        return None

    @property
    def command(self) -> str | None:
        """The command that uses the nearest miss anyway; None when something fits or nothing is near."""
        return None if self.option is None else f"reduce {shlex.quote(self.path)} {self.option}"


class MissingCalibrationError(CalibrationError):
    """A master that a run cannot do without fits none of the databases.

    Attributes
    ----------
    explanations : tuple of Explanation
        One for each kind of frame that goes without.
    """

    def __init__(self, message: str, explanations: Sequence[Explanation] = ()) -> None:
        super().__init__(message)
        self.explanations = tuple(explanations)


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
        How it stands to the frame, with the grade.
    database : str
        Where it was found.
    warnings : tuple of str
        Better calibrations that could not be used because their file is gone or has changed.
    """

    caltype: str
    frame: Facts
    entry: Entry
    judgement: Judgement
    database: str
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.entry.path)

    @property
    def grade(self) -> Grade:
        """How well it serves the frame."""
        return self.judgement.grade


@dataclass(frozen=True)
class Missing:
    """No calibration fits a frame.

    Attributes
    ----------
    caltype : str
        ``processed_dark`` and the like.
    frame : Facts
        The frame.
    explanation : Explanation
        Why.
    warnings : tuple of str
        Fitting calibrations that could not be used because their file is gone or has changed.
    """

    caltype: str
    frame: Facts
    explanation: Explanation
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is missing, why, and what to do, in one sentence."""
        told = self.explanation
        needed = ", ".join(f"{label} {value}" for label, value in told.needed) or f"instrument {self.frame.instrument}"
        if not told.needed:
            where = "there is no rule for this instrument"
        elif not told.databases:
            where = "there is no calibration database"
        elif not told.total:
            where = f"there is none in {', '.join(told.databases)}"
        elif self.warnings:
            where = self.warnings[0]
        else:
            others = f"; {told.total - 1} more do not fit" if told.total > 1 else ""
            where = f"the nearest is {told.candidates[0].words}{others}"
        return (
            f"{self.frame.name}: no {kind_of(self.caltype)} found for {needed}: {where}; "
            f"add one with 'caldb add FILE' or give it with '--user_cal {self.caltype}:FILE'"
        )


def find(stores: Sequence[Store], frame: Facts, caltype: str) -> Found | Missing:
    """Find the best calibration of a type for one frame; see `find_for_frames`."""
    return find_for_frames(stores, [frame], caltype)[0]


def find_for_frames(stores: Sequence[Store], frames: Sequence[Facts], caltype: str) -> list[Found | Missing]:
    """Find the best calibration of a type for each frame.

    Frames that differ in nothing but time share one query, and each file is checked once. The databases are
    asked in order: the first one that has a calibration without a doubt gives it; a doubtful one is taken only
    where no later database has a better one. A calibration whose file is gone or has changed since it was added
    is passed over for the next best one, with a warning.

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
    groups: dict[tuple[object, ...], tuple[Rule, list[int]]] = {}
    for index, frame in enumerate(frames):
        rule = rule_for(caltype, frame.instrument)
        if rule is None:
            answers[index] = Missing(caltype, frame, Explanation(caltype, frame, frame.name, ()))
            continue
        groups.setdefault(_quantities(rule, frame), (rule, []))[1].append(index)
    search = _Search(stores)
    for rule, indices in groups.values():
        found = search.find(rule, [frames[index] for index in indices])
        answers.update(zip(indices, found, strict=True))
    return [answers[index] for index in range(len(frames))]


def explain(stores: Sequence[Store], frame: Facts, caltype: str, *, path: str | None = None) -> Explanation:
    """Hold all calibrations of a type against a frame: what `find` takes, and why not the others.

    Parameters
    ----------
    stores : sequence of Store
        Databases in the order in which they are asked.
    frame : Facts
        Not changed.
    caltype : str
        ``processed_dark`` and the like.
    path : str, optional
        The frame's file as the user named it, for commands.
    """
    path = path or frame.name
    rule = rule_for(caltype, frame.instrument)
    if rule is None:
        return Explanation(caltype, frame, path, ())
    search = _Search(stores)
    (answer,) = search.find(rule, [frame])
    explanation = answer.explanation if isinstance(answer, Missing) else search.explain(rule, frame, answer)
    return replace(explanation, path=path)


class _Search:
    """Asks the databases; the file of each calibration is checked once."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = stores
        self._problems: dict[tuple[str, str], str | None] = {}

    def find(self, rule: Rule, frames: Sequence[Facts]) -> list[Found | Missing]:
        """Answer for frames that are equal in all quantities of a rule."""
        answers: dict[int, Found] = {}
        warnings: dict[int, list[str]] = {index: [] for index in range(len(frames))}
        for store in self._stores:
            # A doubt is a reason to ask the next database, too.
            asking = [i for i in range(len(frames)) if i not in answers or answers[i].grade >= Grade.DOUBTFUL]
            if not asking:
                break
            entries = store.fitting(rule, [frames[index] for index in asking], limit=_AT_ONCE + 1)
            for index in asking:
                best = self._best(store, rule, frames[index], entries, warnings[index])
                if best is None:
                    continue
                found = Found(rule.caltype, frames[index], best, judge(rule, frames[index], best.facts), store.location)
                if index not in answers or found.grade < answers[index].grade:
                    answers[index] = found
        explanations: dict[object, Explanation] = {}
        return [
            replace(answers[index], warnings=tuple(warnings[index]))
            if index in answers
            else self._missing(rule, frame, warnings[index], explanations)
            for index, frame in enumerate(frames)
        ]

    def explain(self, rule: Rule, frame: Facts, found: Found | None) -> Explanation:
        """Lay the candidates side by side: what fits, the best first, then what comes nearest."""
        pairs: dict[tuple[str, int], tuple[Store, Entry]] = {}
        for store in self._stores:
            near = [*store.ranked(rule, frame, limit=_SHOWN), *store.nearest(rule, frame, limit=_SHOWN)]
            pairs |= {(store.location, entry.id): (store, entry) for entry in near}
        candidates = []
        for store, entry in pairs.values():
            judgement = judge(rule, frame, entry.facts)
            problem = self._problem(entry) if judgement.passed else None
            candidates.append(Candidate(entry, judgement, store.location, problem))
        order = {store.location: number for number, store in enumerate(self._stores)}
        candidates.sort(key=lambda candidate: _order(candidate, rule, frame, order))
        chosen = None
        if found is not None:
            chosen = next(
                (c for c in candidates if (c.database, c.entry.id) == (found.database, found.entry.id)),
                Candidate(found.entry, found.judgement, found.database),
            )
            candidates = [chosen, *(candidate for candidate in candidates if candidate is not chosen)]
        return Explanation(
            rule.caltype,
            frame,
            frame.name,
            _needed(rule, frame),
            tuple(candidates[:_SHOWN]),
            chosen,
            sum(store.count(rule.caltype) for store in self._stores),
            tuple(store.location for store in self._stores),
        )

    def _best(
        self, store: Store, rule: Rule, frame: Facts, entries: Sequence[Entry], warnings: list[str]
    ) -> Entry | None:
        """The most preferred entry whose file can be used; what is wrong with better ones joins `warnings`."""
        complete = len(entries) <= _AT_ONCE
        if complete:
            fitting = [entry for entry in entries if judge(rule, frame, entry.facts).passed]
            fitting.sort(key=lambda entry: (preference_key(rule, frame, entry.facts), -entry.id))
        else:
            fitting = store.ranked(rule, frame, limit=_BEST)
        seen = 0
        while fitting:
            for entry in fitting:
                problem = self._problem(entry)
                if problem is None:
                    return entry
                warnings.append(problem)
            seen += len(fitting)
            fitting = [] if complete else store.ranked(rule, frame, limit=_BEST, offset=seen)
        return None

    def _missing(
        self, rule: Rule, frame: Facts, warnings: Sequence[str], explanations: dict[object, Explanation]
    ) -> Missing:
        # Frames of one night miss alike: one explanation is enough for them.
        key = (frame.night, frame.observation_id, tuple(warnings))
        if key not in explanations:
            explanations[key] = self.explain(rule, frame, None)
        return Missing(rule.caltype, frame, explanations[key], tuple(warnings))

    def _problem(self, entry: Entry) -> str | None:
        """Say why the file of an entry cannot be used; None when it is there and unchanged."""
        key = (entry.path, entry.md5)
        if key not in self._problems:
            self._problems[key] = _file_problem(entry)
        return self._problems[key]


def _file_problem(entry: Entry) -> str | None:
    try:
        if checksum(Path(entry.path)) != entry.md5:
            return f"{entry.path} has changed since it was added and is not used; add it again with: caldb add"
    except FileNotFoundError:
        return f"{entry.path} is no longer on disk and cannot be used; add it where it is now with: caldb add"
    except OSError as error:
        return f"{entry.path} cannot be read ({error.strerror}) and is not used; check its permissions"
    return None


def _quantities(rule: Rule, frame: Facts) -> tuple[object, ...]:
    """What frames share that get their calibrations by one query; the doubts and merits are judged frame by frame."""
    return tuple(getattr(frame, criterion.quantity) for criterion in rule.criteria)


def _order(candidate: Candidate, rule: Rule, frame: Facts, databases: dict[str, int]) -> tuple[object, ...]:
    """Usable ones as the search prefers them, then fitting ones whose file is lost, then the nearest misses."""
    judgement = candidate.judgement
    if judgement.passed:
        doubtful = judgement.grade >= Grade.DOUBTFUL
        preference = preference_key(rule, frame, candidate.entry.facts)
        return (0, not candidate.usable, doubtful, databases[candidate.database], preference, -candidate.entry.id)
    age = float("inf") if judgement.age is None else abs(judgement.age.total_seconds())
    return (len(judgement.failures), False, False, age, (), -candidate.entry.id)


def _needed(rule: Rule, frame: Facts) -> tuple[tuple[str, str], ...]:
    return tuple(
        (criterion.label, value_in_words(criterion, frame))
        for criterion in rule.criteria
        if criterion.quantity != "instrument"
    )
