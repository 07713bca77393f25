"""Frames that hold a part of their image, and the way back to the whole.

Of a frame of a short camera a twelfth is lit. Steps work on the box that holds the light; products are written with
their full published shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.frames.frame import Frame, Table, Window

__all__ = ["as_window", "cut", "move_catalogue", "share_window", "whole"]

# What a pixel outside of the window is: DQ bit of pixels that no light reaches.
_UNLIT = np.uint16(64)
_NOT_MEASURED = -999
_PLACES = (("X_IMAGE", 1), ("Y_IMAGE", 0))


class _Box(NamedTuple):
    """A box in the whole image: first row and column, and those behind the last."""

    y0: int
    x0: int
    y1: int
    x1: int


def _box_of(frame: Frame) -> _Box:
    ny, nx = frame.data.shape
    y0, x0 = (0, 0) if frame.window is None else frame.window.origin
    return _Box(y0, x0, y0 + ny, x0 + nx)


def cut(frame: Frame, rows: slice, columns: slice) -> None:
    """Cut all planes to a box; the frame remembers where it lies. Changes `frame`.

    Positions in the catalogue follow. Cards of the header (reference pixel, sections) keep to the whole image.

    Parameters
    ----------
    rows, columns : slice
        Of the pixels that the frame holds now; whole numbers, step 1.
    """
    window = frame.window or Window(_shape(frame), (0, 0))
    y0, x0 = rows.start or 0, columns.start or 0
    # A view would keep the whole plane in memory.
    _map_planes(frame, lambda plane, _: plane[rows, columns].copy())
    frame.window = Window(window.shape, (window.origin[0] + y0, window.origin[1] + x0))
    move_catalogue(frame, -y0, -x0)


def whole(frame: Frame) -> Frame:
    """A frame with all pixels of its image: those outside of its window are 0 and flagged as unlit (64).

    Returns
    -------
    Frame
        `frame` itself where it is whole.
    """
    if frame.window is None:
        return frame
    out = frame.copy()
    _place(out, frame.window.shape, frame.window.origin)
    out.window = None
    return out


def share_window(frames: Sequence[Frame], changed: Callable[[Frame], None] = lambda _: None) -> None:
    """Give the same window to all frames of images of one shape: the smallest that holds what they hold.

    Changes the frames.

    Parameters
    ----------
    changed : callable
        Is handed each frame that got new planes, before the next one gets them.
    """
    for shape in {_whole_shape(frame) for frame in frames}:
        alike = [frame for frame in frames if _whole_shape(frame) == shape]
        boxes = {_box_of(frame) for frame in alike}
        if len(boxes) == 1:
            continue
        corners = np.array(sorted(boxes))
        (y0, x0), (y1, x1) = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
        for frame in alike:
            own = _box_of(frame)
            if own != (y0, x0, y1, x1):
                _place(frame, (y1 - y0, x1 - x0), (own.y0 - y0, own.x0 - x0))
                frame.window = Window(shape, (y0, x0))
                changed(frame)


def as_window(master: Frame, window: Window | None, shape: tuple[int, ...]) -> Frame:
    """The part of a master that belongs to a frame.

    Parameters
    ----------
    master : Frame
        Whole; unchanged.
    window : Window or None
        Of the frame.
    shape : (ny, nx)
        Of its planes.

    Returns
    -------
    Frame
        `master` itself where the frame is whole or its image is of another size than the master; else one that
        shares its headers, which say the same of every part.
    """
    if window is None or master.window is not None or _shape(master) != window.shape:
        return master
    y0, x0 = window.origin
    out = replace(master, tables=dict(master.tables))
    cut(out, slice(y0, y0 + shape[0]), slice(x0, x0 + shape[1]))
    return out


def move_catalogue(frame: Frame, dy: float, dx: float) -> None:
    """Move the pixel positions of the sources. Changes `frame`; a table that it shares stays as it is."""
    table = frame.tables.get("OBJCAT")
    if table is None or (dy, dx) == (0, 0):
        return
    columns = dict(table.columns)
    for name, axis in _PLACES:
        place = columns[name]
        columns[name] = np.where(place == _NOT_MEASURED, place, place + (dx if axis else dy))
    frame.tables["OBJCAT"] = Table(columns, dict(table.units), dict(table.formats))


def _shape(frame: Frame) -> tuple[int, int]:
    ny, nx = frame.data.shape
    return ny, nx


def _whole_shape(frame: Frame) -> tuple[int, int]:
    return _shape(frame) if frame.window is None else frame.window.shape


def _place(frame: Frame, shape: tuple[int, int], origin: tuple[int, int]) -> None:
    """Put the planes at a place in larger ones. Changes `frame`."""
    ny, nx = frame.data.shape
    y0, x0 = origin

    def placed(plane: NDArray[Any], fill: Any) -> NDArray[Any]:
        out = np.full(shape, fill, plane.dtype)
        out[y0 : y0 + ny, x0 : x0 + nx] = plane
        return out

    _map_planes(frame, placed)
    move_catalogue(frame, y0, x0)


def _map_planes(frame: Frame, change: Any) -> None:
    frame.data = change(frame.data, 0)
    frame.variance = None if frame.variance is None else change(frame.variance, 0)
    frame.mask = None if frame.mask is None else change(frame.mask, _UNLIT)
    frame.planes = {name: change(plane, 0) for name, plane in frame.planes.items()}
