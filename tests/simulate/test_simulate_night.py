from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from astropy.io import fits

from keyhole.errors import InputError, ParameterError, SetupError
from keyhole.headers import check_complete, describe, read_headers, tags
from keyhole.simulate import EFFECTS, NightOptions, build_night, render_frames, simulate_night
from keyhole.simulate.conditions import Conditions
from keyhole.simulate.night import render_light
from keyhole.simulate.options import CAMERAS, FILTERS
from keyhole.simulate.sequence import dither_offsets, plan_night
from keyhole.simulate.tables import read_ecsv
from keyhole.simulate.truth import true_dark, true_flat

SMALL = NightOptions(frames=2, darks=1, flats=1)


@pytest.fixture(scope="module")
def small_night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night") / "playdata"
    simulate_night(folder, seed=7, options=SMALL)
    return folder


def options_with(*kept, **changes):
    return NightOptions(**{"frames": 1, "darks": 0, "flats": 0, "without": set(EFFECTS) - set(kept), **changes})


def test_the_tutorial_night_has_its_46_names():
    night = build_night(1, NightOptions(stars=0, without=["response", "bad-pixels"]))
    names = [plan.name for plan in night.plans]
    assert names[:10] == [f"N20120102S{n:04d}.fits" for n in range(538, 548)]
    assert names[10:30] == [f"N20120117S{n:04d}.fits" for n in range(14, 34)]
    assert names[30:] == [f"N20120117S{n:04d}.fits" for n in range(34, 50)]
    kinds = [plan.kind for plan in night.plans]
    assert kinds == ["DARK"] * 10 + ["OBJECT"] * 20 + ["FLAT_ON"] * 8 + ["FLAT_OFF"] * 8
    starts = [plan.start for plan in night.plans]
    assert starts == sorted(starts)


def test_more_frames_never_share_a_name():
    night = build_night(1, NightOptions(frames=60, stars=0, without=["response", "bad-pixels"]))
    assert len({plan.name for plan in night.plans}) == len(night.plans)


def test_the_folder_holds_raw_frames_and_truth_and_nothing_else(small_night):
    assert sorted(path.name for path in small_night.iterdir()) == [
        "N20120102S0538.fits",
        "N20120117S0014.fits",
        "N20120117S0015.fits",
        "N20120117S0034.fits",
        "N20120117S0035.fits",
        "truth",
        "truth.ecsv",
    ]
    assert sorted(path.name for path in (small_night / "truth").iterdir()) == [
        "dark.fits",
        "flat.fits",
        "frames.ecsv",
        "rays.ecsv",
        "truth.ecsv",
    ]


def test_files_have_the_structure_of_raw_frames(small_night):
    path = small_night / "N20120117S0014.fits"
    with fits.open(path) as units:
        units.verify("exception")
        assert [len(units), units[0].header["NAXIS"], len(units[0].header) >= 125] == [2, 0, True]
        assert units[1].data.shape == (1022, 1024) and units[1].data.dtype == ">f4"
        for keyword in ("EXTNAME", "BUNIT", "GAIN", "CRVAL1"):
            assert keyword not in units[1].header
        assert "MJD-OBS" not in units[0].header and "CRVAL1" in units[0].header
    raw = path.read_bytes()
    assert len(raw) % 2880 == 0
    assert b"DECTRGOF=                  -0. /" in raw and b"'J_G0517 '" in raw


def test_the_recorded_frame_has_its_recorded_values():
    night = build_night(1, options_with(frames=6))
    from keyhole.simulate.headers import HeaderFacts, primary_header

    facts = HeaderFacts(night.options, night.geometry, night.instrument.shape)
    header = fits.Header.fromstring("".join(primary_header(night.plans[5], facts)))
    recorded = {
        "EXPTIME": 30.0,
        "COADDS": 2,
        "LNRS": 16,
        "NDAVGS": 16,
        "CAMERA": "ShortBlue_G5538",
        "FILTER1": "Open",
        "FILTER2": "J_G0517",
        "ARRAYID": "SN7638228.1",
        "OBSID": "GN-2011B-Q-34-155",
        "DATALAB": "GN-2011B-Q-34-155-006",
        "OBJECT": "GRB120116A",
        "UT": "05:41:49.5",
        "DATE-OBS": "2012-01-17",
        "OBSCLASS": "science",
        "RAWPIREQ": "YES",
        "RAWGEMQA": "USABLE",
    }
    assert {keyword: header[keyword] for keyword in recorded} == recorded
    numbers = {
        "RA": 16.24142,
        "DEC": 33.93044,
        "CRVAL1": 16.23384,
        "CRVAL2": 33.92814,
        "XOFFSET": 24.99966,
        "YOFFSET": 0.13090,
        "AIRMASS": 1.154,
        "CRPA": 79.628,
    }
    assert {keyword: header[keyword] for keyword in numbers} == pytest.approx(numbers, abs=6e-6)
    assert abs(header["MJD_OBS"] - 55943.23738) > 20 / 1440


