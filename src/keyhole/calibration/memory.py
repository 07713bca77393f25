"""A calibration store in memory: for tests, for programs that bring their own lists, and as plain reference.

What `keyhole.calibration.database` says in SQL, this says with `keyhole.calibration.judging` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keyhole.calibration.entries import Entry
from keyhole.calibration.facts import Facts
from keyhole.calibration.judging import judge, preference_key
from keyhole.calibration.rules import Rule

__all__ = ["MemoryStore"]


class MemoryStore:
    """Calibrations in a list; see `keyhole.calibration.entries.Store`.

    Parameters
    ----------
    entries : iterable of Entry
        In any order.
    location : str
        Name for messages.
    """

    def __init__(self, entries: Iterable[Entry], location: str = "memory") -> None:
        self._entries = list(entries)
        self.location = location

    def fitting(self, rule: Rule, frames: Sequence[Facts], *, limit: int) -> list[Entry]:
        """Entries that meet the rule for at least one of the frames, at most `limit`."""
        fits = [e for e in self._of_type(rule) if any(judge(rule, frame, e.facts).passed for frame in frames)]
        return fits[:limit]

    def ranked(self, rule: Rule, frame: Facts, *, limit: int, offset: int = 0) -> list[Entry]:
        """Entries that meet the rule for a frame, the best first."""
        fits = [e for e in self._of_type(rule) if judge(rule, frame, e.facts).passed]
        fits.sort(key=lambda e: (preference_key(rule, frame, e.facts), -e.id))
        return fits[offset : offset + limit]

    def nearest(self, rule: Rule, frame: Facts, *, limit: int) -> list[Entry]:
        """Entries of the type with the fewest failed criteria first, then the nearest in time."""

        def distance(entry: Entry) -> tuple[int, float, int]:
            judgement = judge(rule, frame, entry.facts)
            age = float("inf") if judgement.age is None else abs(judgement.age.total_seconds())
            return len(judgement.failures), age, -entry.id

        return sorted(self._of_type(rule), key=distance)[:limit]

    def count(self, caltype: str) -> int:
        """Number of entries of a type."""
        return sum(entry.caltype == caltype for entry in self._entries)

    def _of_type(self, rule: Rule) -> list[Entry]:
        return [entry for entry in self._entries if entry.caltype == rule.caltype]
