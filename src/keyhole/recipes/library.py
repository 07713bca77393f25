"""Which recipes exist for which frames, and which defaults change with the instrument mode."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keyhole.errors import InputError, ParameterError
from keyhole.primitives import REGISTRY
from keyhole.recipes import dark, flat, image

__all__ = [
    "Library",
    "Recipe",
    "all_libraries",
    "find_recipe",
    "kinds_together",
    "libraries_for",
    "mode_defaults",
]

Recipe = Callable[[Any], None]


@dataclass(frozen=True)
class Library:
    """Recipes for frames that carry all of `tags`.

    Attributes
    ----------
    tags : frozenset of str
        What a frame must be.
    default : str
        Name of the recipe that is run when none is asked for.
    recipes : mapping of str to callable
        All recipes by name.
    defaults : mapping of str to mapping
        Step to the parameter values that differ from its own defaults for such frames.
    mixed : mapping of str to set of str
        Recipe to the kinds of frames that it takes together; all others take one kind.
    """

    tags: frozenset[str]
    default: str
    recipes: Mapping[str, Recipe]
    defaults: Mapping[str, Mapping[str, Any]]
    mixed: Mapping[str, frozenset[str]] = field(default_factory=dict)


_LIBRARIES = (
    Library(
        frozenset({"GNIRS", "CAL", "DARK"}),
        "makeProcessedDark",
        {"makeProcessedDark": dark.makeProcessedDark},
        # A dark sees no light: there is no keyhole to draw.
        {"addDQ": {"add_illum_mask": False}},
    ),
    Library(
        frozenset({"GNIRS", "IMAGE", "CAL", "FLAT"}),
        "makeProcessedFlat",
        {"makeProcessedFlat": flat.makeProcessedFlat, "makeProcessedBPM": flat.makeProcessedBPM},
        {},
        {"makeProcessedBPM": frozenset({"flat", "dark"})},
    ),
    Library(
        frozenset({"GNIRS", "IMAGE"}),
        "reduce",
        {"reduce": image.reduce, "alignAndStack": image.alignAndStack},
        {},
    ),
)


def all_libraries() -> tuple[Library, ...]:
    """Every library there is."""
    return _LIBRARIES


def libraries_for(tags: frozenset[str]) -> list[Library]:
    """Libraries whose tags the frame carries, the most specific first."""
    return sorted((lib for lib in _LIBRARIES if lib.tags <= tags), key=lambda lib: -len(lib.tags))


def find_recipe(tags: frozenset[str], name: str = "_default") -> tuple[str, Recipe]:
    """Find a recipe by name for frames with the given tags.

    The name of a single step is a recipe too.

    Parameters
    ----------
    tags : frozenset of str
        What the frames are.
    name : str
        Name of a recipe or step; empty or ``_default``: what is usual for such frames.

    Returns
    -------
    str
        Name of the recipe.
    callable
        The recipe; called with a runner or recorder.

    Raises
    ------
    InputError
        No recipe exists for such frames.
    ParameterError
        The name is unknown; the message tells the known ones.
    """
    libraries = libraries_for(tags)
    if not libraries:
        raise InputError(
            f"no recipe for frames tagged {' '.join(sorted(tags))}; keyhole images, darks and flats can be reduced"
        )
    library = libraries[0]
    if name in ("", "_default"):
        name = library.default
    if name in library.recipes:
        return name, library.recipes[name]
    if name in REGISTRY:
        return name, lambda p: getattr(p, name)()
    known = {item.lower(): item for item in [*library.recipes, *REGISTRY]}
    close = [known[item] for item in difflib.get_close_matches(name.lower(), known, n=2)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"known here: {', '.join(library.recipes)}"
    owner = next((other for other in _LIBRARIES if name in other.recipes), None)
    if owner is not None:
        hint = f"it is for {' '.join(sorted(owner.tags))} frames, and the first file decides"
    raise ParameterError(f"no recipe {name!r} for these frames; {hint}")


def kinds_together(tags: frozenset[str], name: str) -> frozenset[str]:
    """Kinds of frames that the recipe `name`, also one of the user's, takes in one list; empty: only one kind."""
    libraries = libraries_for(tags)
    word = name.replace(":", ".").rpartition(".")[2]
    return libraries[0].mixed.get(word, frozenset()) if libraries else frozenset()


def mode_defaults(tags: frozenset[str], step: str) -> Mapping[str, Any]:
    """Parameter values of a step that differ from its own defaults for this kind of frame."""
    libraries = libraries_for(tags)
    return libraries[0].defaults.get(step, {}) if libraries else {}
