"""Calibrations that the user gives by hand as ``TYPE:FILE``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyhole.calibration.bare_map import serves, silence_of, why_no_mask
from keyhole.calibration.facts import CALIBRATION_TYPES, Facts, facts_of, kind_of
from keyhole.calibration.judging import Judgement, judge
from keyhole.calibration.rules import Grade, rule_for
from keyhole.errors import CalibrationError, InputError, ParameterError
from keyhole.headers import check_complete, describe, read_headers

__all__ = [
    "USER_CAL_TYPES",
    "UserCal",
    "UserCals",
    "Verdict",
    "judge_given",
    "parse_user_cals",
    "paths_by_input",
    "paths_by_type",
    "words_of",
]

USER_CAL_TYPES: tuple[str, ...] = tuple(sorted(CALIBRATION_TYPES))


@dataclass(frozen=True)
class UserCal:
    """A calibration given by hand.

    Attributes
    ----------
    caltype : str
        ``processed_dark`` and the like.
    path : Path
        As given.
    facts : Facts
        What the file says about itself.
    """

    caltype: str
    path: Path
    facts: Facts


@dataclass(frozen=True)
class UserCals:
    """All calibrations given by hand.

    Attributes
    ----------
    by_type : Mapping of str to UserCal
        At most one per type.
    notes : tuple of str
        One line for each that a later one of the same type replaced.
    """

    by_type: Mapping[str, UserCal]
    notes: tuple[str, ...] = ()

    def get(self, caltype: str) -> UserCal | None:
        """The one of a type; None when none was given."""
        return self.by_type.get(caltype)


@dataclass(frozen=True)
class Verdict:
    """How a calibration given by hand stands to its frames.

    Attributes
    ----------
    grade : Grade or None
        The worst over the frames; None where there is no rule.
    reason : str
        Why, for the frame with that grade.
    warnings : tuple of str
        Where the rule disagrees, and doubts.
    """

    grade: Grade | None
    reason: str
    warnings: tuple[str, ...]


def parse_user_cals(words: Iterable[str]) -> UserCals:
    """Read ``TYPE:FILE`` words and check each file by its headers.

    Parameters
    ----------
    words : iterable of str
        In the order given; the last of a type counts. A file name may hold further colons.

    Raises
    ------
    ParameterError
        A word has no type, or one that is not known.
    InputError
        A file does not exist.
    DataError
        A file is damaged.
    CalibrationError
        A file is not of the type given.
    """
    by_type: dict[str, UserCal] = {}
    notes = []
    for word in words:
        caltype, file = _split(word)
        given = _check(caltype, file)
        if caltype in by_type and by_type[caltype].path != given.path:
            notes.append(f"{caltype} is given more than once; {given.path} replaces {by_type[caltype].path}")
        by_type[caltype] = given
    return UserCals(by_type, tuple(notes))


def paths_by_type(words: Iterable[str] | None) -> dict[str, str]:
    """Type to file of ``TYPE:FILE`` words, checked as `parse_user_cals` does."""
    return {caltype: str(given.path) for caltype, given in parse_user_cals(words or ()).by_type.items()}


def paths_by_input(files: Iterable[str], words: Iterable[str] | None) -> dict[tuple[str, str], str]:
    """The same for each input, under its calibration key and the type: the older form."""
    paths = paths_by_type(words)
    keys = [str(describe(read_headers(file), "calibration_key")) for file in files] if paths else []
    return {(key, caltype): path for key in keys for caltype, path in paths.items()}


def words_of(ucals: Mapping[str, str] | Mapping[tuple[str, str], str] | None) -> list[str]:
    """``TYPE:FILE`` words of either form of `paths_by_type` and `paths_by_input`.

    Raises
    ------
    ParameterError
        A type has different files for different inputs: a run has one master of a type given by hand.
    """
    paths: dict[str, str] = {}
    for key, path in (ucals or {}).items():
        caltype = key if isinstance(key, str) else key[1]
        if paths.setdefault(caltype, str(path)) != str(path):
            raise ParameterError(
                f"{paths[caltype]} and {path} are both given as {caltype}; reduce the frames of each in its own run"
            )
    return [f"{caltype}:{path}" for caltype, path in paths.items()]


def judge_given(given: UserCal, frames: Sequence[Facts]) -> Verdict:
    """Hold a calibration given by hand against the rule; it is used all the same.

    Parameters
    ----------
    given : UserCal
        The calibration.
    frames : sequence of Facts
        The frames it will be used for.

    Returns
    -------
    Verdict
        The worst grade over the frames, and each disagreement once, without the names of the frames; without
        a rule there is no grade and no disagreement.
    """
    silence = silence_of(given.caltype, given.facts)
    if silence:
        return Verdict(Grade.BY_HAND, silence, (silence,))
    lines: dict[str, str] = {}
    worst: Judgement | None = None
    for frame in frames:
        rule = rule_for(given.caltype, frame.instrument)
        if rule is None:
            continue
        judgement = judge(rule, frame, given.facts)
        # The distance in time differs from frame to frame; one line for each quantity is enough.
        for check in judgement.failures:
            words = f"{kind_of(given.caltype)} {given.path.name}, given by hand: {check.words}"
            lines.setdefault(check.label, words)
        for label, doubt in zip(judgement.doubtful, judgement.doubts, strict=True):
            lines.setdefault(label, f"{kind_of(given.caltype)} {given.path.name}: {doubt}")
        if worst is None or judgement.grade > worst.grade:
            worst = judgement
    if worst is None:
        return Verdict(None, "", ())
    return Verdict(worst.grade, worst.reason, tuple(lines.values()))


def _split(word: str) -> tuple[str, Path]:
    caltype, colon, file = word.partition(":")
    known = ", ".join(USER_CAL_TYPES)
    if not colon or ("/" in caltype and caltype not in USER_CAL_TYPES):
        raise ParameterError(
            f"--user_cal {word}: the type is missing; write TYPE:FILE, for example {_guess(word)}:{word} "
            f"(types: {known})"
        )
    if caltype not in USER_CAL_TYPES:
        near = difflib.get_close_matches(caltype, USER_CAL_TYPES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ";"
        raise ParameterError(f"--user_cal {word}: unknown type '{caltype}'{hint} known types are {known}")
    if not file:
        raise ParameterError(f"--user_cal {word}: the file is missing; write {caltype}:FILE")
    return caltype, Path(file)


def _guess(word: str) -> str:
    stem = Path(word).name.split(".")[0].lower()
    for caltype in USER_CAL_TYPES:
        if stem.endswith(f"_{caltype.removeprefix('processed_')}"):
            return caltype
    return "processed_dark"


def _check(caltype: str, file: Path) -> UserCal:
    path = file.expanduser()
    if not path.is_file():
        raise InputError(f"--user_cal {caltype}:{file}: no such file; check the name")
    headers = check_complete(path)
    facts = facts_of(headers)
    if not serves(caltype, headers):
        if caltype == "processed_bpm" and facts.caltype is None:
            raise CalibrationError(f"--user_cal {caltype}: {why_no_mask(str(file), headers)}")
        what = f"a {kind_of(facts.caltype)}" if facts.caltype else "no processed calibration"
        tags = " ".join(sorted(facts.tags)) or "none"
        raise CalibrationError(
            f"--user_cal {caltype}:{file}: the file is {what} (tags {tags}); give a processed {kind_of(caltype)}"
        )
    return UserCal(caltype, path, facts)
