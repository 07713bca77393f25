"""Logs of scripts, under the names that scripts know; see `keyhole.cli.script_log`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from keyhole.cli import script_log as _logs
from keyhole.cli.script_log import LEVELS as _LEVELS

__all__ = ["FULLINFO", "STATUS", "STDINFO", "change_level", "config", "customize_logger", "get_logger", "update_indent"]

STATUS, STDINFO, FULLINFO = _LEVELS["status"], _LEVELS["stdinfo"], _LEVELS["fullinfo"]


def config(
    mode: str = "standard",
    file_name: str | None = None,
    file_lvl: int = FULLINFO,
    stomp: bool = False,
    additional_handlers: logging.Handler | Sequence[logging.Handler] | None = None,
    keep_handlers: bool = False,
) -> None:
    """Say where messages go: ``standard``, ``quiet``, ``verbose``, ``debug`` or ``rotating``, and a log file."""
    more = (additional_handlers,) if isinstance(additional_handlers, logging.Handler) else additional_handlers or ()
    _logs.configure(mode, file=file_name, file_level=file_lvl, overwrite=stomp, additional=more, keep=keep_handlers)


def get_logger(name: str | None = None) -> logging.Logger:
    """A logger with the methods ``status``, ``stdinfo`` and ``fullinfo``."""
    return _logs.script_logger(name)


def update_indent(li: int = 0, mode: str = "") -> None:
    """Begin further messages with 3 blanks per level."""
    _logs.set_indent(li)


def change_level(new_level: int | str) -> None:
    """Show messages from this level on, by number or name."""
    _logs.set_level(new_level)


def customize_logger(log: logging.Logger | None = None) -> logging.Logger:
    """Give a logger of the script the further methods; its handlers and levels stay."""
    return _logs.script_logger() if log is None else _logs.add_levels(log)
