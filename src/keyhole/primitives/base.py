"""What a step is: its parameter model, its declaration, and what it may ask of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from keyhole.frames import Frame, MasterPart
from keyhole.instruments import Instrument
from keyhole.primitives.registry import HOMES, Registry

__all__ = [
    "REGISTRY",
    "Arcsec",
    "CommaList",
    "Context",
    "NonNegative",
    "OptionalText",
    "Params",
    "PixelRadius",
    "Positive",
    "Primitive",
    "Response",
    "Scope",
    "Seconds",
    "Sigma",
    "primitive",
]

Scope = Literal["frame", "list"]


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# Limits and unit live in the type, so that a changed default keeps them.
Sigma = Annotated[float, Field(ge=0)]
PixelRadius = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Arcsec = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
# Part of the usual response of a pixel.
Response = Annotated[float, Field(ge=0)]
OptionalText = str | None
CommaList = Annotated[list[str] | None, BeforeValidator(_split)]


class Params(BaseModel):
    """Parameters of a step; every field carries default, limits and one sentence of meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    suffix: str | None = Field(None, description="Ending of the output name; replaces the previous one")


P = TypeVar("P", bound=Params)


class Context(Protocol):
    """What a step may ask of the run it belongs to."""

    @property
    def mode(self) -> str:
        """Reduction mode: ``sq``, ``ql`` or ``qa``."""

    @property
    def best_effort(self) -> bool:
        """Whether a step goes on without a master that the mode requires."""
        ...

    @property
    def streams(self) -> dict[str, list[Frame]]:
        """Named lists of frames."""
        ...

    def instrument(self, frame: Frame) -> Instrument:
        """Facts about the instrument of a frame."""
        ...

    def calibration(self, frame: Frame, kind: str) -> Frame | None:
        """Return the master of `kind` (``processed_dark`` ...) chosen for a frame; None: there is none."""
        ...

    def read_calibration(self, path: str, kind: str) -> Frame:
        """Return a master named by the user in a parameter."""
        ...

    def part(self, master: Frame, frame: Frame) -> MasterPart:
        """Return the part of a master that belongs to a frame; frames of one window share it."""
        ...

    def checksum(self, path: Path) -> str:
        """MD5 sum of a file, computed once per run."""
        ...

    def note(self, text: str) -> None:
        """Tell one fact of the result; shown with the step."""
        ...

    def caveat(self, text: str, frames: list[Frame] | None = None) -> None:
        """Record that a weaker way was taken; goes to screen, header and history."""
        ...

    @property
    def details(self) -> bool:
        """Whether figures that cost time are wanted: see `measure`."""
        ...

    def measure(
        self, name: str, value: Any, *, error: float | None = None, unit: str = "", frame: Frame | None = None
    ) -> None:
        """Tell a figure that was measured, with its error (1 sigma) and unit; without frame, of the result."""
        ...

    def preview(self, frame: Frame, role: str) -> None:
        """Draw a frame as a small picture, if a report wants it; `role` is ``before`` or ``after``."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Tell how far a long step has come."""
        ...

    def settle(self, frame: Frame, n_frames: int) -> None:
        """Tell that the step is done with one of so many frames: it may be kept on disk from here on."""
        ...

    def timestamp(self) -> str:
        """UTC now as ISO text with microseconds."""
        ...

    def write(self, frame: Frame, *, final: bool = True) -> str:
        """Write a frame into the output folder; the name is announced."""
        ...


Step = Callable[[list[Frame], Any, Context], list[Frame]]


@dataclass(frozen=True)
class Primitive:
    """Declaration of one step.

    Attributes
    ----------
    name : str
        Public camelCase name.
    function : callable
        ``(frames, params, context) -> frames``.
    params : type of Params
        Parameter model.
    scope : {'frame', 'list'}
        Whether each frame is treated alone or all together.
    stamp : str
        Header keyword of the time stamp; empty: none.
    calibrations : tuple of str
        Kinds of masters the step uses.
    writes : bool
        Whether the frames are written to disk after the step.
    bookkeeping : bool
        Whether the step only chooses, orders or shows frames: it leaves no trace in them.
    windowed : bool
        Whether the step works on frames that hold a part of their image; others are given whole ones.
    by_rows : bool
        Whether the step takes planes that are still in their files (`keyhole.frames.stored`), if all of them are
        more than the memory holds.
    """

    name: str
    function: Step
    params: type[Params]
    scope: Scope
    stamp: str = ""
    calibrations: tuple[str, ...] = ()
    writes: bool = False
    bookkeeping: bool = False
    windowed: bool = False
    by_rows: bool = False

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


REGISTRY: Final = Registry(HOMES)


def primitive(
    name: str,
    params: type[Params],
    *,
    scope: Scope,
    stamp: str = "",
    calibrations: tuple[str, ...] = (),
    writes: bool = False,
    bookkeeping: bool = False,
    windowed: bool = False,
    by_rows: bool = False,
) -> Callable[[Callable[[list[Frame], P, Context], list[Frame]]], Callable[[list[Frame], P, Context], list[Frame]]]:
    """Register a function as the step `name`."""

    def register(
        function: Callable[[list[Frame], P, Context], list[Frame]],
    ) -> Callable[[list[Frame], P, Context], list[Frame]]:
        REGISTRY.enter(
            Primitive(name, function, params, scope, stamp, calibrations, writes, bookkeeping, windowed, by_rows)
        )
        return function

    return register
