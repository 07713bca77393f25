"""Methods that hand a question on to `keyhole.headers` and put its answer into the terms of astrodata."""

from __future__ import annotations

import inspect
from collections import ChainMap
from collections.abc import Callable
from typing import Any

import astrodata

from keyhole import headers

__all__ = ["add_descriptors", "headers_of"]


def headers_of(ad: Any) -> headers.Headers:
    """The headers of an AstroData object, or of the one extension that it was sliced to."""
    extensions = [ad] if ad.is_single else list(ad)
    return headers.Headers(
        primary=ad.phu,
        extensions=tuple(ChainMap(_shape_cards(ext.shape), ext.hdr) for ext in extensions),
        name=ad.filename or ad.orig_filename or "",
        single=ad.is_single,
    )


def add_descriptors(cls: type, instrument: str) -> None:
    """Give `cls` a method for each descriptor for which `instrument` has a rule."""
    for name in sorted(headers.descriptor_names(instrument)):
        method = _method(name, instrument)
        if name not in headers.OTHER_METHODS:
            method = astrodata.astro_data_descriptor(method)
        setattr(cls, name, method)


def _shape_cards(shape: tuple[int, ...]) -> dict[str, int]:
    """The size of the array as it is now; the cards tell what it was when it was read."""
    return {f"NAXIS{i}": length for i, length in enumerate(reversed(shape), start=1)}


def _method(name: str, instrument: str) -> Callable[..., Any]:
    """The method that asks the descriptor `name`."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter("self", kind)]
        + [
            inspect.Parameter(option, kind, default=default)
            for option, default in headers.descriptor_options(name, instrument).items()
        ]
    )

    def ask(*args: Any, **kwargs: Any) -> Any:
        options = signature.bind(*args, **kwargs).arguments
        ad = options.pop("self")
        try:
            return _translated(headers.describe(headers_of(ad), name, **options))
        except headers.HeaderValueError as err:
            # The published methods raise Python's own errors.
            raise ValueError(str(err)) from err
        except headers.MissingCardError as err:
            raise KeyError(str(err)) from err

    ask.__name__ = name
    ask.__qualname__ = name
    ask.__doc__ = headers.meaning(name, instrument)
    ask.__signature__ = signature  # type: ignore[attr-defined]  # read by help() and inspect
    return ask


def _translated(answer: Any) -> Any:
    """Sections become those of astrodata; everything else stays."""
    if isinstance(answer, headers.Section):
        return astrodata.Section(*answer)
    return [_translated(item) for item in answer] if isinstance(answer, list) else answer
