"""Values that need no model to check them."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, ValidationError, field_validator

from keyhole.engine.as_given import is_right_as_given
from keyhole.engine.parameters import resolve
from keyhole.primitives import REGISTRY, Params
from keyhole.primitives.base import CommaList

_NUMBERS = (0, 1, -1, 3, 70000, 0.0, 0.5, -2.5, 1e300, math.inf)
_VALUES = (None, True, False, *_NUMBERS, "", "a", "mean", "1", "True", [], ["a"])


class _Plain(Params):
    flag: bool = True
    number: int = 1
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    count: int | None = Field(None, ge=1, le=5)
    rows: Annotated[int, Field(gt=0)] | None = 8
    how: Literal["mean", "a", 3] = "a"
    either: float | Literal["a"] = 1.0
    names: CommaList = None
    some: list[str] | None = None
    word: Annotated[str, BeforeValidator(str.strip)] = "a"
    length: Annotated[str, Field(max_length=2)] = "a"


class _Checked(Params):
    flag: bool = True

    @field_validator("flag")
    @classmethod
    def _never(cls, value: bool) -> bool:
        raise ValueError("never")


def _kept(model: type[Params], name: str, value: Any) -> bool:
    """Whether the model accepts a value and leaves it what it is."""
    try:
        found = getattr(model(**{name: value}), name)
    except ValidationError:
        return False
    return type(found) is type(value) and (found == value)


@pytest.mark.parametrize("name", _Plain.model_fields)
def test_what_is_taken_as_given_is_what_the_model_would_have_kept(name: str) -> None:
    for value in _VALUES:
        if is_right_as_given(_Plain, {name: value}):
            assert _kept(_Plain, name, value), value


def test_plain_words_and_numbers_within_their_limits_are_taken_as_given() -> None:
    right = {
        "flag": False,
        "number": 7,
        "share": 0.0,
        "count": 5,
        "rows": None,
        "how": 3,
        "either": "a",
        "suffix": "_x",
    }
    assert is_right_as_given(_Plain, right)
    assert is_right_as_given(_Plain, {"rows": 1, "count": 1, "either": 2.5, "suffix": None})
    assert is_right_as_given(_Plain, {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"flag": 1},
        {"flag": "True"},
        {"number": True},
        {"number": 1.0},
        {"share": 1.0},
        {"share": math.nan},
        {"share": 0},
        {"count": 0},
        {"count": 6},
        {"rows": 0},
        {"how": "b"},
        {"names": "a,b"},
        {"some": ["a"]},
        {"word": " a "},
        {"length": "abc"},
        {"unknown": 1},
        {"flag": True, "number": "1"},
    ],
)
def test_anything_else_is_left_to_the_model(wrong: dict[str, Any]) -> None:
    assert not is_right_as_given(_Plain, wrong)


def test_a_model_with_checks_of_its_own_decides_itself() -> None:
    assert not is_right_as_given(_Checked, {"flag": True})


def test_no_parameter_of_any_step_is_taken_that_its_model_would_change() -> None:
    compared = 0
    for step, value in itertools.product(REGISTRY, _VALUES):
        model = REGISTRY[step].params
        for name in model.model_fields:
            if is_right_as_given(model, {name: value}):
                assert _kept(model, name, value), (step, name, value)
                compared += 1
    assert compared > 500


def test_a_value_of_a_recipe_is_resolved_to_the_same_model() -> None:
    call = {"read_noise": True, "poisson_noise": True}
    found = resolve("addVAR", mode_defaults={}, call=call, settings={})
    model = REGISTRY["addVAR"].params
    assert found.values == model(**call)
    assert found.values.model_fields_set == model(**call).model_fields_set
    assert found.origins == {"read_noise": "recipe", "poisson_noise": "recipe"}
