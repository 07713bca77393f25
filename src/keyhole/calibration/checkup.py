"""Whether the files behind a calibration database still are what they were when they were added."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from keyhole.calibration.entries import Entry, checksum, is_gone

__all__ = ["Kind", "Problem", "check_files"]


class Kind(Enum):
    """What is wrong with an entry; in this order they are told."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Problem:
    """What is wrong with an entry.

    Attributes
    ----------
    kind : Kind
        What it is.
    entry : Entry
        Which entry.
    others : tuple of str
        Of a duplicate: the other places of the same content. Of a missing file: places of the same content.
    shares_name : bool
        Whether entries of files elsewhere have the same name, so that ``caldb remove`` would forget them too.
    """

    kind: Kind
    entry: Entry
    others: tuple[str, ...] = ()
    shares_name: bool = False

    @property
    def words(self) -> str:
        """What is wrong and what to do, in one line."""
        entry = self.entry
        if self.kind is Kind.MISSING:
            return f"{entry.name}: {entry.path} is gone; {self._cure_of_missing}"
        if self.kind is Kind.UNREADABLE:
            return f"{entry.name}: {entry.path} cannot be read; check its permissions and its disk"
        if self.kind is Kind.CHANGED:
            return (
                f"{entry.name}: {entry.path} has changed since it was added and is not used; "
                f"if that is right: caldb add {shlex.quote(entry.path)}"
            )
        return (
            f"{entry.name}: {entry.path} has the same content as {', '.join(self.others)}; "
            f"delete the files you do not need, then: caldb add {shlex.quote(entry.path)}"
        )

    @property
    def _cure_of_missing(self) -> str:
        if self.others:
            return f"its content is at {self.others[0]}: caldb add {shlex.quote(self.others[0])}"
        remove = f"caldb remove {shlex.quote(self.entry.name)}"
        if self.shares_name:
            return f"put it back, or forget all files of this name ({remove}) and add the others again"
        return f"put it back, or forget it: {remove}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON, always in this order: ``problem``, ``name``, ``path``, ``type``, ``others``, ``advice``."""
        return {
            "problem": self.kind.value,
            "name": self.entry.name,
            "path": self.entry.path,
            "type": self.entry.caltype,
            "others": list(self.others),
            "advice": self.words,
        }


def check_files(entries: Iterable[Entry]) -> list[Problem]:
    """Read all files of a database and compare them with what they were when they were added.

    Parameters
    ----------
    entries : iterable of Entry
        All entries of one database.

    Returns
    -------
    list of Problem
        Missing, unreadable and changed files, then one for each content that is at several places; by name.
    """
    entries = list(entries)
    states = [(entry, _state(entry)) for entry in entries]
    places: dict[str, list[Entry]] = {}
    for entry, state in states:
        if state is None:
            places.setdefault(entry.md5, []).append(entry)
    names = Counter(entry.name for entry in entries)
    problems = [
        Problem(
            state,
            entry,
            tuple(other.path for other in places.get(entry.md5, [])) if state is Kind.MISSING else (),
            shares_name=names[entry.name] > 1,
        )
        for entry, state in states
        if state is not None
    ]
    for same in places.values():
        # The one that was added first speaks for all.
        first, *rest = sorted(same, key=lambda entry: entry.id)
        if rest:
            problems.append(Problem(Kind.DUPLICATE, first, tuple(sorted(entry.path for entry in rest))))
    order = list(Kind)
    return sorted(problems, key=lambda it: (order.index(it.kind), it.entry.name, it.entry.path))


def _state(entry: Entry) -> Kind | None:
    path = Path(entry.path)
    if is_gone(path):
        return Kind.MISSING
    try:
        same = path.stat().st_size == entry.size and checksum(path) == entry.md5
    except OSError:
        return Kind.UNREADABLE
    return None if same else Kind.CHANGED
