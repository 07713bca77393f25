"""Detection and measurement of stars that the test itself draws in a lit slot."""

from __future__ import annotations

import numpy as np
import pytest
import sep

from keyhole.errors import AlgorithmError
from keyhole.imaging.catalogue import COLUMNS, source_list
from keyhole.imaging.detect import detect_sources
from keyhole.imaging.match import register
from keyhole.imaging.resample import resample

SCALE = 0.15
SHAPE = (140, 420)
SLOT = np.s_[40:110, 20:400]
SKY, READ = 3720.0, 400.0


def draw(x, y, flux, *, fwhm=4.5, beta=3.0):
    """Moffat stars, sampled 3 x 3 times per pixel."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    image = np.zeros(SHAPE)
    j, i = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    for a, b, f in zip(np.atleast_1d(x), np.atleast_1d(y), np.atleast_1d(flux), strict=True):
        for u in (-1 / 3, 0, 1 / 3):
            for v in (-1 / 3, 0, 1 / 3):
                r2 = (i - a - u) ** 2 + (j - b - v) ** 2
                image += f * (beta - 1) / (np.pi * alpha**2) / 9 * (1 + r2 / alpha**2) ** -beta
    return image


def expose(stars, seed=0, level=0.0):
    """Noisy frame, variance and mask of a slot whose surroundings are dark."""
    rng = np.random.default_rng(seed)
    variance = stars + SKY + READ
    data = stars + level + rng.normal(size=SHAPE) * np.sqrt(variance)
    mask = np.full(SHAPE, 64, np.uint16)
    mask[SLOT] = 0
    data[mask > 0] = rng.normal(0, 10, (mask > 0).sum())
    return data.astype(np.float32), variance.astype(np.float32), mask


def isolated(seed=0, number=12):
    rng = np.random.default_rng(seed)
    x = np.linspace(45, 375, number) + rng.uniform(-4, 4, number)
    y = np.resize([60.0, 90.0], number) + rng.uniform(-4, 4, number)
    return x, y, 10 ** rng.uniform(4.6, 5.7, number)


def matched(catalogue, x, y):
    """Row of the catalogue nearest to each true position, and the distances."""
    distance = np.hypot(
        catalogue["X_IMAGE"] - 1 - np.asarray(x)[:, np.newaxis],
        catalogue["Y_IMAGE"] - 1 - np.asarray(y)[:, np.newaxis],
    )
    return distance.argmin(axis=1), distance.min(axis=1)


@pytest.fixture(scope="module")
def field():
    x, y, flux = isolated()
    frame = expose(draw(x, y, flux), level=250.0)
    found = detect_sources(*frame, pixel_scale=SCALE, pixel_to_sky=lambda a, b: (10 + a * 1e-5, 20 + b * 1e-5))
    return (x, y, flux), frame, found


def test_every_star_is_found_once_and_nothing_else(field):
    (x, y, _), (_, _, mask), found = field
    rows, distance = matched(found.catalogue, x, y)
    assert sorted(rows.tolist()) == list(range(len(x)))
    assert len(found.catalogue["NUMBER"]) == len(x)
    assert distance.max() < 0.2
    assert found.objmask.dtype == np.uint8
    assert found.objmask.shape == SHAPE
    assert set(np.unique(found.objmask)) == {0, 1}
    assert not found.objmask[mask > 0].any()
    assert found.objmask[np.rint(y).astype(int), np.rint(x).astype(int)].all()


def test_positions_and_fluxes_agree_with_their_errors():
    pulls, ratios = [], []
    for seed in range(4):
        x, y, flux = isolated(seed)
        table = detect_sources(*expose(draw(x, y, flux), seed), pixel_scale=SCALE).catalogue
        rows, _ = matched(table, x, y)
        for axis, true in (("X", x), ("Y", y)):
            error = np.sqrt(table[f"ERR{axis}2_IMAGE"][rows])
            pulls.append((table[f"{axis}_IMAGE"][rows] - 1 - true) / error)
        ratios.append(table["FLUX_AUTO"][rows] / flux)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.4)
    # A Kron aperture of 2.5 radii holds 94-98 per cent of a Moffat star.
    assert 0.93 < np.median(ratios) < 0.99
    assert np.std(ratios) < 0.03


def test_flux_error_is_that_of_the_aperture(field):
    _, frame, found = field
    doubled = detect_sources(*frame, pixel_scale=SCALE, noise_correlation=2.0)
    np.testing.assert_allclose(doubled.catalogue["FLUXERR_AUTO"], 2 * found.catalogue["FLUXERR_AUTO"], rtol=1e-5)
    table = found.catalogue
    least = np.sqrt(np.pi * (3.5**2) * table["A_IMAGE"] * table["B_IMAGE"] * (SKY + READ))
    assert (table["FLUXERR_AUTO"] > 0.95 * least).all()
    np.testing.assert_allclose(table["MAG_AUTO"], -2.5 * np.log10(table["FLUX_AUTO"]), rtol=1e-5)
    np.testing.assert_allclose(table["MAGERR_AUTO"], 1.0857 * table["FLUXERR_AUTO"] / table["FLUX_AUTO"], rtol=1e-3)


def test_kron_fluxes_agree_with_sep_on_a_clean_frame():
    x, y, flux = isolated()
    image = draw(x, y, flux).astype(np.float32)
    variance = np.full(SHAPE, 100.0, np.float32)
    table = detect_sources(image, variance, pixel_scale=SCALE, back_size=128).catalogue
    rows, _ = matched(table, x, y)
    alpha = 4.5 / (2 * np.sqrt(2 ** (1 / 3) - 1))
    # Flux of a Moffat profile within its own aperture radius, from the catalogue's half-light radius.
    half = alpha * np.sqrt(2 ** (1 / 2) - 1)
    np.testing.assert_allclose(table["FLUX_RADIUS"][rows], half, rtol=0.06)
    total, _, _ = sep.sum_circle(image, x, y, 12.0)
    np.testing.assert_allclose(table["FLUX_AUTO"][rows], total, rtol=0.04)


@pytest.mark.parametrize(("fwhm", "beta"), [(3.0, 2.5), (4.5, 3.0), (8.0, 4.0)])
def test_seeing_is_the_width_of_the_stars(fwhm, beta):
    x, y, flux = isolated()
    found = detect_sources(*expose(draw(x, y, 2 * flux, fwhm=fwhm, beta=beta)), pixel_scale=SCALE)
    # The pixel itself adds to the width.
    assert found.seeing_arcsec / SCALE == pytest.approx(np.hypot(fwhm, 0.9), rel=0.05)
    rows, _ = matched(found.catalogue, x, y)
    np.testing.assert_allclose(found.catalogue["FWHM_IMAGE"][rows], np.hypot(fwhm, 0.9), rtol=0.12)
    assert (found.catalogue["CLASS_STAR"][rows] > 0.8).all()


def test_background_and_noise_are_measured(field):
    _, frame, found = field
    assert found.background == pytest.approx(250.0, abs=8.0)
    assert found.sigma == pytest.approx(np.sqrt(SKY + READ), rel=0.05)
    assert detect_sources(frame[0], None, frame[2], pixel_scale=SCALE).sigma == pytest.approx(64.2, rel=0.1)
    # A variance that promises too much does not lead to false sources.
    tiny = detect_sources(frame[0], frame[1] / 100, frame[2], pixel_scale=SCALE)
    assert tiny.sigma == pytest.approx(64.2, rel=0.1)
    assert len(tiny.catalogue["NUMBER"]) <= len(found.catalogue["NUMBER"]) + 1


def test_all_columns_are_there_with_their_types_and_without_nan(field):
    _, _, found = field
    assert list(found.catalogue) == [column.name for column in COLUMNS]
    for column, values in zip(COLUMNS, found.catalogue.values(), strict=True):
        assert values.dtype == np.dtype(column.dtype)
        assert np.isfinite(values).all()
    table = found.catalogue
    np.testing.assert_allclose(table["X_WORLD"], 10 + (table["X_IMAGE"] - 1) * 1e-5)
    assert (table["REF_MAG"] == -999).all()
    assert (table["PROFILE_FWHM"] > 3).all()
    assert (table["PROFILE_EE50"] > 3).all()
    assert (table["FLAGS"] == 0).all()


def test_noise_alone_has_no_sources():
    for threshold in (3.0, 2.0):
        found = detect_sources(*expose(np.zeros(SHAPE), seed=3), pixel_scale=SCALE, detect_thresh=threshold)
        assert len(found.catalogue["NUMBER"]) == 0
        assert found.seeing_arcsec is None
        assert not found.objmask.any()
        assert list(found.catalogue) == [column.name for column in COLUMNS]


def test_larger_minimum_area_loses_the_faint_stars_only():
    x, y, _ = isolated()
    flux = np.geomspace(8e3, 5e5, 12)
    frame = expose(draw(x, y, flux))
    few = detect_sources(*frame, pixel_scale=SCALE, detect_minarea=40).catalogue
    many = detect_sources(*frame, pixel_scale=SCALE, detect_minarea=10).catalogue
    assert 3 < len(few["NUMBER"]) < len(many["NUMBER"]) <= 12
    assert few["FLUX_AUTO"].min() > many["FLUX_AUTO"].min()


def test_hot_pixels_and_dark_surroundings_are_not_sources():
    data, variance, mask = expose(draw(*isolated()), seed=1)
    rng = np.random.default_rng(8)
    bad = rng.random(SHAPE) < 0.01
    data[bad] = 1e5
    mask[bad] |= 1
    data[mask == 64] += 500.0
    found = detect_sources(data, variance, mask, pixel_scale=SCALE)
    _, distance = matched(found.catalogue, *isolated()[:2])
    assert len(found.catalogue["NUMBER"]) == 12
    assert distance.max() < 0.3
    single = data.copy()
    single[75, 200:210:5] = 3e4
    clean = detect_sources(single, variance, mask, pixel_scale=SCALE)
    assert len(clean.catalogue["NUMBER"]) == 12


def test_saturated_core_is_flagged_and_not_lost():
    x, y, flux = 200.3, 74.6, 3e6
    stars = draw(x, y, flux)
    data, variance, mask = expose(stars)
    core = stars > 3e4
    data[core] = 3e4
    mask[core] |= 4
    mask[(stars > 2e4) & ~core] |= 2
    found = detect_sources(data, variance, mask, pixel_scale=SCALE)
    row, distance = matched(found.catalogue, [x], [y])
    assert distance[0] < 0.1
    assert found.catalogue["FLAGS"][row[0]] & 4
    assert found.catalogue["IMAFLAGS_ISO"][row[0]] & 6 == 6
    assert found.catalogue["NIMAFLAGS_ISO"][row[0]] >= core.sum()
    assert found.objmask[core].all()


def test_star_at_the_edge_of_the_slot_is_flagged_as_cut():
    found = detect_sources(*expose(draw([200.0, 300.0], [108.0, 75.0], [3e5, 3e5])), pixel_scale=SCALE)
    rows, _ = matched(found.catalogue, [200.0, 300.0], [108.0, 75.0])
    assert found.catalogue["FLAGS"][rows[0]] & 8
    assert found.catalogue["FLAGS"][rows[1]] == 0


def test_blended_stars_are_separated_and_flagged():
    x, y = [200.0, 209.0], [75.0, 76.0]
    found = detect_sources(*expose(draw(x, y, [4e5, 3e5])), pixel_scale=SCALE)
    rows, distance = matched(found.catalogue, x, y)
    assert len(set(rows.tolist())) == 2
    assert distance.max() < 0.3
    assert (found.catalogue["FLAGS"][rows] & 3 > 0).all()


def test_frame_without_usable_pixels_is_empty():
    data, variance, _ = expose(np.zeros(SHAPE))
    for planes in ((data, variance, np.full(SHAPE, 64, np.uint16)), (data * np.nan, variance, None)):
        found = detect_sources(*planes, pixel_scale=SCALE)
        assert len(found.catalogue["NUMBER"]) == 0
        assert (found.background, found.sigma, found.seeing_arcsec) == (0.0, 0.0, None)
        assert not found.objmask.any()


def test_a_handful_of_usable_pixels_is_enough_for_a_level():
    data, variance, _ = expose(np.zeros(SHAPE), level=100.0)
    few = np.full(SHAPE, 64, np.uint16)
    few[60:66, 100:108] = 0
    found = detect_sources(data, variance, few, pixel_scale=SCALE)
    assert found.background == pytest.approx(100.0, abs=40.0)
    assert len(found.catalogue["NUMBER"]) == 0
    one = np.full(SHAPE, 64, np.uint16)
    one[60, 100] = 0
    assert len(detect_sources(data, variance, one, pixel_scale=SCALE).catalogue["NUMBER"]) == 0


def test_input_is_not_changed_and_foreign_byte_order_gives_the_same(field):
    _, (data, variance, mask), found = field
    copies = data.copy(), variance.copy(), mask.copy()
    swapped = detect_sources(data.astype(">f4"), variance.astype(">f8"), mask.astype(">u2"), pixel_scale=SCALE)
    for before, after in zip(copies, (data, variance, mask), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(swapped.catalogue["X_IMAGE"], found.catalogue["X_IMAGE"])


def test_overfull_buffers_of_the_detector_are_enlarged_and_put_back(field):
    _, frame, found = field
    before = sep.get_extract_pixstack()
    sep.set_extract_pixstack(1000)
    try:
        again = detect_sources(*frame, pixel_scale=SCALE)
        assert sep.get_extract_pixstack() == 1000
    finally:
        sep.set_extract_pixstack(before)
    np.testing.assert_array_equal(again.catalogue["FLUX_AUTO"], found.catalogue["FLUX_AUTO"])


def test_failures_of_the_detector_come_with_a_way_out(field, monkeypatch):
    _, frame, _ = field

    def fail(*_, **__):
        raise Exception("object deblending overflow")

    monkeypatch.setattr(sep, "extract", fail)
    with pytest.raises(AlgorithmError, match=r"deblending overflow.*detect_thresh above 3"):
        detect_sources(*frame, pixel_scale=SCALE)
    with pytest.raises(AlgorithmError, match="variance has shape"):
        detect_sources(frame[0], frame[1][1:], pixel_scale=SCALE)


def test_detection_registration_and_resampling_bring_frames_together():
    """The three steps in a row reach the precision that stacking needs."""
    x, y, flux = isolated(5)
    shifts = np.array([(0.0, 0.0), (6.37, -2.81), (-5.62, 3.44), (2.5, 1.13)])
    commanded = np.rint(shifts) + np.array([(0, 0), (1, -1), (-1, 0), (0, 1)])
    frames = [expose(draw(x + dx, y + dy, flux), seed) for seed, (dx, dy) in enumerate(shifts)]
    lists = [source_list(detect_sources(*frame, pixel_scale=SCALE).catalogue) for frame in frames]
    found = register(lists, commanded, search_radius=13.3, match_radius=3.3)
    assert np.sqrt(((found.shifts - shifts) ** 2).mean()) < 0.03
    assert all(frame.method == "sources" for frame in found.frames)
    aligned = [
        resample(*frame, shift=(f.dx, f.dy), matrix=f.matrix) for frame, f in zip(frames, found.frames, strict=True)
    ]
    truth = draw(x, y, flux)
    for frame in aligned:
        good = frame.mask == 0
        pull = (frame.data - truth)[good] / np.sqrt(frame.variance[good])
        assert np.median(np.abs(pull)) * 1.4826 == pytest.approx(1.0, abs=0.05)
        assert frame.data[good].sum() == pytest.approx(truth[good].sum(), rel=0.02)
