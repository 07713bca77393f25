from __future__ import annotations

import re

import numpy as np
import pytest
from toy_runs import raw_file, raw_files

from keyhole.engine import Request, run
from keyhole.engine.events import Caveat, RunFailed, RunFinished, RunStarted, StepStarted
from keyhole.errors import InputError, ParameterError, SetupError
from keyhole.frames import read_frame


@pytest.fixture
def darks(tmp_path):
    return raw_files(tmp_path, "dark", 4)


def test_darks_become_a_master_dark_in_electrons(reduced, darks):
    result = reduced(darks)
    assert [path.name for path in result.outputs] == ["N20120102S0001_dark.fits"]
    master = read_frame(result.outputs[0])
    assert {"PROCESSED", "DARK"} <= master.tags
    assert master.header["BUNIT"] == "electron"
    gain = read_frame(darks[0]).describe("gain")
    mean = np.mean([read_frame(path).data for path in darks], axis=0)
    assert np.median(master.data) == pytest.approx(gain * np.median(mean), rel=0.01)


def test_events_of_a_run_come_in_order(reduced, darks):
    result = reduced(darks)
    assert isinstance(reduced.events[0], RunStarted)
    assert isinstance(reduced.events[-1], RunFinished)
    started = reduced.events[0]
    assert started.recipe == "makeProcessedDark"
    assert started.steps == [event.name for event in reduced.of(StepStarted)]
    assert started.files == [str(path) for path in darks]
    assert reduced.events[-1].outputs == [str(path) for path in result.outputs]


def test_same_inputs_give_the_same_product(reduced, darks):
    first = read_frame(reduced(darks).outputs[0])
    second = read_frame(reduced(darks).outputs[0])
    np.testing.assert_array_equal(first.data, second.data)
    np.testing.assert_array_equal(first.variance, second.variance)


def test_single_step_is_a_recipe(reduced, darks):
    result = reduced(darks[:1], "prepare", suffix="_e")
    assert [path.name for path in result.outputs] == ["N20120102S0001_e.fits"]
    assert [event.name for event in reduced.of(StepStarted)] == ["prepare"]


def test_warnings_about_the_request_are_told_when_the_run_starts(reduced, darks):
    reduced([darks[0], *darks], notes=("look here",), settings={"stackFrames:nlow": "1"})
    assert [event.text for event in reduced.of(Caveat)] == [
        "look here",
        "N20120102S0001.fits is given more than once; used once",
        "-p stackFrames:nlow has no effect: recipe makeProcessedDark has no step stackFrames",
    ]


def refused(reduced, error, files, recipe="_default", **request):
    with pytest.raises(error) as caught:
        reduced(files, recipe, **request)
    assert [type(event) for event in reduced.events] == [RunFailed]
    assert reduced.events[0].step is None
    assert list(reduced.folder.iterdir()) == []
    return str(caught.value)


def test_all_mistakes_in_the_settings_are_told_at_once(reduced, darks):
    settings = {"hsigma": "-1", "nosuch": "2", "stackDarks:nlow": "many", "stackDrks:nlow": "1", "reject_method": "all"}
    message = refused(reduced, ParameterError, darks, settings=settings)
    for words in (
        "hsigma=-1: expected a number in [0, inf)",
        "parameter 'nosuch'",
        "stackDarks:nlow=many: expected a whole number in [0, inf)",
        "no step 'stackDrks'; did you mean 'stackDarks'",
        "reject_method=all: expected one of none, minmax, sigclip, varclip",
    ):
        assert words in message


def test_mistake_that_concerns_several_steps_is_told_once(reduced, darks):
    def recipe(p):
        p.stackDarks()
        p.makeLampFlat()

    message = refused(reduced, ParameterError, darks, recipe, settings={"hsigma": "-1"})
    assert message.count("hsigma") == 1


def test_unknown_mode_is_refused(reduced, darks):
    assert "use sq, ql or qa" in refused(reduced, ParameterError, darks, mode="xx")


def test_unknown_recipe_is_refused(reduced, darks):
    assert "did you mean makeProcessedDark" in refused(reduced, ParameterError, darks, "makeprocesseddrk")


def test_reduced_image_is_not_reduced_again(reduced, tmp_path):
    path = raw_file(tmp_path / "a_stack.fits", "science", PREPARE="2026", GEM_TLM="2026")
    assert "-r alignAndStack" in refused(reduced, InputError, [path])


def test_raw_image_is_not_stacked_as_it_is(reduced, tmp_path):
    path = raw_file(tmp_path / "a.fits", "science")
    assert "is raw" in refused(reduced, InputError, [path], "alignAndStack")


def test_missing_output_folder_is_refused(tmp_path, darks):
    with pytest.raises(SetupError, match="does not exist; make it first"):
        run(Request(darks, output_dir=tmp_path / "nowhere"), lambda event: None)


def test_output_folder_that_is_a_file_is_refused(darks):
    with pytest.raises(SetupError, match=re.escape(str(darks[0]))):
        run(Request(darks, output_dir=darks[0]), lambda event: None)


def test_output_folder_that_cannot_be_written_is_refused(tmp_path, darks, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(SetupError, match="cannot be written; run in a folder of your own"):
        run(Request(darks, output_dir=tmp_path), lambda event: None)


def test_no_recipe_of_the_package_changes_its_inputs(reduced, darks):
    before = [path.read_bytes() for path in darks]
    reduced(darks)
    assert [path.read_bytes() for path in darks] == before
