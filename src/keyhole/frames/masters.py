"""Masters as frames need them: the part that belongs to their window, found once for frames that are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from keyhole.frames.frame import Frame, Window
from keyhole.frames.window import as_window

__all__ = ["MasterPart", "MasterParts"]

Found = TypeVar("Found")


class MasterPart:
    """A master, or the part of it that belongs to the frames of one window, and what was found out about it.

    Parameters
    ----------
    frame : Frame
        Its planes must not change any more.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._known: dict[Callable[[Frame], Any], Any] = {}

    def once(self, find: Callable[[Frame], Found]) -> Found:
        """What a function says of the part; it is asked only once, so it must always say the same."""
        if find not in self._known:
            self._known[find] = find(self.frame)
        found: Found = self._known[find]
        return found


class MasterParts:
    """Of each master the part that was asked for last: most frames of a run have one window."""

    def __init__(self) -> None:
        # The master is kept with its part, so that no other one can get its number.
        self._last: dict[int, tuple[Frame, Window | None, tuple[int, ...], MasterPart]] = {}

    def of(self, master: Frame, frame: Frame) -> MasterPart:
        """The part of a master that belongs to a frame, see `as_window`."""
        wanted = frame.window, frame.data.shape
        if id(master) in self._last:
            _, *held, part = self._last[id(master)]
            if tuple(held) == wanted:
                return part
        part = MasterPart(as_window(master, *wanted))
        self._last[id(master)] = (master, *wanted, part)
        return part
