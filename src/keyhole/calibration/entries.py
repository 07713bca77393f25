"""What a calibration database tells about one file, and what a search needs of a database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keyhole.calibration.facts import Facts
from keyhole.calibration.rules import Rule

__all__ = ["Entry", "Store", "checksum"]


@dataclass(frozen=True)
class Entry:
    """One calibration file in a database.

    Attributes
    ----------
    id : int
        Grows with every addition: the larger, the later added.
    name, path : str
        File name, and absolute path.
    md5 : str
        Checksum of the file as it was when added.
    size : int
        Bytes.
    added : datetime
        When it was added, UT.
    facts : Facts
        What the file says about itself.
    """

    id: int
    name: str
    path: str
    md5: str
    size: int
    added: datetime
    facts: Facts

    @property
    def caltype(self) -> str:
        """``processed_dark`` and the like."""
        return self.facts.caltype or ""


class Store(Protocol):
    """What the search asks of a database; tests and other programs may bring their own."""

    @property
    def location(self) -> str:
        """Where the database is, for messages."""

    def fitting(self, rule: Rule, frames: Sequence[Facts], *, limit: int) -> list[Entry]:
        """Entries that meet the rule for at least one of several frames equal in all but time; at most `limit`."""

    def ranked(self, rule: Rule, frame: Facts, *, limit: int, offset: int = 0) -> list[Entry]:
        """Entries that meet the rule for a frame, the best first, without the first `offset` of them."""

    def nearest(self, rule: Rule, frame: Facts, *, limit: int) -> list[Entry]:
        """Entries of the rule's type with the fewest failed criteria first, then the nearest in time."""

    def count(self, caltype: str) -> int:
        """Number of entries of a type."""


def checksum(path: Path) -> str:
    """MD5 of a file's bytes as they are on disk, compressed or not.

    Parameters
    ----------
    path : Path
        File to read; 1 MB is held at a time.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    # Only tells whether a file changed; nothing secret hangs on it.
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
