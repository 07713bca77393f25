"""The figures of the accuracy table: each wrong thing is seen by the figure that is meant for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits

from keyhole.errors import DataError
from keyhole.simulate import NightOptions, build_night, verify
from keyhole.simulate.expected import expected_stack
from keyhole.simulate.measure import aperture_fluxes
from keyhole.simulate.rays import ray_columns
from keyhole.simulate.stars import paint_stars
from keyhole.simulate.statistics import excess_scatter, robust_width, weighted_mean
from keyhole.simulate.tables import read_ecsv
from keyhole.simulate.true_frames import true_frames, true_sky
from keyhole.simulate.true_stars import true_stars
from keyhole.simulate.truth import write_truth

SIGMA = 30.0
SCALE = 0.1517
BOX = (slice(380, 540), slice(60, 960))
BOTTOM, LEFT = BOX[0].start, BOX[1].start


@pytest.fixture(scope="module")
def night():
    options = NightOptions(
        frames=6, darks=0, flats=0, faintest=21.5, clouds=0.5, closed=[4], without={"response", "bad-pixels"}
    )
    return build_night(5, options)


@pytest.fixture(scope="module")
def truth(night, tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    (folder / "truth").mkdir()
    return write_truth(folder, night, np.zeros(len(night.stars)))


@pytest.fixture(scope="module")
def light(night):
    """Mean of the open frames on the grid of the first, each where it sees the sky, and how many see it."""
    first = night.star_shift(night.science[0])
    places = np.array([(star.x, star.y) for star in night.stars]) + first
    y, x = np.ogrid[BOX]
    total, number = 0.0, 0
    for plan in night.science:
        if not plan.transparency:
            continue
        dx, dy = night.star_shift(plan) - first - plan.flexure
        seen = night.opening.depth(x + dx, y + dy) > 1.5
        electrons = night.star_electrons(plan) * plan.transparency
        total = total + seen * paint_stars(places, electrons, fwhm=plan.seeing, pixel_scale=SCALE, box=BOX)
        number = number + seen
    return total / np.maximum(number, 1), number


@pytest.fixture(scope="module")
def stack(night, light):
    """A perfect stack of the open frames: SCI, VAR, DQ and the header of its WCS."""
    image, number = light
    variance = (image / np.maximum(number, 1) + SIGMA**2).astype(np.float32)
    noise = np.random.default_rng(8).standard_normal(image.shape)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 16.24142, 33.93044
    place = night.geometry.target_pixel + night.star_shift(night.science[0]) + 1 - (LEFT, BOTTOM)
    header["CRPIX1"], header["CRPIX2"] = place.tolist()
    (a, b), (c, d) = night.geometry.true_cd.tolist()
    header.update({"CD1_1": a, "CD1_2": b, "CD2_1": c, "CD2_2": d, "BUNIT": "electron"})
    return {
        "SCI": (image + np.sqrt(variance) * noise).astype(np.float32),
        "VAR": variance,
        "DQ": np.where(number > 0, 0, 64).astype(np.uint16),
        "header": header,
    }


def write(path, night, stack, *, tables=(), primary=None, **changes):
    planes = stack | changes
    opened = [plan.name for plan in night.science if plan.transparency]
    phu = fits.PrimaryHDU()
    for number, name in enumerate(opened, start=1):
        phu.header[f"IMCMB{number:03d}"] = name
    phu.header.update(primary or {})
    units = [
        phu,
        *(fits.ImageHDU(planes[n], planes["header"] if n == "SCI" else None, n) for n in ("SCI", "VAR", "DQ")),
    ]
    fits.HDUList([*units, *tables]).writeto(path)
    return path


@pytest.fixture(scope="module")
def verdict(night, stack, truth, tmp_path_factory):
    return verify(write(tmp_path_factory.mktemp("stack") / "s.fits", night, stack), truth)


def table_of(name, **columns):
    return fits.BinTableHDU.from_columns(
        [fits.Column(k, "D", array=np.array(v)) for k, v in columns.items()], name=name
    )


def test_the_stack_without_noise_is_the_mean_of_what_the_frames_see(night, truth, light):
    table = read_ecsv(truth)
    frames = true_frames(truth, table).only([plan.name for plan in night.science if plan.transparency])
    assert len(frames.names) == 5
    image = expected_stack(true_stars(table, truth), frames, np.array([-LEFT, -BOTTOM], float), light[0].shape)
    assert np.array_equal(image.seen, light[1])
    assert image.light == pytest.approx(light[0], abs=0.01)


def test_a_perfect_stack_passes_every_figure(verdict):
    assert verdict.frames == 5
    assert abs(verdict.flux_ratio - 1) < 0.01
    assert verdict.bright_stars >= 5 and verdict.bright_scatter < 0.003
    assert verdict.low_stars >= 5 and abs(verdict.low_ratio - 1) < 3 * verdict.low_error
    assert verdict.faint_scatter < 2 * verdict.faint_noise
    assert abs(verdict.background_electrons) < 0.4
    for found in verdict.apertures:
        assert found["ratio"] == pytest.approx(1.0, abs=3 / np.sqrt(2 * found["number"]))
    assert verdict.outliers == 0 and verdict.rays_left == 0
    assert verdict.wcs_worst < 1e-3 and verdict.wcs_absolute < 5e-3
    assert math.isnan(verdict.registration_rms)


def test_clouds_that_nobody_corrected_leave_no_single_zero_point(verdict):
    # The light is what the frames saw, but some stars were seen by clearer frames than others.
    assert verdict.bright_scatter < 0.003 and verdict.zero_scatter > 0.01


def test_a_stack_brought_to_the_transparency_of_a_frame_is_judged_by_that_frame(night, truth, stack, light, tmp_path):
    first = night.science[0]
    places = np.array([(star.x, star.y) for star in night.stars]) + night.star_shift(first)
    image = np.zeros(light[0].shape)
    y, x = np.ogrid[BOX]
    for plan in night.science:
        if plan.transparency:
            dx, dy = night.star_shift(plan) - night.star_shift(first) - plan.flexure
            seen = night.opening.depth(x + dx, y + dy) > 1.5
            electrons = night.star_electrons(plan) * first.transparency
            image += seen * paint_stars(places, electrons, fwhm=plan.seeing, pixel_scale=SCALE, box=BOX)
    image = (image / np.maximum(light[1], 1) + stack["SCI"] - light[0]).astype(np.float32)
    scaled = verify(write(tmp_path / "s.fits", night, stack, SCI=image, primary={"FLUXREF": first.name}), truth)
    assert abs(scaled.flux_ratio - 1) < 0.01 and scaled.zero_scatter < 0.005
    untold = verify(write(tmp_path / "u.fits", night, stack, SCI=image), truth)
    assert untold.bright_scatter > 0.005


def test_an_error_that_depends_on_the_place_is_scatter_beyond_noise(night, truth, stack, tmp_path):
    lean = 1 + 0.05 * np.linspace(-1, 1, stack["SCI"].shape[1], dtype=np.float32)
    wrong = verify(write(tmp_path / "s.fits", night, stack, SCI=stack["SCI"] * lean), truth)
    assert 0.01 < wrong.bright_scatter < 0.06


def test_faint_stars_that_lose_light_are_seen_where_bright_ones_do_not_tell(night, truth, stack, verdict, tmp_path):
    # A sky that is too high under every star: the same electrons are lost by all.
    y, x = np.mgrid[: stack["SCI"].shape[0], : stack["SCI"].shape[1]]
    hole = np.zeros(stack["SCI"].shape, np.float32)
    for star in verdict.star_table:
        hole[np.hypot(x - star["x"], y - star["y"]) < 6] = 5.0
    wrong = verify(write(tmp_path / "s.fits", night, stack, SCI=stack["SCI"] - hole), truth)
    assert wrong.low_ratio < verdict.low_ratio - 0.05
    assert wrong.flux_ratio == pytest.approx(verdict.flux_ratio, abs=0.01)


def test_correlated_noise_needs_the_factor_of_the_file(night, truth, stack, light, tmp_path):
    from scipy.ndimage import uniform_filter

    noise = uniform_filter(np.random.default_rng(2).standard_normal(light[0].shape), 2, mode="wrap")
    image = (light[0] + np.sqrt(stack["VAR"]) * noise / noise.std()).astype(np.float32)
    untold = verify(write(tmp_path / "u.fits", night, stack, SCI=image), truth)
    ratios = {found["radius"]: found["ratio"] for found in untold.apertures}
    assert untold.noise_ratio == pytest.approx(1.0, abs=0.02)
    assert ratios[9.0] > 1.6 and ratios[1.5] < ratios[9.0]
    header = stack["header"].copy()
    header["CORRNOIS"] = 2.0
    card = verify(write(tmp_path / "c.fits", night, stack, SCI=image, header=header), truth)
    assert [found["ratio"] for found in card.apertures] == pytest.approx([r / 2 for r in ratios.values()])
    told = table_of("APNOISE", RADIUS=[1.5, 3.0, 5.0, 9.0], FACTOR=list(ratios.values()))
    right = verify(write(tmp_path / "t.fits", night, stack, SCI=image, header=header, tables=[told]), truth)
    assert [found["ratio"] for found in right.apertures] == pytest.approx([1.0] * 4)
    # The errors of the stars follow the table, too.
    assert right.pull_width < untold.pull_width


def test_catalogue_errors_are_judged_by_the_scatter_of_the_catalogue(night, truth, stack, verdict, tmp_path):
    rng = np.random.default_rng(3)
    stars = [star for star in verdict.star_table if star["expected"] > 0]
    light = np.array([star["expected"] for star in stars])
    error = np.full(light.shape, 200.0)
    columns = {
        "X_IMAGE": [star["x"] + 1 for star in stars],
        "Y_IMAGE": [star["y"] + 1 for star in stars],
        "FLUX_AUTO": 0.9 * (light + error * rng.standard_normal(light.shape)),
    }
    for told, width in ((1.0, 1.0), (0.5, 2.0)):
        objcat = table_of("OBJCAT", **columns, FLUXERR_AUTO=0.9 * told * error)
        found = verify(write(tmp_path / f"{told}.fits", night, stack, tables=[objcat]), truth)
        assert found.catalogue_aperture == pytest.approx(0.9, abs=0.02)
        assert found.catalogue_pull == pytest.approx(width, rel=0.35)
        assert found.completeness == 1.0 and found.limit_completeness == 1.0


def test_flagged_sources_do_not_judge_the_errors_of_the_catalogue(night, truth, stack, verdict, tmp_path):
    rng = np.random.default_rng(5)
    stars = [star for star in verdict.star_table if star["expected"] > 0]
    light = np.array([star["expected"] for star in stars])
    wrong = np.arange(len(light)) % 2 == 0
    flux = light + 200.0 * rng.standard_normal(light.shape)
    columns = {"X_IMAGE": [star["x"] + 1 for star in stars], "Y_IMAGE": [star["y"] + 1 for star in stars]}
    faint = light < np.median(light)
    columns["FLUX_AUTO"] = np.where(wrong & faint, flux + 3000.0, flux)
    verdicts = [
        verify(
            write(
                tmp_path / f"{told}.fits",
                night,
                stack,
                tables=[table_of("OBJCAT", **columns, FLUXERR_AUTO=np.full(light.shape, 200.0), FLAGS=flags)],
            ),
            truth,
        )
        for told, flags in (("told", np.where(wrong, 2, 0)), ("not", np.zeros(len(light), int)))
    ]
    assert verdicts[0].catalogue_pull < 1.6 < verdicts[1].catalogue_pull
    assert {star["catalogue_flagged"] for star in verdicts[0].star_table} == {True, False}


def test_cosmic_rays_that_stayed_are_counted_by_hit(night, truth, stack, light, tmp_path):
    columns = {column.name: np.array(column.values) for column in ray_columns(night)}
    frames = true_frames(truth, read_ecsv(truth))
    image = stack["SCI"].copy()
    for name, x, y, electrons in zip(*(columns[k] for k in ("name", "x", "y", "electrons")), strict=True):
        if name == night.science[3].name:
            continue  # closed, not combined
        dx, dy = frames.dither[frames.names.index(str(name))]
        column, row = round(x - dx) - LEFT, round(y - dy) - BOTTOM
        if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
            image[row, column] += electrons / max(light[1][row, column], 1)
    kept = verify(write(tmp_path / "kept.fits", night, stack, SCI=image), truth)
    gone = verify(write(tmp_path / "gone.fits", night, stack), truth)
    assert kept.rays == gone.rays > 0
    assert kept.rays_left == kept.rays and gone.rays_left == 0
    assert kept.outliers > gone.outliers


def test_errors_of_the_wcs_are_told_from_a_common_shift(night, truth, stack, tmp_path):
    header = stack["header"].copy()
    header["CRPIX1"] += 2.0
    moved = verify(write(tmp_path / "moved.fits", night, stack, header=header), truth)
    assert moved.wcs_absolute == pytest.approx(2 * SCALE, abs=0.01) and moved.wcs_worst < 1e-3
    for key in ("CD1_1", "CD2_1"):
        header[key] *= 1.01
    bent = verify(write(tmp_path / "bent.fits", night, stack, header=header), truth)
    assert 0.2 < bent.wcs_internal < bent.wcs_worst < 1.0
    # The stars are measured where they are, whatever the WCS says.
    assert bent.flux_ratio == pytest.approx(moved.flux_ratio, abs=1e-4)


def frame_with_wcs(folder, night, index, *, error=(0.0, 0.0), turn=0.0):
    plan = night.science[index]
    shift = night.star_shift(plan) + error
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 16.24142, 33.93044
    header["CRPIX1"], header["CRPIX2"] = (night.geometry.target_pixel + shift + 1).tolist()
    angle = np.radians(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    (a, b), (c, d) = (night.geometry.true_cd @ rotation).tolist()
    header.update({"CD1_1": a, "CD1_2": b, "CD2_1": c, "CD2_2": d})
    path = folder / f"{plan.name.removesuffix('.fits')}_wcsCorrected.fits"
    image = fits.ImageHDU(np.ones((4, 4), np.float32), header, "SCI")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    return path


def test_registration_errors_are_those_over_the_keyhole(night, truth, stack, tmp_path):
    product = write(tmp_path / "s.fits", night, stack)
    paths = [frame_with_wcs(tmp_path, night, k, error=(0.3, -0.2)) for k in (0, 1)]
    same = verify(product, truth, registered=paths)
    # All frames are off by the same: the stack is not blurred.
    assert same.registration_frames == 2 and same.registration_rms < 1e-3
    paths.append(frame_with_wcs(tmp_path, night, 2, error=(0.3 + 0.6, -0.2)))
    assert verify(product, truth, registered=paths).registration_rms == pytest.approx(0.6 * np.sqrt(2) / 3, rel=0.01)
    turned = frame_with_wcs(tmp_path, night, 4, error=(0.3, -0.2), turn=0.1)
    # A tenth of a degree at 320 pixels from the target.
    assert verify(product, truth, registered=[*paths[:2], turned]).registration_worst > 0.25
    foreign = turned.rename(tmp_path / "N20200101S0001_wcsCorrected.fits")
    with pytest.raises(DataError, match="no science frame of this night"):
        verify(product, truth, registered=[paths[0], foreign])


def test_a_night_without_stars_is_judged_by_its_noise(tmp_path):
    options = NightOptions(frames=3, darks=0, flats=0, without={"response", "bad-pixels", "stars"})
    empty = build_night(2, options)
    (tmp_path / "truth").mkdir()
    truth = write_truth(tmp_path, empty, np.zeros(0))
    table = read_ecsv(truth)
    sky, frames = true_sky(table), true_frames(truth, table)
    assert len(true_stars(table, truth).numbers) == 0 and len(frames.names) == 3
    shape = (160, 900)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"], header["BUNIT"] = "RA---TAN", "DEC--TAN", "electron"
    header["CRVAL1"], header["CRVAL2"] = sky.target
    header["CRPIX1"], header["CRPIX2"] = (sky.pixel + 1 - (LEFT, BOTTOM)).tolist()
    (a, b), (c, d) = sky.cd.tolist()
    header.update({"CD1_1": a, "CD1_2": b, "CD2_1": c, "CD2_2": d})
    image = (2.0 + 20 * np.random.default_rng(1).standard_normal(shape)).astype(np.float32)
    planes = {"SCI": image, "VAR": np.full(shape, 400, np.float32), "header": header}
    found = verify(write(tmp_path / "s.fits", empty, planes | {"DQ": np.zeros(shape, np.uint16)}), truth)
    assert found.stars == 0 and math.isnan(found.flux_ratio) and math.isnan(found.position_rms)
    assert found.background_electrons == pytest.approx(2.0, abs=0.3)
    assert found.noise_ratio == pytest.approx(1.0, abs=0.02)
    assert found.wcs_worst < 1e-3 and found.wcs_absolute < 1e-3


@pytest.mark.parametrize("radius", [1.5, 4.0, 10.0])
def test_errors_of_circles_are_those_of_white_noise_wherever_their_centres_are(radius):
    rng = np.random.default_rng(6)
    image = rng.standard_normal((500, 500)).astype(np.float32)
    ones, zeros = np.ones_like(image), np.zeros_like(image)
    places = rng.uniform(40, 460, (3000, 2))
    # A ring about a narrow star is next to the circle, one about a wide star far away.
    sums = aperture_fluxes(image, ones, ones > 0, places, radius=radius, fwhm=4.0, model=zeros)
    assert robust_width(sums.flux / sums.error) == pytest.approx(1.0, abs=0.06)


def test_excess_scatter_is_what_the_errors_do_not_explain():
    rng = np.random.default_rng(1)
    values = 1 + 0.03 * rng.standard_normal(4000) + 0.04 * rng.standard_normal(4000)
    assert excess_scatter(values, np.full(4000, 0.04)) == pytest.approx(0.03, rel=0.1)
    assert excess_scatter(values, np.full(4000, 0.2)) == 0.0
    assert math.isnan(excess_scatter(values[:2], [0.1, 0.1]))


def test_a_weighted_mean_counts_good_values_more_and_admits_scatter():
    mean = weighted_mean([1.0, 2.0], [0.1, 1e6])
    assert mean.value == pytest.approx(1.0, abs=1e-6) and mean.number == 2
    assert weighted_mean([0.0, 1.0, 2.0], [0.01, 0.01, 0.01]).error == pytest.approx(1 / np.sqrt(3), rel=1e-6)
    assert math.isnan(weighted_mean([], []).value)
    assert robust_width(np.array([1.0])) != robust_width(np.array([1.0]))
