"""Sequences of steps, chosen by what the frames are."""

from __future__ import annotations

from keyhole.recipes.library import Library, find_recipe, libraries_for, mode_defaults

__all__ = ["Library", "find_recipe", "libraries_for", "mode_defaults"]
