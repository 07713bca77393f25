"""The account of a night as plain values: what reports and other programs read. Described in docs/night.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyhole import __version__
from keyhole.engine.account import versions
from keyhole.night.memory import write_whole
from keyhole.night.plan import Need, NightPlan
from keyhole.night.run import GroupResult, NightResult
from keyhole.night.work import Outcome

__all__ = ["SCHEMA", "summary_of", "write_summary"]

SCHEMA = "keyhole-night-2"
# What is told of a group that was reduced, as it stands in its outcome.
_ACCOUNT = (
    "recipe",
    "mode",
    "inputs",
    "failed_step",
    "frames",
    "figures",
    "caveats",
    "notes",
    "steps",
    "calibrations",
    "sources",
    "previews",
    "host",
)


def summary_of(plan: NightPlan, result: NightResult) -> dict[str, Any]:
    """Everything that is known about a night, after its run or while it goes on."""
    return {
        "schema": SCHEMA,
        "keyhole": __version__,
        "versions": versions(),
        "written_ut": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        "raw": str(plan.raw),
        "out": str(result.out.absolute()),
        "seconds": round(result.seconds, 3),
        "groups": [_group(found) for found in result.groups.values()],
        "aside": [{"file": item.path, "why": item.why} for item in plan.aside],
    }


def write_summary(plan: NightPlan, result: NightResult) -> Path:
    """Write ``summary.json`` into the folder of the products."""
    path = result.out / "summary.json"
    write_whole(path, json.dumps(summary_of(plan, result), indent=1, default=str, allow_nan=False) + "\n")
    return path


def _group(found: GroupResult) -> dict[str, Any]:
    group = found.group
    outcome = found.outcome or Outcome(group.name)
    return {
        "name": group.name,
        "makes": group.makes,
        "summary": group.summary,
        "state": found.state,
        "reason": found.reason or None,
        "files": list(group.files),
        "parameters": dict(group.parameters),
        "planned_calibrations": {kind: _need(need) for kind, need in group.needs.items()},
        "products": [{"file": name, "md5": md5} for name, md5 in outcome.products.items()],
        "seconds": None if found.outcome is None else round(outcome.seconds, 3),
        "log": None if found.outcome is None else f"logs/{group.name}.log",
        "defect": outcome.defect,
        **{name: getattr(outcome, name) for name in _ACCOUNT},
    }


def _need(need: Need) -> dict[str, Any]:
    return {"group": need.group, "path": need.path, "grade": need.grade, "reason": need.reason}
