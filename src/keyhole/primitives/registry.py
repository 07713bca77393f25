"""All steps by name.  A module of steps is loaded when one of its steps is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from keyhole.primitives.base import Primitive

__all__ = ["HOMES", "Registry"]

# A run needs the steps of its recipe; the models and algorithms of all others would cost it a third of its start.
HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "adjust": ("adjustWCSToReference",),
    "align": ("resampleToCommonFrame", "scaleCountsToReference"),
    "bookkeeping": (
        "selectFromInputs",
        "removeFromInputs",
        "rejectInputs",
        "sortInputs",
        "appendStream",
        "mergeInputs",
        "clearStream",
        "clearAllStreams",
        "transferAttribute",
        "sliceIntoStreams",
        "showInputs",
        "flushPixels",
    ),
    "bpm": ("makeBPM",),
    "calibrate": ("darkCorrect", "flatCorrect"),
    "checkwcs": ("checkWCS",),
    "cosmicrays": ("flagCosmicRays",),
    "detector": ("ADUToElectrons", "addVAR", "nonlinearityCorrect"),
    "flat": ("normalizeFlat", "thresholdFlatfield"),
    "illumination": ("illuminationCorrect",),
    "latency": ("addLatencyToDQ",),
    "outside": ("limitToLight", "clearUnlit", "cropToLight"),
    "prepare": ("prepare",),
    "quality": ("addDQ", "addIllumMaskToDQ", "applyDQPlane"),
    "readout": ("cleanReadout",),
    "sky": ("separateSky", "associateSky", "skyCorrect"),
    "sources": ("detectSources",),
    "stack": ("stackDarks", "makeLampFlat", "stackFrames"),
    "store": ("storeProcessedDark", "storeProcessedFlat", "storeBPM", "storeProcessedScience", "writeOutputs"),
}
"""Module to the steps that it registers."""


class Registry(MutableMapping[str, "Primitive"]):
    """Name to step, in the order of `homes` and then of addition; knows the names before it has the steps.

    Parameters
    ----------
    homes : mapping of str to tuple of str
        Module of `keyhole.primitives` to the names of its steps.
    """

    def __init__(self, homes: Mapping[str, tuple[str, ...]]) -> None:
        self._home: dict[str, str] = {name: module for module, names in homes.items() for name in names}
        # None: not loaded yet.
        self._steps: dict[str, Primitive | None] = dict.fromkeys(self._home)

    def enter(self, step: Primitive) -> None:
        """Take a step from its module, unless its name was given to another one before the module was loaded."""
        if self._steps.get(step.name) is None:
            self._steps[step.name] = step

    def __getitem__(self, name: str) -> Primitive:
        """The step; its module is loaded if need be."""
        step = self._steps[name]
        if step is None:
            import_module(f"keyhole.primitives.{self._home[name]}")
            step = self._steps[name]
        if step is None:
            raise KeyError(name)
        return step

    def __setitem__(self, name: str, step: Primitive) -> None:
        """Add or replace a step."""
        self._steps[name] = step

    def __delitem__(self, name: str) -> None:
        """Forget a step."""
        del self._steps[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is such a step; nothing is loaded."""
        return name in self._steps

    def __iter__(self) -> Iterator[str]:
        """Names; nothing is loaded."""
        return iter(self._steps)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._steps)
