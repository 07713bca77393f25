from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field
from toy_runs import raw_file, raw_files

import keyhole
from keyhole.calibration import Config
from keyhole.engine.user_recipes import choose_recipe, load_file, source_of
from keyhole.errors import InputError, ParameterError
from keyhole.primitives import REGISTRY

NO_DATABASE = Config((), source=None)
TAGS = frozenset({"GNIRS", "CAL", "DARK"})

RECIPES = '''\
"""Recipes of a user."""
import helpers
recipe_tags = {'GNIRS', 'CAL', 'DARK'}

def myreduce(p):
    p.prepare()
    p.addDQ(add_illum_mask=False)
    p.ADUToElectrons()
    p.addVAR(read_noise=True, poisson_noise=True)
    p.selectFromInputs(tags='DARK', outstream='darks')
    p.rejectInputs(at_start=helpers.REJECTED, stream='darks')
    p.sortInputs(descriptor='exposure_time', stream='darks')
    p.showInputs(stream='darks', purpose='to be combined')
    p.stackDarks(instream='darks', outstream='stacked')
    p.storeProcessedDark(stream='stacked', suffix='_own')
    p.clearStream(stream='darks')
    p.clearAllStreams()
    p.showInputs()
    return

def another(p):
    p.prepare()

_default = myreduce
'''


@pytest.fixture
def darks(here: Path) -> list[Path]:
    (here / "raw").mkdir()
    (here / "mine").mkdir()
    (here / "mine" / "helpers.py").write_text("REJECTED = 1\n")
    (here / "mine" / "myrecipes.py").write_text(RECIPES)
    return raw_files(here / "raw")


def reduce(files: Any, recipe: Any, **options: Any) -> keyhole.Result:
    return keyhole.reduce(files, recipe=recipe, config=NO_DATABASE, **options)


@pytest.mark.parametrize(
    "form", ["mine/myrecipes.myreduce", "mine/myrecipes.py:myreduce", "mine/myrecipes.py", "./mine/myrecipes.py:"]
)
def test_recipe_in_the_published_style_runs_in_all_forms(darks: list[Path], form: str) -> None:
    result = reduce(darks, form)
    assert result.recipe == "myreduce"
    assert Path("N20120102S0002_own.fits") in result.written
    stacked = keyhole.open("N20120102S0002_own.fits")
    assert stacked.primary["NCOMBINE"] == 2
    # The frames of main were copied, not taken.
    assert [path.name for path in result.outputs] == [f"N20120102S000{n}_varAdded.fits" for n in (1, 2, 3)]
    assert "to be combined: N20120102S0002_varAdded.fits, N20120102S0003_varAdded.fits" in result.notes


def test_recipe_of_the_current_folder_needs_no_path(
    darks: list[Path], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "mine")
    assert reduce(darks, "myrecipes.another").recipe == "another"
    assert reduce(darks, f"{here}/mine/myrecipes.another").recipe == "another"


def test_function_is_a_recipe(darks: list[Path]) -> None:
    def only_prepared(p: Any) -> None:
        p.prepare()

    result = reduce(darks[:1], only_prepared)
    assert (result.recipe, [timing.step for timing in result.timings]) == ("only_prepared", ["prepare"])


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("mine/myrecipes.myreduc", "did you mean 'myreduce'"),
        ("mine/myrecipes.py:qqq", "found: myreduce, another"),
        ("mine/nowhere.myreduce", r"mine/nowhere\.py does not exist"),
        ("makeProcesedDark", "makeProcessedDark"),
    ],
)
def test_unknown_recipes_are_answered_with_the_nearest(darks: list[Path], form: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        reduce(darks, form)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def r(p):\n    p.prepar()\n", "did you mean 'prepare'"),
        ("def r(p):\n    p.prepare(sufix='_a')\n", "did you mean 'suffix'"),
        ("def r(p):\n    p.stackDarks(hsigma=-1)\n", r"\[0, inf\)"),
        ("def r(p):\n    p.sortInputs(descriptor='exposuretime')\n", "did you mean 'exposure_time'"),
        ("def r(p):\n    p.prepare(\n", r"mistake in line 2"),
        ("import geminidr\ndef r(p):\n    p.prepare()\n", r"line 1\); ModuleNotFoundError: .*geminidr"),
        ("def r(p):\n    p.prepare()\ndef s(p):\n    pass\n", "found: r, s"),
        ("x = 1\n", "found: none"),
        ("def r():\n    pass\n", "found: none"),
    ],
)
def test_mistakes_in_a_recipe_file_are_told_before_a_frame_is_read(
    darks: list[Path], here: Path, text: str, told: str
) -> None:
    (here / "mine" / "bad.py").write_text(text)
    with pytest.raises(ParameterError, match=told):
        reduce(darks, "mine/bad.py")
    assert not list(here.glob("*.fits"))


