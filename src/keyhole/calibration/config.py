"""Which calibration databases are asked, and which one takes new masters.

Two files are understood: ``~/.dragons/dragonsrc`` and the older ``~/.geminidr/rsys.cfg``; without either, a
database in the current folder is used, made when the first master is stored.
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyhole.calibration.location import file_of, shown
from keyhole.errors import SetupError

if TYPE_CHECKING:
    from keyhole.calibration.database import AskedStore, CalibrationStore

__all__ = ["Config", "Database", "database_file", "load_config", "open_stores", "store_for_masters"]

_DATABASE_NAME = "cal_manager.db"
_FLAGS = ("get", "store")
_BOOLEANS = configparser.ConfigParser.BOOLEAN_STATES


@dataclass(frozen=True)
class Database:
    """One configured database.

    Attributes
    ----------
    location : str
        Absolute path of an SQLite file, or a database URL; that may hold a password, see `shown`.
    get, store : bool
        Whether it is asked for calibrations, and whether new masters go there by themselves.
    """

    location: str
    get: bool
    store: bool

    @property
    def path(self) -> Path | None:
        """The file; None for a database on a server."""
        return file_of(self.location)

    @property
    def shown(self) -> str:
        """The location for messages: without a password."""
        return shown(self.location)


@dataclass(frozen=True)
class Config:
    """The calibration databases of a run and where that was said.

    Attributes
    ----------
    databases : tuple of Database
        In the order in which they are asked.
    source : Path or None
        The configuration file; None when there is none.
    implicit : bool
        No configuration at all: the database of the current folder, made on first use.
    legacy : bool
        The older file was read: masters are stored by ``caldb add`` only.
    standalone : bool or None
        As written; kept to be shown, has no effect.
    notes : tuple of str
        What in the file has no effect here.
    """

    databases: tuple[Database, ...]
    source: Path | None
    implicit: bool = False
    legacy: bool = False
    standalone: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where the choice comes from, in one line."""
        if self.implicit:
            return f"no configuration file: calibrations are kept in {self.databases[0].shown}"
        if self.source is None:
            return f"calibration database {', '.join(database.shown for database in self.databases)}"
        if not self.databases:
            return f"{self.source} names no calibration database"
        return f"calibration databases as configured in {self.source}"


