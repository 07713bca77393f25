"""A product of an earlier run, or of another program, as plain values: what its headers, tables and pixels tell.

There are no events of its making any more; what they told and headers do not keep is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from keyhole.engine.account import changed_parameters
from keyhole.engine.context import caveats_of
from keyhole.frames import Frame, file_md5, sources_of
from keyhole.frames.frame import strip_extension
from keyhole.primitives.figures import tell_image, tell_master
from keyhole.primitives.previews import draw, plain, stated

__all__ = ["account_of_product"]

_MASTERS = {"DARK": "dark", "FLAT": "flat", "BPM": "bpm"}
_COUNTS = {
    "lamp_level": "FLATLEV",
    "lamp_off_frames": "NLAMPOFF",
    "hot_pixels": "NHOTPIX",
    "noisy_pixels": "NNOISYPX",
    "dead_pixels": "NDEADPIX",
}
_CONDITIONS = ("object", "filter_name", "camera")


@dataclass
class _Listener:
    """Stands for a run where there is none: keeps what is measured."""

    details: bool = True
    figures: dict[str, Any] = field(default_factory=dict)

    def measure(
        self, name: str, value: Any, *, error: float | None = None, unit: str = "", frame: Frame | None = None
    ) -> None:
        self.figures[name] = {"value": plain(value), "error": plain(error), "unit": unit}


def account_of_product(frame: Frame, *, href: str) -> tuple[dict[str, Any], bytes | None]:
    """What is known of a product.

    Parameters
    ----------
    frame : Frame
        As it was read; its pixels are looked at once.
    href : str
        How a page refers to the file.

    Returns
    -------
    dict
        A group as docs/night.md describes it.
    bytes or None
        A picture of the product, as PNG; its `file` in ``previews`` is `href`.
    """
    makes = next((word for tag, word in _MASTERS.items() if tag in frame.tags), "image")
    listener = _Listener()
    if makes == "image":
        tell_image(frame, listener)
    else:
        cards = {**frame.primary, **frame.header}
        tell_master(frame, listener, **{name: cards.get(card) for name, card in _COUNTS.items()})
    steps = _steps(frame)
    drawn = draw(frame)
    group = {
        "name": strip_extension(frame.name),
        "makes": makes,
        "summary": f"product of {_program(frame)}",
        "state": "done",
        "reason": None,
        "files": [],
        "parameters": {},
        "planned_calibrations": {},
        "products": [{"file": href, "md5": file_md5(frame.path) if frame.path is not None else ""}],
        "seconds": None,
        "log": None,
        "defect": None,
        "recipe": "",
        "mode": str(frame.primary.get("PROCMODE", "")),
        "inputs": "",
        "failed_step": None,
        "frames": _frames(frame, makes),
        "figures": listener.figures,
        "caveats": [{"text": text, "count": 1, "step": None} for text in caveats_of(frame.primary)],
        "notes": [],
        "steps": steps,
        "calibrations": _calibrations(frame),
        "sources": [{"file": name, "md5": md5, "step": step} for name, md5, step in sources_of(frame)],
        "previews": [],
        "host": "",
    }
    if drawn is not None:
        group["previews"] = [{"file": href, "role": "after", "product": frame.name, **drawn[1]}]
    return group, None if drawn is None else drawn[0]


def _program(frame: Frame) -> str:
    name, version = (str(frame.primary.get(card, "")) for card in ("PROCSOFT", "PROCSVER"))
    return f"{name} {version}".strip() or "an unknown program"


def _frames(frame: Frame, makes: str) -> list[dict[str, Any]]:
    """Inputs of a combination, with their weights and what all frames have in common."""
    phu = frame.primary
    common = {name: {"value": plain(_described(frame, name)), "error": None, "unit": ""} for name in _CONDITIONS}
    found = []
    for card in (card for card in phu if card.startswith("IMCMB")):
        weight = plain(phu.get(f"WTCMB{card[5:]}"))
        figures = dict(common)
        if makes == "image" and weight is not None:
            figures["weight"] = {"value": weight, "error": None, "unit": ""}
        found.append({"file": str(phu[card]), "used": True, "why": None, "figures": figures})
    alone = {"file": str(phu.get("ORIGNAME", frame.name)), "used": True, "why": None, "figures": common}
    return found or [alone]


def _described(frame: Frame, name: str) -> Any:
    return stated(frame, name, pretty=True) if name == "filter_name" else stated(frame, name)


def _rows(frame: Frame) -> list[tuple[str, dict[str, Any], str, str]]:
    """Rows of the table HISTORY: step, what it noted as JSON, start and end."""
    table = frame.tables.get("HISTORY")
    if table is None:
        return []
    rows = []
    names = ("primitive", "args", "timestamp_start", "timestamp_stop")
    if any(name not in table.columns for name in names):
        return []
    for step, text, start, stop in zip(*(table.columns[name] for name in names), strict=True):
        try:
            told = json.loads(str(text))
        except ValueError:
            told = {}
        rows.append((str(step), told if isinstance(told, dict) else {}, str(start), str(stop)))
    return rows


def _steps(frame: Frame) -> list[dict[str, Any]]:
    return [
        {
            "name": step,
            "seconds": _apart(start, stop),
            "frames": None,
            "skipped": False,
            "parameters": changed_parameters(step, told),
        }
        for step, told, start, stop in _rows(frame)
    ]


def _apart(start: str, stop: str) -> float | None:
    try:
        return (datetime.fromisoformat(stop) - datetime.fromisoformat(start)).total_seconds()
    except ValueError:
        return None


def _calibrations(frame: Frame) -> list[dict[str, Any]]:
    """Masters that the steps noted; of products of another program, those that the header names."""
    found: dict[str, dict[str, Any]] = {}
    for _, told, _, _ in _rows(frame):
        used = told.get("calibrations")
        for one in used if isinstance(used, list) else []:
            if isinstance(one, dict) and one.get("file"):
                kind = str(one.get("kind", "")).removeprefix("processed_")
                found[kind] = {
                    "kind": kind,
                    "file": str(one["file"]),
                    "grade": plain(one.get("grade")),
                    "reason": str(one.get("reason", "")),
                    "origin": "",
                    "frames": None,
                }
    for kind, card in (("dark", "DARKIM"), ("flat", "FLATIM")):
        if kind not in found and card in frame.primary:
            name = Path(str(frame.primary[card])).name
            told_by = {"grade": None, "reason": "named in the header", "origin": "", "frames": None}
            found[kind] = {"kind": kind, "file": name, **told_by}
    return list(found.values())
