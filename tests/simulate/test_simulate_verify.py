from __future__ import annotations

import json
import math

import numpy as np
import pytest
from astropy.io import fits

from keyhole.cli.main import main
from keyhole.errors import DataError, InputError
from keyhole.simulate import NightOptions, build_night, verify, verify_master
from keyhole.simulate.measure import common_shift
from keyhole.simulate.output import _star_peaks
from keyhole.simulate.stars import paint_stars
from keyhole.simulate.statistics import robust_width
from keyhole.simulate.truth import write_truth

SIGMA = 14.0
SEED = 21
BOTTOM = 360


@pytest.fixture(scope="module")
def night():
    return build_night(SEED, NightOptions(darks=0, flats=0))


@pytest.fixture(scope="module")
def truth(night, tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    (folder / "truth").mkdir()
    from keyhole.simulate.night import render_light

    peaks = _star_peaks(night, night.science[0], render_light(night, night.science[0]))
    return write_truth(folder, night, peaks)


def wcs_cards(night, shift):
    geometry = night.geometry
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 16.24142, 33.93044
    header["CRPIX1"], header["CRPIX2"] = (geometry.target_pixel + shift + 1).tolist()
    corners = geometry.to_sky(geometry.target_pixel + np.array([[1.0, 0.0], [0.0, 1.0]]))
    east = (corners[:, 0] - 16.24142) * np.cos(np.radians(33.93044))
    header["CD1_1"], header["CD1_2"] = east.tolist()
    header["CD2_1"], header["CD2_2"] = (corners[:, 1] - 33.93044).tolist()
    header["BUNIT"] = "electron"
    return header


@pytest.fixture(scope="module")
def perfect(night):
    """A mean of all frames, each where it sees the sky, without any fault: planes of a stack and its header."""
    shift = night.star_shift(night.science[0])
    places = np.array([(star.x, star.y) for star in night.stars]) + shift
    # The lit rows are enough, and faster.
    box = (slice(BOTTOM, 540), slice(0, 1024))
    shape = (540 - BOTTOM, 1024)
    light, number = np.zeros(shape), np.zeros(shape)
    y, x = np.ogrid[box]
    for plan in night.science:
        electrons = night.star_electrons(plan) * plan.transparency
        dx, dy = night.star_shift(plan) - shift - plan.flexure
        seen = night.opening.depth(x + dx, y + dy) > 1
        number += seen
        light += seen * paint_stars(places, electrons, fwhm=plan.seeing, pixel_scale=0.1517, box=box)
    light /= np.maximum(number, 1)
    variance = (light / len(night.science) + SIGMA**2).astype(np.float32)
    rng = np.random.default_rng(5)
    data = (light + np.sqrt(variance) * rng.standard_normal(shape)).astype(np.float32)
    mask = np.full(shape, 64, np.uint16)
    mask[number > 0] = 0
    mask[light / 2 > 60000] |= 4
    return data, variance, mask, wcs_cards(night, shift - (0, BOTTOM))


def write_stack(path, perfect, *, catalogue=None, drop=(), **changes):
    data, variance, mask, header = perfect
    planes = {"SCI": data, "VAR": variance, "DQ": mask, **changes}
    units = [fits.PrimaryHDU()]
    for name in ("SCI", "VAR", "DQ"):
        if name not in drop:
            units.append(fits.ImageHDU(planes[name], planes.get("header", header) if name == "SCI" else None, name))
    if catalogue is not None:
        columns = [fits.Column(n, "D", array=catalogue[:, k] + 1) for k, n in enumerate(("X_IMAGE", "Y_IMAGE"))]
        units.append(fits.BinTableHDU.from_columns(columns, name="OBJCAT"))
    fits.HDUList(units).writeto(path)
    return path


@pytest.fixture(scope="module")
def verdict(perfect, truth, tmp_path_factory):
    return verify(write_stack(tmp_path_factory.mktemp("stack") / "stack.fits", perfect), truth)


def test_a_perfect_stack_is_called_perfect(verdict):
    assert verdict.stars >= 8
    assert verdict.flux_ratio == pytest.approx(1.0, abs=0.005)
    assert verdict.pull_width == pytest.approx(1.0, abs=0.45)
    assert abs(verdict.pull_median) < 0.8
    assert verdict.position_rms < 0.006 and verdict.position_rms_pixel < 0.04
    assert verdict.offset < 0.005
    assert verdict.fwhm_ratio == pytest.approx(1.0, abs=0.02)
    assert abs(verdict.background) < 0.02
    assert verdict.background_sigma == pytest.approx(SIGMA, rel=0.02)
    assert verdict.noise_ratio == pytest.approx(1.0, abs=0.02)
    assert verdict.aperture_noise_ratio == pytest.approx(1.0, abs=0.15)
    assert verdict.completeness > 0.9 and verdict.completeness_stars > 25
    assert verdict.nan_pixels == 0
    assert 1 <= verdict.saturated_stars == verdict.saturated_flagged == verdict.saturated_kept


def test_pulls_of_many_perfect_stacks_have_width_one(night, truth, perfect, tmp_path):
    data, variance, *_ = perfect
    pulls = []
    for k in range(6):
        noise = np.random.default_rng(100 + k).standard_normal(data.shape).astype(np.float32)
        clean = data - np.sqrt(variance) * np.random.default_rng(5).standard_normal(data.shape)
        image = (clean + np.sqrt(variance) * noise).astype(np.float32)
        table = verify(write_stack(tmp_path / f"{k}.fits", perfect, SCI=image), truth).star_table
        pulls += [
            (star["flux"] - star["expected"]) / star["error"]
            for star in table
            if star["isolated"] and 5 < star["expected"] / star["error"] < 100
        ]
    assert robust_width(np.array(pulls)) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("factor", [0.95, 1.04])
def test_lost_and_invented_light_is_seen(perfect, truth, tmp_path, factor):
    wrong = verify(write_stack(tmp_path / "s.fits", perfect, SCI=perfect[0] * np.float32(factor)), truth)
    assert wrong.flux_ratio == pytest.approx(factor, abs=0.006)


def test_a_raised_background_is_seen(perfect, truth, tmp_path):
    wrong = verify(write_stack(tmp_path / "s.fits", perfect, SCI=perfect[0] - np.float32(4.0)), truth)
    assert wrong.background == pytest.approx(-4.0 / SIGMA, abs=0.02)
    assert wrong.flux_ratio == pytest.approx(1.0, abs=0.005)


def test_a_wrong_variance_is_seen(perfect, truth, tmp_path):
    wrong = verify(write_stack(tmp_path / "s.fits", perfect, VAR=perfect[1] / 4), truth)
    assert wrong.noise_ratio == pytest.approx(2.0, abs=0.04)
    assert wrong.aperture_noise_ratio == pytest.approx(2.0, abs=0.3)


def test_a_wrong_scale_of_the_header_is_seen_and_a_shift_is_not_held_against_it(perfect, truth, tmp_path):
    header = perfect[3].copy()
    header["CRPIX1"] += 5.0
    moved = verify(write_stack(tmp_path / "moved.fits", perfect, header=header), truth)
    assert moved.position_rms < 0.006
    assert moved.offset == pytest.approx(5 * 0.1517, abs=0.01)
    header["CD1_2"] *= 1.06
    header["CD2_2"] *= 1.06
    assert verify(write_stack(tmp_path / "scale.fits", perfect, header=header), truth).position_rms > 0.05


def test_smeared_stars_are_seen(perfect, truth, tmp_path):
    from scipy.ndimage import gaussian_filter

    wide = verify(write_stack(tmp_path / "s.fits", perfect, SCI=gaussian_filter(perfect[0], 1.0)), truth)
    assert wide.fwhm_ratio > 1.1


def test_lost_stars_and_invented_ones_are_counted(perfect, truth, night, tmp_path):
    places = np.array([(s.x, s.y) for s in night.stars]) + night.star_shift(night.science[0]) - (0, BOTTOM)
    catalogue = np.vstack([places[::2], [[700.0, 2.0]]])
    found = verify(write_stack(tmp_path / "s.fits", perfect, catalogue=catalogue), truth)
    assert found.found_by == "OBJCAT"
    assert 0.3 < found.completeness < 0.8
    assert found.false_detections == 1


def test_second_source_of_one_star_is_false(perfect, truth, night, tmp_path):
    places = np.array([(s.x, s.y) for s in night.stars]) + night.star_shift(night.science[0]) - (0, BOTTOM)
    bright = min(night.stars, key=lambda star: star.mag)
    double = np.array([(bright.x, bright.y)]) + night.star_shift(night.science[0]) - (0, BOTTOM) + 0.7
    once = verify(write_stack(tmp_path / "s.fits", perfect, catalogue=places), truth)
    twice = verify(write_stack(tmp_path / "t.fits", perfect, catalogue=np.vstack([places, double])), truth)
    assert twice.false_detections == once.false_detections + 1
    assert twice.completeness == once.completeness


def test_unflagged_saturation_and_nan_are_counted(perfect, truth, tmp_path):
    data, mask = perfect[0].copy(), perfect[2] & 64
    data[40, 500:510] = np.nan
    wrong = verify(write_stack(tmp_path / "s.fits", perfect, SCI=data, DQ=mask), truth)
    assert wrong.nan_pixels == 10
    assert wrong.saturated_flagged == 0 and wrong.saturated_kept == wrong.saturated_stars


def test_a_cut_out_with_its_wcs_is_judged_alike(perfect, truth, tmp_path):
    cut = (slice(10, 170), slice(150, 900))
    header = perfect[3].copy()
    header["CRPIX1"] -= 150
    header["CRPIX2"] -= 10
    planes = dict(zip(("SCI", "VAR", "DQ"), (plane[cut].copy() for plane in perfect[:3]), strict=True))
    part = verify(write_stack(tmp_path / "s.fits", perfect, header=header, **planes), truth)
    assert part.flux_ratio == pytest.approx(1.0, abs=0.005) and part.offset < 0.01


def test_an_image_alone_without_wcs_is_judged_by_the_pattern_of_its_stars(perfect, truth, tmp_path):
    data = np.where(perfect[2] & 64, 0, perfect[0])
    shifted = np.roll(data, (7, -40), axis=(0, 1))
    bare = verify(
        write_stack(tmp_path / "s.fits", perfect, SCI=shifted, header=fits.Header(), drop=("VAR", "DQ")), truth
    )
    assert bare.flux_ratio == pytest.approx(1.0, abs=0.01)
    assert math.isnan(bare.noise_ratio) and math.isnan(bare.offset)
    assert bare.position_rms_pixel < 0.05


def test_a_stack_of_another_night_is_refused(truth, perfect, tmp_path):
    other = np.random.default_rng(1).permuted(perfect[0].copy(), axis=1)
    with pytest.raises(DataError, match="own night"):
        verify(write_stack(tmp_path / "s.fits", perfect, SCI=other), truth)


def test_foreign_files_are_refused_in_one_sentence(truth, perfect, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        verify(tmp_path / "missing.fits", truth)
    with pytest.raises(DataError, match="no FITS image"):
        verify(truth, truth)
    header = perfect[3].copy()
    header["BUNIT"] = "adu"
    with pytest.raises(DataError, match="in electrons"):
        verify(write_stack(tmp_path / "adu.fits", perfect, header=header), truth)
    whole = write_stack(tmp_path / "whole.fits", perfect).read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        verify(tmp_path / "cut.fits", truth)
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(DataError, match="holds no image"):
        verify(tmp_path / "empty.fits", truth)
    (tmp_path / "short.ecsv").write_text("# %ECSV 1.0\n# meta: {}\nid ra\n1 2.0\n")
    with pytest.raises(DataError, match="no column 'dec'"):
        verify(tmp_path / "whole.fits", tmp_path / "short.ecsv")


def test_numbers_survive_json(verdict):
    text = json.dumps(verdict.as_dict(), allow_nan=False)
    assert json.loads(text)["stars"] == verdict.stars
    assert {"id", "ratio", "judged"} <= set(json.loads(text)["star_table"][0])


def test_masters_are_judged_pixel_by_pixel(tmp_path):
    rng = np.random.default_rng(3)
    true = rng.uniform(50, 100, (80, 90)).astype(np.float32)
    fits.PrimaryHDU(true).writeto(tmp_path / "dark.fits")
    master = (true + 3.0 * rng.standard_normal(true.shape)).astype(np.float32)
    units = [fits.PrimaryHDU(), fits.ImageHDU(master, name="SCI"), fits.ImageHDU(np.full_like(true, 9.0), name="VAR")]
    fits.HDUList(units).writeto(tmp_path / "master.fits")
    verdict = verify_master(tmp_path / "master.fits", tmp_path / "dark.fits")
    assert verdict.pixels == true.size
    assert verdict.pull_width == pytest.approx(1.0, abs=0.03) and abs(verdict.pull_median) < 0.05
    fits.PrimaryHDU(true[:50]).writeto(tmp_path / "small.fits")
    with pytest.raises(DataError, match="truth of its night"):
        verify_master(tmp_path / "master.fits", tmp_path / "small.fits")
    with pytest.raises(DataError, match="no VAR"):
        verify_master(tmp_path / "dark.fits", tmp_path / "dark.fits")


def test_the_shift_with_most_agreeing_pairs_wins():
    rng = np.random.default_rng(4)
    expected = rng.uniform(0, 500, (20, 2))
    found = np.vstack([expected[:12] + np.array([3.0, -8.0]), rng.uniform(0, 500, (15, 2))])
    shift, votes = common_shift(expected, found, search=20.0, tolerance=1.0)
    assert shift == pytest.approx([3.0, -8.0], abs=1e-6) and votes >= 12
    assert common_shift(expected, np.zeros((0, 2)), search=20.0, tolerance=1.0)[1] == 0


def test_the_command_prints_a_table_of_eighty_columns_or_json(perfect, truth, tmp_path, capsys):
    stack = str(write_stack(tmp_path / "s.fits", perfect))
    assert main(["verify", stack, str(truth.parent)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and any("flux ratio" in line and "ok" in line for line in lines)
    assert main(["verify", stack, str(truth), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flux_ratio"] == pytest.approx(1.0, abs=0.01)


def test_the_command_answers_wrong_input_in_one_sentence(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "s.fits"), str(tmp_path / "t.ecsv")]) != 0
    assert capsys.readouterr().err.count("\n") == 1


def test_the_simulate_command_writes_what_it_was_asked_for(tmp_path, capsys):
    words = ["simulate", str(tmp_path / "n"), "--seed", "3", "--frames", "1", "--darks", "0", "--flats", "0"]
    words += ["--no-response", "--without", "bad-pixels,stars", "--stars", "2", "--filter", "K"]
    assert main(words) == 0
    assert "wrote 1 raw frames" in capsys.readouterr().out
    header = fits.getheader(tmp_path / "n" / "N20120117S0014.fits")
    assert header["FILTER2"] == "K_G0515"
    meta = (tmp_path / "n" / "truth.ecsv").read_text()
    assert '"without": "bad-pixels response stars"' in meta
    assert main([*words[:-1], "nonsense"]) != 0
    assert "filter" in capsys.readouterr().err
