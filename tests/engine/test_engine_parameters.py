from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from keyhole.engine.parameters import (
    describe_range,
    idle_settings,
    nearest,
    parse_settings,
    plain_values,
    resolve,
    try_resolve,
    unknown_settings,
)
from keyhole.errors import ParameterError
from keyhole.primitives import REGISTRY, Params, Primitive
from keyhole.primitives.base import CommaList, NonNegative, Positive


class EveryType(Params):
    """One parameter of every kind there is."""

    count: int = Field(3, description="")
    positive: Positive | None = Field(None, description="")
    amount: float = Field(1.0, description="")
    fraction: float = Field(0.5, gt=0, lt=1, description="")
    half_open: float = Field(0.5, ge=0.3, lt=1, description="")
    below: float = Field(0.5, le=1, description="")
    choice: Literal["mean", "median"] = Field("mean", description="")
    only: Literal["this"] = Field("this", description="")
    choice_or_number: Literal["median"] | float = Field("median", description="")
    flag: bool = Field(True, description="")
    text: str = Field("", description="")
    names: CommaList = Field(None, description="")
    shift: Annotated[int, Field(ge=-100, le=100)] = Field(0, description="")


def step(frames: Any, params: Any, context: Any) -> Any:
    """Do nothing."""


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "toy", Primitive("toy", step, EveryType, "frame"))


def resolved(settings: Any = (), *, mode: Any = None, call: Any = None, name: str = "toy") -> Any:
    return resolve(name, mode_defaults=mode or {}, call=call or {}, settings=parse_settings(settings))


# -- order --------------------------------------------------------------------------------------------


def test_default_stands_when_nobody_says_anything() -> None:
    found = resolved()
    assert found.values.count == 3
    assert found.origins == {}
    assert (found.skip, found.write, found.overridden) == (False, False, ())


def test_mode_beats_default_recipe_beats_mode_and_user_beats_recipe() -> None:
    assert resolved(mode={"count": 4}).values.count == 4
    assert resolved(mode={"count": 4}, call={"count": 5}).values.count == 5
    found = resolved(["count=6"], mode={"count": 4}, call={"count": 5})
    assert found.values.count == 6
    assert found.origins == {"count": "user"}
    assert found.overridden == ("count",)


def test_origin_of_each_value_is_remembered() -> None:
    found = resolved(["text=x"], mode={"count": 4}, call={"flag": False})
    assert found.origins == {"count": "instrument mode", "flag": "recipe", "text": "user"}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["count=1", "toy:count=2"], 2),
        (["toy:count=2", "count=1"], 1),
        (["toy:count=2", "count=1", "toy:count=2"], 2),
        (["other:count=9", "count=1"], 1),
        (["count=1", "count=7"], 7),
    ],
)
def test_the_later_of_global_and_specific_wins(words: list[str], value: int) -> None:
    assert resolved(words).values.count == value


def test_user_value_equal_to_that_of_the_recipe_is_no_override() -> None:
    assert resolved(["count=5"], call={"count": 5}).overridden == ()
    assert resolved(["amount=5"], call={"amount": 5.0}).overridden == ()


def test_setting_of_another_step_has_no_part_in_this_one() -> None:
    assert resolved(["other:count=9"]).origins == {}


# -- reading words --------------------------------------------------------------------------------------


def test_words_become_values_and_quotes_go() -> None:
    assert parse_settings(["a=None", "b=True", "c=False", "d='None '", 'e="x y"', "f= 3 ", "g=a=b", "h=it's"]) == {
        "a": None,
        "b": True,
        "c": False,
        "d": "None ",
        "e": "x y",
        "f": "3",
        "g": "a=b",
        "h": "it's",
    }


def test_all_words_without_a_name_or_value_are_told() -> None:
    with pytest.raises(ParameterError, match=r"-p nonsense =3: expected name=value or step:name=value"):
        parse_settings(["nonsense", "a=1", "=3"])


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("count=4", "count", 4),
        ("positive=None", "positive", None),
        ("positive=2", "positive", 2),
        ("amount=1e-3", "amount", 0.001),
        ("amount=inf", "amount", math.inf),
        ("choice_or_number=3", "choice_or_number", 3.0),
        ("choice_or_number=median", "choice_or_number", "median"),
        ("flag=False", "flag", False),
        ("flag=no", "flag", False),
        ("text=12", "text", "12"),
        ("names=a, b.fits,,c", "names", ["a", "b.fits", "c"]),
        ("names=None", "names", None),
    ],
)
def test_text_becomes_the_type_of_the_parameter(word: str, name: str, value: object) -> None:
    assert getattr(resolved([word]).values, name) == value


# -- switches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["True", "yes", "1", "true"])
def test_every_step_can_be_skipped_and_written(word: str) -> None:
    found = resolved([f"toy:skip_primitive={word}", f"write_outputs={word}"])
    assert (found.skip, found.write) == (True, True)


def test_switch_of_the_recipe_gives_way_to_the_user() -> None:
    assert resolved(call={"skip_primitive": True}).skip
    assert not resolved(["skip_primitive=False"], call={"skip_primitive": True}).skip


def test_switch_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(ParameterError, match="toy:skip_primitive=perhaps: expected True or False"):
        resolved(["toy:skip_primitive=perhaps"])


