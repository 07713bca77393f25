"""Where a calibration database is: a file or a server, and how to speak of it without giving a password away."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["file_of", "shown"]

_SQLITE_FILE = re.compile(r"sqlite(?:\+pysqlite)?:///")
# Up to the last "@", so that a password that should have been quoted does not leak in part.
_USER_AND_PASSWORD = re.compile(r"(://[^:/@]*):.*@")
_SECRET_OPTION = re.compile(r"([?&](?:password|sslpassword)=)[^&]*", re.IGNORECASE)


def file_of(location: str) -> Path | None:
    """The file that a path or an SQLite URL names; None for a database on a server."""
    url = _SQLITE_FILE.match(location)
    if url is not None:
        return Path(location[url.end() :])
    return None if "://" in location else Path(location)


def shown(location: str) -> str:
    """The location as it may be shown: a path as it is, a URL without its password."""
    file = file_of(location)
    if file is not None:
        return str(file)
    return _SECRET_OPTION.sub(r"\1***", _USER_AND_PASSWORD.sub(r"\1@", location))
