"""The newer form of the calibration database: `LocalDB`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keyhole.calibration import CalibrationStore, database_file
from keyhole.calibration import service as _service

__all__ = ["FileData", "LocalDB"]


class FileData(NamedTuple):
    """One registered file: name, and absolute path."""

    name: str
    path: str


class LocalDB:
    """A calibration database.

    Parameters
    ----------
    dbfile : str
        Database file, or the folder that holds it.
    force_init : bool
        Make it if it does not exist.
    name, valid_caltypes, procmode, get_cal, store_cal, log
        Accepted; have no effect.
    """

    def __init__(
        self,
        dbfile: str,
        name: str | None = None,
        valid_caltypes: Sequence[str] | None = None,
        procmode: str | None = None,
        get_cal: bool = True,
        store_cal: bool = True,
        log: Any = None,
        force_init: bool = False,
    ) -> None:
        self.dbfile = database_file(str(dbfile))
        self._store = CalibrationStore(self.dbfile)
        if force_init:
            _service.make(self._store)

    def init(self, wipe: bool = False) -> None:
        """Make the database; one that exists is kept, unless `wipe`."""
        _service.make(self._store, wipe=wipe)

    def add_cal(self, path: str) -> None:
        """Register a master."""
        self._store.add(path)

    def add_directory(self, path: str, walk: bool = False) -> None:
        """Register all masters below a folder."""
        _service.add(self._store, path)

    def remove_cal(self, path: str) -> None:
        """Forget a master; the file stays."""
        _service.remove(self._store, path)

    def list_files(self) -> Iterator[FileData]:
        """Registered files by name."""
        return (FileData(entry.name, entry.path) for entry in self._store.entries())