# -- mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("count=many", "a whole number"),
        ("positive=0", r"a whole number in \[1, inf\) or None"),
        ("amount=much", "a number"),
        ("amount=nan", "a number"),
        ("fraction=1", r"a number in \(0, 1\)"),
        ("fraction=0", r"a number in \(0, 1\)"),
        ("half_open=1", r"a number in \[0.3, 1\)"),
        ("below=2", r"a number in \(-inf, 1\]"),
        ("choice=average", "one of mean, median"),
        ("only=that", "one of this"),
        ("choice_or_number=mean", "one of median or a number"),
        ("flag=perhaps", "True or False"),
        ("text=None", "text"),
        ("shift=101", r"a whole number in \[-100, 100\]"),
    ],
)
def test_value_out_of_range_is_told_with_its_range(word: str, words: str) -> None:
    with pytest.raises(ParameterError, match=f"^{word}: expected {words}$"):
        resolved([word])


def test_value_is_told_as_it_was_typed() -> None:
    with pytest.raises(ParameterError, match=r"^toy:count=x: expected"):
        resolved(["toy:count=x"])


def test_all_mistakes_of_a_step_are_told_at_once() -> None:
    found = try_resolve(
        "toy", mode_defaults={}, call={}, settings=parse_settings(["count=x", "flag=x", "skip_primitive=x"])
    )
    assert found == [
        "skip_primitive=x: expected True or False",
        "count=x: expected a whole number",
        "flag=x: expected True or False",
    ]


def test_recipe_that_names_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ParameterError, match="step toy has no parameter 'cuont'; did you mean 'count'"):
        resolved(call={"cuont": 1})


def test_unknown_names_are_told_with_the_nearest_known_one() -> None:
    words = ["lsigmaa=1", "stackDrks:nlow=1", "stackDarks:nlw=1", "STACKDARKS:nlow=1", "qqq=1", "toy:qqq=1"]
    mistakes = unknown_settings(parse_settings(words), ["stackDarks", "stackDarks"])
    assert mistakes[0] == "no step of this recipe has a parameter 'lsigmaa'; did you mean 'lsigma' or 'hsigma'?"
    assert mistakes[1].startswith("no step 'stackDrks'; did you mean 'stackDarks'")
    assert mistakes[2].startswith("step stackDarks has no parameter 'nlw'; did you mean 'nlow'")
    assert mistakes[3].startswith("no step 'STACKDARKS'; did you mean 'stackDarks'")
    assert mistakes[4] == "no step of this recipe has a parameter 'qqq'"
    assert mistakes[5].startswith("step toy has no parameter 'qqq'; it has suffix, count,")
    assert len(mistakes) == 6


def test_parameter_of_a_step_that_is_not_in_the_recipe_is_unknown() -> None:
    assert unknown_settings({"count": 1}, ["stackDarks"])
    assert not unknown_settings({"count": 1, "skip_primitive": True, "toy:write_outputs": True}, ["toy"])


def test_setting_for_a_step_outside_the_recipe_is_idle() -> None:
    settings = parse_settings(["toy:count=1", "stackDarks:nlow=1", "hsigma=2", "nosuch:x=1"])
    assert idle_settings(settings, ["stackDarks"], "makeProcessedDark") == [
        "-p toy:count has no effect: recipe makeProcessedDark has no step toy"
    ]


def test_nearest_says_nothing_when_nothing_is_near() -> None:
    assert nearest("zzz", ["stackDarks"]) == ""
    assert nearest("STACKDARK", ["stackDarks"]) == "; did you mean 'stackDarks'?"


# -- values ---------------------------------------------------------------------------------------------


def test_defaults_are_the_values_that_the_checked_model_has() -> None:
    for primitive in REGISTRY.values():
        found = resolve(primitive.name, mode_defaults={}, call={}, settings={}).values
        assert found == primitive.params()
        assert plain_values(found) == primitive.params().model_dump(mode="json")


def test_values_that_json_does_not_know_are_told_as_json_tells_them() -> None:
    class Odd(Params):
        path: Path = Field(Path("a/b"), description="")
        pair: tuple[int, int] = Field((1, 2), description="")
        limit: float = Field(math.inf, description="")

    class Limit(Params):
        limit: float = Field(math.inf, description="")

    for model in (Odd(), Limit(), Limit(limit=math.nan)):
        assert repr(plain_values(model)) == repr(model.model_dump(mode="json"))
    assert plain_values(Odd(pair=(3, 4)))["pair"] == [3, 4]


# -- ranges ---------------------------------------------------------------------------------------------


def test_every_parameter_of_every_step_has_a_range_in_words_and_a_meaning() -> None:
    for primitive in REGISTRY.values():
        for name, info in primitive.params.model_fields.items():
            assert "any value" not in describe_range(primitive.params, name), (primitive.name, name)
            if primitive.name != "toy":
                assert info.description, (primitive.name, name)


def test_limit_of_the_named_type_is_kept_when_a_step_adds_its_own() -> None:
    class Narrow(Params):
        value: NonNegative = Field(5, le=9, description="")

    assert describe_range(Narrow, "value") == "a whole number in [0, 9]"