def test_function_that_takes_no_argument_is_no_recipe() -> None:
    with pytest.raises(ParameterError, match=r"def nothing\(p\)"):
        choose_recipe(TAGS, nothing)


def nothing() -> None:
    """Take no argument."""


def test_file_is_read_anew_each_time(here: Path) -> None:
    path = here / "changing.py"
    for value in (True, False):
        path.write_text(f"def r(p): pass\nVALUE = {value}\n")
        assert load_file(path).VALUE is value
    assert not (here / "__pycache__").exists()


def test_unknown_stream_is_answered_with_those_that_are_there(darks: list[Path]) -> None:
    def typed(p: Any) -> None:
        p.selectFromInputs(tags="DARK", outstream="darks")
        p.showInputs(stream="drks")

    with pytest.raises(ParameterError, match="no stream 'drks'; did you mean 'darks'"):
        reduce(darks, typed)


def test_recipe_that_only_looks_writes_nothing(here: Path) -> None:
    def look(p: Any) -> None:
        p.showInputs()
        p.checkWCS()
        p.rejectInputs(at_end=1)

    science = [raw_file(here / f"N20120117S001{n}.fits", "science", seed=n, side=128, DATALAB=str(n)) for n in (4, 5)]
    before = sorted(here.iterdir())
    result = reduce(science, look)
    assert (result.outputs, result.written) == ([], [])
    assert sorted(here.iterdir()) == before
    with pytest.raises(ParameterError, match="no product"):
        result.open()


def test_no_frame_left_is_an_error(darks: list[Path]) -> None:
    def none_left(p: Any) -> None:
        p.selectFromInputs(tags="FLAT")

    with pytest.raises(InputError, match="selectFromInputs"):
        reduce(darks, none_left)


# -- steps of one's own --------------------------------------------------------------------------------------------


