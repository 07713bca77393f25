"""Running a recipe: inputs checked, parameters resolved, calibrations found, steps run, products written."""

from __future__ import annotations

from keyhole.engine.events import Event, EventSink
from keyhole.engine.request import Association, Request, Result
from keyhole.engine.run import run

__all__ = ["Association", "Event", "EventSink", "Request", "Result", "run"]
