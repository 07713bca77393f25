"""A part of the simulated night, so that whole scripts run in seconds."""

from __future__ import annotations

from pathlib import Path

from tests_support import Playground, make_playground

DARKS = ("N20120102S0538", "N20120102S0539", "N20120102S0540")
FLATS = ("N20120117S0034", "N20120117S0035", "N20120117S0042", "N20120117S0043")
SCIENCE = ("N20120117S0014", "N20120117S0015", "N20120117S0016", "N20120117S0017")


def small_playground(base: Path, night: Path, *, configured: bool = True) -> Playground:
    """A playground beside three darks, four flats and four science frames of the night."""
    part = base / "part"
    part.mkdir()
    for name in (*DARKS, *FLATS, *SCIENCE):
        (part / f"{name}.fits").symlink_to(night / f"{name}.fits")
    return make_playground(base, part, configured=configured)
