"""Frames on disk: the same planes, nothing left behind, one sentence when there is no room."""

from __future__ import annotations

import errno
import mmap
import pickle
import tempfile
import time

import numpy as np
import pytest
from raw_frames import electrons

from keyhole.errors import SetupError
from keyhole.frames import Parking, Window
from keyhole.frames.parking import _STATM, RowsOnDisk, by_rows, bytes_of


def frame(number=0, shape=(50, 40)):
    rng = np.random.default_rng(number)
    out = electrons(rng.normal(5, 1, shape), number=number, mask=rng.integers(0, 9, shape).astype(np.uint16))
    out.planes["OBJMASK"] = rng.integers(0, 2, shape).astype(np.uint8)
    return out


def test_a_parked_frame_has_the_same_planes_and_leaves_no_file(tmp_path):
    one, original = frame(), frame()
    with Parking(tmp_path, 0) as parking:
        parking.park(one)
        assert list(tmp_path.iterdir()) == []
        for kept, before in (
            (one.data, original.data),
            (one.variance, original.variance),
            (one.mask, original.mask),
            (one.planes["OBJMASK"], original.planes["OBJMASK"]),
        ):
            assert kept.dtype == before.dtype
            assert not kept.flags.writeable
            np.testing.assert_array_equal(kept, before)
    # The planes outlive the watch, and go to other processes as any array does.
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).data, original.data)
    np.testing.assert_array_equal(one.data, original.data)


def test_only_what_is_new_is_written_again(tmp_path):
    one = frame()
    with Parking(tmp_path, 0) as parking:
        parking.park(one)
        data, mask = one.data, one.mask
        parking.park(one)
        assert one.data is data
        one.mask = mask | np.uint16(8)
        expected = one.mask.copy()
        parking.park(one)
        assert one.data is data
        assert not one.mask.flags.writeable
        np.testing.assert_array_equal(one.mask, expected)


def test_frames_are_parked_when_all_of_them_are_more_than_the_budget(tmp_path):
    one = frame()
    size = 50 * 40 * (4 + 4 + 2 + 1)
    assert bytes_of(one) == size
    with Parking(tmp_path, 3 * size) as parking:
        assert [parking.wanted(one, n) for n in (1, 3, 4)] == [False, False, True]


def test_of_frames_that_are_compared_most_of_the_budget_is_left_to_the_steps(tmp_path):
    one = frame()
    one.window = Window((100, 80), (20, 30))
    with Parking(tmp_path, 8 * bytes_of(one)) as parking:
        assert [parking.wanted(one, n) for n in (2, 3)] == [False, True]


@pytest.mark.skipif(
    not (_STATM.exists() and hasattr(mmap, "MADV_DONTNEED")), reason="the system tells no mapped memory"
)
def test_memory_that_was_read_is_given_back(tmp_path):
    frames = [frame(k, (1000, 1000)) for k in range(12)]
    sums = [float(one.data.sum(dtype=np.float64)) for one in frames]

    def mapped():
        return int(_STATM.read_bytes().split()[2]) * mmap.PAGESIZE

    start = mapped()
    with Parking(tmp_path, 20_000_000) as parking:
        for one in frames:
            parking.park(one)
        again = [float(one.data.sum(dtype=np.float64)) for one in frames]
        deadline = time.monotonic() + 10
        while mapped() > start + 20_000_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert mapped() <= start + 20_000_000
    assert again == sums


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    class Full:
        def close(self):
            return None

        def tell(self):
            return 0

        def seek(self, _):
            return None

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with Parking(tmp_path, 0) as parking, pytest.raises(SetupError, match=r"the disk of .* is full.*--memory"):
        parking.park(frame())


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with Parking(tmp_path / "nowhere", 0) as parking, pytest.raises(SetupError, match="cannot be kept there"):
        parking.park(frame())


def test_parked_planes_are_read_by_rows_and_in_boxes(tmp_path):
    one, original = frame(), frame()
    assert by_rows(one.data) is one.data
    with Parking(tmp_path, 0) as parking:
        parking.park(one)
        rows = by_rows(one.data)
        assert isinstance(rows, RowsOnDisk)
        assert rows.shape == original.data.shape
        np.testing.assert_array_equal(rows[10:20], original.data[10:20])
        assert rows[10:20].flags.owndata
        box = rows[5:25, 10:30]
        assert box.shape == (20, 20)
        np.testing.assert_array_equal(box[3:9], original.data[8:14, 10:30])


def test_small_frames_share_a_file_and_keep_their_planes(tmp_path, monkeypatch):
    made = []
    usual = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **words: made.append(1) or usual(**words))
    monkeypatch.setattr("keyhole.frames.parking._SHARED", 5 * bytes_of(frame()))
    frames, expected = [frame(k) for k in range(12)], [frame(k) for k in range(12)]
    with Parking(tmp_path, 0) as parking:
        for one in frames:
            parking.park(one)
        assert 2 <= len(made) <= 4
        for k in (0, 5, 7):
            frames[k] = None
        for one, other in zip(frames, expected, strict=True):
            if one is not None:
                np.testing.assert_array_equal(one.data, other.data)
                np.testing.assert_array_equal(one.mask, other.mask)
                np.testing.assert_array_equal(one.planes["OBJMASK"], other.planes["OBJMASK"])
                assert not one.data.flags.writeable
    assert list(tmp_path.iterdir()) == []
