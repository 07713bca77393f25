"""Messages of a script: shown once on the screen and kept in one log file, the root logger left alone.

All handlers hang on the logger ``keyhole``, below which the loggers of scripts stand, too. What they say still
reaches handlers that a script gave the root logger by itself; where one of those writes to the screen, ours does
not.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from keyhole.engine.eventlog import EventLog, file_handler
from keyhole.errors import ParameterError

__all__ = [
    "LEVELS",
    "MODES",
    "Account",
    "account",
    "add_levels",
    "configure",
    "event_log",
    "forget",
    "script_logger",
    "set_indent",
    "set_level",
]

#: Levels beside those of `logging`, by the name of the method that logs on them.
LEVELS = {"status": 25, "stdinfo": 21, "fullinfo": 15}
#: Mode to the level from which messages are shown on the screen; None: nothing is.
MODES: dict[str, int | None] = {
    "standard": LEVELS["stdinfo"],
    "quiet": None,
    "verbose": LEVELS["fullinfo"],
    "debug": logging.DEBUG,
    "rotating": None,
}
Account = Literal["standard", "verbose", "debug", "quiet"]
_ACCOUNTS: dict[str, Account] = {
    "standard": "standard",
    "quiet": "quiet",
    "verbose": "verbose",
    "debug": "debug",
    "rotating": "quiet",
}
_HOUSE = "keyhole"
_INDENT = 3


class _State:
    """What a script asked for, for the whole process."""

    mode: str | None = None
    file: logging.FileHandler | None = None
    handlers: tuple[logging.Handler, ...] = ()
    indent = ""


def configure(
    mode: str = "standard",
    *,
    file: str | Path | None = None,
    file_level: int = LEVELS["fullinfo"],
    overwrite: bool = False,
    additional: Sequence[logging.Handler] = (),
    keep: bool = False,
) -> None:
    """Say where messages go; a later call replaces what an earlier one said.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    file : path, optional
        Log file, appended unless `overwrite`; ``rotating`` begins a new one at midnight.
    file_level : int
        Least level that goes into the file.
    additional : sequence of logging.Handler
        Further handlers for all messages.
    keep : bool
        Keep the handlers of an earlier call beside the new ones.

    Raises
    ------
    ParameterError
        The mode is unknown.
    SetupError
        The file cannot be written.
    """
    if mode not in MODES:
        raise ParameterError(f"log mode {mode!r} is unknown; use {', '.join(MODES)}")
    _name_levels()
    target = None if file is None else _open(Path(file), mode, file_level, overwrite=overwrite)
    house = logging.getLogger(_HOUSE)
    if not keep:
        forget()
    level = MODES[mode]
    new = [handler for handler in (None if level is None else _Screen(level), target, *additional) if handler]
    for handler in new:
        house.addHandler(handler)
    house.setLevel(logging.DEBUG if mode == "debug" else LEVELS["fullinfo"])
    _State.mode, _State.file, _State.handlers = mode, target, (*_State.handlers, *new)


def forget() -> None:
    """Undo what `configure` did."""
    house = logging.getLogger(_HOUSE)
    for handler in _State.handlers:
        house.removeHandler(handler)
    if _State.handlers:
        house.setLevel(logging.NOTSET)
    if _State.file is not None:
        _State.file.close()
    _State.mode, _State.file, _State.handlers, _State.indent = None, None, (), ""


def _open(path: Path, mode: str, level: int, *, overwrite: bool) -> logging.FileHandler:
    handler = file_handler(path, mode="w" if overwrite else "a")
    formatter = handler.formatter
    if mode == "rotating":
        handler.close()
        from logging.handlers import TimedRotatingFileHandler  # and with it sockets; few scripts want it

        handler = TimedRotatingFileHandler(path, when="midnight", encoding="utf-8")
    handler.setFormatter(_Indented(formatter))
    handler.setLevel(min(level, logging.DEBUG) if mode == "debug" else level)
    return handler


def account(mode: str | None = None) -> Account:
    """How the account of a run is shown: as `mode` says, else as `configure` did."""
    asked = mode or _State.mode or "standard"
    if asked not in MODES:
        raise ParameterError(f"log mode {asked!r} is unknown; use {', '.join(MODES)}")
    return _ACCOUNTS[asked]


def event_log() -> EventLog | None:
    """Writer of the events of a run into the log file of the script; None: it asked for none."""
    if _State.file is None:
        return None
    # A logger of its own: the account on the screen tells the same already.
    logger = logging.Logger("keyhole.run", logging.DEBUG)
    logger.addHandler(_State.file)
    return EventLog(logger)


def script_logger(name: str | None = None) -> logging.Logger:
    """Return the logger of a script, with the methods ``status``, ``stdinfo`` and ``fullinfo``.

    Without `configure` its messages from ``stdinfo`` on are shown on the screen.
    """
    if _State.mode is None:
        configure()
    return add_levels(logging.getLogger(f"{_HOUSE}.script.{name}" if name else f"{_HOUSE}.script"))


def add_levels(logger: logging.Logger) -> logging.Logger:
    """Give a logger the further methods; nothing else about it changes."""
    _name_levels()
    for name, level in LEVELS.items():
        setattr(logger, name, partial(logger.log, level))
    return logger


def set_indent(steps: int) -> None:
    """Begin further messages with 3 blanks for each of `steps`."""
    _State.indent = " " * (_INDENT * max(0, steps))


def set_level(level: int | str) -> None:
    """Show messages from this level on; by number or by name.

    Raises
    ------
    ParameterError
        No level has this name.
    """
    number = LEVELS.get(level.lower()) or logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ParameterError(f"no log level {level!r}; there are {', '.join([*LEVELS, 'debug', 'info', 'warning'])}")
    house = logging.getLogger(_HOUSE)
    house.setLevel(min(number, house.level or number))
    for handler in _State.handlers:
        if isinstance(handler, _Screen):
            handler.setLevel(number)


def _name_levels() -> None:
    for name, level in LEVELS.items():
        logging.addLevelName(level, name.upper())


class _Screen(logging.Handler):
    """The screen: warnings with their level, other messages as they are."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(_Indented(logging.Formatter("%(message)s")))

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message, unless the script's own handlers do."""
        if _shown_elsewhere(record):
            return
        named = record.levelno >= logging.WARNING or record.levelno == logging.DEBUG
        text = self.format(record)
        try:
            print(f"{record.levelname} - {text}" if named else text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.handleError(record)


class _Indented(logging.Formatter):
    """Puts the indent of the script before the message."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        if not _State.indent or not record.name.startswith(f"{_HOUSE}.script"):
            return self._inner.format(record)
        shifted = logging.makeLogRecord(record.__dict__)
        shifted.msg, shifted.args = _State.indent + record.getMessage(), None
        return self._inner.format(shifted)


def _shown_elsewhere(record: logging.LogRecord) -> bool:
    """Whether a handler that is not ours puts this record on the screen."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            ours = any(handler is own for own in _State.handlers)
            if not ours and record.levelno >= handler.level and _is_screen(handler):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _is_screen(handler: logging.Handler) -> bool:
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return getattr(handler, "stream", None) in streams or hasattr(handler, "console")
