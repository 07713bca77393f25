"""Work on the lit part alone gives what work on all pixels gives."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons

from keyhole.errors import CalibrationError
from keyhole.frames import Frame, Window, cut, share_window, whole
from keyhole.imaging import bits
from keyhole.primitives.align import ResampleParams, resample_to_common_frame
from keyhole.primitives.calibrate import DarkParams, dark_correct
from keyhole.primitives.outside import LimitParams, limit_to_light
from keyhole.primitives.readout import CleanReadoutParams, clean_readout
from keyhole.primitives.wcs import plane_of, set_plane

SHAPE = (160, 200)
LIGHT = (slice(60, 90), slice(40, 150))


def lit_frame(number: int, dx: float = 0.0, dy: float = 0.0) -> Frame:
    rng = np.random.default_rng(number)
    mask = np.full(SHAPE, bits.UNILLUMINATED, np.uint16)
    mask[LIGHT] = 0
    mask[70, 80 + number] = bits.BAD
    frame = electrons(np.where(mask == 64, 0, rng.normal(50, 1, SHAPE)), number=number, mask=mask)
    wcs = plane_of(frame)
    set_plane(frame, type(wcs)(crval=wcs.crval, crpix=(wcs.crpix[0] + dx, wcs.crpix[1] + dy), cd=wcs.cd))
    return frame


def limited(frames: list[Frame], **params: int | None) -> list[Frame]:
    out = limit_to_light([frame.copy() for frame in frames], LimitParams(**params), FakeContext())
    share_window(out)
    return out


def test_window_holds_the_light_with_its_margin_and_begins_on_the_grid_of_the_read_out() -> None:
    (frame,) = limited([lit_frame(0)])
    assert frame.window == Window(SHAPE, (48, 32))
    assert frame.data.shape == (90 + 8 - 48, 150 + 8 - 32)
    (frame,) = limited([lit_frame(0)], rows=20, columns=None)
    assert frame.window == Window(SHAPE, (32, 0))
    assert frame.data.shape == (90 + 20 - 32, 200)


@pytest.mark.parametrize("lit", [True, False])
def test_a_frame_without_edge_of_light_stays_whole(lit: bool) -> None:
    frame = lit_frame(0)
    frame.mask = np.full(SHAPE, 0 if lit else bits.UNILLUMINATED, np.uint16)
    (out,) = limit_to_light([frame], LimitParams(), FakeContext())
    assert out.window is None
    assert out.data.shape == SHAPE


def test_resampled_windows_lie_in_the_same_image_as_resampled_whole_frames() -> None:
    shifts = [(0.0, 0.0), (12.3, -7.6), (-30.25, 4.5)]
    frames = [lit_frame(k, *shift) for k, shift in enumerate(shifts)]
    wholes = resample_to_common_frame([frame.copy() for frame in frames], ResampleParams(), FakeContext())
    windows = resample_to_common_frame(limited(frames), ResampleParams(), FakeContext())
    assert len({frame.window for frame in windows}) == 1
    for one, other in zip(windows, wholes, strict=True):
        back = whole(one)
        assert back.data.shape == other.data.shape
        lit = bits.usable(other.mask)
        np.testing.assert_array_equal(bits.usable(back.mask), lit)
        np.testing.assert_array_equal(back.data[lit], other.data[lit])
        np.testing.assert_array_equal(back.variance[lit], other.variance[lit])
        for key in ("CRPIX1", "CRPIX2", "DATASEC", "AREA1_1", "AREA1_2", "AREA3_1", "AREA3_2"):
            assert back.header[key] == pytest.approx(other.header[key]), key
        np.testing.assert_allclose(plane_of(back).crpix, plane_of(other).crpix)


def test_resampled_windows_are_trimmed_to_the_image_of_the_reference() -> None:
    frames = [lit_frame(0), lit_frame(1, 60.4, 0.0)]
    wholes = resample_to_common_frame([frame.copy() for frame in frames], ResampleParams(trim_data=True), FakeContext())
    windows = resample_to_common_frame(limited(frames), ResampleParams(trim_data=True), FakeContext())
    for one, other in zip(windows, wholes, strict=True):
        assert whole(one).data.shape == other.data.shape == SHAPE
        lit = bits.usable(other.mask)
        np.testing.assert_array_equal(whole(one).data[lit], other.data[lit])


def test_readout_is_cleaned_in_a_window_of_rows_as_in_the_whole_frame() -> None:
    frame = lit_frame(0)
    noise = np.random.default_rng(9).normal(0, 1, SHAPE)
    frame.data = (frame.data + noise + np.where(np.arange(160)[:, None] % 2, 6.0, 0.0)).astype(np.float32)
    part = frame.copy()
    cut(part, slice(0, 160 - 6), slice(0, 200))
    (all_of_it,) = clean_readout([frame.copy()], CleanReadoutParams(), FakeContext())
    (cleaned,) = clean_readout([part], CleanReadoutParams(), FakeContext())
    assert np.ptp(all_of_it.data - frame.data) > 3
    np.testing.assert_allclose(cleaned.data[60:90], all_of_it.data[60:90], atol=1e-4)


def test_a_master_of_another_size_is_told_with_the_size_of_the_image() -> None:
    (frame,) = limited([lit_frame(0)])
    context = FakeContext()
    context.masters["processed_dark"] = electrons(np.zeros((170, 200)), number=5)
    with pytest.raises(CalibrationError, match=r"is 200 x 170 pixels, .* is 200 x 160; give one of the same size"):
        dark_correct([frame], DarkParams(), context)
