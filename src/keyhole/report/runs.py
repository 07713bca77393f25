"""Reports of single runs, and of products that were made earlier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyhole import __version__
from keyhole.engine.account import Account, versions
from keyhole.engine.product import account_of_product
from keyhole.frames import file_md5, read_frame
from keyhole.report.compare import compared
from keyhole.report.files import write_page

__all__ = ["write_product_report", "write_run_report"]


def write_run_report(path: Path, account: Account, *, log: Path | None = None) -> Path:
    """Write the page of one run, also of one that failed.

    Raises
    ------
    SetupError
        It cannot be written.
    """
    told = account.kept()
    error = told.pop("error")
    products = [Path(name) for name in dict.fromkeys(account.written)]
    pictures = {f"{one.role}-{k}": one.png for k, one in enumerate(account.previews)}
    first = told["frames"][0]["file"] if told["frames"] else "run"
    group = {
        "name": (products[-1].name if products else first).split(".fits")[0],
        "makes": _makes(told["recipe"]),
        "summary": told["inputs"],
        "state": "done" if error is None else "failed",
        "reason": error,
        "files": [frame["file"] for frame in told["frames"]],
        "parameters": {},
        "planned_calibrations": {},
        "products": [{"file": _beside(path, one), "md5": file_md5(one)} for one in products if one.is_file()],
        "seconds": account.seconds,
        "log": None if log is None else _beside(path, log),
        "defect": None,
        "host": "",
        "previews": [
            {"file": f"{one.role}-{k}", "role": one.role, "product": one.name, **one.facts}
            for k, one in enumerate(account.previews)
        ],
        **told,
    }
    return write_page(path, _summary([group], account.seconds, raw=", ".join(group["files"][:3])), pictures.get)


def write_product_report(path: Path, products: Sequence[Path]) -> Path:
    """Write the page of products that exist; of two or more with a comparison.

    Raises
    ------
    InputError, DataError
        A product is missing or damaged, or the images cannot be compared.
    SetupError
        The page cannot be written.
    """
    frames = [read_frame(product) for product in products]
    for frame, name in zip(frames, _told_apart(products), strict=True):
        frame.name = name
    groups, pictures = [], {}
    for product, frame in zip(products, frames, strict=True):
        group, png = account_of_product(frame, href=_beside(path, product))
        groups.append(group)
        if png is not None:
            pictures[group["previews"][0]["file"]] = png
    comparison = None
    if len(frames) > 1:
        comparison, layers = compared(frames, groups)
        pictures |= layers
    raw = ", ".join(product.name for product in products)
    return write_page(path, _summary(groups, None, raw=raw), pictures.get, comparison=comparison)


def _told_apart(products: Sequence[Path]) -> list[str]:
    """Names of files, with their folders where two have one name."""
    names = [product.name for product in products]
    if len(set(names)) == len(names):
        return names
    return [f"{product.absolute().parent.name}/{product.name}" for product in products]


def _summary(groups: list[dict[str, Any]], seconds: float | None, *, raw: str) -> dict[str, Any]:
    return {
        "schema": "keyhole-report-1",
        "title": groups[0]["name"] + (f" and {len(groups) - 1} more" if len(groups) > 1 else ""),
        "keyhole": __version__,
        "versions": versions(),
        "written_ut": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        "raw": raw,
        "out": "",
        "seconds": seconds,
        "groups": groups,
        "aside": [],
    }


def _makes(recipe: str) -> str:
    return {"makeProcessedDark": "dark", "makeProcessedFlat": "flat", "makeProcessedBPM": "bpm"}.get(recipe, "image")


def _beside(page: Path, file: Path) -> str:
    """How the page refers to a file: relative to the folder of the page."""
    return Path(os.path.relpath(file.absolute(), page.absolute().parent)).as_posix()
