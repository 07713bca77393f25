from __future__ import annotations

import pytest

from keyhole.engine.recorder import record
from keyhole.errors import InputError, ParameterError
from keyhole.recipes import all_libraries, find_recipe, kinds_together, libraries_for, mode_defaults

DARK = frozenset({"GEMINI", "GNIRS", "CAL", "DARK", "RAW"})
FLAT = frozenset({"GEMINI", "GNIRS", "IMAGE", "CAL", "FLAT", "LAMPON"})
SCIENCE = frozenset({"GEMINI", "GNIRS", "IMAGE", "SIDEREAL"})
SPECTRUM = frozenset({"GEMINI", "GNIRS", "SPECT"})


class Calls:
    """Notes the steps that a recipe calls."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattr__(self, name):
        return lambda **arguments: self.names.append(name)


@pytest.mark.parametrize(
    ("tags", "name"), [(DARK, "makeProcessedDark"), (FLAT, "makeProcessedFlat"), (SCIENCE, "reduce")]
)
@pytest.mark.parametrize("asked", ["_default", ""])
def test_usual_recipe_depends_on_what_the_frames_are(tags, name, asked):
    assert find_recipe(tags, asked)[0] == name


def test_recipe_is_found_by_its_name():
    name, recipe = find_recipe(SCIENCE, "alignAndStack")
    calls = Calls()
    recipe(calls)
    assert name == "alignAndStack"
    assert calls.names[-1] == "writeOutputs"
    assert "prepare" not in calls.names


def test_most_specific_library_wins():
    assert [library.default for library in libraries_for(FLAT)] == ["makeProcessedFlat", "reduce"]


def test_recipe_of_other_frames_is_not_offered():
    words = "no recipe 'makeProcessedFlat' for these frames; it is for CAL FLAT GNIRS IMAGE frames, and the first file"
    with pytest.raises(ParameterError, match=words):
        find_recipe(DARK, "makeProcessedFlat")


@pytest.mark.parametrize(
    ("tags", "name", "kinds"),
    [
        (FLAT, "makeProcessedBPM", {"flat", "dark"}),
        (FLAT, "mine.makeProcessedBPM", {"flat", "dark"}),
        (FLAT, "folder/mine.py:makeProcessedBPM", {"flat", "dark"}),
        (FLAT, "makeProcessedFlat", set()),
        (FLAT, "_default", set()),
        (DARK, "makeProcessedBPM", set()),
        (SPECTRUM, "makeProcessedBPM", set()),
    ],
)
def test_only_the_recipe_of_masks_takes_flats_and_darks_together(tags, name, kinds):
    assert kinds_together(tags, name) == kinds


def test_recipe_of_masks_learns_without_older_masks_and_combines_its_darks_apart():
    _, recipe = find_recipe(FLAT, "makeProcessedBPM")
    calls = {step.name: step.arguments for step in record(recipe)}
    assert list(calls)[-2:] == ["makeBPM", "storeBPM"]
    assert calls["addDQ"]["static_bpm"] is None
    assert calls["stackDarks"] == {"stream": "darks"}


def test_name_of_a_step_is_a_recipe_of_that_step_alone():
    name, recipe = find_recipe(DARK, "stackDarks")
    calls = Calls()
    recipe(calls)
    assert (name, calls.names) == ("stackDarks", ["stackDarks"])


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("makeprocesseddark", "did you mean makeProcessedDark"),
        ("STACKDARKS", "did you mean stackDarks"),
        ("qqq", "known here: makeProcessedDark"),
    ],
)
def test_unknown_recipe_is_told_with_the_nearest_or_all(asked, hint):
    with pytest.raises(ParameterError, match=hint):
        find_recipe(DARK, asked)


def test_frames_without_recipes_are_told():
    with pytest.raises(InputError, match="no recipe for frames tagged GEMINI GNIRS SPECT; keyhole images"):
        find_recipe(SPECTRUM)
    assert libraries_for(SPECTRUM) == []
    assert mode_defaults(SPECTRUM, "addDQ") == {}


def test_darks_have_no_keyhole_drawn():
    assert mode_defaults(DARK, "addDQ") == {"add_illum_mask": False}
    assert mode_defaults(SCIENCE, "addDQ") == {}
    assert mode_defaults(DARK, "stackDarks") == {}


def test_every_library_has_its_default_recipe_and_a_description_of_each():
    for library in all_libraries():
        assert library.default in library.recipes
        for name, recipe in library.recipes.items():
            assert recipe.__name__ == name
            assert recipe.__doc__
