from __future__ import annotations

import numpy as np
import pytest
from toy_runs import raw_files

from keyhole.engine.account import Account, changed_parameters
from keyhole.engine.events import (
    Caveat,
    Metric,
    PreviewDrawn,
    ProductWritten,
    RunFailed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from keyhole.engine.product import account_of_product
from keyhole.errors import DataError
from keyhole.frames import read_frame


def account(*events):
    found = Account()
    for event in (RunStarted(["raw/a.fits", "raw/b.fits"], "2 frames", "reduce", "sq", ["prepare"]), *events):
        found(event)
    return found.kept()


def test_figures_belong_to_their_frame_or_to_the_result():
    told = account(Metric("fwhm", 0.5, 0.01, "arcsec", "a"), Metric("fwhm", 0.6, None, "arcsec"))
    assert told["frames"][0]["figures"] == {"fwhm": {"value": 0.5, "error": 0.01, "unit": "arcsec"}}
    assert told["frames"][1]["figures"] == {}
    assert told["figures"]["fwhm"]["value"] == 0.6


def test_frame_with_a_weight_is_used_and_one_left_out_says_why():
    told = account(Metric("weight", 0.5, frame="a"), Metric("left_out", "no light", frame="b"))
    assert [(frame["used"], frame["why"]) for frame in told["frames"]] == [(True, None), (False, "no light")]


def test_caveat_is_kept_once_with_its_step():
    told = account(StepStarted("prepare", 1, 1, 2), Caveat("odd", 3), Caveat("odd", 3))
    assert told["caveats"] == [{"text": "odd", "count": 3, "step": "prepare"}]


def test_only_parameters_that_are_not_as_usual_are_kept():
    parameters = {"hsigma": 5.0, "lsigma": 4.0, "no_such": 1}
    assert changed_parameters("stackFrames", parameters) == {"hsigma": {"value": 5.0, "default": 4.0}}
    assert changed_parameters("noSuchStep", parameters) == {}
    told = account(StepStarted("stackFrames", 1, 1, 2, parameters), StepFinished("stackFrames", 1, 1, 1, 0.5, ("n",)))
    assert told["steps"][0]["parameters"] == {"hsigma": {"value": 5.0, "default": 4.0}}
    assert told["notes"] == [{"step": "stackFrames", "text": "n"}]


def test_failure_tells_step_and_reason_and_what_was_known_before():
    told = account(Metric("level", 3.0, frame="a"), RunFailed(DataError("b.fits is broken"), "prepare"))
    assert (told["failed_step"], told["error"]) == ("prepare", "b.fits is broken")
    assert told["frames"][0]["figures"]["level"]["value"] == 3.0


def test_files_of_several_products_are_named_once():
    source = ("a.fits", "0" * 32, "prepare")
    told = account(ProductWritten("x.fits", (source,)), ProductWritten("y.fits", (source,)), RunFinished([], 1.0, 0))
    assert told["sources"] == [{"file": "a.fits", "md5": "0" * 32, "step": "prepare"}]


def test_a_real_run_is_accounted_for_only_in_detail_if_asked(reduced, tmp_path):
    darks = raw_files(tmp_path, "dark", 3)
    reduced(darks, details=True)
    found = Account()
    for event in reduced.events:
        found(event)
    told = found.kept()
    assert [frame["file"] for frame in told["frames"]] == [path.name for path in darks]
    assert all(frame["figures"]["exposure"]["value"] == 60 for frame in told["frames"])
    assert told["figures"]["frames_combined"]["value"] == 3
    assert told["figures"]["median"]["error"] > 0
    assert len(told["sources"]) == 3 and all(len(source["md5"]) == 32 for source in told["sources"])
    assert [drawn.role for drawn in found.previews] == ["after"]
    assert found.previews[0].png.startswith(b"\x89PNG")
    reduced(darks)
    assert not any(isinstance(event, PreviewDrawn) for event in reduced.events)


def test_values_of_metrics_are_plain_numbers(reduced, tmp_path):
    reduced(raw_files(tmp_path, "dark", 3), details=True)
    for event in reduced.of(Metric):
        values = event.value if isinstance(event.value, list) else [event.value]
        assert all(value is None or type(value) in (bool, int, float, str) for value in values), event
        assert not any(isinstance(value, float) and not np.isfinite(value) for value in values), event


def test_product_of_an_earlier_run_tells_what_its_headers_keep(reduced, tmp_path):
    darks = raw_files(tmp_path, "dark", 3)
    result = reduced(darks, settings={"stackDarks:hsigma": "5"})
    group, png = account_of_product(read_frame(result.outputs[0]), href="x.fits")
    assert group["makes"] == "dark" and group["products"][0]["file"] == "x.fits"
    assert [frame["file"] for frame in group["frames"]] == [path.name for path in darks]
    assert [source["file"] for source in group["sources"]] == [path.name for path in darks]
    (step,) = [step for step in group["steps"] if step["name"] == "stackDarks"]
    assert step["parameters"]["hsigma"] == {"value": 5.0, "default": 3.0}
    assert group["figures"]["median"]["value"] == pytest.approx(
        float(np.median(read_frame(result.outputs[0]).data)), abs=3
    )
    assert png is not None
