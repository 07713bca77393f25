"""The calibration database that a script works with: made, filled and listed by a few calls."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.calibration.config import Config, Database, database_file, load_config
from keyhole.calibration.entries import Entry, read_master
from keyhole.calibration.facts import CALIBRATION_TYPES
from keyhole.errors import CalibrationError, DataError, InputError, KeyholeError, ParameterError, SetupError

if TYPE_CHECKING:
    from keyhole.calibration.database import CalibrationStore

__all__ = [
    "Rebuilt",
    "activate",
    "active_config",
    "add",
    "calibration_types",
    "chosen_config",
    "explain_config",
    "fits_files_below",
    "folder_of",
    "make",
    "rebuild",
    "remove",
    "require_databases",
    "store_to_change",
]

_FITS_ENDINGS = (".fits", ".fits.gz", ".fits.bz2")


class _Active:
    """The configuration that a script made its own, for all its runs."""

    config: Config | None = None


def activate(config: Config | None) -> None:
    """Use `config` in all later runs that name none themselves; None: what the files say."""
    _Active.config = config


def active_config() -> Config:
    """The configuration of runs that name none: that of `activate`, else that of the files."""
    return _Active.config or load_config()


def chosen_config(*, database: str | Path | None = None, file: str | Path | None = None) -> Config:
    """Choose a database by its place, else by a configuration file, else by the usual files.

    Parameters
    ----------
    database : path, optional
        Database file, or the folder that holds it. It is asked for masters; new ones are added by the script.
    file : path, optional
        Configuration file; one that does not exist is as good as none.
    """
    if database is not None:
        return Config((Database(database_file(str(database)), get=True, store=False),), source=None)
    if file is not None and Path(file).expanduser().is_file():
        return load_config(Path(file).expanduser())
    return load_config()


def explain_config(config: Config) -> list[str]:
    """Say which file rules and what it means, line by line."""
    lines = [f"Configuration: {config.source or 'none'}"]
    if config.standalone is not None:
        lines.append(f"Standalone: {config.standalone} (has no effect: nothing is asked over the network)")
    for database in config.databases:
        missing = database.path is not None and not database.path.exists()
        state = "  (does not exist; make it with: caldb init)" if missing else ""
        lines.append(f"Database: {database.shown}{state}")
        lines.append(f"  Get: {'yes' if database.get else 'no'}  Store: {'yes' if database.store else 'no'}")
    lines += config.notes
    if config.implicit:
        lines.append("No configuration file: the database of the current folder is used, and made on first use")
    elif not config.databases:
        lines.append("No database is named there; add a line 'databases = PATH get store' below [calibs]")
    elif not any(database.store for database in config.databases):
        lines.append("Masters are not stored by themselves; add them with: caldb add FILE")
    return [*lines, *_passed_over(config)]


def _passed_over(config: Config) -> list[str]:
    """The older file, where the newer one wins."""
    older = Path.home() / ".geminidr" / "rsys.cfg"
    if config.source is None or config.source == older or not older.is_file():
        return []
    return [f"{older} is there too and is not read: the newer file wins"]


def folder_of(config: Config) -> str | None:
    """Folder of the first database that is a file."""
    files = [database.path for database in config.databases if database.path is not None]
    return str(files[0].parent) if files else None


def require_databases(config: Config) -> tuple[Database, ...]:
    """The databases of a configuration.

    Raises
    ------
    SetupError
        It names none.
    """
    if not config.databases:
        raise SetupError(
            f"{config.source} names no calibration database; "
            "add a line 'databases = PATH get store' below [calibs], or give one with -d"
        )
    return config.databases


def store_to_change(config: Config) -> CalibrationStore:
    """The database to which masters are added and from which they are removed.

    Raises
    ------
    SetupError
        The configuration names none, or several among which it does not choose.
    """
    from keyhole.calibration.database import CalibrationStore  # SQLAlchemy is slow to load

    databases = require_databases(config)
    if len(databases) > 1:
        databases = tuple(database for database in databases if database.store)
        if len(databases) != 1:
            raise SetupError(f"{config.source} names several databases; say with -d which one to change")
    return CalibrationStore(databases[0].location)


def make(store: CalibrationStore, *, wipe: bool = False) -> bool:
    """Make a database, and the folder it is in; one that exists is kept unless `wipe`.

    Returns
    -------
    bool
        False when the database was there and is kept.

    Raises
    ------
    SetupError
        The folder cannot be made, or the file is of another program.
    """
    folder = None if store.path is None else store.path.parent
    if folder is not None and not folder.exists():
        try:
            # Another process may make it at the same time.
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"the folder {folder} for the calibration database cannot be made ({error.strerror}); "
                "make it first, or choose another one"
            ) from error
    return store.create(wipe=wipe)


def add(store: CalibrationStore, path: str | Path, *, config: Config | None = None) -> list[Entry]:
    """Register a master, or all masters below a folder; files of a folder that are none are passed over.

    Parameters
    ----------
    config : Config, optional
        Where it says that nothing was configured, the database is made on first use.
    """
    if config is not None and config.implicit and not store.exists:
        store.create()
    if not Path(path).is_dir():
        return [store.add(path)]
    entries = []
    for added in store.add_all(fits_files_below(path)):
        if isinstance(added.outcome, Entry):
            entries.append(added.outcome)
        elif not isinstance(added.outcome, CalibrationError):
            raise added.outcome
    return entries


def fits_files_below(folder: str | Path) -> Iterator[Path]:
    """Files of a folder and the folders in it that are FITS by their names, sorted."""
    for path in sorted(Path(folder).rglob("*.fits*")):
        if path.name.endswith(_FITS_ENDINGS) and path.is_file():
            yield path


@dataclass(frozen=True)
class Rebuilt:
    """What a database was made of anew.

    Attributes
    ----------
    masters : list of Entry
        Read from the folders.
    dropped : list of Entry
        Entries that are no more: their file is gone or cannot be used.
    damaged : list of KeyholeError
        Files that were passed over because they are damaged or cannot be read.
    left_out : int
        Number of files that are no processed calibrations.
    """

    masters: list[Entry]
    dropped: list[Entry]
    damaged: list[KeyholeError]
    left_out: int


def rebuild(store: CalibrationStore, folders: Iterable[str | Path]) -> Rebuilt:
    """Make a database anew from the headers of all masters below some folders.

    First all files are read, then the content is replaced in one transaction: whoever asks meanwhile, or kills
    this process, sees the old content or the new one. A database that does not exist is made. Entries of files
    elsewhere are kept as long as their file exists.

    Raises
    ------
    InputError
        A folder does not exist; nothing is changed.
    SetupError
        The database cannot be used.
    """
    folders = list(folders)
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(f"{folder}: no such folder; check the name")
    if store.exists:
        store.require(write=True)
    # Two folders may hold each other; absolute paths show that.
    files = dict.fromkeys(os.path.abspath(file) for folder in folders for file in fits_files_below(folder))  # noqa: PTH100
    masters: list[Entry] = []
    damaged: list[KeyholeError] = []
    unusable: set[str] = set()
    for file in files:
        try:
            masters.append(read_master(file))
        except (CalibrationError, DataError, InputError) as error:
            unusable.add(file)
            if not isinstance(error, CalibrationError):
                damaged.append(error)
    make(store)
    dropped = store.rebuild(masters, unusable=unusable)
    return Rebuilt(masters, dropped, damaged, len(unusable) - len(damaged))


def calibration_types(words: Iterable[str]) -> tuple[str, ...]:
    """Types that a user named, with or without ``processed_`` before them.

    Raises
    ------
    ParameterError
        A word names none.
    """
    types = []
    for word in words:
        caltype = f"processed_{word.lower().removeprefix('processed_')}"
        if caltype not in CALIBRATION_TYPES:
            known = ", ".join(name.removeprefix("processed_") for name in CALIBRATION_TYPES)
            raise ParameterError(f"{word} is no type of calibration; known are {known}")
        types.append(caltype)
    return tuple(types)


def remove(store: CalibrationStore, name: str | Path) -> list[Entry]:
    """Forget all masters of a name; the files stay.

    Raises
    ------
    InputError
        The database holds no such name.
    """
    removed = store.remove(name)
    if not removed:
        raise InputError(f"{Path(name).name} is not in {store.location}; see what is there with: caldb list")
    return removed
