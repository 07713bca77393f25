"""The separate verdicts on a reduced image: place, light, background, sources, saturation."""

from __future__ import annotations

from keyhole.simulate.judge.light import Catalogued, Circle, Photometry, catalogued, photometry
from keyhole.simulate.judge.noise import (
    APERTURE_RADII,
    ApertureNoise,
    Background,
    Rays,
    background,
    remaining_rays,
)
from keyhole.simulate.judge.places import (
    PositionErrors,
    RegistrationErrors,
    WcsErrors,
    position_errors,
    registration_errors,
    wcs_errors,
)
from keyhole.simulate.judge.scene import Scene, locate
from keyhole.simulate.judge.sources import Detections, Saturation, detections, saturation

__all__ = [
    "APERTURE_RADII",
    "ApertureNoise",
    "Background",
    "Catalogued",
    "Circle",
    "Detections",
    "Photometry",
    "PositionErrors",
    "Rays",
    "RegistrationErrors",
    "Saturation",
    "Scene",
    "WcsErrors",
    "background",
    "catalogued",
    "detections",
    "locate",
    "photometry",
    "position_errors",
    "registration_errors",
    "remaining_rays",
    "saturation",
    "wcs_errors",
]
