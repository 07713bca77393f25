"""Steps that users write: a plain function becomes a step with parameters, as the built-in ones are."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, overload

import numpy as np
from pydantic import Field, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.fields import FieldInfo

from keyhole.engine.parameters import SWITCHES
from keyhole.engine.recorder import STREAM_WORDS
from keyhole.errors import ParameterError
from keyhole.frames import Frame
from keyhole.primitives import REGISTRY, Context, Params, Primitive
from keyhole.primitives.base import Scope

__all__ = ["STEP_MARK", "step"]

#: Attribute of a function that is registered as a step: its name.
STEP_MARK = "__keyhole_step__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Form:
    """How a step is called, told by the name of its first argument."""

    scope: Scope
    astrodata: bool


_FORMS = {
    "frame": _Form("frame", astrodata=False),
    "frames": _Form("list", astrodata=False),
    "ad": _Form("frame", astrodata=True),
    "adinputs": _Form("list", astrodata=True),
}


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    *,
    name: str | None = ...,
    suffix: str | None = ...,
    stamp: str = ...,
    calibrations: tuple[str, ...] = ...,
    replace: bool = ...,
) -> Callable[[F], F]: ...
def step(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    suffix: str | None = None,
    stamp: str = "",
    calibrations: tuple[str, ...] = (),
    replace: bool = False,
) -> F | Callable[[F], F]:
    """Make a function a step that recipes call, with parameters that users can set.

    The first argument says how the function works: ``frame`` one frame at a time, ``frames`` the list of all;
    ``ad`` and ``adinputs`` the same with `astrodata.AstroData`. An argument ``context`` gets what the run
    offers, such as ``context.note(text)``. All other arguments are parameters of the step; each needs a
    default, a type gives it limits, a text beside the type its meaning::

        @keyhole.step(suffix="_shifted")
        def addPedestal(frame, level: Annotated[float, Field(ge=0), "Electrons to add"] = 10.0):
            frame.data = frame.data + level
            return frame

    The function returns what it was given, changed or new; None stands for its argument.

    Parameters
    ----------
    name : str, optional
        Name in recipes; by default that of the function.
    suffix : str, optional
        Ending of the name of the frames after the step.
    stamp : str
        Header keyword for the time of the step, 8 characters.
    calibrations : tuple of str
        Kinds of masters it asks of ``context.calibration(frame, kind)``, such as ``processed_dark``.
    replace : bool
        Replace a step of this name that is not the user's.

    Raises
    ------
    ParameterError
        The function cannot be a step.
    """

    def register(function: F) -> F:
        known = name or function.__name__
        here = REGISTRY.get(known)
        if here is not None and not replace and not hasattr(here.function, STEP_MARK):
            raise ParameterError(f"there is a step {known!r} already; choose another name, or say replace=True")
        form, takes_context, fields = _signature(function, known)
        model = _model(known, fields, suffix)
        REGISTRY[known] = Primitive(
            known, _adapted(function, known, form, takes_context=takes_context), model, form.scope, stamp, calibrations
        )
        setattr(function, STEP_MARK, known)
        return function

    return register if function is None else register(function)


def _signature(function: Callable[..., Any], name: str) -> tuple[_Form, bool, dict[str, tuple[Any, Any]]]:
    arguments = list(inspect.signature(function).parameters.values())
    if not arguments or arguments[0].name not in _FORMS:
        raise ParameterError(f"step {name}: the first argument must be called {', '.join(_FORMS)}")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ParameterError(f"step {name}: {error}; import that type in the file of the step") from error
    fields: dict[str, tuple[Any, Any]] = {}
    for argument in arguments[1:]:
        if argument.name == "context":
            continue
        if argument.name in (*STREAM_WORDS, *SWITCHES):
            raise ParameterError(f"step {name}: a parameter cannot be called {argument.name!r}; every step has that")
        if argument.default is argument.empty:
            raise ParameterError(f"step {name}: parameter {argument.name!r} needs a default")
        fields[argument.name] = _field(hints.get(argument.name), argument.default)
    return _FORMS[arguments[0].name], any(a.name == "context" for a in arguments[1:]), fields


def _field(hint: Any, default: Any) -> tuple[Any, Any]:
    """Type and default of a parameter; a text beside the type is its description."""
    if hint is None:
        hint = Any if default is None else type(default)
    description = None
    if typing.get_origin(hint) is Annotated:
        base, *marks = typing.get_args(hint)
        texts = [mark for mark in marks if isinstance(mark, str)]
        others = tuple(mark for mark in marks if not isinstance(mark, str))
        named = [mark.description for mark in others if isinstance(mark, FieldInfo) and mark.description]
        description = next(iter([*texts, *named]), None)
        hint = Annotated[base, *others] if others else base
    return hint, Field(default, description=description)


def _model(name: str, fields: Mapping[str, tuple[Any, Any]], suffix: str | None) -> type[Params]:
    ending = (str | None, Field(suffix, description="Ending of the output name"))
    arguments: dict[str, Any] = {"suffix": ending, **fields}
    try:
        model: type[Params] = create_model(f"{name}Params", __base__=Params, **arguments)
        model.model_json_schema()
    except (PydanticUserError, PydanticInvalidForJsonSchema, TypeError) as error:
        raise ParameterError(f"step {name}: a parameter has a type that cannot be checked ({error})") from error
    return model


def _adapted(
    function: Callable[..., Any], name: str, form: _Form, *, takes_context: bool
) -> Callable[[list[Frame], Any, Context], list[Frame]]:
    """The function in the form of a built-in step."""
    names = list(inspect.signature(function).parameters)[1:]

    def run(frames: list[Frame], params: Any, context: Context) -> list[Frame]:
        offered = {argument: getattr(params, argument) for argument in names if argument != "context"}
        if takes_context:
            offered["context"] = context
        given = [frame.to_astrodata() if form.astrodata else _private(frame) for frame in frames]
        if form.scope == "list":
            return _frames_of(function(given, **offered), given, name)
        return [out for one in given for out in _frames_of(function(one, **offered), [one], name)]

    run.__doc__ = inspect.getdoc(function) or f"Step {name} of the user."
    setattr(run, STEP_MARK, name)
    return run


def _private(frame: Frame) -> Frame:
    """A frame whose pixels nobody else holds, as a user may change them in place."""
    own = frame.copy()
    own.data = frame.data.copy()
    own.variance = None if frame.variance is None else frame.variance.copy()
    own.mask = None if frame.mask is None else frame.mask.copy()
    own.planes = {key: plane.copy() for key, plane in frame.planes.items()}
    return own


def _frames_of(answer: Any, given: list[Any], name: str) -> list[Frame]:
    answers = given if answer is None else list(answer) if isinstance(answer, list | tuple) else [answer]
    frames = []
    for item in answers:
        frame = item if isinstance(item, Frame) else _converted(item, name)
        frame.data = np.ascontiguousarray(frame.data, np.float32)
        if frame.variance is not None:
            frame.variance = np.ascontiguousarray(frame.variance, np.float32)
        if frame.mask is not None:
            frame.mask = np.ascontiguousarray(frame.mask, np.uint16)
        frames.append(frame)
    return frames


def _converted(item: Any, name: str) -> Frame:
    if not hasattr(item, "phu"):
        raise ParameterError(f"step {name} returned {type(item).__name__}; it must return frames, or None")
    return Frame.from_astrodata(item)