def load_config(
    path: str | Path | None = None,
    *,
    home: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Config:
    """Read the configuration: the file given, else $DRAGONSRC, else the newer, else the older file at home.

    Parameters
    ----------
    path : str or Path, optional
        Configuration file given on the command line.
    home, environ, cwd : optional
        Home folder, environment and current folder; by default those of the process at the time of the call.

    Returns
    -------
    Config
        Nothing is opened or made. Folders and databases need not exist.

    Raises
    ------
    SetupError
        The file named does not exist, or a file cannot be understood.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    home = Path.home() if home is None else home
    named = [("-c", path), ("$DRAGONSRC", environ.get("DRAGONSRC") or None)]
    for origin, given in named:
        if given is not None:
            file = _absolute(str(given), home, cwd)
            if not file.is_file():
                raise SetupError(f"the configuration file {given} ({origin}) does not exist; check the name")
            return _read(file, home, cwd)
    for file in (home / ".dragons" / "dragonsrc", home / ".geminidr" / "rsys.cfg"):
        if file.is_file():
            return _read(file, home, cwd)
    here = Database(str(cwd / _DATABASE_NAME), get=True, store=True)
    return Config((here,), source=None, implicit=True)


def database_file(text: str, *, home: Path | None = None, cwd: Path | None = None) -> str:
    """Resolve what a user wrote for a database: a URL, a database file, or the folder that holds one.

    Parameters
    ----------
    text : str
        A name ending in ``.db`` or of an existing file is the database itself; anything else is its folder.

    Returns
    -------
    str
        Absolute path of the file, or the URL unchanged.
    """
    if "://" in text:
        return text
    path = _absolute(text, Path.home() if home is None else home, Path.cwd() if cwd is None else cwd)
    is_file = path.is_file() or (path.suffix == ".db" and not path.is_dir() and not text.endswith("/"))
    return str(path if is_file else path / _DATABASE_NAME)


def open_stores(config: Config, *, on_missing: Callable[[SetupError], None] | None = None) -> list[AskedStore]:
    """Open the databases that are asked for calibrations.

    Parameters
    ----------
    config : Config
        Names them.
    on_missing : callable, optional
        Told of each database that is not there, as long as another one is; without it, any is an error.

    Returns
    -------
    list of AskedStore
        In order. The database of the current folder is left out while it does not exist.

    Raises
    ------
    SetupError
        A configured database or its folder does not exist: any, or with `on_missing` all of them.
    """
    from keyhole.calibration.database import AskedStore  # commands that ask for help only need no database

    stores = []
    missing: list[SetupError] = []
    for database in config.databases:
        if not database.get:
            continue
        store = AskedStore(database.location)
        if config.implicit and not store.exists:
            continue
        try:
            _require(database, store.exists, config)
        except SetupError as error:
            if on_missing is None:
                raise
            missing.append(error)
        else:
            stores.append(store)
    if missing and not stores:
        raise missing[0]
    if on_missing is not None:
        for problem in missing:
            on_missing(problem)
    return stores


def store_for_masters(config: Config) -> CalibrationStore | None:
    """Open the database that takes new masters by itself, and make it if it is the one of the current folder.

    Returns
    -------
    CalibrationStore or None
        None when no database is configured to take masters; then ``caldb add`` is the way.

    Raises
    ------
    SetupError
        The database or its folder does not exist, or cannot be made.
    """
    for database in config.databases:
        if database.store:
            from keyhole.calibration.database import CalibrationStore  # loads SQLAlchemy

            store = CalibrationStore(database.location)
            if config.implicit and not store.exists:
                store.create()
            _require(database, store.exists, config)
            return store
    return None


def _require(database: Database, exists: bool, config: Config) -> None:
    path = database.path
    if path is None or exists:
        return
    origin = f" (configured in {config.source})" if config.source else ""
    if not path.parent.is_dir():
        raise SetupError(
            f"the folder {path.parent} of the calibration database{origin} does not exist; make it with: caldb init"
        )
    raise SetupError(f"the calibration database {path}{origin} does not exist; make it with: caldb init")


def _read(file: Path, home: Path, cwd: Path) -> Config:
    legacy = file.name == "rsys.cfg"
    section = _section(file)
    standalone = _boolean(file, section.get("standalone"))
    lines = [line.strip() for line in section.get("databases", "").splitlines() if line.strip()]
    if lines:
        databases, notes = [], []
        for line in lines:
            words = _words(file, line)
            if words[0].startswith(("http://", "https://")):
                notes.append(f"{words[0]} in {file} is an archive on the network, which is not asked")
            else:
                databases.append(_database(file, words, home, cwd))
        return Config(tuple(databases), file, legacy=legacy, standalone=standalone, notes=tuple(notes))
    folder = section.get("database_dir", "").strip() or ("~/.geminidr" if legacy else "")
    if not folder:
        return Config((), file, legacy=legacy, standalone=standalone)
    database = Database(database_file(folder, home=home, cwd=cwd), get=True, store=False)
    return Config((database,), file, legacy=True, standalone=standalone)


def _section(file: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig"), source=str(file))
    except configparser.MissingSectionHeaderError as error:
        raise SetupError(
            f"{file}: line {error.lineno} stands before any section; put [calibs] on a line above it"
        ) from error
    except configparser.Error as error:
        raise SetupError(f"{file}: not a configuration file ({' '.join(error.message.split())}); correct it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{file}: cannot be read as text; check the file and its permissions") from error
    return parser["calibs"] if parser.has_section("calibs") else {}


def _words(file: Path, line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise SetupError(f"{file}: a quote is not closed in 'databases' line {shown(line)}; close it") from error


def _database(file: Path, words: list[str], home: Path, cwd: Path) -> Database:
    location, *flags = words
    for flag in flags:
        if flag not in _FLAGS:
            raise SetupError(
                f"{file}: unknown flag '{flag}' after database {shown(location)}; "
                "known flags are get and store, and a path with blanks needs quotes"
            )
    get = not flags or "get" in flags
    return Database(_classified(location, home, cwd), get=get, store="store" in flags)


def _classified(location: str, home: Path, cwd: Path) -> str:
    """Resolve an entry of ``databases``: here a path that does not exist is the database itself."""
    if "://" in location:
        return location
    path = _absolute(location, home, cwd)
    return str(path / _DATABASE_NAME if path.is_dir() or location.endswith("/") else path)


def _boolean(file: Path, text: str | None) -> bool | None:
    if text is None:
        return None
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise SetupError(f"{file}: standalone = {text} is neither True nor False; correct it")
    return value


def _absolute(text: str, home: Path, cwd: Path) -> Path:
    # Like the shell, but for the home folder that was handed in.
    if text == "~" or text.startswith("~/"):
        return Path(os.path.normpath(home / text[2:]))
    return Path(os.path.normpath(cwd / text))
