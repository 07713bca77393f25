"""The descriptors by name: what a frame answers to each question."""

from __future__ import annotations

from typing import Any

# Importing these modules registers their descriptors.
from keyhole.headers import coordinates, exposure, identity, optics, registry, times
from keyhole.headers.model import Headers

__all__ = [
    "DESCRIPTORS",
    "OTHER_METHODS",
    "describe",
    "describe_extension",
    "descriptor_names",
    "descriptor_options",
    "meaning",
]

_MODULES = (coordinates, exposure, identity, optics, times)

#: Methods of GNIRS frames that are callable like descriptors and not listed as such.
OTHER_METHODS: tuple[str, ...] = ("actual_central_wavelength", "prism_motor_steps")
#: Names of all descriptors, sorted.
DESCRIPTORS: tuple[str, ...] = tuple(sorted(registry.names() - set(OTHER_METHODS)))


def describe(headers: Headers, name: str, **options: Any) -> Any:
    """What the descriptor `name` says of a whole frame.

    Parameters
    ----------
    headers : Headers
        Headers of the frame.
    name : str
        One of `DESCRIPTORS` or `OTHER_METHODS`.
    **options
        Its options by their published names (``stripID``, ``pretty``, ``asMicrometers``, ...), see
        `descriptor_options`.

    Returns
    -------
    object
        One value, or for what belongs to an extension (gain, read noise, sections, ...) a list of one per
        science extension. None when the header does not tell.

    Raises
    ------
    ParameterError
        Descriptor or option are not known.
    HeaderValueError, MissingCardError
        The few descriptors whose documentation says so.
    """
    return registry.answer(headers, name, **options)


def describe_extension(headers: Headers, name: str, index: int = 0, **options: Any) -> Any:
    """What a descriptor says of the science extension `index`: a value where `describe` gives a list.

    Raises
    ------
    ParameterError
        Descriptor, option or extension are not known.
    """
    return registry.answer(registry.one_extension(headers, index), name, **options)


def descriptor_names(instrument: str) -> frozenset[str]:
    """Names of descriptors and other methods for which "Gemini" or "GNIRS" has a rule of its own."""
    return registry.names(instrument)


def descriptor_options(name: str, instrument: str = registry.GENERIC) -> dict[str, Any]:
    """Published names of the options of a descriptor, in their published order, with their defaults.

    Raises
    ------
    ParameterError
        The descriptor is not known.
    """
    return dict(registry.entry(name, instrument).options)


def meaning(name: str, instrument: str = registry.GENERIC) -> str:
    """One sentence that says what a descriptor tells.

    Raises
    ------
    ParameterError
        The descriptor is not known.
    """
    return (registry.entry(name, instrument).function.__doc__ or "").strip().partition("\n")[0]
