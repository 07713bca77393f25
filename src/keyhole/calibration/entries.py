"""What a calibration database tells about one file, and what a search needs of a database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from keyhole.calibration.bare_map import how_to_import, is_bare_map
from keyhole.calibration.facts import Facts, facts_of
from keyhole.calibration.rules import Rule
from keyhole.errors import CalibrationError, DataError, InputError, KeyholeError
from keyhole.headers import check_complete

__all__ = ["Added", "Entry", "Store", "checksum", "is_gone", "is_unchanged", "read_master"]

# The clocks of file systems run behind, some tell even seconds only.
_CLOCK_MARGIN = timedelta(seconds=2)
_LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class Entry:
    """One calibration file in a database.

    Attributes
    ----------
    id : int
        Grows with every addition: the larger, the later added. 0 before the database gave one.
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

    def as_dict(self) -> dict[str, Any]:
        """Everything as numbers and text, for JSON, always in this order.

        ``name``, ``path``, ``type``, ``md5``, ``size`` (bytes), ``added``, ``tags`` (sorted), then the
        quantities in the order and under the names of `Facts`, None where not known. Times are UT in ISO form
        with microseconds and without zone.
        """
        quantities = {
            field.name: _plain(getattr(self.facts, field.name))
            for field in fields(Facts)
            if field.name not in {"name", "tags", "caltype"}
        }
        return {
            "name": self.name,
            "path": self.path,
            "type": self.caltype,
            "md5": self.md5,
            "size": self.size,
            "added": _plain(self.added),
            "tags": sorted(self.facts.tags),
            **quantities,
        }


@dataclass(frozen=True)
class Added:
    """What became of one file that was to be registered.

    Attributes
    ----------
    path : str
        As it was given.
    outcome : Entry or KeyholeError
        What is in the database for good, or why the file cannot be registered.
    """

    path: str
    outcome: Entry | KeyholeError


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


def read_master(path: str | Path) -> Entry:
    """What there is to know of a processed calibration file, read from the file alone.

    Parameters
    ----------
    path : str or Path
        The file; symbolic links are kept as the user wrote them.

    Returns
    -------
    Entry
        Not in any database yet.

    Raises
    ------
    InputError
        The file does not exist or cannot be read.
    DataError
        It is damaged or not FITS.
    CalibrationError
        It is not a processed calibration.
    """
    file = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the user's symbolic links
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise InputError(f"{os.fsencode(file)!r}: the name is not text in UTF-8; rename the file") from None
    if not file.is_file():
        raise InputError(f"{path}: no such file; check the name")
    # Taken before anything is read: what changes in the file after this moment was not seen.
    now = datetime.now(UTC).replace(tzinfo=None)
    headers = check_complete(file)
    facts = facts_of(headers)
    if is_bare_map(headers):
        raise CalibrationError(
            f"{path}: the header names neither instrument nor date; if it is a map of bad pixels, "
            f"{how_to_import(str(path))}"
        )
    if facts.caltype is None:
        raise CalibrationError(
            f"{path}: not a processed calibration (tags {' '.join(sorted(facts.tags)) or 'none'}); "
            "only masters made by reduce and bad-pixel masks can be added"
        )
    # A file that was cut off between two of its parts looks complete. Masks may be in an extension of any name.
    if not headers.extensions and facts.caltype != "processed_bpm":
        raise DataError(f"{path}: there is no image in it; copy it again, or make it again with reduce")
    if abs(facts.coadds or 0) > _LARGEST_INTEGER:
        raise DataError(f"{path}: {facts.coadds} is no possible number of coadds; correct its header")
    try:
        return Entry(0, file.name, str(file), checksum(file), file.stat().st_size, now, facts)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its folder and permissions") from error


def is_gone(path: str | Path) -> bool:
    """Tell whether a file is certainly not there; a folder that may not be looked into proves nothing."""
    try:
        os.stat(path)  # noqa: PTH116 - Path.exists raises or denies where nothing can be said
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_unchanged(entry: Entry) -> bool:
    """Tell whether a file holds what it held when it was added.

    A file of the same size that nobody has touched since is taken to be unchanged without reading it.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    path = Path(entry.path)
    status = path.stat()
    if status.st_size != entry.size:
        return False
    touched = datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC).replace(tzinfo=None)
    return touched < entry.added - _CLOCK_MARGIN or checksum(path) == entry.md5


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value
