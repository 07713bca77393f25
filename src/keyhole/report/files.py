"""Pages as files: the report of a night beside its products, and of any pictures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keyhole.errors import SetupError
from keyhole.report.page import Pictures, page_of

__all__ = ["PAGE", "picture_in", "write_file", "write_night", "write_page"]

PAGE = "index.html"


def write_night(summary: Mapping[str, Any], out: Path) -> Path:
    """Write ``index.html`` into the folder of a night's products.

    Parameters
    ----------
    summary : mapping
        What ``summary.json`` holds.
    out : Path
        Folder in which the pictures lie that the summary names.

    Raises
    ------
    SetupError
        It cannot be written.
    """
    return write_page(out / PAGE, summary, picture_in(out))


def picture_in(folder: Path) -> Pictures:
    """Reads the pictures that a summary names from the folder of products."""

    def picture(name: str) -> bytes | None:
        try:
            return (folder / name).read_bytes()
        except OSError:
            # The page is worth having without it.
            return None

    return picture


def write_page(
    path: Path, summary: Mapping[str, Any], pictures: Pictures, *, comparison: Mapping[str, Any] | None = None
) -> Path:
    """Write a page, whole or not at all.

    Raises
    ------
    SetupError
        It cannot be written.
    """
    text = page_of(summary, pictures, comparison=comparison)
    return write_file(path, text.encode(), advice="choose another place for the report")


def write_file(path: Path, content: bytes, *, advice: str) -> Path:
    """Write a file under a temporary name, then rename it.

    Raises
    ------
    SetupError
        It cannot be written; `advice` ends the sentence.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({error.strerror}); {advice}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return path
