"""Keyhole: near-infrared images through the acquisition keyhole of GNIRS, reduced."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
