"""Keyhole: near-infrared images through the acquisition keyhole of GNIRS, reduced.

::

    import keyhole

    dark = keyhole.reduce(darks)
    result = keyhole.reduce(frames, calibrations={"dark": dark.outputs[0]})
    frame = result.open()

Nothing heavy is loaded before the first name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keyhole.api import Result, reduce, step
    from keyhole.api import open_frame as open
    from keyhole.errors import KeyholeError
    from keyhole.frames import Frame

__all__ = ["Frame", "KeyholeError", "Result", "__version__", "open", "reduce", "step"]

__version__ = "0.1.0"

_PLACES = {
    "Frame": ("keyhole.frames", "Frame"),
    "KeyholeError": ("keyhole.errors", "KeyholeError"),
    "Result": ("keyhole.api", "Result"),
    "open": ("keyhole.api", "open_frame"),
    "reduce": ("keyhole.api", "reduce"),
    "step": ("keyhole.api", "step"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from keyhole.cli.common import loading

    module, attribute = _PLACES[name]
    with loading():
        value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
