"""stackDarks, makeLampFlat, normalizeFlat, thresholdFlatfield and the steps that store."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, raw_dark, raw_flat

from keyhole.errors import InputError
from keyhole.primitives.flat import NormalizeFlatParams, ThresholdFlatParams, normalize_flat, threshold_flatfield
from keyhole.primitives.stack import LampFlatParams, StackDarksParams, make_lamp_flat, stack_darks
from keyhole.primitives.store import (
    StoreDarkParams,
    StoreFlatParams,
    StoreScienceParams,
    store_processed_dark,
    store_processed_flat,
    store_processed_science,
)

SHAPE = (60, 80)
FIXED = 70 + 3 * np.random.default_rng(8).standard_normal(SHAPE)


def darks(n, *, rays=True):
    rng = np.random.default_rng(2)
    frames = []
    for i in range(n):
        data = FIXED + rng.normal(0, 10, SHAPE)
        if rays:
            data[10 + i, 20] += 5000
        data[40, 40] = 60000
        frame = raw_dark(data, name=f"N20120102S{538 + i:04d}.fits")
        frame.variance = np.full(SHAPE, 150, np.float32)
        frame.mask = np.zeros(SHAPE, np.uint16)
        frames.append(frame)
    return frames


def test_dark_is_a_mean_without_cosmic_rays_whose_variance_is_the_measured_one():
    context = FakeContext()
    out = stack_darks(darks(10), StackDarksParams(), context)[0]
    good = out.mask == 0
    pull = (out.data - FIXED)[good] / np.sqrt(out.variance[good])
    assert np.std(pull) == pytest.approx(1, abs=0.05)
    assert np.abs(out.data - FIXED)[10:20, 20].max() < 6 * 10 / 3
    assert out.primary["NCOMBINE"] == 10
    assert not context.caveats


def test_hot_pixel_of_the_dark_is_flagged_and_keeps_its_value():
    out = stack_darks(darks(6), StackDarksParams(), FakeContext())[0]
    assert out.mask[40, 40] == 1
    assert out.data[40, 40] == 60000


def test_master_dark_says_how_many_bad_pixels_it_learnt_and_from_what():
    frames = darks(8)
    rng = np.random.default_rng(9)
    for frame in frames:
        frame.data[50, 10:30] += rng.normal(0, 200, 20).astype(np.float32)
        frame.mask[5, 5] = 1
        frame.primary["BPMSRC"] = "processed_bpm: bpm.fits"
    context = FakeContext()
    out = stack_darks(frames, StackDarksParams(), context)[0]
    bad = np.argwhere(out.mask & 1).tolist()
    assert [5, 5] in bad and [40, 40] in bad
    noisy = sum(place[0] == 50 and 10 <= place[1] < 30 for place in bad)
    assert noisy >= 18
    hot, restless = out.primary["NHOTPIX"], out.primary["NNOISYPX"]
    assert hot + restless == len(bad) - 1
    assert 1 <= hot <= 21
    assert out.primary["BPMSRC"] == "processed_bpm: bpm.fits; learnt: 8 darks of 60 s"
    assert f"{hot} hot or cold, {restless} noisy" in " ".join(out.primary["HISTORY"])
    assert any("noisy pixels flagged" in note for note in context.notes)


def test_excess_counts_when_its_photon_noise_exceeds_the_noise_of_a_dark():
    frames = darks(10, rays=False)
    for frame in frames:
        frame.data[5, 5] += 160
        frame.data[5, 9] += 60
    assert stack_darks(frames, StackDarksParams(), FakeContext())[0].mask[5, [5, 9]].tolist() == [1, 0]
    strict = StackDarksParams(hot_minimum=30)
    assert stack_darks(frames, strict, FakeContext())[0].mask[5, [5, 9]].tolist() == [1, 1]


def test_learning_can_be_switched_off():
    out = stack_darks(darks(6), StackDarksParams(learn_bad_pixels=False), FakeContext())[0]
    assert not out.mask.any()
    assert "NHOTPIX" not in out.primary


def test_darks_of_several_exposures_become_one_master_each():
    frames = darks(6)
    for frame in frames[4:]:
        frame.primary["EXPTIME"] = 5.0
    context = FakeContext()
    out = stack_darks(frames, StackDarksParams(), context)
    assert [(f.primary["NCOMBINE"], f.describe("exposure_time")) for f in out] == [(4, 60), (2, 5)]
    assert [f.primary["BPMSRC"] for f in out] == ["learnt: 4 darks of 60 s", "learnt: 2 darks of 5 s"]


def test_single_dark_is_accepted_with_a_warning():
    context = FakeContext()
    out = stack_darks(darks(1), StackDarksParams(), context)[0]
    assert np.isfinite(out.variance).all()
    assert "single dark" in context.caveats[0]


def test_flat_among_darks_is_refused():
    with pytest.raises(InputError, match=r"N20120117S0034\.fits is no dark"):
        stack_darks([*darks(2), raw_flat(FIXED)], StackDarksParams(), FakeContext())


def flats(n_on, n_off, *, level=20000.0):
    rng = np.random.default_rng(3)
    frames = []
    for i in range(n_on + n_off):
        lamp = i < n_on
        light = np.zeros(SHAPE)
        light[10:50] = level
        light[20, 20:24] = (50, 0, 40000, 20 * level)
        data = FIXED + (rng.poisson(light) if lamp else 0) + rng.normal(0, 10, SHAPE)
        frame = raw_flat(data, lamp=lamp, name=f"N20120117S{34 + i:04d}.fits")
        frame.variance = (100 + (light if lamp else 0 * light)).astype(np.float32)
        frame.mask = np.zeros(SHAPE, np.uint16)
        frames.append(frame)
    return frames


def master_flat(frames, context):
    out = make_lamp_flat(frames, LampFlatParams(), context)[0]
    out.mask[:10] |= np.uint16(64)
    out.mask[50:] |= np.uint16(64)
    out = normalize_flat([out], NormalizeFlatParams(), context)[0]
    return threshold_flatfield([out], ThresholdFlatParams(), context)[0]


def test_flat_is_one_in_the_keyhole_and_weak_pixels_are_flagged():
    context = FakeContext()
    out = master_flat(flats(6, 6), context)
    good = out.mask == 0
    assert np.median(out.data[good]) == pytest.approx(1, abs=1e-6)
    pull = (out.data[good] - 1) / np.sqrt(out.variance[good])
    assert 1.4826 * np.median(np.abs(pull)) == pytest.approx(1, abs=0.1)
    assert out.header["FLATLEV"] == pytest.approx(20000, rel=0.01)
    assert (out.mask[20, 20:22] != 0).all()
    assert out.mask[20, 23] != 0
    assert (out.data > 0).all()
    assert not context.caveats
    assert out.primary["NLAMPOFF"] == 6


def test_master_flat_says_how_many_bad_pixels_it_learnt_and_from_what():
    context = FakeContext()
    out = master_flat(flats(6, 6), context)
    assert (out.mask[20, 20:24] & 1).all()
    # What is dead is not unlit.
    assert not (out.mask[20, 20:24] & 64).any()
    count = int(((out.mask & 1) != 0).sum())
    assert out.primary["NDEADPIX"] == count == 4
    assert out.primary["BPMSRC"] == "learnt: 12 flats"
    assert "4 dead or weak, learnt from 12 flats" in " ".join(out.primary["HISTORY"])


def test_missing_lamp_off_frames_are_told():
    context = FakeContext()
    out = master_flat(flats(4, 0), context)
    assert np.median(out.data[out.mask == 0]) == pytest.approx(1, abs=1e-6)
    assert "no lamp-off" in context.caveats[0]


def test_lamp_off_frames_alone_are_refused():
    with pytest.raises(InputError, match="lamp on"):
        make_lamp_flat(flats(0, 3), LampFlatParams(), FakeContext())


def test_different_exposure_times_of_the_flats_are_told():
    frames = flats(2, 2)
    for frame in frames[2:]:
        frame.primary["EXPTIME"] = 5.0
    context = FakeContext()
    make_lamp_flat(frames, LampFlatParams(), context)
    assert "differ in exposure time" in context.caveats[0]


def test_products_are_labelled_and_of_the_right_kind():
    dark = store_processed_dark(darks(1), StoreDarkParams(), FakeContext())[0]
    assert dark.primary["DATALAB"] == "GN-CAL20120102-9-001-SQ-DARK"
    flat = store_processed_flat([raw_flat(FIXED, DATALAB="GN-1-2-STACK")], StoreFlatParams(), FakeContext(mode="ql"))[0]
    assert flat.primary["DATALAB"] == "GN-1-2-QL-FLAT"
    image = store_processed_science([raw_flat(FIXED)], StoreScienceParams(), FakeContext())[0]
    assert image.primary["DATALAB"].endswith("-SQ-IMAGE")
    with pytest.raises(InputError, match="is no flat"):
        store_processed_flat(darks(1), StoreFlatParams(), FakeContext())
