"""Sequences of steps, chosen by what the frames are."""

from __future__ import annotations

from keyhole.recipes.library import (
    Library,
    Recipe,
    all_libraries,
    find_recipe,
    kinds_together,
    libraries_for,
    mode_defaults,
)
from keyhole.recipes.sets import PARAMETER_SETS, parameter_set

__all__ = [
    "PARAMETER_SETS",
    "Library",
    "Recipe",
    "all_libraries",
    "find_recipe",
    "kinds_together",
    "libraries_for",
    "mode_defaults",
    "parameter_set",
]
