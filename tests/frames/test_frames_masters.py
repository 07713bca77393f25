from __future__ import annotations

import numpy as np
import pytest

from keyhole.frames import Frame, MasterPart, MasterParts, Window
from keyhole.headers import Header

SHAPE = (6, 8)


def frame_of(shape, window=None):
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Frame("x.fits", Header(), Header(), data, window=window)


def test_frames_of_one_window_share_the_part_of_a_master():
    parts, master = MasterParts(), frame_of(SHAPE)
    window = Window(SHAPE, (1, 2))
    first, second = (parts.of(master, frame_of((3, 4), window)) for _ in range(2))
    assert first is second
    np.testing.assert_array_equal(first.frame.data, master.data[1:4, 2:6])


@pytest.mark.parametrize(("shape", "origin"), [((3, 4), (2, 2)), ((3, 5), (1, 2))])
def test_another_window_gets_another_part(shape, origin):
    parts, master = MasterParts(), frame_of(SHAPE)
    first = parts.of(master, frame_of((3, 4), Window(SHAPE, (1, 2))))
    other = parts.of(master, frame_of(shape, Window(SHAPE, origin)))
    assert other is not first
    (y, x), (ny, nx) = origin, shape
    np.testing.assert_array_equal(other.frame.data, master.data[y : y + ny, x : x + nx])


def test_each_master_has_parts_of_its_own():
    parts, masters = MasterParts(), [frame_of(SHAPE), frame_of(SHAPE)]
    assert [parts.of(master, frame_of(SHAPE)).frame for master in masters] == masters
    assert parts.of(masters[0], frame_of(SHAPE)).frame is masters[0]
    assert parts.of(masters[1], frame_of(SHAPE)).frame is masters[1]


def test_what_was_found_out_about_a_master_is_not_looked_for_again():
    asked = []

    def total(frame):
        asked.append(frame)
        return float(frame.data.sum())

    def nothing(frame):
        asked.append(frame)

    part = MasterPart(frame_of(SHAPE))
    assert [part.once(total) for _ in range(3)] == [float(part.frame.data.sum())] * 3
    assert [part.once(nothing) for _ in range(2)] == [None, None]
    assert asked == [part.frame, part.frame]
