"""Which raw frames make a master together, by the same rules that later match the master."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keyhole.calibration.facts import Facts
from keyhole.calibration.judging import Judgement, is_known, judge
from keyhole.calibration.rules import Criterion, Rule, rule_for

__all__ = ["RawSet", "judge_set", "raw_sets", "set_criteria"]

# What the raw frames of a set are, by the master they make.
_RAW = {"processed_dark": "dark", "processed_flat": "flat"}
_LAMP_OFF = "lampoff_flat"


@dataclass(frozen=True)
class RawSet:
    """Raw frames of one night that make one master.

    Attributes
    ----------
    caltype : str
        ``processed_dark`` or ``processed_flat``.
    frames : tuple of Facts
        Darks, or flats with the lamp on; in time.
    lamp_off : tuple of Facts
        Flats with the lamp off that go with them; empty for darks, or where there are none.
    """

    caltype: str
    frames: tuple[Facts, ...]
    lamp_off: tuple[Facts, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all frames, as a run wants them."""
        return tuple(frame.name for frame in (*self.frames, *self.lamp_off))


def set_criteria(caltype: str, instrument: str = "GNIRS") -> tuple[Criterion, ...]:
    """What raw frames that are combined into a master must share.

    Parameters
    ----------
    caltype : str
        Raw type: ``dark``, ``flat`` or ``lampoff_flat``.
    instrument : str

    Returns
    -------
    tuple of Criterion
        Those of the rule and what raw frames share beyond it; empty when there is no rule.
    """
    rule = rule_for(caltype, instrument)
    return () if rule is None else (*rule.criteria, *rule.set_quantities)


def raw_sets(frames: Iterable[Facts]) -> list[RawSet]:
    """Sort raw calibrations into the sets that make masters.

    Frames of a set agree in everything that their rule asks for and are of one night. Lamp-off flats go to every
    set of lamp-on flats that their rule lets them serve.

    Parameters
    ----------
    frames : iterable of Facts
        Raw frames of any kind; others than darks and flats, and those with unknown quantities, are passed over.

    Returns
    -------
    list of RawSet
        In time.
    """
    everything = list(frames)
    sets = []
    for caltype, raw in _RAW.items():
        groups: dict[tuple[object, ...], list[Facts]] = {}
        for frame in everything:
            key = _key(frame, raw)
            if key is not None:
                groups.setdefault(key, []).append(frame)
        for members in groups.values():
            members.sort(key=_time)
            sets.append(RawSet(caltype, tuple(members), _lamp_off(members[0], everything) if raw == "flat" else ()))
    return sorted(sets, key=lambda made: _time(made.frames[0]))


def judge_set(made: RawSet, frame: Facts) -> tuple[Rule, Judgement] | None:
    """Hold a raw set against a frame as if it were the master it makes; None when there is no rule.

    The first frame of the set speaks for all: a master carries its header.
    """
    rule = rule_for(_RAW[made.caltype], frame.instrument)
    return None if rule is None else (rule, judge(rule, frame, made.frames[0]))


def _lamp_off(lamp_on: Facts, frames: Sequence[Facts]) -> tuple[Facts, ...]:
    rule = rule_for(_LAMP_OFF, lamp_on.instrument)
    if rule is None:
        return ()
    serving = [frame for frame in frames if rule.tags <= frame.tags and judge(rule, lamp_on, frame).passed]
    return tuple(sorted(serving, key=_time))


def _key(frame: Facts, raw: str) -> tuple[object, ...] | None:
    rule = rule_for(raw, frame.instrument)
    if rule is None or not rule.tags <= frame.tags or frame.ut_datetime is None:
        return None
    criteria = (*rule.criteria, *rule.set_quantities)
    if not all(is_known(criterion.quantity, getattr(frame, criterion.quantity)) for criterion in criteria):
        return None
    return (frame.night, *(_rounded(criterion, frame) for criterion in criteria))


def _rounded(criterion: Criterion, frame: Facts) -> object:
    value = getattr(frame, criterion.quantity)
    return value if criterion.tolerance is None else round(value / criterion.tolerance)


def _time(frame: Facts) -> tuple[int, str]:
    return frame.ut_microseconds or 0, frame.name