def test_headers_earn_the_tags_of_real_frames(small_night):
    base = {"GEMINI", "GNIRS", "NORTH", "RAW", "UNPREPARED"}
    flat = base | {"IMAGE", "SIDEREAL", "FLAT", "CAL", "GCALFLAT"}
    expected = {
        "N20120117S0014": base | {"IMAGE", "SIDEREAL"},
        "N20120102S0538": base | {"DARK", "CAL", "NON_SIDEREAL", "AZEL_TARGET", "AT_ZENITH"},
        "N20120117S0034": flat | {"GCAL_IR_ON", "LAMPON"},
        "N20120117S0035": flat | {"GCAL_IR_OFF", "LAMPOFF"},
    }
    for name, wanted in expected.items():
        check_complete(small_night / f"{name}.fits")
        assert tags(read_headers(small_night / f"{name}.fits")) == wanted


def test_descriptors_say_what_the_options_were(tmp_path):
    options = NightOptions(
        frames=1, darks=1, flats=0, camera="LongBlue", filter="h2", exptime=12, coadds=3, dark_coadds=2,
        read_mode="very faint", well="deep", array="SN7638228.1.2", stars=0, without=["response", "bad-pixels"],
    )  # fmt: skip
    simulate_night(tmp_path, seed=1, options=options)
    science = read_headers(tmp_path / "N20120117S0014.fits")
    assert describe(science, "exposure_time") == 36.0
    assert describe(science, "coadds") == 3
    assert describe(science, "read_mode") == "Very Faint Objects"
    assert describe(science, "well_depth_setting") == "Deep"
    assert describe(science, "camera") == "LongBlue_G5542"
    assert describe(science, "filter_name", pretty=True) == "H2"
    assert describe(science, "array_name") == ["SN7638228.1.2"]
    dark = read_headers(tmp_path / "N20120102S0538.fits")
    assert (describe(dark, "exposure_time"), describe(dark, "coadds")) == (36.0, 2)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, small_night):
    options = dataclasses.replace(SMALL, frames=1, darks=0, flats=0)
    simulate_night(tmp_path / "same", seed=7, options=options)
    simulate_night(tmp_path / "other", seed=8, options=options)
    name = "N20120117S0014.fits"
    # One frame more or less changes nothing in the others.
    assert (tmp_path / "same" / name).read_bytes() == (small_night / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() != (small_night / name).read_bytes()


def test_one_effect_turned_off_leaves_the_others_unchanged():
    shape = {}
    for without in ((), ("read-noise",), ("poisson",)):
        options = NightOptions(frames=1, darks=0, flats=0, stars=3, without=without)
        ((_, light, shape[without]),) = render_frames(build_night(4, options))
    noise = (shape[()] - shape["read-noise",]) * 13.5
    assert noise.std() == pytest.approx(10 * np.sqrt(2), rel=0.01)
    lit = light > 1000
    photons = (shape[()] - shape["poisson",])[lit] * 13.5
    assert np.median(np.abs(photons / np.sqrt(light[lit]))) == pytest.approx(0.6745, rel=0.03)


def test_a_star_has_the_electrons_of_the_truth_on_the_place_of_the_truth():
    night = build_night(2, options_with("stars", "pointing", "flexure", "transparency", stars=0))
    ((plan, _, adu),) = render_frames(night)
    image = adu * 13.5
    place = np.array([night.stars[1].x, night.stars[1].y]) + night.star_shift(plan)
    first = np.array([night.stars[0].x, night.stars[0].y]) + night.star_shift(plan)
    electrons = night.star_electrons(plan) * plan.transparency
    y, x = np.mgrid[:1022, :1024]
    near = np.hypot(x - place[0], y - place[1]) < 8
    share = 1 - (1 + (8 / (plan.seeing / 0.1517 / 2 / np.sqrt(2 ** (1 / 3) - 1))) ** 2) ** -2
    foreign = electrons[0] * 2e-5 * np.pi * 64
    assert image[near].sum() == pytest.approx(electrons[1] * share, rel=0.01, abs=foreign)
    core = np.hypot(x - first[0], y - first[1]) < 5
    assert np.average(x[core], weights=image[core]) == pytest.approx(first[0], abs=0.05)
    assert np.average(y[core], weights=image[core]) == pytest.approx(first[1], abs=0.05)


def test_sky_and_lamp_fill_the_keyhole_at_their_levels():
    night = build_night(3, options_with("sky", flats=1))
    science, lamp, off = (render_light(night, plan) for plan in night.plans)
    # 62 electrons per second in 60 s of J.
    assert np.median(science[night.lit]) == pytest.approx(3720.0, rel=1e-4)
    assert np.median(lamp[night.lit]) == pytest.approx(35000.0, rel=0.03)
    assert np.median(off[night.lit]) < 1.0
    assert science[:300].max() == 0


def test_sky_slope_and_drift_stay_in_their_bounds():
    night = build_night(5, NightOptions(darks=0, flats=0, stars=0, without=["response", "bad-pixels"]))
    levels = [night.sky_electrons(plan) for plan in night.science]
    assert 0.002 < np.std(levels) / np.mean(levels) < 0.06
    for plan in night.science:
        assert max(np.abs(plan.sky_slope)) <= 0.01


def test_the_lamp_pattern_spans_five_percent_to_each_side():
    night = build_night(6, options_with("lamp-pattern", flats=1))
    pattern = night.lamp[night.lit]
    assert np.ptp(pattern) == pytest.approx(0.10, abs=1e-3)
    assert np.median(pattern) == pytest.approx(1.0, abs=1e-6)


def test_changes_of_the_night_have_the_stated_size():
    options = NightOptions(frames=400, darks=0, flats=0, stars=0, without=["response", "bad-pixels"])
    plans = plan_night(options, build_night(1, options).geometry, seed=9)
    seeing = np.array([plan.seeing for plan in plans])
    assert 0.5 < seeing.mean() < 0.7
    assert seeing.std() / seeing.mean() == pytest.approx(0.06, rel=0.15)
    assert np.std([plan.transparency for plan in plans]) == pytest.approx(0.01, rel=0.15)
    assert np.std([plan.pointing for plan in plans]) * 0.1517 == pytest.approx(0.15, rel=0.1)


@pytest.mark.parametrize("step", [None, 1.5, 4.0, 11.0])
def test_dithers_keep_their_distance_and_reach(step):
    places = [dither_offsets(index, step, 0.1517) for index in range(40)]
    assert places[5] == (0.0, -25.0)
    for before, after in itertools.pairwise(places):
        assert np.hypot(*np.subtract(after, before)) >= 1.0
    assert np.abs(places).max() <= 25.0


def test_flexure_moves_keyhole_and_stars_together():
    night = build_night(11, options_with("flexure", "sky", "stars", frames=1, stars=0))
    plan = night.plans[0]
    shifted = night.star_shift(plan) - night.geometry.shift(plan.poffset, plan.qoffset)
    assert shifted == pytest.approx(plan.flexure)
    drawn = night.opening.transmission(*plan.flexure) > 0.5
    assert np.array_equal(render_light(night, plan) > 0.5 * 3720, drawn)


def test_keyhole_wanders_by_a_few_pixels_however_long_the_night():
    for seed in range(8):
        conditions = Conditions(options_with("flexure", "sky", frames=1, stars=0), 0.15, seed)
        places = np.array([conditions.flexure(seconds, flat=False) for seconds in range(0, 86400, 1800)])
        assert 0.1 < np.ptp(places, axis=0).max() < 25
        first_hour = np.array([conditions.flexure(seconds, flat=False) for seconds in (0, 3000)])
        assert np.abs(np.diff(first_hour, axis=0)).max() < 3


def test_truth_frames_table_adds_up(small_night):
    table = read_ecsv(small_night / "truth" / "frames.ecsv").columns
    science = table["kind"] == "OBJECT"
    for axis in "xy":
        total = sum(table[f"{part}_{axis}"][science] for part in ("commanded", "pointing", "keyhole"))
        assert table[f"dither_{axis}"][science] == pytest.approx(total - total[0], abs=1e-9)


def test_truth_stars_table_describes_the_first_frame(small_night):
    table = read_ecsv(small_night / "truth.ecsv")
    columns = table.columns
    assert len(columns["id"]) == 42
    assert (columns["ra"][0], columns["dec"][0]) == pytest.approx((16.24142, 33.93044), abs=1e-9)
    night = build_night(7, SMALL)
    shift = night.star_shift(night.science[0])
    assert columns["x"][0] == pytest.approx(night.geometry.target_pixel[0] + shift[0])
    # The 13.2 mag target: zero point 24.58, 60 s.
    assert columns["electrons"][0] == pytest.approx(60 * 10 ** (0.4 * (24.58 - 13.2)))
    assert columns["peak"].max() > 90000 and columns["saturated"].any()
    assert columns["touches_edge"].any() and columns["isolated"].sum() > 20


def test_truth_masters_are_what_the_frames_show_without_noise(small_night):
    night = build_night(7, SMALL)
    dark = fits.getdata(small_night / "N20120102S0538.fits") * 13.5
    pull = (dark - true_dark(night)) / np.sqrt(110.0)
    quiet = (night.array.flaws == 0) & (np.abs(pull) < 6)
    assert abs(np.median(pull)) < 0.2 and pull[quiet].std() == pytest.approx(1.0, abs=0.02)
    flat = true_flat(night)
    assert np.median(flat[flat > 0.5]) == pytest.approx(1.0, abs=1e-3)
    lamp, off = (fits.getdata(small_night / f"N20120117S003{n}.fits") * 13.5 for n in (4, 5))
    good = (night.array.flaws == 0) & (flat > 0.7)
    ratio = (lamp - off)[good] / flat[good]
    assert np.std(ratio / np.median(ratio)) == pytest.approx(1 / np.sqrt(35000), rel=0.1)


def test_reciprocal_night_without_any_effect_is_dark_and_exact():
    night = build_night(1, options_with(frames=1, darks=1))
    for _, _, adu in render_frames(night):
        assert not adu.any()


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_camera_shows_its_targets(camera):
    night = build_night(1, options_with("stars", camera=camera, stars=0))
    light = render_light(night, night.plans[0])
    for star in night.stars:
        x, y = np.array([star.x, star.y]) + night.star_shift(night.plans[0])
        assert light[round(y), round(x)] > 1000
    assert night.geometry.pixel_scale == night.instrument.pixel_scale(camera.split("_", maxsplit=1)[0])


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_has_a_sky_within_the_well(name):
    night = build_night(1, options_with("sky", filter=name, exptime=30.0))
    sky = night.sky_electrons(night.plans[0])
    assert 100 < sky / 2 < 0.7 * 90000
    wings = "PHOT" not in name
    assert (night.lit.sum() > 40000) == wings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "Longg"}, "camera"),
        ({"camera": ""}, "camera"),
        ({"filter": "Q"}, "filter"),
        ({"read_mode": "fast"}, "read mode"),
        ({"without": ["cosmics"]}, "did you mean cosmic-rays"),
        ({"frames": -1}, "frames = -1"),
        ({"exptime": 0.0}, "exptime = 0"),
        ({"dither": 99.0}, "dither = 99"),
        ({"frames": 0, "darks": 0, "flats": 0}, "empty"),
    ],
)
def test_impossible_options_are_refused_in_one_sentence(changes, message):
    with pytest.raises(ParameterError, match=message):
        NightOptions(**changes)


