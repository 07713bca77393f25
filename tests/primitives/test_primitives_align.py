"""detectSources, adjustWCSToReference, resampleToCommonFrame, scaleCountsToReference and stackFrames."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import SCALE, FakeContext, electrons
from sky_scene import moffat

from keyhole.errors import DataError, InputError
from keyhole.frames import Table
from keyhole.primitives.adjust import AdjustParams, adjust_wcs
from keyhole.primitives.align import (
    ResampleParams,
    ScaleParams,
    resample_to_common_frame,
    scale_counts,
)
from keyhole.primitives.sources import DetectParams, detect
from keyhole.primitives.stack import StackFramesParams, stack_frames
from keyhole.primitives.wcs import plane_of

SHAPE = (90, 120)
STARS = np.array([(30.0, 30.0, 4e5), (80.0, 55.0, 2e5), (55.0, 70.0, 1e5), (95.0, 25.0, 8e4), (20.0, 65.0, 6e4)])
SHIFTS = np.array([(0.0, 0.0), (7.4, -3.3), (-5.7, 4.6), (3.2, 8.1)])
ERRORS = np.array([(0.0, 0.0), (0.8, -0.5), (-0.6, 0.9), (0.4, 0.7)])


def sequence(shifts=SHIFTS, errors=ERRORS, *, factors=None, seed=4, sigma=12.0):
    """Sky-subtracted frames; headers know the shifts but not the errors."""
    rng = np.random.default_rng(seed)
    frames = []
    for i, (shift, error) in enumerate(zip(shifts, errors, strict=True)):
        factor = 1.0 if factors is None else factors[i]
        data = rng.normal(0, sigma, SHAPE)
        for x, y, flux in STARS:
            data += factor * moffat(SHAPE, *(np.array([x, y]) + shift + error), flux, 4.0)
        frame = electrons(
            data,
            number=i,
            variance=sigma**2,
            crpix=(60.0 + shift[0], 45.0 + shift[1]),
            QOFFSET=float(shift[0] * SCALE),
            POFFSET=float(-shift[1] * SCALE),
        )
        frames.append(frame)
    return frames


def registered(frames, context=None, **parameters):
    context = context or FakeContext()
    frames = detect(frames, DetectParams(), context)
    return adjust_wcs(frames, AdjustParams(**parameters), context)


def found_shifts(frames):
    reference = plane_of(frames[0])
    sky = reference.pixel_to_sky(np.array([59.0]), np.array([44.0]))
    places = np.array([np.ravel(plane_of(frame).sky_to_pixel(*sky)) for frame in frames])
    return places - [59.0, 44.0]


def test_sources_are_measured_with_positions_on_pixel_and_sky():
    frame = detect(sequence(SHIFTS[:1], ERRORS[:1]), DetectParams(), FakeContext())[0]
    table = frame.tables["OBJCAT"].columns
    assert len(table["X_IMAGE"]) == len(STARS)
    brightest = int(np.argmax(table["FLUX_AUTO"]))
    assert (table["X_IMAGE"][brightest], table["Y_IMAGE"][brightest]) == pytest.approx((31.0, 31.0), abs=0.05)
    x, _ = plane_of(frame).sky_to_pixel(table["X_WORLD"], table["Y_WORLD"])
    np.testing.assert_allclose(x + 1, table["X_IMAGE"], atol=1e-3)
    assert frame.planes["OBJMASK"].any()
    assert 0.5 < frame.primary["MEANFWHM"] / (4.0 * SCALE) < 1.5


def test_frames_are_registered_to_a_small_part_of_a_pixel():
    frames = registered(sequence())
    np.testing.assert_allclose(found_shifts(frames), SHIFTS + ERRORS, atol=0.05)
    assert all(frame.primary["REGMETH"] == "sources" for frame in frames)


def test_frame_that_lies_two_arcsec_aside_is_found_and_named():
    errors = ERRORS.copy()
    errors[2] += (13.0, -12.0)
    context = FakeContext()
    frames = registered(sequence(errors=errors), context)
    np.testing.assert_allclose(found_shifts(frames), SHIFTS + errors, atol=0.05)
    assert any("N20120117S0016" in text for text in context.caveats)


def test_frame_without_sources_keeps_the_commanded_place_with_a_warning():
    context = FakeContext()
    frames = sequence()
    frames[1].data = np.random.default_rng(1).normal(0, 12, SHAPE).astype(np.float32)
    registered(frames, context)
    assert frames[1].primary["REGMETH"] == "offsets"
    assert np.abs(found_shifts(frames)[1] - SHIFTS[1]).max() < 1.5
    assert any("too few sources" in text for text in context.caveats)


def test_offsets_alone_are_used_when_asked():
    frames = registered(sequence(), method="offsets")
    np.testing.assert_allclose(found_shifts(frames), SHIFTS, atol=0.02)


@pytest.mark.parametrize("missing", [None, -9999.0])
def test_wcs_serves_where_offsets_are_unknown(missing):
    frames = sequence()
    for frame in frames:
        for key in ("POFFSET", "QOFFSET"):
            if missing is None:
                del frame.primary[key]
            else:
                frame.primary[key] = missing
    np.testing.assert_allclose(found_shifts(registered(frames)), SHIFTS + ERRORS, atol=0.05)


def test_unknown_position_angle_of_one_frame_does_no_harm():
    frames = sequence()
    frames[2].primary["PA"] = -9999.0
    context = FakeContext()
    np.testing.assert_allclose(found_shifts(registered(frames, context)), SHIFTS + ERRORS, atol=0.05)
    assert not any("rotated" in text for text in context.notes)


def test_one_wrong_header_does_not_decide_the_wcs_of_all():
    frames = sequence()
    good = plane_of(frames[1])
    angle = np.radians(2.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wrong = turn @ np.array(good.cd)
    for i, j in np.ndindex(2, 2):
        frames[0].header[f"CD{i + 1}_{j + 1}"] = float(wrong[i, j])
    frames[0].header["CRVAL1"] += 6 / 3600
    registered(frames)
    np.testing.assert_allclose(plane_of(frames[0]).cd, good.cd, atol=1e-12)
    assert abs(plane_of(frames[0]).crval[0] - good.crval[0]) * 3600 < 0.3


def test_grid_holds_all_pixels_of_all_frames():
    frames = resample_to_common_frame(registered(sequence()), ResampleParams(), FakeContext())
    ny, nx = frames[0].data.shape
    assert (ny, nx) >= (SHAPE[0] + 11, SHAPE[1] + 13)
    for frame in frames:
        assert frame.data.shape == frame.variance.shape == frame.mask.shape == (ny, nx)
        inside = (frame.mask & 16) == 0
        assert abs(int(inside.sum()) - SHAPE[0] * SHAPE[1]) < 2 * sum(SHAPE) + 5
        assert (frame.variance[inside] > 0).all()
        assert (frame.data[~inside] == 0).all()
        assert frame.header["AREATYPE"] == "P4"
    np.testing.assert_allclose(found_shifts(frames), 0, atol=1e-6)


def stacked(frames, context=None):
    context = context or FakeContext()
    frames = resample_to_common_frame(registered(frames, context), ResampleParams(), context)
    frames = scale_counts(frames, ScaleParams(), context)
    return stack_frames(frames, StackFramesParams(), context)[0]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_stack_keeps_the_light_of_the_stars(n):
    out = stacked(sequence(SHIFTS[:n], ERRORS[:n]))
    again = detect([out], DetectParams(), FakeContext())[0].tables["OBJCAT"].columns
    y, x = np.mgrid[: out.data.shape[0], : out.data.shape[1]]
    brightest = int(np.argmax(again["FLUX_AUTO"]))
    circle = np.hypot(x + 1 - again["X_IMAGE"][brightest], y + 1 - again["Y_IMAGE"][brightest]) < 10
    alpha = 4.0 / (2 * (2 ** (1 / 3) - 1) ** 0.5)
    assert out.data[circle].sum() == pytest.approx(4e5 * (1 - (1 + (10 / alpha) ** 2) ** -2), rel=0.005)
    assert out.primary["NCOMBINE"] == n
    assert out.primary["TOTEXP"] == 60.0 * n
    assert [out.primary[f"IMCMB{i + 1:03d}"] for i in range(n)] == [f"N20120117S{14 + i:04d}.fits" for i in range(n)]
    assert out.primary["DATALAB"].endswith("-STACK")
    assert np.isfinite(out.data).all()


def test_one_frame_passes_as_its_own_stack():
    context = FakeContext()
    frame = sequence(SHIFTS[:1], ERRORS[:1])[0]
    data = frame.data
    out = stacked([frame], context)
    assert out.data is data
    assert out.primary["NCOMBINE"] == 1
    assert not context.caveats


def cloudy():
    frames = registered(sequence(factors=[0.4, 1.0, 1.0, 1.0]))
    return resample_to_common_frame(frames, ResampleParams(), FakeContext())


def test_clouds_are_told_and_scaled_to_the_median_frame():
    frames = cloudy()
    context = FakeContext()
    before, variance = [frame.data for frame in frames], frames[0].variance.copy()
    scale_counts(frames, ScaleParams(), context)
    assert "N20120117S0014 0." in context.caveats[0]
    # A cloudy first frame does not drag the others down.
    np.testing.assert_allclose(frames[0].data, before[0] * 2.5, rtol=0.02, atol=0.1)
    np.testing.assert_allclose(frames[0].variance, variance * 6.25, rtol=0.04)
    np.testing.assert_allclose(frames[2].data, before[2], rtol=0.01, atol=0.5)
    assert all(frame.header["FLUXREF"] == "MEDIAN" for frame in frames)
    assert frames[0].header["EFFRDN"] == pytest.approx(25.0, rel=0.02)
    assert frames[0].header["EFFGAIN"] == pytest.approx(0.4, rel=0.02)


def test_cloudy_frames_have_little_weight():
    frames = scale_counts(cloudy(), ScaleParams(), FakeContext())
    out = stack_frames(frames, StackFramesParams(), FakeContext())[0]
    assert out.primary["WTCMB001"] / out.primary["WTCMB002"] == pytest.approx(0.16, rel=0.05)
    assert out.header["FLUXREF"] == "MEDIAN"


def test_published_scaling_leaves_clouds_alone():
    frames = cloudy()
    before = [frame.data for frame in frames]
    scale_counts(frames, ScaleParams(clouds=1), FakeContext())
    assert all(frame.data is data for frame, data in zip(frames, before, strict=True))
    assert not any("FLUXREF" in frame.header for frame in frames)
    scale_counts(frames, ScaleParams(clouds=1, tolerance=1), FakeContext())
    np.testing.assert_allclose(frames[0].data, before[0] * 2.5, rtol=0.02, atol=0.1)


def with_stars(flux, error):
    x, y = np.array([30.0, 80.0, 55.0])[: len(flux)], np.array([30.0, 55.0, 70.0])[: len(flux)]
    columns = {"X_IMAGE": x, "Y_IMAGE": y, "FLUX_AUTO": np.array(flux), "FLUXERR_AUTO": np.array(error)}
    frame = electrons(np.ones(SHAPE))
    frame.tables["OBJCAT"] = Table(columns | {"FLAGS": np.zeros(len(flux), np.int16)})
    return frame


@pytest.mark.parametrize(("share", "told"), [(0.04, False), (0.001, True)])
def test_faint_stars_alone_do_not_tell_that_a_frame_is_cloudy(share, told):
    clear = [with_stars([1e4, 2e4, 1e6], [1e4 * share, 2e4 * share, 1e3]) for _ in range(4)]
    frame = with_stars([0.9e4, 1.8e4], [1e4 * share, 2e4 * share])
    context = FakeContext()
    scale_counts([*clear, frame], ScaleParams(), context)
    assert any("transparency changed" in caveat for caveat in context.caveats) is told
    assert frame.data[0, 0] == (pytest.approx(1 / 0.9, rel=0.01) if told else 1)


def test_counts_are_scaled_by_exposure_time():
    frames = sequence()
    frames[1].primary["EXPTIME"] = 30.0
    data = frames[1].data
    scale_counts(frames, ScaleParams(), FakeContext())
    np.testing.assert_allclose(frames[1].data, 2 * data, rtol=1e-6)
    assert frames[1].primary["EXPTIME"] == 60.0
    assert frames[1].primary["ORIGTEXP"] == 30.0


def test_frames_of_different_shapes_are_refused():
    with pytest.raises(DataError, match="resample them"):
        stack_frames([electrons(np.zeros((5, 6))), electrons(np.zeros((6, 6)))], StackFramesParams(), FakeContext())


def test_unknown_reference_is_refused():
    with pytest.raises(InputError, match="no input is called nothing"):
        resample_to_common_frame(sequence(), ResampleParams(reference="nothing.fits"), FakeContext())


def test_star_cores_survive_changing_seeing_and_saturation_is_told():
    rng = np.random.default_rng(9)
    frames = []
    for i, fwhm in enumerate((3.2, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5, 4.1, 4.2, 4.3, 4.0, 4.1)):
        data = moffat(SHAPE, 60.3, 45.2, 4e5, fwhm) + rng.normal(0, 12, SHAPE)
        frames.append(electrons(data, number=i, variance=144.0))
    frames[3].data[20, 20] += 3000
    frames[0].mask[45, 60] = 4
    mean = np.mean([frame.data for frame in frames], axis=0)
    as_published = StackFramesParams(reject_method="sigclip", hsigma=3, lsigma=3, signal_tolerance=0)
    published = stack_frames(frames, as_published, FakeContext())[0]
    out = stack_frames(frames, StackFramesParams(), FakeContext())[0]
    core = np.s_[42:49, 57:64]
    np.testing.assert_allclose(out.data[core], mean[core], rtol=1e-5)
    assert published.data[45, 60] < 0.98 * mean[45, 60]
    assert abs(out.data[20, 20]) < 40
    assert out.mask[45, 60] == published.mask[45, 60] == 4
