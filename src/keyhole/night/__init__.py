"""A whole directory of raw frames: sorted, planned, reduced in dependency order, resumed where it stopped."""

from __future__ import annotations

from keyhole.night.inventory import Inventory, LeftAside, RawFile, take_inventory
from keyhole.night.plan import Group, Need, NightPlan, make_plan

__all__ = [
    "Group",
    "Inventory",
    "LeftAside",
    "Need",
    "NightPlan",
    "RawFile",
    "make_plan",
    "take_inventory",
]
