"""Facts about instruments: one TOML file each, checked when it is loaded.

A new imager is a new file beside ``gnirs.toml`` and its tests; no number about an instrument stands in code.
"""

from __future__ import annotations

from keyhole.instruments.loader import available, instrument_from_toml, load, load_observatory
from keyhole.instruments.model import (
    Detector,
    ExpectedKeyhole,
    Instrument,
    KeyholeGeometry,
    NonLinearity,
    Observatory,
    Response,
)

__all__ = [
    "Detector",
    "ExpectedKeyhole",
    "Instrument",
    "KeyholeGeometry",
    "NonLinearity",
    "Observatory",
    "Response",
    "available",
    "instrument_from_toml",
    "load",
    "load_observatory",
]