def test_function_becomes_a_step_with_parameters(darks: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    @keyhole.step(suffix="_lifted", stamp="LIFTED")
    def lift(
        frame, level: Annotated[float, Field(ge=0), "Added to every pixel"] = 10.0, twice: bool = False, context=None
    ):
        """Add a constant."""
        frame.data += level * (2 if twice else 1)
        context.note(f"added {level:g}")

    def recipe(p: Any) -> None:
        p.lift(level=5)

    raw = keyhole.open(darks[0])
    result = reduce(darks[0], recipe)
    out = result.open()
    assert result.outputs == [Path("N20120102S0001_lifted.fits")]
    np.testing.assert_allclose(out.data, raw.data + 5, rtol=1e-6)
    assert "LIFTED" in out.primary
    history = out.tables["HISTORY"].columns
    assert json.loads(str(history["args"][0])) == {"suffix": "_lifted", "level": 5.0, "twice": False}
    assert "added 5" in result.notes
    doubled = reduce(darks[0], recipe, parameters={"lift:level": 7, "lift:twice": "True"})
    np.testing.assert_allclose(doubled.open().data, raw.data + 14, rtol=1e-6)
    with pytest.raises(ParameterError, match=r"level=-1: expected a number in \[0, inf\)"):
        reduce(darks[0], recipe, parameters={"level": -1})
    with pytest.raises(ParameterError, match="did you mean 'level'"):
        reduce(darks[0], recipe, parameters={"lift:levl": 1})


def test_step_of_a_file_is_shown_by_showpars(darks: list[Path], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from keyhole.cli.showpars import main

    (here / "mysteps.py").write_text(
        "from __future__ import annotations\n"
        "from typing import Annotated\nfrom pydantic import Field\nimport keyhole\n"
        "@keyhole.step\n"
        "def lift(frame, level: Annotated[float, Field(ge=0), 'Added to every pixel'] = 10.0):\n"
        "    '''Add a constant.'''\n"
        "    frame.data += level\n"
        "def lifted(p):\n    p.lift(level=3)\n"
    )
    assert main([str(darks[0]), "lift", "-r", "mysteps.py"]) == 0
    text = capsys.readouterr().out
    assert "lift: Add a constant." in text
    (row,) = [line for line in text.splitlines() if line.startswith("level")]
    assert row.split()[:3] == ["level", "3.0", "*"]
    assert "a number in [0, inf)" in row and "Added to every pixel" in row
    assert main([str(darks[0]), "-r", "mysteps.py", "--json"]) == 0
    sheets = json.loads(capsys.readouterr().out)
    assert sheets["tags"] == sorted(sheets["tags"])
    assert [sheet["name"] for sheet in sheets["steps"]] == ["lift"]
    assert sheets["steps"][0]["parameters"][1] == {
        "name": "level",
        "value": 3.0,
        "origin": "recipe",
        "range": "a number in [0, inf)",
        "meaning": "Added to every pixel",
    }


def test_step_alone_is_a_recipe(darks: list[Path], here: Path) -> None:
    (here / "mysteps.py").write_text(
        "import keyhole\n@keyhole.step(suffix='_one')\ndef one(frames, value: float = 1):\n"
        "    for frame in frames:\n        frame.data[:] = value\n    return frames\n"
    )
    frame = reduce(darks[0], "mysteps.py:one", parameters=["value=3"]).open()
    assert np.all(frame.data == 3)


def test_step_that_works_in_place_changes_no_other_stream(darks: list[Path]) -> None:
    @keyhole.step(suffix="_zero")
    def blank(frame):
        frame.data[:] = 0

    def recipe(p: Any) -> None:
        p.selectFromInputs(outstream="other")
        p.blank(stream="other")
        p.prepare()

    assert np.all(reduce(darks[0], recipe).open().data != 0)


def test_step_gets_astrodata_when_it_asks_for_it(darks: list[Path]) -> None:
    @keyhole.step(suffix="_ad")
    def with_ad(adinputs, factor: float = 2.0):
        for ad in adinputs:
            ad[0].data = ad[0].data * factor
            ad.phu["MYCARD"] = "mine"
        return adinputs

    def recipe(p: Any) -> None:
        p.with_ad()

    frame = reduce(darks[:2], recipe).open()
    np.testing.assert_allclose(frame.data, 2 * keyhole.open(darks[0]).data, rtol=1e-6)
    assert frame.primary["MYCARD"] == "mine"


def test_what_cannot_be_a_step_is_refused() -> None:
    with pytest.raises(ParameterError, match="first argument"):
        keyhole.step(lambda image: image)
    with pytest.raises(ParameterError, match="needs a default"):
        keyhole.step(lambda frame, level: frame)
    with pytest.raises(ParameterError, match="every step has that"):
        keyhole.step(lambda frame, stream="main": frame)
    with pytest.raises(ParameterError, match="already"):
        keyhole.step(name="prepare")(lambda frame: frame)


def test_built_in_step_is_replaced_on_demand_only(here: Path) -> None:
    keyhole.step(name="prepare", replace=True)(lambda frame: frame)
    keyhole.step(name="prepare")(lambda frames: frames)
    assert REGISTRY["prepare"].scope == "list"


def test_step_that_returns_something_else_is_told(darks: list[Path]) -> None:
    keyhole.step(name="broken")(lambda frame: 3)

    def recipe(p: Any) -> None:
        p.broken()

    with pytest.raises(ParameterError, match="step broken returned int"):
        reduce(darks, recipe)


def test_recipe_may_import_from_its_folder_while_it_runs(darks: list[Path], here: Path) -> None:
    (here / "mine" / "late_helper.py").write_text("SUFFIX = '_late'\n")
    (here / "mine" / "late.py").write_text(
        "def r(p):\n    import late_helper\n    p.prepare(suffix=late_helper.SUFFIX)\n"
    )
    before = list(sys.path)
    sys.modules.pop("late_helper", None)
    assert reduce(darks[0], "mine/late.py").outputs == [Path("N20120102S0001_late.fits")]
    assert sys.path == before
    _, recipe = choose_recipe(TAGS, "mine/late.py")
    assert source_of(recipe) == "mine/late.py, line 1"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("p.streams['nothing'][0]", "IndexError: list index out of range"),
        ("p.streams['main'][0].data", "AttributeError: 'data' of a frame is not known to a recipe"),
        ("p.streams['main'][0].dta", "AttributeError: a frame has no 'dta'"),
    ],
)
def test_recipe_that_fails_is_answered_in_one_sentence(darks: list[Path], here: Path, line: str, told: str) -> None:
    (here / "mine" / "bad.py").write_text(f"def r(p):\n    p.prepare()\n    {line}\n")
    with pytest.raises(ParameterError) as caught:
        reduce(darks, "mine/bad.py")
    assert str(caught.value).startswith(f"recipe r (mine/bad.py, line 3): {told}")


def test_recipe_may_look_at_the_headers_of_its_inputs(darks: list[Path]) -> None:
    seen = []

    def looking(p: Any) -> None:
        first = p.streams["main"][0]
        seen.append((len(p.streams["main"]), first.name, first.root, first.tags, first.describe("exposure_time")))
        seen[-1] += (first.primary["INSTRUME"], first.path, first.describe_file("object"), "X" in first.header)
        if "DARK" in first.tags:
            p.selectFromInputs(tags="DARK", outstream="darks")
        if len(p.streams["darks"]) > 1:
            p.prepare()

    result = reduce(darks, looking)
    assert [timing.step for timing in result.timings] == ["selectFromInputs", "prepare"]
    # Planned from the headers, then run on the frames: both look the same.
    planned, ran = seen
    assert planned == ran
    assert planned[:2] == (3, "N20120102S0001.fits")
