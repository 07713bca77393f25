"""Showing a product to people."""

from __future__ import annotations

from keyhole.report.picture import Picture, picture_of, png_bytes

__all__ = ["Picture", "picture_of", "png_bytes"]
