"""The steps: thin functions on frames, each with its parameter model beside it."""

from __future__ import annotations

# Importing the modules registers their steps.
from keyhole.primitives import (
    align,
    bookkeeping,
    bpm,
    calibrate,
    checkwcs,
    cosmicrays,
    detector,
    flat,
    illumination,
    prepare,
    quality,
    sky,
    sources,
    stack,
    store,
)
from keyhole.primitives.base import REGISTRY, Context, Params, Primitive

__all__ = [
    "REGISTRY",
    "Context",
    "Params",
    "Primitive",
    "align",
    "bookkeeping",
    "bpm",
    "calibrate",
    "checkwcs",
    "cosmicrays",
    "detector",
    "flat",
    "illumination",
    "prepare",
    "quality",
    "sky",
    "sources",
    "stack",
    "store",
]
