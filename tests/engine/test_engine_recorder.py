from __future__ import annotations

import copy
import pickle

import pytest

from keyhole.calibration import rule_for
from keyhole.engine.parameters import resolve
from keyhole.engine.recorder import PlannedFrame, PlannedStep, Recorder, record
from keyhole.errors import ParameterError
from keyhole.frames import Frame
from keyhole.primitives import REGISTRY
from keyhole.recipes import all_libraries

RECIPES = [
    pytest.param(library, recipe, id=f"{library.default}-{name}")
    for library in all_libraries()
    for name, recipe in library.recipes.items()
]


@pytest.mark.parametrize(("library", "recipe"), RECIPES)
def test_every_recipe_can_be_planned_and_its_parameters_are_valid(library, recipe):
    steps = record(recipe)
    assert steps
    for step in steps:
        resolve(
            step.name,
            mode_defaults=library.defaults.get(step.name, {}),
            call=step.parameters,
            settings={},
        )


@pytest.mark.parametrize(("library", "recipe"), RECIPES)
def test_every_calibration_that_a_recipe_needs_has_a_rule(library, recipe):
    instrument = next(tag for tag in library.tags if tag == "GNIRS")
    for step in record(recipe):
        for kind in REGISTRY[step.name].calibrations:
            assert rule_for(kind, instrument) is not None, (step.name, kind)


@pytest.mark.parametrize("library", all_libraries(), ids=lambda library: library.default)
def test_defaults_of_a_library_belong_to_steps_that_exist(library):
    for step, values in library.defaults.items():
        assert set(values) <= set(REGISTRY[step].params.model_fields)


@pytest.mark.parametrize("library", all_libraries(), ids=lambda library: library.default)
@pytest.mark.parametrize("step", sorted(REGISTRY))
def test_defaults_of_every_step_are_valid_for_every_kind_of_frame(library, step):
    defaults = REGISTRY[step].params().model_dump() | dict(library.defaults.get(step, {}))
    # Defaults are not checked by the model unless they are handed in.
    resolve(step, mode_defaults=defaults, call={}, settings={})


@pytest.mark.parametrize("step", sorted(REGISTRY))
def test_every_step_says_in_one_line_what_it_does(step):
    assert REGISTRY[step].summary.endswith(".")
    assert REGISTRY[step].name == step


def test_science_recipe_corrects_the_dark_before_the_flat_and_the_sky_before_the_stack():
    science = next(library for library in all_libraries() if library.default == "reduce")
    names = [step.name for step in record(science.recipes["reduce"])]
    order = ["prepare", "addDQ", "addVAR", "darkCorrect", "flatCorrect", "skyCorrect", "stackFrames"]
    assert [name for name in names if name in order] == order


def test_stream_words_are_no_parameters():
    def recipe(p):
        p.stackDarks(nlow=1, stream="a", instream="b", outstream="c")

    assert record(recipe) == [PlannedStep("stackDarks", {"nlow": 1, "stream": "a", "instream": "b", "outstream": "c"})]
    assert record(recipe)[0].parameters == {"nlow": 1}


def test_unknown_step_is_told_with_the_nearest():
    with pytest.raises(ParameterError, match="no step 'stakDarks'; did you mean 'stackDarks'"):
        record(lambda p: p.stakDarks())


def test_recipe_may_look_at_streams_while_it_is_recorded():
    def recipe(p):
        assert len(p.streams["sky"]) == 0
        p.stackDarks()

    assert len(record(recipe)) == 1


def test_recorder_can_be_copied_like_any_object():
    recorder = Recorder()
    recorder.stackDarks(nlow=1)
    assert copy.copy(recorder).steps == recorder.steps
    assert pickle.loads(pickle.dumps(recorder)).steps == recorder.steps


def test_all_unknown_steps_are_told_at_once():
    def recipe(p):
        p.stakDarks()
        p.prepar()

    with pytest.raises(ParameterError, match=r"no step 'stakDarks'.*; no step 'prepar'"):
        record(recipe)


def test_what_stands_in_for_a_frame_promises_nothing_that_a_frame_has_not():
    offered = {name for name in vars(PlannedFrame) if not name.startswith("_")} - {"item"}
    assert offered <= set(dir(Frame)) | set(Frame.__dataclass_fields__)
