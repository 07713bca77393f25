from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyhole.engine.parameters import SWITCHES
from keyhole.errors import ParameterError
from keyhole.primitives import REGISTRY
from keyhole.recipes import PARAMETER_SETS, find_recipe, parameter_set

PUBLISHED = Path(__file__).parents[3] / "shared" / "facts" / "parameters.json"


@pytest.mark.parametrize("name", sorted(PARAMETER_SETS))
def test_a_set_names_steps_and_parameters_that_exist_and_values_that_are_valid(name):
    for step, values in PARAMETER_SETS[name].items():
        given = {key: value for key, value in values.items() if key not in SWITCHES}
        model = REGISTRY[step].params(**given)
        assert all(getattr(model, key) == value for key, value in given.items())


def test_a_set_that_does_not_exist_is_refused_with_the_nearest_name():
    with pytest.raises(ParameterError, match="did you mean classic"):
        parameter_set("clasic")
    assert parameter_set(None) == {}


def test_with_the_classic_set_every_published_parameter_has_its_published_value():
    if not PUBLISHED.is_file():
        pytest.skip("the published parameters stand in a folder beside the project that is not here")
    published = json.loads(PUBLISHED.read_text())["inputs"]["IMAGE"]["primitives"]
    published = {item["name"]: item for item in published} if isinstance(published, list) else published
    _, recipe = find_recipe(frozenset({"GNIRS", "IMAGE"}))
    calls = {}

    class Recorder:
        def __getattr__(self, step):
            return lambda **values: calls.setdefault(step, values)

    recipe(Recorder())
    checked = 0
    for step in set(calls) & set(published):
        parameters = published[step]["parameters"]
        pairs = parameters.items() if isinstance(parameters, dict) else [(p["name"], p) for p in parameters]
        classic = REGISTRY[step].params.model_fields
        for name, told in pairs:
            if name not in classic or name in ("suffix", "prefix", "strip"):
                continue  # names of files, not of the method
            value = {**PARAMETER_SETS["classic"].get(step, {}), **calls[step]}.get(name, classic[name].default)
            assert value == told.get("recipe_value", told.get("default")), f"{step}:{name}"
            checked += 1
    assert checked > 50
