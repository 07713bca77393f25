"""flagCosmicRays on small registered frames, and what becomes of the flags in the stack."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import SCALE, FakeContext, electrons
from sky_scene import moffat

from keyhole.imaging.bits import BAD, COSMIC_RAY
from keyhole.primitives.align import ResampleParams, resample_to_common_frame
from keyhole.primitives.cosmicrays import CosmicRayParams, flag_cosmic_rays
from keyhole.primitives.stack import StackFramesParams, stack_frames

SHAPE = (60, 80)
SHIFTS = np.array([(0.0, 0.0), (6.4, -3.3), (-5.7, 4.6), (3.2, 6.1), (-2.2, -5.4)])
SIGMA = 12.0
PLACE = (45, 20)


def frames(n: int, *, seed: int = 3, hit: float = 20 * SIGMA):
    """Frames that are registered already; the first has a hit."""
    rng = np.random.default_rng(seed)
    out = []
    for i, (dx, dy) in enumerate(SHIFTS[:n]):
        data = moffat(SHAPE, 40 + dx, 30 + dy, 1e5, 4.0) + rng.normal(0, SIGMA, SHAPE)
        if i == 0:
            data[PLACE] += hit
        frame = electrons(
            data, number=i, variance=SIGMA**2 + moffat(SHAPE, 40 + dx, 30 + dy, 1e5, 4.0), crpix=(41 + dx, 31 + dy)
        )
        frame.primary["MEANFWHM"] = 4.0 * SCALE
        out.append(frame)
    return out


def flag(inputs, context=None, **parameters):
    return flag_cosmic_rays(inputs, CosmicRayParams(**parameters), context or FakeContext())


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_hit_is_flagged_with_any_number_of_frames(n: int) -> None:
    context = FakeContext()
    out = flag(frames(n), context)
    assert [[tuple(p) for p in np.argwhere(f.mask & COSMIC_RAY)] for f in out] == [[PLACE], *[[]] * (n - 1)]
    assert [f.header["NCRPIX"] for f in out] == [1, *[0] * (n - 1)]
    assert bool(context.caveats) == (n < 3)
    assert context.notes == ["1 pixels hit by cosmic rays, at most 1 in one frame"]


def test_data_stay_as_they_are_and_old_flags_too() -> None:
    inputs = frames(3)
    inputs[1].mask[10, 10] = BAD
    before = [(f.data.copy(), f.variance.copy(), f.mask) for f in inputs]
    for frame, (data, variance, mask) in zip(flag(inputs), before, strict=True):
        np.testing.assert_array_equal(frame.data, data)
        np.testing.assert_array_equal(frame.variance, variance)
        assert frame.mask is not mask
        assert (frame.mask & mask == mask).all()


def test_step_can_be_switched_off_as_published() -> None:
    inputs = frames(3)
    out = flag(inputs, method="none")
    assert out is inputs
    assert not any(frame.mask.any() for frame in out)


def test_frames_without_mask_or_seeing_are_taken() -> None:
    inputs = frames(3)
    for frame in inputs:
        frame.mask = None
        del frame.primary["MEANFWHM"]
    out = flag(inputs)
    assert np.argwhere(out[0].mask).tolist() == [list(PLACE)]


def test_frame_that_does_not_fit_the_others_is_told() -> None:
    inputs = frames(5)
    rng = np.random.default_rng(8)
    spoiled = inputs[2].data.copy()
    spoiled[rng.random(SHAPE) < 0.03] += 1e4
    inputs[2].data = spoiled
    context = FakeContext()
    flag(inputs, context)
    assert any("check its alignment" in text for text in context.caveats)


def test_hit_leaves_no_trace_in_the_stack_and_costs_one_frame_there() -> None:
    context = FakeContext()
    aligned = resample_to_common_frame(flag(frames(3)), ResampleParams(trim_data=True), context)
    out = stack_frames(aligned, StackFramesParams(save_rejection_map=True, reject_method="none"), context)[0]
    assert out.mask[PLACE] == 0
    assert abs(out.data[PLACE]) < 4 * SIGMA / np.sqrt(2)
    assert out.variance[PLACE] == pytest.approx(1.5 * np.median(out.variance), rel=0.35)
    plain = resample_to_common_frame(frames(3), ResampleParams(trim_data=True), context)
    assert stack_frames(plain, StackFramesParams(reject_method="none"), context)[0].data[PLACE] > 5 * SIGMA


@pytest.mark.parametrize("n", [1, 3])
def test_pixel_without_a_good_value_is_filled_flagged_and_uncertain(n: int) -> None:
    inputs = frames(n, hit=0.0)
    for frame in inputs:
        frame.data = frame.data.copy()
        frame.data[PLACE], frame.mask[PLACE] = 1e5, COSMIC_RAY
        if n > 1:
            frame.header["CRPIX1"], frame.header["CRPIX2"] = 41.0, 31.0
    context = FakeContext()
    out = stack_frames(inputs, StackFramesParams(), context)[0]
    assert out.mask[PLACE] == COSMIC_RAY
    assert abs(out.data[PLACE]) < 4 * SIGMA
    assert out.variance[PLACE] > 1.2 * np.median(out.variance)
    assert any("filled from around" in text for text in context.notes)


def test_as_published_nothing_is_filled() -> None:
    inputs = frames(1, hit=0.0)
    inputs[0].data[PLACE], inputs[0].mask[PLACE] = 1e5, COSMIC_RAY
    assert stack_frames(inputs, StackFramesParams(fill_holes=False), FakeContext())[0].data[PLACE] == 1e5