def test_names_may_be_shortened_when_the_meaning_is_clear():
    options = NightOptions(camera="longblue", filter="J", read_mode="bright", well="DEEP")
    assert (options.camera, options.filter) == ("LongBlue_G5542", "J_G0517")
    assert (options.read_mode, options.well) == ("Bright Objects", "Deep")
    assert NightOptions(filter="h").filter == "H_G0516"


@pytest.mark.parametrize(
    ("seed", "changes", "message"),
    [
        (-1, {}, "seed = -1"),
        (1, {"array": "SN1"}, "array 'SN1'"),
        (1, {"camera": "ShortRed", "filter": "YPHOT"}, "without wings"),
    ],
)
def test_a_refused_night_leaves_no_folder(tmp_path, seed, changes, message):
    with pytest.raises(ParameterError, match=message):
        simulate_night(tmp_path / "new", seed=seed, options=NightOptions(**changes))
    assert not (tmp_path / "new").exists()


def test_other_peoples_frames_are_not_mixed_with_ours(tmp_path):
    (tmp_path / "N20200101S0001.fits").touch()
    with pytest.raises(InputError, match="already holds other frames"):
        simulate_night(tmp_path, options=SMALL)


def test_frames_that_may_be_real_are_never_replaced(tmp_path):
    real = tmp_path / "N20120117S0014.fits"
    real.write_bytes(b"a real frame")
    with pytest.raises(InputError, match="may be real"):
        simulate_night(tmp_path, options=NightOptions(frames=1, darks=1, flats=1))
    assert real.read_bytes() == b"a real frame"
    assert [path.name for path in tmp_path.iterdir()] == [real.name]


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(SetupError, match="cannot be made"):
        simulate_night(tmp_path / "taken", options=SMALL)


def test_the_afterglow_of_a_bright_star_is_left_in_the_next_frame():
    night = build_night(1, options_with("stars", "persistence", "non-linearity", frames=2, stars=1))
    (first, light, _), (second, second_light, adu) = render_frames(night)
    x, y = np.rint(np.array([night.stars[2].x, night.stars[2].y]) + night.star_shift(first)).astype(int)
    left = adu[y, x] * 13.5 - second_light[y, x]
    excess = min(light[y, x] / 2, 90000) - 18000
    assert left == pytest.approx(5e-4 * 2 * excess * np.exp(-6.5 / 150), rel=0.02)
    assert second.serial == 1
