"""A run as plain values, gathered from its events: what summaries and reports are made of."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from keyhole.engine.events import (
    CalibrationChosen,
    Caveat,
    Event,
    Metric,
    Note,
    PreviewDrawn,
    ProductWritten,
    RunFailed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from keyhole.errors import KeyholeError
from keyhole.frames.frame import strip_extension
from keyhole.primitives import REGISTRY

__all__ = ["Account", "changed_parameters", "versions"]

_PACKAGES = ("numpy", "scipy", "astropy", "sep")


class Account:
    """Receives the events of a run and keeps what it is judged by.

    Attributes
    ----------
    previews : list of PreviewDrawn
        Pictures, in the order in which they were made.
    """

    def __init__(self) -> None:
        self.previews: list[PreviewDrawn] = []
        self._recipe = self._mode = self._summary = ""
        self._caveats: list[dict[str, Any]] = []
        self._notes: list[dict[str, Any]] = []
        self._steps: list[dict[str, Any]] = []
        self._calibrations: list[dict[str, Any]] = []
        self._frames: dict[str, dict[str, Any]] = {}
        self._figures: dict[str, Any] = {}
        self._sources: dict[tuple[str, str], dict[str, str]] = {}
        self._step: StepStarted | None = None
        self._begun: list[StepStarted] = []
        self._failed_step: str | None = None
        self._error: str | None = None
        self._written: list[str] = []
        self._seconds: float | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self._begin(event)
            case Metric():
                self._measure(event)
            case PreviewDrawn():
                self.previews.append(event)
            case Caveat():
                self._caveat(event)
            case Note():
                self._notes.append({"step": None, "text": event.text})
            case StepStarted():
                self._step = event
                self._begun.append(event)
            case StepFinished():
                self._end_step(event)
            case CalibrationChosen():
                self._calibrations.append(_chosen(event))
            case ProductWritten():
                self._written.append(event.path)
                for name, md5, step in event.sources:
                    self._sources[name, md5] = {"file": name, "md5": md5, "step": step}
            case RunFailed():
                known = isinstance(event.error, KeyholeError)
                self._failed_step = event.step
                self._steps += [_unfinished(step) for step in self._begun]
                self._error = str(event.error) if known else f"{type(event.error).__name__}: {event.error}"
            case RunFinished():
                self._seconds = event.seconds

    @property
    def written(self) -> list[str]:
        """Paths of the products, in order."""
        return list(self._written)

    @property
    def seconds(self) -> float | None:
        """Wall time of the run; None as long as it has not ended well."""
        return self._seconds

    def kept(self) -> dict[str, Any]:
        """The account so far; the keys are described in docs/night.md."""
        return {
            "recipe": self._recipe,
            "mode": self._mode,
            "inputs": self._summary,
            "failed_step": self._failed_step,
            "error": self._error,
            "frames": list(self._frames.values()),
            "figures": self._figures,
            "caveats": self._caveats,
            "notes": self._notes,
            "steps": self._steps,
            "calibrations": self._calibrations,
            "sources": list(self._sources.values()),
        }

    def _begin(self, event: RunStarted) -> None:
        self._recipe, self._mode, self._summary = event.recipe, event.mode, event.summary
        for path in event.files:
            root = strip_extension(Path(path).name)
            self._frames[root] = {"file": Path(path).name, "used": None, "why": None, "figures": {}}

    def _measure(self, event: Metric) -> None:
        told = {"value": event.value, "error": event.error, "unit": event.unit}
        if event.frame is None:
            self._figures[event.name] = told
            return
        frame = self._frames.setdefault(event.frame, {"file": event.frame, "used": None, "why": None, "figures": {}})
        if event.name == "left_out":
            frame["used"], frame["why"] = False, str(event.value)
        else:
            frame["figures"][event.name] = told
            if event.name == "weight":
                frame["used"] = True

    def _caveat(self, event: Caveat) -> None:
        if not any(known["text"] == event.text for known in self._caveats):
            step = self._step.name if self._step else None
            self._caveats.append({"text": event.text, "count": event.count, "step": step})

    def _end_step(self, event: StepFinished) -> None:
        self._begun = [step for step in self._begun if step.number != event.number]
        self._notes += [{"step": event.name, "text": note} for note in event.notes]
        told = {
            "name": event.name,
            "seconds": round(event.seconds, 4),
            "frames": event.n_frames,
            "skipped": event.skipped,
            "parameters": changed_parameters(event.name, self._step.parameters if self._step else {}),
        }
        self._steps.append(told)


def _unfinished(step: StepStarted) -> dict[str, Any]:
    told = {"name": step.name, "seconds": None, "frames": step.n_frames, "skipped": False}
    return told | {"parameters": changed_parameters(step.name, step.parameters)}


def _chosen(event: CalibrationChosen) -> dict[str, Any]:
    return {
        "kind": event.kind.removeprefix("processed_"),
        "file": None if event.path is None else Path(event.path).name,
        "grade": None if event.grade is None else int(event.grade),
        "reason": event.reason,
        "origin": event.origin,
        "frames": len(event.frames),
    }


def changed_parameters(step: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that differ from the defaults of their step: name to ``value`` and ``default``."""
    known = REGISTRY.get(step)
    if known is None:
        return {}
    usual = {name: info.get_default(call_default_factory=True) for name, info in known.params.model_fields.items()}
    return {
        name: {"value": value, "default": usual[name]}
        for name, value in parameters.items()
        if name in usual and value != usual[name]
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES}
