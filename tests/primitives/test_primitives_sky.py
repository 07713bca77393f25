"""separateSky, associateSky and skyCorrect on small dithered frames."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import SCALE, FakeContext, electrons
from sky_scene import make_scene

from keyhole.primitives.sky import (
    AssociateSkyParams,
    SeparateSkyParams,
    SkyCorrectParams,
    associate_sky,
    separate_sky,
    sky_correct,
)


def sequence(scene):
    """The frames of a scene with headers that tell its shifts."""
    frames = []
    for i, data in enumerate(scene.frames):
        dx, dy = scene.shifts[i]
        mask = np.where(scene.lit, 0, 64).astype(np.uint16)
        frame = electrons(
            data,
            number=i,
            variance=scene.variances[i],
            mask=mask,
            crpix=(150.0 + dx, 50.0 + dy),
            POFFSET=-dy * SCALE,
            QOFFSET=dx * SCALE,
        )
        frame.header["LITLEVEL"] = float(np.median(data[scene.lit]))
        frames.append(frame)
    return frames


def corrected(frames, context=None, **parameters):
    context = context or FakeContext()
    frames = separate_sky(frames, SeparateSkyParams(), context)
    frames = associate_sky(frames, AssociateSkyParams(), context)
    return sky_correct(frames, SkyCorrectParams(**parameters), context)


def residual(scene, frame, i):
    """Median of what is left where no star is, in units of a pixel's noise."""
    quiet = scene.lit & (scene.stars[i] < 5)
    return float(np.median(frame.data[quiet])) / 60


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_sky_is_removed_from_any_number_of_frames(n):
    scene = make_scene(n)
    context = FakeContext()
    frames = corrected(sequence(scene), context)
    assert len(frames) == n
    for i, frame in enumerate(frames):
        assert abs(residual(scene, frame, i)) < (0.1 if n == 1 else 0.05)
        assert frame.header["NSKY"] == n - 1
        assert frame.header["SKYLEVEL"] == pytest.approx(np.median(scene.skies[i][scene.lit]), rel=0.01)
        assert "SKYTABLE" not in frame.tables
    # The light of the brightest star is still there.
    for i, frame in enumerate(frames):
        star = (scene.stars[i] > 500) & scene.lit
        assert frame.data[star].sum() == pytest.approx(scene.stars[i][star].sum(), rel=0.02)
    told = any("own smooth background" in text for text in context.caveats)
    assert told == (n == 1)


def test_objects_may_be_left_in_the_skies_as_published():
    scene = make_scene(5)
    masked = corrected(sequence(scene))
    plain = corrected(sequence(scene), mask_objects=False, operation="median", reject_method="none")
    bias = [[residual(scene, frame, i) for i, frame in enumerate(frames)] for frames in (masked, plain)]
    assert np.mean(bias[1]) < np.mean(bias[0]) - 0.01


def test_frame_at_another_place_than_commanded_is_masked_where_its_stars_are():
    scene = make_scene(7, brightest=1e5)
    frames = sequence(scene)
    # The header of one frame is wrong by two arcsec in each direction.
    frames[3].primary["POFFSET"] += 2.0
    frames[3].primary["QOFFSET"] -= 2.0
    frames = corrected(frames)
    for i in (2, 4):
        ghost = (scene.stars[3] > 200) & (scene.stars[i] < 5) & scene.lit
        assert abs(np.median(frames[i].data[ghost])) < 0.25 * 60


def test_frame_without_light_is_left_out_and_named():
    scene = make_scene(4)
    frames = sequence(scene)
    frames[2].data = np.random.default_rng(1).normal(0, 12, scene.lit.shape).astype(np.float32)
    frames[2].header["LITLEVEL"] = 0.4
    context = FakeContext()
    kept = separate_sky(frames, SeparateSkyParams(), context)
    assert [frame.root[-2:] for frame in kept] == ["14", "15", "17"]
    assert any("N20120117S0016" in text and "left out" in text for text in context.caveats)
    assert len(context.streams["sky"]) == 3


def test_faint_sky_says_nothing_about_a_closed_telescope():
    frames = sequence(make_scene(3))
    for frame, level in zip(frames, (4.0, 0.1, 3.0), strict=True):
        frame.header["LITLEVEL"] = level
    assert len(separate_sky(frames, SeparateSkyParams(), FakeContext())) == 3


def test_offset_sky_frames_serve_as_sky_only():
    scene = make_scene(6)
    frames = sequence(scene)
    for frame in frames[1::2]:
        frame.primary["QOFFSET"] += 100.0
    context = FakeContext()
    on_target = separate_sky(frames, SeparateSkyParams(), context)
    assert [frame.root[-2:] for frame in on_target] == ["14", "16", "18"]
    assert {frame.root[-2:] for frame in context.streams["sky"]} >= {"15", "17", "19"}
    on_target = associate_sky(on_target, AssociateSkyParams(), context)
    result = sky_correct(on_target, SkyCorrectParams(), context)
    for i, frame in zip((0, 2, 4), result, strict=True):
        assert abs(residual(scene, frame, i)) < 0.05


def test_skies_are_other_pointings_near_in_time():
    scene = make_scene(6)
    frames = sequence(scene)
    frames[1].primary["QOFFSET"] = frames[0].primary["QOFFSET"]
    frames[1].primary["POFFSET"] = frames[0].primary["POFFSET"]
    context = FakeContext()
    frames = separate_sky(frames, SeparateSkyParams(), context)
    frames = associate_sky(frames, AssociateSkyParams(time=130.0, min_skies=1), context)
    names = [str(name)[-2:] for name in frames[0].tables["SKYTABLE"].columns["SKYNAME"]]
    assert names == ["16"]


@pytest.mark.parametrize(("limit", "words"), [(130.0, "further in time"), (600.0, "skies exist")])
def test_few_skies_are_told_with_the_reason(limit, words):
    context = FakeContext()
    frames = separate_sky(sequence(make_scene(4)), SeparateSkyParams(), context)
    associate_sky(frames, AssociateSkyParams(time=limit, min_skies=3 if limit < 600 else 5), context)
    assert any(words in text for text in context.caveats)


def test_what_the_sky_left_is_told_of_each_frame_when_it_is_wanted():
    scene, context = make_scene(5), FakeContext(details=True)
    for frame in corrected(sequence(scene), context):
        left, error, _ = context.measured[frame.root, "sky_residual"]
        assert 0 < error < 2
        assert abs(left) < 8 * error
        assert context.measured[frame.root, "sky_level"][0] == frame.header["SKYLEVEL"]


def test_frame_without_light_says_why_it_was_left_out():
    frames, context = sequence(make_scene(4)), FakeContext()
    frames[2].header["LITLEVEL"] = 0.0
    corrected(frames, context)
    assert "light" in context.measured[frames[2].root, "left_out"][0]
