"""The calibration database that a script works with: made, filled and listed by a few calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.calibration.config import Config, Database, database_file, load_config
from keyhole.calibration.entries import Entry
from keyhole.errors import CalibrationError, InputError, SetupError

if TYPE_CHECKING:
    from keyhole.calibration.database import CalibrationStore

__all__ = [
    "activate",
    "active_config",
    "add",
    "chosen_config",
    "explain_config",
    "fits_files_below",
    "folder_of",
    "make",
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
        lines.append(f"Database: {database.location}{state}")
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
    folder = Path(store.location).parent
    if "://" not in store.location and not folder.exists():
        try:
            folder.mkdir()
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
    for file in fits_files_below(path):
        try:
            entries.append(store.add(file))
        except CalibrationError:
            continue
    return entries


def fits_files_below(folder: str | Path) -> Iterator[Path]:
    """Files of a folder and the folders in it that are FITS by their names, sorted."""
    for path in sorted(Path(folder).rglob("*.fits*")):
        if path.name.endswith(_FITS_ENDINGS) and path.is_file():
            yield path


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
