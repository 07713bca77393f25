"""Nights on which something goes wrong, and the headers of other epochs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from keyhole.cli.main import main
from keyhole.errors import ParameterError
from keyhole.headers import describe, read_headers, tags
from keyhole.simulate import EFFECTS, NightOptions, build_night, render_frames, simulate_night
from keyhole.simulate.night import render_light
from keyhole.simulate.options import ERAS
from keyhole.simulate.rays import ray_columns
from keyhole.simulate.tables import read_ecsv
from keyhole.simulate.truth import write_truth

QUIET = {"without": ["response", "bad-pixels"], "darks": 0, "flats": 0, "stars": 0}


def night_with(seed=1, **changes):
    return build_night(seed, NightOptions(**{**QUIET, **changes}))


def header_of(tmp_path, name, **changes):
    options = NightOptions(**{**QUIET, "frames": 2, **changes})
    simulate_night(tmp_path, seed=3, options=options)
    return read_headers(tmp_path / name)


def test_seeing_stays_in_the_range_that_was_asked_for():
    seeing = [plan.seeing for plan in night_with(frames=200, seeing=(0.4, 1.2)).science]
    assert 0.4 <= min(seeing) < 0.45 and 1.1 < max(seeing) <= 1.2


def test_clouds_dim_the_stars_down_to_their_depth_and_leave_the_sky():
    clear, cloudy = night_with(frames=100), night_with(frames=100, clouds=0.3)
    dimmed = np.array([plan.transparency for plan in cloudy.science])
    assert 0.28 < dimmed.min() < 0.35 and 0.9 < dimmed.max() < 1.05
    # They pass in banks: neighbours in time are alike.
    assert np.abs(np.diff(np.log(dimmed))).mean() < 0.5 * np.log(dimmed).std()
    assert [plan.sky_level for plan in clear.science] == [plan.sky_level for plan in cloudy.science]


def test_single_frames_jump_and_the_first_one_never_does():
    still, jumping = night_with(frames=12), night_with(frames=12, jumps=3, jump=2.0)
    moved = [
        float(np.hypot(*np.subtract(after.pointing, before.pointing))) * 0.1517
        for before, after in zip(still.science, jumping.science, strict=True)
    ]
    assert sorted(np.round(moved, 6)) == [0.0] * 9 + [2.0] * 3
    assert moved[0] == 0.0


def test_a_frame_with_the_telescope_closed_holds_no_light_and_does_not_count_in_the_truth(tmp_path):
    night = night_with(frames=3, closed=[2])
    light = [render_light(night, plan) for plan in night.science]
    assert light[1].max() == 0.0 < light[0].max()
    (tmp_path / "truth").mkdir()
    write_truth(tmp_path, night, np.zeros(len(night.stars)))
    assert read_ecsv(tmp_path / "truth.ecsv").columns["transparency"][0] > 0.9
    assert read_ecsv(tmp_path / "truth" / "frames.ecsv").columns["transparency"].tolist()[1] == 0.0


def test_the_last_frame_and_the_flats_may_come_late():
    usual, late = night_with(frames=4, flats=1), night_with(frames=4, flats=1, late=90.0)
    delay = [(b.start - a.start).total_seconds() / 60 for a, b in zip(usual.plans, late.plans, strict=True)]
    assert delay == [0, 0, 0, 90, 90, 90]


def test_one_star_or_none_can_be_asked_for_and_the_field_stays_the_same():
    assert [star.mag for star in night_with(targets=1).stars] == [13.2]
    assert night_with(targets=0).stars == []
    both, first = night_with(stars=5), night_with(stars=5, targets=1)
    assert first.stars == [both.stars[0], *both.stars[2:]]


def test_target_and_faintest_star_have_the_magnitudes_that_were_asked_for():
    stars = night_with(stars=200, target_mag=9.5, faintest=23.0).stars
    assert stars[0].mag == 9.5
    assert 22.5 < max(star.mag for star in stars) <= 23.0


def test_a_nebula_moves_with_the_stars_and_has_its_peak():
    only = {"without": set(EFFECTS) - {"sky"}, "dither": 10.0, "frames": 2}
    dark, bright = night_with(**only), night_with(**only, nebula=0.2)
    first, second = (
        render_light(bright, plan) - render_light(dark, plan_)
        for plan, plan_ in zip(bright.science, dark.science, strict=True)
    )
    assert 0.05 * 3720 < first.max() < 0.45 * 3720
    x, y = 520, 478
    dx, dy = np.rint(bright.star_shift(bright.science[1]) - bright.star_shift(bright.science[0])).astype(int)
    assert second[y + dy, x + dx] == pytest.approx(first[y, x], rel=0.02)


def test_every_second_frame_of_an_offset_sequence_sees_other_stars_in_its_own_dithers():
    night = night_with(frames=6, sky_offset=120.0, stars=30)
    offsets = [(plan.poffset, plan.qoffset) for plan in night.science]
    for target, sky in zip(offsets[::2], offsets[1::2], strict=True):
        assert sky == pytest.approx((target[0] + 120.0, target[1]))
    light = [render_light(night, plan).max() for plan in night.science]
    assert light[1] > 1.5 * 3720
    x, y = np.array([night.stars[0].x, night.stars[0].y]) + night.star_shift(night.science[1])
    assert night.opening.depth(np.array([x]), np.array([y]))[0] < -100


def test_lamp_off_flats_can_be_missing_and_flats_be_those_of_the_next_night():
    assert [plan.kind for plan in night_with(frames=0, flats=2, flats_off=0).plans] == ["FLAT_ON"] * 2
    night = night_with(frames=1, flats=1, flats_displaced=5.0)
    science, flat, _ = night.plans
    assert flat.name.startswith("N20120118S") and (flat.start - science.start).total_seconds() > 80000
    distance = np.hypot(*np.subtract(flat.flexure, night_with(frames=1).science[0].flexure))
    assert distance == pytest.approx(5.0, abs=0.5)


def test_the_pattern_of_the_electronics_has_the_spread_that_was_asked_for():
    quiet = {"without": set(EFFECTS) - {"pattern"}, "frames": 2, "coadds": 1}
    (_, _, first), (_, _, second) = render_frames(night_with(**quiet, pattern_noise=10.0))
    # The fixed pattern cancels; that of each frame repeats every 16 columns and 4 rows.
    change = (first - second) * 13.5
    assert change.std() == pytest.approx(10 * np.sqrt(2), rel=0.15)
    assert np.allclose(change[:400, :400], change[4:404, 16:416], atol=1e-2)


def test_cosmic_ray_hits_of_the_truth_are_in_the_frames():
    only = {"without": set(EFFECTS) - {"cosmic-rays"}, "frames": 8}
    night = night_with(seed=5, **only)
    table = {column.name: np.array(column.values) for column in ray_columns(night)}
    assert len(table["x"]) > 10
    for plan, _, adu in render_frames(night):
        own = table["name"] == plan.name
        x, y = table["x"][own].astype(int), table["y"][own].astype(int)
        assert adu[y, x] * 13.5 == pytest.approx(table["electrons"][own], rel=1e-3)
        lit = night.opening.transmission(*plan.flexure) > 0.5
        assert (adu[lit] * 13.5 > 5.01).sum() == own.sum()
    nothing = dataclasses.replace(night.options, without={"cosmic-rays"})
    assert not ray_columns(night._replace(options=nothing))[0].values


@pytest.mark.parametrize("era", ERAS)
def test_frames_of_every_era_are_science_images_of_their_site(tmp_path, era):
    camera = {"camera": "LongBlue", "array": "SN7638228.1.2"} if "ao" in era else {}
    headers = header_of(tmp_path, "N20120117S0015.fits", era=era, **camera)
    south = era.startswith("south")
    assert {"GNIRS", "IMAGE", "SOUTH" if south else "NORTH"} <= tags(headers)
    assert describe(headers, "is_ao") == ("ao" in era)
    assert describe(headers, "gain") == [13.5]
    assert describe(headers, "pixel_scale") == (0.05071 if "ao" in era else 0.1517)
    assert ("POFFSET" in headers.primary) == (not south)


@pytest.mark.parametrize(
    ("era", "scale_x", "scale_y"),
    [("north-2012", 0.1517, 0.1606), ("north-2016-ao", 0.1762, 0.1421), ("south-2005", 0.0363, 0.0364)],
)
def test_pixel_scales_of_the_header_are_wrong_as_in_real_frames(tmp_path, era, scale_x, scale_y):
    primary = header_of(tmp_path, "N20120117S0014.fits", era=era).primary
    cd = np.array([[float(primary[f"CD{i}_{j}"]) for j in (1, 2)] for i in (1, 2)])
    assert np.hypot(*cd) * 3600 == pytest.approx([scale_x, scale_y], rel=2e-3)


def test_the_target_lies_where_a_header_of_the_ao_says_although_its_axes_are_turned(tmp_path):
    header_of(tmp_path, "N20120117S0015.fits", era="north-2016-ao", camera="LongBlue")
    night = build_night(3, NightOptions(**{**QUIET, "frames": 2, "era": "north-2016-ao", "camera": "LongBlue"}))
    plan = night.science[1]
    header = fits.getheader(tmp_path / plan.name)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [header["CRVAL1"], header["CRVAL2"]]
    wcs.wcs.crpix = [header["CRPIX1"], header["CRPIX2"]]
    wcs.wcs.cd = [[header["CD1_1"], header["CD1_2"]], [header["CD2_1"], header["CD2_2"]]]
    x, y = wcs.all_world2pix(16.24142, 33.93044, 0)
    commanded = night.geometry.target_pixel + night.geometry.shift(plan.poffset, plan.qoffset)
    assert (float(x), float(y)) == pytest.approx(tuple(commanded), abs=0.01)
    y_axis = np.degrees(np.arctan2(header["CD1_2"], header["CD2_2"])) % 360
    assert y_axis == pytest.approx((103.3 + 90 + 165) % 360, abs=1e-6)


def test_an_inherited_wcs_is_the_same_in_all_frames_while_the_offsets_differ(tmp_path):
    header_of(tmp_path, "N20120117S0014.fits", era="north-inherited")
    first, second = (fits.getheader(tmp_path / f"N20120117S00{n}.fits") for n in (14, 15))
    assert all(first[key] == second[key] for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"))
    assert first["QOFFSET"] != second["QOFFSET"]


def test_lamp_off_flats_of_the_south_name_no_lamp(tmp_path):
    options = NightOptions(**{**QUIET, "frames": 0, "flats": 1, "era": "south-2004"})
    simulate_night(tmp_path, seed=1, options=options)
    on, off = (read_headers(tmp_path / f"N20120117S003{n}.fits") for n in (4, 5))
    assert "LAMPON" in tags(on) and "LAMPOFF" in tags(off)
    assert fits.getheader(tmp_path / "N20120117S0035.fits")["GCALLAMP"] == "No Value"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"era": "north-1999"}, "era"),
        ({"clouds": 0.0}, "clouds = 0"),
        ({"jumps": 5, "frames": 5}, "jumps = 5"),
        ({"closed": [9], "frames": 5}, "closed frame = 9"),
        ({"seeing": (1.2, 0.4)}, "worst seeing = 0.4"),
        ({"targets": 3}, "targets = 3"),
        ({"flats_off": 20, "flats": 8}, "lamp-off flats = 20"),
    ],
)
def test_impossible_conditions_are_refused_in_one_sentence(changes, message):
    with pytest.raises(ParameterError, match=message):
        NightOptions(**changes)


def test_the_command_takes_the_conditions(tmp_path):
    words = ["simulate", str(tmp_path / "n"), "--frames", "2", "--darks", "0", "--flats", "1", "--flats-off", "0"]
    words += ["--stars", "0", "--targets", "1", "--target-mag", "12", "--seeing", "0.9", "0.9", "--closed", "2"]
    words += ["--clouds", "0.5", "--jumps", "1", "--late", "5", "--nebula", "0.1", "--without", "response,bad-pixels"]
    assert main(words) == 0
    frames = read_ecsv(tmp_path / "n" / "truth" / "frames.ecsv").columns
    assert frames["kind"].tolist() == ["OBJECT", "OBJECT", "FLAT_ON"]
    assert frames["seeing"].tolist()[:2] == pytest.approx([0.9, 0.9])
    assert frames["transparency"][1] == 0.0 and 0.45 < frames["transparency"][0] <= 1.05
    stars = read_ecsv(tmp_path / "n" / "truth.ecsv").columns
    assert stars["mag"].tolist() == [12.0]
