"""The account of a night as plain values: what reports and other programs read. Described in docs/night.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyhole import __version__
from keyhole.errors import KeyholeError
from keyhole.frames import Frame, read_frame
from keyhole.night.memory import write_whole
from keyhole.night.plan import Group, Need, NightPlan
from keyhole.night.run import GroupResult, NightResult

__all__ = ["SCHEMA", "summary_of", "write_summary"]

SCHEMA = "keyhole-night-1"
# Cards of a product that are figures of its quality, by the name they have in the summary.
_FIGURES = {
    "n_frames": "NCOMBINE",
    "total_exposure_s": "TOTEXP",
    "mid_time_ut": "DATE-MID",
    "worst_calibration_grade": "CALGRADE",
    "correlation_factor": "CORRNOIS",
    "sky_level_e": "SKYLEVEL",
    "illumination_amplitude": "ILLUMAMP",
    "flat_level_e": "FLATLEV",
}


def summary_of(plan: NightPlan, result: NightResult) -> dict[str, Any]:
    """Everything that is known about a night after its run."""
    return {
        "schema": SCHEMA,
        "keyhole": __version__,
        "written_ut": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        "raw": str(plan.raw),
        "out": str(result.out.absolute()),
        "seconds": round(result.seconds, 3),
        "groups": [_group(found, result) for found in result.groups.values()],
        "aside": [{"file": item.path, "why": item.why} for item in plan.aside],
    }


def write_summary(plan: NightPlan, result: NightResult) -> Path:
    """Write ``summary.json`` into the folder of the products."""
    path = result.out / "summary.json"
    write_whole(path, json.dumps(summary_of(plan, result), indent=2, default=str) + "\n")
    return path


def _group(found: GroupResult, result: NightResult) -> dict[str, Any]:
    group, outcome = found.group, found.outcome
    told: dict[str, Any] = {
        "name": group.name,
        "makes": group.makes,
        "summary": group.summary,
        "state": found.state,
        "reason": found.reason or None,
        "files": list(group.files),
        "parameters": dict(group.parameters),
        "planned_calibrations": {kind: _need(need) for kind, need in group.needs.items()},
    }
    if outcome is None:
        return told | {"products": [], "calibrations": [], "caveats": [], "notes": [], "steps": [], "seconds": None}
    return told | {
        "recipe": outcome.recipe,
        "seconds": round(outcome.seconds, 3),
        "host": outcome.host,
        "products": [{"file": name, "md5": md5} for name, md5 in outcome.products.items()],
        "calibrations": outcome.calibrations,
        "caveats": outcome.caveats,
        "notes": outcome.notes,
        "steps": outcome.steps,
        "log": f"logs/{group.name}.log",
        "figures": _figures(group, outcome.products, result.out),
    }


def _need(need: Need) -> dict[str, Any]:
    return {"group": need.group, "path": need.path, "grade": need.grade, "reason": need.reason}


def _figures(group: Group, products: Mapping[str, str], out: Path) -> dict[str, Any]:
    """Figures of the final product, from its headers and tables; no pixel is computed with."""
    suffix = {"image": "_stack.fits"}.get(group.makes, f"_{group.makes}.fits")
    name = next((name for name in products if name.endswith(suffix)), None)
    if name is None or not (out / name).is_file():
        return {}
    try:
        frame = read_frame(out / name)
    except KeyholeError as error:
        return {"product": name, "problem": str(error)}
    figures = {word: _card(frame, card) for word, card in _FIGURES.items() if _card(frame, card) is not None}
    catalogue = frame.tables.get("OBJCAT")
    if catalogue is not None:
        figures["n_sources"] = len(catalogue)
    return {"product": name, **figures}


def _card(frame: Frame, card: str) -> Any:
    return frame.header.get(card, frame.primary.get(card))
