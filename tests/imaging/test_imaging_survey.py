"""The first look at a frame: its background against the truth and against that of single pixels."""

from __future__ import annotations

import numpy as np
import pytest
import sep

from keyhole.imaging import _survey
from keyhole.imaging._bins import number_in_twos, unbinned
from keyhole.imaging._filters import doubled, summed_in_twos
from keyhole.imaging._masked import Chosen
from keyhole.imaging._measure import _label_on_or_beside
from keyhole.imaging._survey import DetectionLimits, survey
from keyhole.imaging.medians import fair_sample
from keyhole.imaging.scene import SkyPixels

NOISE = 12.0
LIMITS = DetectionLimits(3.0, 2.0, 10, 5, 0.001, 32, 3)


def sky_with_stars(shape, seed=0, stars=40, flux=3e5):
    """An image on a slope, the slope, and a mask with a bad column and some bad pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    slope = 30.0 + 0.02 * x + 0.03 * y
    image = slope + rng.normal(0, NOISE, shape)
    for at_y, at_x in rng.uniform((0, 0), shape, (stars, 2)):
        image += flux * 0.5 / (np.pi * 9) * (1 + ((x - at_x) ** 2 + (y - at_y) ** 2) / 9) ** -2.5
    hidden = rng.random(shape) < 0.002
    hidden[:, 100] = True
    return image.astype(np.float32), slope, hidden


def surveyed(image, hidden, **choices):
    variance = np.full(image.shape, NOISE**2, np.float32)
    return survey(image, variance, hidden.astype(np.uint16), ~hidden, LIMITS._replace(**choices))


@pytest.mark.parametrize("shape", [(141, 301), (513, 602)])
def test_background_follows_a_slope_between_and_behind_the_stars(shape):
    image, slope, hidden = sky_with_stars(shape)
    found = surveyed(image, hidden)
    left = found.scene.background - slope
    # Wings of forty bright stars reach over all of the small field.
    assert np.abs(left[~hidden].mean()) < 0.1 * NOISE
    assert left[~hidden].std() < 0.15 * NOISE
    assert found.sigma == pytest.approx(NOISE, rel=0.03)


def test_background_in_bins_is_as_good_as_that_of_all_pixels(monkeypatch):
    errors = {"bins": [], "pixels": []}
    for seed in range(6):
        image, slope, hidden = sky_with_stars((400, 420), seed)
        assert image.size > _survey._FEW
        errors["bins"].append(surveyed(image, hidden).scene.background - slope)
        with monkeypatch.context() as patch:
            patch.setattr(_survey, "_FEW", image.size)
            errors["pixels"].append(surveyed(image, hidden).scene.background - slope)
    bins, pixels = (np.concatenate(errors[name]) for name in ("bins", "pixels"))
    assert bins.std() < 1.1 * pixels.std()
    assert abs(bins.mean()) < abs(pixels.mean()) + 0.02 * NOISE


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_first_look_in_wider_bins_finds_the_same_background_and_objects(seed, monkeypatch):
    image, slope, hidden = sky_with_stars((400, 420), seed)
    plain = surveyed(image, hidden)
    looks = []
    monkeypatch.setattr(_survey, "_FEW", 40_000)
    monkeypatch.setattr(_survey, "doubled", lambda plane, shape: looks.append(shape) or doubled(plane, shape))
    wide = surveyed(image, hidden)
    assert looks == [(200, 210), (400, 420)]
    assert np.abs(wide.scene.background - plain.scene.background).max() < 0.15 * NOISE
    assert (wide.scene.background - slope).std() < 1.05 * (plain.scene.background - slope).std()
    assert abs(len(wide.objects) - len(plain.objects)) <= 1
    assert wide.sigma == pytest.approx(plain.sigma, rel=0.01)


@pytest.mark.parametrize("shape", [(400, 420), (401, 451)])
def test_noise_is_raised_by_what_all_free_pixels_tell(shape, monkeypatch):
    rng = np.random.default_rng(5)
    values, hidden = rng.normal(0, 3, shape).astype(np.float32), rng.random(shape) < 0.01
    covered = rng.random((-(-shape[0] // 2), -(-shape[1] // 2))) < 0.1
    values[unbinned(covered, 2, shape)] = 1000
    values[hidden] = 1000
    level = np.zeros(shape, np.float32)

    def raised(few_rows):
        monkeypatch.setattr(_survey, "_FAIR", few_rows)
        planes = _survey._Planes(values, np.ones(shape, np.float32), Chosen.of(hidden))
        return float(_survey._raised(planes, level, covered, bin_size=2)[0, 0])

    free = ~unbinned(covered, 2, shape) & ~hidden
    assert raised(values.size) == pytest.approx(1.4826 * np.median(np.abs(values[free])), rel=1e-6)
    assert raised(values.size // 7) == pytest.approx(3, rel=0.03)


def test_noise_is_told_by_the_rows_that_there_are_where_a_sample_has_none(monkeypatch):
    monkeypatch.setattr(_survey, "_FAIR", 100)
    values, hidden = np.full((40, 60), 2.0, np.float32), np.ones((40, 60), bool)
    hidden[5:9] = False
    planes = _survey._Planes(values, np.ones_like(values), Chosen.of(hidden))
    noise = _survey._raised(planes, np.zeros_like(values), np.zeros((20, 30), bool), bin_size=2)
    assert np.allclose(noise, 1.4826 * 2)


def test_objects_are_those_that_sep_finds_on_the_same_background():
    image, _, hidden = sky_with_stars((300, 320))
    found = surveyed(image, hidden, min_isophote=1)
    values = np.where(hidden, 0, image - found.scene.background).astype(np.float32)
    noise = np.sqrt(np.where(hidden, 1, found.scene.variance)).astype(np.float32)
    objects = sep.extract(
        values,
        3.0,
        err=noise,
        mask=hidden,
        minarea=10,
        filter_kernel=_survey._KERNEL,
        filter_type="conv",
        deblend_cont=0.001,
    )
    gaps = np.hypot(*(found.objects[axis][:, np.newaxis] - objects[axis] for axis in ("x", "y")))
    assert gaps.min(axis=1).max() < 0.1
    assert len(found.objects) > 0.9 * len(objects) > 20
    labels = found.scene.labels
    assert sorted(set(labels[labels > 0].tolist())) == list(range(1, len(found.objects) + 1))


@pytest.mark.parametrize("shape", [(40, 50), (41, 50), (40, 51), (41, 51)])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5])
def test_means_in_bins_are_those_of_the_pixels_that_are_not_hidden(shape, share):
    rng = np.random.default_rng(5)
    hidden = rng.random(shape) < share
    hidden[2:4, 6:8] = share > 0
    values, noise = rng.normal(0, 1, shape).astype(np.float32), rng.uniform(1, 2, shape).astype(np.float32)
    values[hidden] = noise[hidden] = 0
    np.testing.assert_array_equal(number_in_twos(Chosen.of(hidden)), summed_in_twos((~hidden).view(np.uint8)))
    found = _survey._binned(_survey._Planes(values, noise, Chosen.of(hidden)))
    for (y, x), there in np.ndenumerate(~found.hidden):
        part = np.s_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        free = ~hidden[part]
        assert there == free.any()
        if there:
            assert found.values[y, x] == pytest.approx(values[part][free].mean(), abs=1e-6)
            assert found.noise[y, x] == pytest.approx(noise[part][free].mean() / np.sqrt(free.sum()), rel=1e-6)


@pytest.mark.parametrize("min_area", [3, 10, 20])
def test_outlines_are_those_of_regions_of_enough_bins(min_area):
    rng = np.random.default_rng(8)
    values, noise = rng.normal(0, 4, (90, 100)).astype(np.float32), rng.uniform(0.9, 1.1, (90, 100)).astype(np.float32)
    hidden = rng.random(values.shape) < 0.05
    values[hidden] = 0
    found = _survey._outlines(values, noise, hidden, LIMITS._replace(min_area=min_area))
    _, labels = sep.extract(
        values / noise,
        6.0,
        mask=hidden,
        minarea=max(min_area // 4, 1),
        filter_kernel=None,
        deblend_nthresh=1,
        clean=False,
        segmentation_map=True,
    )
    assert 10 < found.sum() < 2000
    np.testing.assert_array_equal(found, labels > 0)


@pytest.mark.parametrize("row", [0, 5])
def test_hidden_pixels_are_no_part_of_a_source_at_the_border(row):
    image, _, hidden = sky_with_stars((120, 130), stars=0)
    image[: row + 4, 40:50] += 2000
    hidden[:row, :] = hidden[row, 40:50] = True
    found = surveyed(image, hidden)
    y0 = found.scene.origin[1]
    assert (found.scene.labels > 0).any()
    assert not found.scene.labels[hidden[y0:]].any()


def test_a_field_full_of_stars_keeps_the_background_of_the_first_round():
    image, _, hidden = sky_with_stars((160, 170), stars=250, flux=2e5)
    found = surveyed(image, hidden)
    assert np.isfinite(found.scene.background).all()
    assert len(found.objects) > 30


def test_pixels_that_told_the_background_are_counted_in_a_square():
    told = np.random.default_rng(1).random((40, 50)) > 0.4
    earlier = SkyPixels(np.ones_like(told), 4, 2.0)
    rows, columns = np.array([0, 3, 20, 39]), np.array([0, 49, 25, 2])
    for width in (5, 6, 200):
        sky = SkyPixels(told, width, 1.5, least=10, earlier=earlier)
        for y, x, found in zip(rows, columns, sky.at(rows, columns), strict=True):
            low_y, low_x = y - width // 2, x - width // 2
            count = told[max(low_y, 0) : max(low_y + width, 0), max(low_x, 0) : max(low_x + width, 0)].sum()
            plain = max(count / 1.5, 1) if count > 10 else earlier.at(np.array([y]), np.array([x]))[0]
            assert found == pytest.approx(plain)


def test_pixels_beside_sources_get_the_largest_label_around_them():
    labels = np.zeros((12, 14), np.int32)
    labels[2:5, 3:6], labels[4:8, 7:10], labels[0, 0] = 1, 2, 3
    padded = np.pad(labels, 1)
    grown = np.max([padded[j : j + 12, i : i + 14] for j in range(3) for i in range(3)], axis=0)
    plain = np.where(labels > 0, labels, grown)
    found = _label_on_or_beside(labels, np.arange(labels.size))
    np.testing.assert_array_equal(found.reshape(labels.shape), plain)


def test_fair_sample_takes_all_of_few_pixels_and_the_same_of_every_plane():
    rng = np.random.default_rng(2)
    chosen, plane = rng.random((50, 60)) > 0.3, rng.normal(size=(50, 60))
    np.testing.assert_array_equal(fair_sample(chosen, plane)[0], plane[chosen])
    chosen, plane = rng.random((900, 800)) > 0.3, rng.normal(size=(900, 800))
    some, again = fair_sample(chosen, plane, 2 * plane)
    assert 90_000 < some.size < 150_000
    np.testing.assert_array_equal(again, 2 * some)
    assert np.median(some) == pytest.approx(np.median(plane[chosen]), abs=0.015)
    only = np.zeros((900, 800), bool)
    only[1, 7] = True
    assert fair_sample(only, plane)[0].tolist() == [plane[1, 7]]
