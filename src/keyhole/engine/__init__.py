"""Running a recipe: inputs checked, parameters resolved, calibrations found, steps run, products written."""

from __future__ import annotations

from keyhole.engine.events import Event, EventSink
from keyhole.engine.request import DEFAULT_MEMORY, Association, Request, Result
from keyhole.engine.run import run

__all__ = ["DEFAULT_MEMORY", "Association", "Event", "EventSink", "Request", "Result", "run"]
