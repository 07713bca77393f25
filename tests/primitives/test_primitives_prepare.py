"""prepare: standard cards, and a WCS that can be trusted."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import SCALE, TARGET, FakeContext, cd_matrix, raw_dark, raw_frame, wcs_cards

from keyhole.errors import DataError
from keyhole.primitives.prepare import PrepareParams, prepare
from keyhole.primitives.wcs import plane_of

PIXELS = np.zeros((1022, 1024), np.float32)
CENTRE = (506.8, 457.1)
"""Usual centroid of the keyhole, on which an undithered target falls."""


def prepared(frame, context=None, **parameters):
    return prepare([frame], PrepareParams(**parameters), context or FakeContext())[0]


def distance(frame, x, y, position):
    ra, dec = plane_of(frame).pixel_to_sky(np.array([x]), np.array([y]))
    east = (ra[0] - position[0]) * np.cos(np.radians(position[1]))
    return 3600 * np.hypot(east, dec[0] - position[1])


def test_detector_numbers_and_total_exposure_are_written_down():
    frame = prepared(raw_frame(PIXELS))
    assert frame.primary["EXPTIME"] == 60.0
    assert frame.primary["FILTER"] == "J"
    assert frame.header["RDNOISE"] == pytest.approx(10 * 2**0.5)
    assert frame.header["GAIN"] == 13.5
    assert frame.header["SATLEVEL"] == int(90000 * 2 / 13.5)
    assert frame.header["NONLINEA"] == int(0.714286 * int(90000 * 2 / 13.5))
    assert frame.header["BUNIT"] == "adu"
    assert frame.header["PIXSCALE"] == SCALE


def test_wcs_moves_from_the_primary_header_to_the_extension():
    frame = prepared(raw_frame(PIXELS))
    assert "CRVAL1" not in frame.primary
    assert frame.header["CTYPE1"] == "RA---TAN"
    assert frame.header["RADESYS"] == "FK5"


def test_wrong_scale_of_an_axis_is_mended_and_the_target_stays_where_the_telescope_put_it():
    context = FakeContext()
    frame = prepared(raw_frame(PIXELS, **wcs_cards(y_error=1.06, crpix=(487.6, 578.7))), context)
    cd = np.array(plane_of(frame).cd)
    np.testing.assert_allclose(cd, cd_matrix(), atol=1e-9)
    assert distance(frame, 486.6, 577.7, TARGET) < 0.01
    assert "mended" in context.notes[0]
    assert not context.caveats


@pytest.mark.parametrize("offsets", [(0.0, 0.0), (-1.0, 9.0)])
def test_wcs_of_another_target_is_rebuilt_from_target_and_offsets(offsets):
    context = FakeContext()
    frame = raw_frame(PIXELS, CRVAL1=30.0, CRVAL2=-5.0, POFFSET=offsets[0], QOFFSET=offsets[1])
    prepared(frame, context)
    dx, dy = offsets[1] / SCALE, -offsets[0] / SCALE
    assert distance(frame, CENTRE[0] + dx, CENTRE[1] + dy, TARGET) < 0.01
    np.testing.assert_allclose(plane_of(frame).cd, cd_matrix(), atol=1e-9)
    assert any("rebuilt" in text for text in context.caveats)


@pytest.mark.parametrize(("turn", "kept"), [(2.3, True), (180.0, False)])
def test_rebuilt_wcs_keeps_axes_that_agree_with_the_position_angle(turn, kept):
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    given = np.array([[c, -s], [s, c]]) @ cd_matrix()
    cards = {f"CD{i + 1}_{j + 1}": float(given[i, j]) for i in (0, 1) for j in (0, 1)}
    frame = prepared(raw_frame(PIXELS, CRVAL1=30.0, **cards))
    np.testing.assert_allclose(plane_of(frame).cd, given if kept else cd_matrix(), atol=1e-9)
    assert distance(frame, *CENTRE, TARGET) < 0.01


def test_bad_wcs_stops_the_run_when_asked():
    with pytest.raises(DataError, match=r"N20120117S0014.*bad_wcs=fix"):
        prepared(raw_frame(PIXELS, CRVAL1=30.0), bad_wcs="exit")


def test_bad_wcs_is_left_and_told_when_asked():
    context = FakeContext()
    frame = prepared(raw_frame(PIXELS, CRVAL1=30.0), context, bad_wcs="ignore")
    assert distance(frame, 506.8, 457.1, (30.0, TARGET[1])) < 5
    assert any("left as it is" in text for text in context.caveats)


def test_nonsense_matrix_is_rebuilt_though_the_position_is_right():
    context = FakeContext()
    frame = prepared(raw_frame(PIXELS, CD1_1=0.02, CD2_2=0.02), context)
    np.testing.assert_allclose(plane_of(frame).cd, cd_matrix(), atol=1e-9)
    assert any("rebuilt" in text for text in context.caveats)


def test_unknown_position_angle_does_not_stop_the_rebuilding():
    frame = prepared(raw_frame(PIXELS, CRVAL1=30.0, PA=-9999.0))
    assert distance(frame, *CENTRE, TARGET) < 0.01


@pytest.mark.parametrize("policy", ["fix", "new"])
def test_missing_wcs_is_rebuilt(policy):
    frame = prepared(raw_frame(PIXELS, **dict.fromkeys(wcs_cards())), bad_wcs=policy)
    assert distance(frame, *CENTRE, TARGET) < 0.01


def test_missing_wcs_is_refused_where_nothing_may_or_can_be_rebuilt():
    bare = dict.fromkeys(wcs_cards())
    with pytest.raises(DataError, match=r"no WCS.*bad_wcs=fix"):
        prepared(raw_frame(PIXELS, **bare), bad_wcs="exit")
    with pytest.raises(DataError, match="neither WCS nor target"):
        prepared(raw_frame(PIXELS, **bare, RA=-9999.0, DEC=-9999.0))


def test_unknown_target_leaves_a_good_wcs_alone():
    context = FakeContext()
    frame = prepared(raw_frame(PIXELS, RA=-9999.0, DEC=-9999.0), context)
    np.testing.assert_allclose(plane_of(frame).cd, cd_matrix(), atol=1e-9)
    assert not context.caveats


def test_dark_keeps_its_header_position():
    frame = prepared(raw_dark(PIXELS, **wcs_cards()))
    assert frame.primary["EXPTIME"] == 60.0
    assert "CRVAL1" in frame.primary


def test_prepared_frame_passes_unchanged():
    context = FakeContext()
    frame = prepared(raw_frame(PIXELS))
    frame.primary["PREPARE"] = "2026-01-01T00:00:00"
    prepare([frame], PrepareParams(), context)
    assert frame.primary["EXPTIME"] == 60.0
    assert "prepared before" in context.caveats[0]


def test_unknown_array_is_refused():
    with pytest.raises(DataError, match="no gain is known for array SN1"):
        prepared(raw_frame(PIXELS, ARRAYID="SN1"))


SIGNS = [((-1, -1), "turned by 180 degrees"), ((-1, 1), "mirrored in x"), ((1, -1), "mirrored in y")]


def with_axes(cd, **changes):
    cards = wcs_cards() | {f"CD{i + 1}_{j + 1}": float(cd[i, j]) for i in (0, 1) for j in (0, 1)}
    return raw_frame(PIXELS, **(cards | changes))


@pytest.mark.parametrize(("signs", "words"), SIGNS)
def test_axes_that_are_turned_or_mirrored_are_mended_about_the_target(signs, words):
    context = FakeContext()
    frame = prepared(with_axes(cd_matrix() * np.array(signs)), context)
    np.testing.assert_allclose(plane_of(frame).cd, cd_matrix(), atol=1e-9)
    assert distance(frame, 506.8, 457.1, TARGET) < 0.01
    assert any(words in text for text in context.notes)
    assert not context.caveats


def test_axes_of_the_header_are_believed_when_asked():
    given = cd_matrix() * np.array([-1, -1])
    np.testing.assert_allclose(plane_of(prepared(with_axes(given), axes="header")).cd, given, atol=1e-9)


def test_port_one_mirrors_the_detector_but_not_behind_the_adaptive_optics():
    mirrored = cd_matrix() * np.array([-1, 1])
    np.testing.assert_allclose(plane_of(prepared(with_axes(mirrored, INPORT=1))).cd, mirrored, atol=1e-9)
    frame = prepared(with_axes(cd_matrix(), INPORT=1, AOFOLD="IN"))
    np.testing.assert_allclose(plane_of(frame).cd, cd_matrix(), atol=1e-9)


def test_axes_at_an_odd_angle_are_those_of_the_position_angle():
    c, s = np.cos(np.radians(165.0)), np.sin(np.radians(165.0))
    context = FakeContext()
    frame = prepared(with_axes(np.array([[c, -s], [s, c]]) @ cd_matrix()), context)
    np.testing.assert_allclose(plane_of(frame).cd, cd_matrix(), atol=1e-9)
    assert any("not those of position angle" in text for text in context.notes)


def test_turned_axes_with_the_target_outside_of_the_keyhole_make_the_wcs_useless():
    context = FakeContext()
    frame = prepared(with_axes(-cd_matrix(), CRPIX2=650.0), context)
    assert distance(frame, *CENTRE, TARGET) < 0.01
    assert frame.header["WCSFROM"] == "target"
    assert frame.header["WCSERR"] == 5.0
    assert any("about 5 arcsec" in text for text in context.caveats)
