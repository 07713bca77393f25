"""Values of parameters that are right as they stand: plain words and numbers of the very type that is asked for.

A model that checks values takes longer to build than most steps run. What recipes say is mostly of this kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from keyhole.primitives import Params

__all__ = ["is_right_as_given"]

_PLAIN: Final = (bool, int, float, str, NoneType)
_LIMITS: Final = {
    "Ge": lambda value, limit: value >= limit.ge,
    "Gt": lambda value, limit: value > limit.gt,
    "Le": lambda value, limit: value <= limit.le,
    "Lt": lambda value, limit: value < limit.lt,
}
"""By the names of the classes of the package annotated-types, with which limits are declared."""


def is_right_as_given(model: type[Params], values: Mapping[str, Any]) -> bool:
    """Whether the model would accept all these values and keep them as they are.

    Parameters
    ----------
    model : type of Params
    values : mapping of str to value

    Returns
    -------
    bool
        False wherever that takes more than a look at types and limits: the model has to decide then.
    """
    checks = model.__pydantic_decorators__
    if checks.validators or checks.field_validators or checks.root_validators or checks.model_validators:
        return False
    fields = model.model_fields
    return all(name in fields and _fits_field(fields[name], value) for name, value in values.items())


def _fits_field(info: FieldInfo, value: Any) -> bool:
    renamed = info.alias is not None or info.validation_alias is not None
    return not renamed and _fits(info.annotation, value) and _within(info.metadata, value)


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a declared kind to the letter."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *details = get_args(kind)
        return _fits(inner, value) and _within(details, value)
    if origin in (Union, UnionType):
        return any(_fits(choice, value) for choice in get_args(kind))
    if origin is Literal:
        return any(type(choice) is type(value) and choice == value for choice in get_args(kind))
    return kind in _PLAIN and type(value) is kind and not (kind is float and math.isnan(value))


def _within(details: Iterable[Any], value: Any) -> bool:
    """Whether a value is within limits that are declared beside its type; False for any other detail."""
    for detail in details:
        if isinstance(detail, FieldInfo):
            if not _within(detail.metadata, value):
                return False
            continue
        within = _LIMITS.get(type(detail).__name__)
        if within is None or type(value) not in (int, float) or not within(value, detail):
            return False
    return True
