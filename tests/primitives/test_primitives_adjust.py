"""adjustWCSToReference where headers, offsets or sources fail."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import PA, SCALE, TARGET, FakeContext, cd_matrix, electrons
from sky_scene import moffat

from keyhole.frames import Table
from keyhole.primitives.adjust import AdjustParams, adjust_wcs
from keyhole.primitives.source_list import BLEND_ERROR, CUT_ERROR, source_list
from keyhole.primitives.sources import DetectParams, detect
from keyhole.primitives.wcs import matrix_of_angle, plane_of

SHAPE = (110, 150)
CENTRE = np.array([75.0, 55.0])
STARS = np.array([(45.0, 40.0, 4e5), (95.0, 62.0, 2e5), (70.0, 75.0, 1e5), (100.0, 38.0, 8e4), (52.0, 70.0, 6e4)])
SHIFTS = np.array([(0.0, 0.0), (19.4, -3.3), (-20.7, 4.6), (31.2, 8.1), (-33.0, -6.0), (10.1, 11.0)])
ERRORS = np.array([(0.0, 0.0), (0.8, -0.5), (-0.6, 0.9), (0.4, 0.7), (1.1, -0.9), (-0.7, 0.2)])


def frame_at(shift, told, *, number, stars=STARS, turn=0.0, **cards):
    """A sky-subtracted frame with its stars at `shift`, and a header that tells the offset `told`."""
    rng = np.random.default_rng(100 + number)
    data = rng.normal(0, 12, SHAPE)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    for x, y, flux in stars:
        place = np.array([[c, -s], [s, c]]) @ (np.array([x, y]) - CENTRE) + CENTRE + shift
        data += moffat(SHAPE, *place, flux, 4.0)
    offsets = {"QOFFSET": float(told[0] * SCALE), "POFFSET": float(-told[1] * SCALE)}
    crpix = tuple((CENTRE + 1 + told).tolist())
    return electrons(data, number=number, variance=144.0, crpix=crpix, **(offsets | cards))


def sequence(shifts=SHIFTS, *, told=SHIFTS, stars=STARS):
    return [
        frame_at(shift + error, command, number=i, stars=stars)
        for i, (shift, error, command) in enumerate(zip(shifts, ERRORS, told, strict=True))
    ]


def adjusted(frames, context=None, **parameters):
    context = context or FakeContext()
    return adjust_wcs(detect(frames, DetectParams(), context), AdjustParams(**parameters), context)


def places(frames, point=CENTRE):
    """Where a point of the first frame lies in each frame."""
    sky = plane_of(frames[0]).pixel_to_sky(point[:1], point[1:])
    return np.array([np.ravel(plane_of(frame).sky_to_pixel(*sky)) for frame in frames])


def from_target(frame):
    """Distance of the target from where the first frame has its middle, arcsec."""
    ra, dec = (float(v[0]) for v in plane_of(frame).pixel_to_sky(CENTRE[:1], CENTRE[1:]))
    return 3600 * np.hypot((ra - TARGET[0]) * np.cos(np.radians(TARGET[1])), dec - TARGET[1])


def test_cards_tell_how_well_the_frames_lie():
    frames = adjusted(sequence())
    assert {frame.primary["REGMETH"] for frame in frames} == {"sources"}
    assert all(0 < frame.primary["REGRMS"] < 0.1 for frame in frames)
    assert len({frame.primary["REGREF"] for frame in frames}) == 1
    assert frames[0].header["WCSNHDR"] >= 4
    assert 0.4 < frames[0].header["WCSERR"] < 0.6


def test_inherited_wcs_is_recognised_and_that_of_the_first_frame_taken():
    frames = sequence()
    for frame in frames[1:]:
        for key in ("CRPIX1", "CRPIX2"):
            frame.header[key] = frames[0].header[key]
    context = FakeContext()
    adjusted(frames, context)
    np.testing.assert_allclose(places(frames), CENTRE + SHIFTS + ERRORS, atol=0.05)
    assert from_target(frames[0]) < 0.02
    assert any("does not follow the offsets" in text for text in context.caveats)


@pytest.mark.parametrize("signs", [(-1, 1), (-1, -1)])
def test_stars_that_move_against_the_offsets_turn_the_wcs(signs):
    frames = sequence(SHIFTS * np.array(signs))
    context = FakeContext()
    adjusted(frames, context)
    np.testing.assert_allclose(places(frames), CENTRE + SHIFTS * np.array(signs) + ERRORS, atol=0.05)
    np.testing.assert_allclose(plane_of(frames[0]).cd, cd_matrix() * np.array(signs), atol=1e-9)
    assert any("contradict" in text for text in context.caveats)
    assert any("move against" in text for text in context.caveats)


def test_reversed_offsets_are_believed_when_asked():
    frames = sequence(SHIFTS * (-1, 1))
    adjusted(frames, doubt_offsets=False, jump=2.0)
    np.testing.assert_allclose(plane_of(frames[0]).cd, cd_matrix(), atol=1e-9)


def test_telescope_offsets_serve_where_p_and_q_are_not_told():
    frames = sequence()
    for frame, (dx, dy) in zip(frames, SHIFTS * SCALE, strict=True):
        for key in ("POFFSET", "QOFFSET", "INPORT"):
            del frame.primary[key]
        frame.primary["XOFFSET"], frame.primary["YOFFSET"] = float(-dx), float(-dy)
        # The WCS says nothing.
        frame.header["CRPIX1"], frame.header["CRPIX2"] = 76.0, 56.0
    context = FakeContext()
    np.testing.assert_allclose(places(adjusted(frames, context)), CENTRE + SHIFTS + ERRORS, atol=0.05)
    assert any("do not tell the offsets P and Q" in text for text in context.notes)


def test_first_frame_without_sources_is_tied_by_its_offset_and_the_others_lie_well():
    frames = sequence()
    frames[0].data = np.random.default_rng(1).normal(0, 12, SHAPE).astype(np.float32)
    context = FakeContext()
    found = places(adjusted(frames, context)) - (CENTRE + SHIFTS + ERRORS)
    assert frames[0].primary["REGMETH"] == "offsets"
    assert frames[0].primary["REGREF"] != frames[0].root
    np.testing.assert_allclose(found[1:] - found[1:].mean(axis=0), 0, atol=0.05)
    assert np.abs(found[1:]).max() < 1.5


@pytest.mark.parametrize("turn", [30.0, 90.0, 180.0])
def test_frames_of_another_position_angle_are_turned(turn):
    frames = sequence()[:3]
    for i in (3, 4):
        # The detector turns with the position angle, the stars on it against it.
        frame = frame_at(ERRORS[i], (0.0, 0.0), number=i, turn=turn, PA=PA + turn)
        for (row, column), value in np.ndenumerate(matrix_of_angle(frame, FakeContext())):
            frame.header[f"CD{row + 1}_{column + 1}"] = float(value)
        frames.append(frame)
    context = FakeContext()
    adjusted(frames, context)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    for x, y, _ in STARS:
        point = np.array([x, y])
        found = places(frames, point)
        np.testing.assert_allclose(found[:3], point + (SHIFTS + ERRORS)[:3], atol=0.08)
        turned = np.array([[c, -s], [s, c]]) @ (point - CENTRE) + CENTRE
        np.testing.assert_allclose(found[3:], turned + ERRORS[3:5], atol=0.08)
    assert any("rotated" in text for text in context.notes)


def test_stacks_of_two_nights_are_matched_and_their_positions_averaged():
    shift, error = np.array([7.3, -4.6]), np.array([6.0, 5.0])
    frames = [
        frame_at((0, 0), (0, 0), number=0, NCOMBINE=9),
        frame_at(shift, shift + error, number=1, NCOMBINE=9),
    ]
    adjusted(frames)
    np.testing.assert_allclose(places(frames), np.array([CENTRE, CENTRE + shift]), atol=0.05)
    assert from_target(frames[0]) == pytest.approx(np.hypot(*error) / 2 * SCALE, abs=0.05)


def test_frames_without_any_source_say_how_far_they_may_be_off():
    context = FakeContext()
    frames = adjusted(sequence(stars=np.zeros((0, 3))), context)
    np.testing.assert_allclose(places(frames), CENTRE + SHIFTS, atol=0.05)
    assert any("0.21 arcsec (1.4 pixel)" in text for text in context.caveats)


def test_single_frame_tells_the_error_of_its_position():
    frame = adjusted(sequence()[:1])[0]
    assert 0.4 < frame.header["WCSERR"] < 0.5


def test_sources_that_are_cut_or_blended_count_as_uncertain():
    frame = electrons(np.zeros(SHAPE), number=1)
    columns = {
        "X_IMAGE": np.array([10.0, 20.0, 30.0, 40.0]),
        "Y_IMAGE": np.array([5.0, 6.0, 7.0, 8.0]),
        "FLUX_AUTO": np.array([1.0, 2.0, 3.0, 4.0]),
        "FLAGS": np.array([0, 2, 8, 3]),
        "CLASS_STAR": np.array([0.9, 0.9, 0.9, 0.1]),
    }
    frame.tables["OBJCAT"] = Table(columns)
    values = source_list(frame, stars_only=False)
    assert values[:, 0].tolist() == [9.0, 19.0, 29.0, 39.0]
    assert np.isnan(values[0, 3])
    assert values[1:, 3].tolist() == [BLEND_ERROR, CUT_ERROR, BLEND_ERROR]
    assert np.isnan(values[:, 4]).all()
    assert len(source_list(frame, stars_only=True)) == 3
    columns["FLUXERR_AUTO"] = np.array([0.1, 0.2, 0.3, 0.4])
    assert source_list(frame, stars_only=False)[:, 4].tolist() == [0.1, 0.2, 0.3, 0.4]
