"""A night with truth: raw frames with known stars, and the measurement of a product against that truth."""

from __future__ import annotations

from keyhole.simulate.night import Night, build_night, render_frames
from keyhole.simulate.options import EFFECTS, NightOptions
from keyhole.simulate.output import NightSummary, simulate_night
from keyhole.simulate.verify import MasterVerification, Verification, verify, verify_master

__all__ = [
    "EFFECTS",
    "MasterVerification",
    "Night",
    "NightOptions",
    "NightSummary",
    "Verification",
    "build_night",
    "render_frames",
    "simulate_night",
    "verify",
    "verify_master",
]
