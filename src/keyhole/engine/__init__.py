"""Running a recipe: inputs checked, parameters resolved, calibrations found, steps run, products written."""

from __future__ import annotations

from keyhole.engine.events import Event, EventSink
from keyhole.engine.run import Request, Result, run

__all__ = ["Event", "EventSink", "Request", "Result", "run"]
