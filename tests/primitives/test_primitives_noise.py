"""The books of the noise: from the masters through sky and interpolation to the tables of the stack."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons

from keyhole.frames import Frame, Table, read_frame, write_frame
from keyhole.imaging.combine import combine
from keyhole.primitives.calibrate import DarkParams, FlatParams, dark_correct, flat_correct
from keyhole.primitives.noise import (
    ApertureNoise,
    coverage,
    describe_noise,
    keep_sky_shares,
    record_interpolation,
    shared_noise,
    stack_inputs,
)
from keyhole.primitives.sources import DetectParams, detect
from keyhole.primitives.stack import StackFramesParams, stack_frames

SHAPE = (120, 160)


def noise_frame(number: int, *, sigma: float = 10.0, seed: int = 0) -> Frame:
    rng = np.random.default_rng(100 * seed + number)
    return electrons(rng.normal(0, sigma, SHAPE), number=number, variance=sigma**2)


def master(kind: str, value: float, variance: float) -> Frame:
    frame = electrons(np.full(SHAPE, value), variance=variance)
    frame.name = f"{kind}.fits"
    return frame


def corrected(dark: Frame, flat: Frame) -> Frame:
    frame = electrons(np.full(SHAPE, 460.0))
    context = FakeContext(masters={"processed_dark": dark, "processed_flat": flat})
    return flat_correct(dark_correct([frame], DarkParams(), context), FlatParams(), context)[0]


def test_noise_of_the_masters_is_written_down():
    frame = corrected(master("dark", 60.0, 9.0), master("flat", 0.5, 1e-4))
    assert frame.header["CALNOISE"] ** 2 == pytest.approx((9.0 + 800**2 * 1e-4) / 0.25, rel=1e-4)


def test_noise_of_masters_is_shared_only_with_skies_of_the_same_masters():
    flat = master("flat", 1.0, 0.0)
    first, second = (corrected(master("dark", 60.0, 9.0), flat) for _ in range(2))
    other = corrected(master("other", 60.0, 9.0), flat)
    shared = shared_noise([first, second, other], [[1], [0, 2], []])
    assert shared == [pytest.approx(9.0), 0.0, 0.0]


def test_sky_shares_travel_with_the_frame(tmp_path):
    frame = noise_frame(0)
    frame.header["CALNOISE"] = 3.0
    keep_sky_shares(frame, ["N2", "N3"], 0.2)
    assert "CALNOISE" not in frame.header
    item = stack_inputs([read_frame(write_frame(frame, tmp_path / "f.fits"))])[0]
    assert item.shares == {"N2": pytest.approx(0.1), "N3": pytest.approx(0.1)}
    alone = noise_frame(1)
    keep_sky_shares(alone, [], 0.0)
    assert stack_inputs([alone])[0].shares == {}


def test_noise_before_the_interpolation_is_what_weighs_a_frame():
    frame = noise_frame(0)
    record_interpolation(frame, "linear", 1.5, turned=False)
    frame.header["AREA1_1"], frame.header["AREA1_2"] = 1.5, 1.0
    assert frame.header["CORRNOIS"] == 1.5
    # Half-pixel linear interpolation left half of the variance.
    assert stack_inputs([frame])[0].sigma == pytest.approx(10 * 2**0.5)
    assert stack_inputs([frame])[0].shift == (-0.5, 0.0)


def test_stack_tells_how_its_pixels_vary_together():
    frames = [noise_frame(k) for k in range(4)]
    for frame in frames:
        record_interpolation(frame, "linear", 1.5, turned=False)
        frame.header["AREA1_1"], frame.header["AREA1_2"] = 1.5, 1.0
    out = stack_frames(frames, StackFramesParams(reject_method="none"), FakeContext())[0]
    table = out.tables["APNOISE"].columns
    assert table["RADIUS"][0] == 1.0
    assert (np.diff(table["PREDICTED"]) > 0).all()
    # Neighbours along x share half of their noise.
    assert table["PREDICTED"][-1] == pytest.approx(2**0.5, rel=0.03)
    assert out.header["CORRNOIS"] == pytest.approx(float(table["FACTOR"].max()), abs=1e-4)
    pairs = out.tables["NOISECOV"].columns
    known = {(int(x), int(y)): float(c) for x, y, c in zip(pairs["DX"], pairs["DY"], pairs["CORR"], strict=True)}
    assert known == {(0, 0): pytest.approx(1.0), (1, 0): pytest.approx(0.5)}
    assert out.header["SKYNOISE"] == pytest.approx(5.0)
    assert not {"INTERPOL", "RESTURN"} & set(out.header)


def test_shared_skies_raise_the_variance_of_the_stack():
    frames = [noise_frame(k) for k in range(2)]
    for frame in frames:
        keep_sky_shares(frame, ["sky"], 0.5)
    out = stack_frames(frames, StackFramesParams(), FakeContext())[0]
    np.testing.assert_allclose(out.variance, 1.5 * 100 / 2, rtol=1e-5)
    assert "SKYUSED" not in out.tables


def test_stack_of_stacks_keeps_correlation_and_coverage():
    frames = [noise_frame(k) for k in range(3)]
    for frame in frames:
        record_interpolation(frame, "linear", 1.5, turned=False)
        frame.header["AREA1_1"], frame.header["AREA1_2"] = 1.5, 1.0
    frames[0].mask[:20] = 16
    first = stack_frames(frames, StackFramesParams(), FakeContext())[0]
    both = stack_frames([first, noise_frame(7)], StackFramesParams(), FakeContext())[0]
    assert both.planes["COVERAGE"][0, 0] == 3
    assert both.planes["COVERAGE"][50, 50] == 4
    # The stack of three smoothed frames has the smaller noise and so most of the weight.
    wide = both.tables["APNOISE"].columns["PREDICTED"][-1]
    assert 1.25 < wide < first.tables["APNOISE"].columns["PREDICTED"][-1]


def test_coverage_counts_what_was_used():
    frames = [noise_frame(k) for k in range(5)]
    frames[1].data[3, 3] = 1e4
    frames[2].mask[5, 5] = 1
    for frame in frames:
        frame.mask[8, 8] = 64
    combined = combine(
        [f.data for f in frames],
        [f.variance for f in frames],
        [f.mask for f in frames],
        operation="mean",
        reject_method="varclip",
        lsigma=9,
        hsigma=9,
    )
    count = coverage(frames, combined)
    assert (count[3, 3], count[5, 5], count[8, 8], count[0, 0]) == (4, 4, 0, 5)
    assert coverage(frames[:1], None)[8, 8] == 0


def test_measured_excess_is_adopted_in_table_and_catalogue():
    frames = [noise_frame(k, seed=3) for k in range(4)]
    blobs = np.random.default_rng(5).normal(0, 12, (SHAPE[0] // 8, SHAPE[1] // 8))
    for frame in frames:
        frame.data = (frame.data + np.kron(blobs, np.ones((8, 8)))).astype(np.float32)
        frame.data[60:63, 80:83] += 2000
    out = stack_frames(frames, StackFramesParams(reject_method="none"), FakeContext())[0]
    noise = ApertureNoise.of(out)
    before = noise.at(np.array([4.0]))[0]
    context = FakeContext()
    found = detect([out], DetectParams(), context)[0]
    table = found.tables["APNOISE"].columns
    at_four = int(np.flatnonzero(table["RADIUS"] == 4.0)[0])
    assert table["MEASURED"][at_four] > 1.5 * before
    assert table["FACTOR"][at_four] == table["MEASURED"][at_four]
    assert table["NUMBER"][at_four] > 20
    assert any("times as noisy as predicted" in text for text in context.notes)
    assert found.header["CORRNOIS"] >= table["FACTOR"][at_four] - 1e-3


def test_frames_without_books_have_independent_pixels():
    frame = noise_frame(0)
    assert not ApertureNoise.of(frame).known
    assert (ApertureNoise.of(frame).at(np.array([1.0, 9.0])) == 1).all()
    frame.variance = None
    describe_noise(frame, stack_inputs([frame]))
    np.testing.assert_allclose(frame.tables["APNOISE"].columns["FACTOR"], 1.0)
    assert frame.variance is None
    assert ApertureNoise(Table({"RADIUS": np.array([1.0]), "FACTOR": np.array([1.3])})).at(np.array([5.0]))[0] == 1.3
