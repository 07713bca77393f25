from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from raw_frames import SCALE, electrons

from keyhole.engine.product import account_of_product
from keyhole.errors import InputError
from keyhole.frames import write_frame
from keyhole.report.compare import compared
from keyhole.report.runs import write_product_report

SHAPE = (90, 240)


def field(*, shift=(0.0, 0.0), factor=1.0, level=0.0, seed=1, name="one.fits", crpix=(120.0, 45.0), noise=5.0):
    """Stars that lie `shift` pixels beside where the WCS puts them."""
    rng = np.random.default_rng(7)
    x, y = rng.uniform(10, 230, 25), rng.uniform(10, 80, 25)
    flux = 10 ** rng.uniform(3.6, 5.2, 25)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    data = np.random.default_rng(seed).normal(level, noise, SHAPE)
    moved = (crpix[0] - 120.0 + shift[0], crpix[1] - 45.0 + shift[1])
    for x0, y0, f in zip(x, y, flux, strict=True):
        r2 = (xx - x0 - moved[0]) ** 2 + (yy - y0 - moved[1]) ** 2
        data += factor * f / (2 * np.pi * 1.7**2) * np.exp(-r2 / (2 * 1.7**2))
    frame = electrons(
        data.astype(np.float32),
        variance=np.full(SHAPE, noise**2, np.float32),
        mask=np.zeros(SHAPE, np.uint16),
        crpix=crpix,
    )
    frame.name = name
    return frame


def compare(*frames):
    groups = [account_of_product(frame, href=frame.name)[0] for frame in frames]
    return compared(frames, groups)


def value(told, name, column=1):
    (row,) = [row for row in told["rows"] if row["name"] == name]
    return float(row["values"][column].split(" ")[0].strip("()″e⁻").replace("−", "-"))


def test_image_compared_with_a_copy_of_other_noise_differs_by_the_noise():
    told, pictures = compare(field(), field(seed=2, name="two.fits"))
    assert value(told, "… scatter of a pixel") == pytest.approx(5 * np.sqrt(2), rel=0.05)
    assert abs(value(told, "Difference between the stars")) < 0.3
    assert value(told, "Light of the stars over the first") == pytest.approx(1, abs=0.01)
    assert set(pictures) == {"layer-1", "layer-2", "difference-2"}
    assert [layer["file"] for layer in told["layers"]] == list(pictures)


def test_other_unit_and_level_are_found():
    told, _ = compare(field(), field(factor=0.25, noise=1.25, level=2.0, name="two.fits"))
    assert value(told, "Light of the stars over the first") == pytest.approx(0.25, rel=0.02)
    assert value(told, "Difference between the stars") == pytest.approx(8.0, abs=0.5)


def test_images_on_other_grids_meet_by_their_wcs():
    told, _ = compare(field(), field(crpix=(131.0, 49.0), seed=2, name="two.fits"))
    assert value(told, "Stars beside the place of the first") < 0.02
    assert value(told, "… scatter of a pixel") < 9


def test_stars_beside_their_wcs_are_brought_together_and_it_is_told():
    told, _ = compare(field(), field(shift=(3.0, -2.0), seed=2, name="two.fits"))
    assert value(told, "Stars beside the place of the first") == pytest.approx(SCALE * np.hypot(3, 2), rel=0.03)
    assert value(told, "… scatter of a pixel") < 9


def test_three_images_have_two_differences():
    told, pictures = compare(*(field(seed=k, name=f"{k}.fits") for k in range(3)))
    assert len(pictures) == 5
    assert all(len(row["values"]) == 3 for row in told["rows"])


def test_image_without_a_wcs_or_of_another_field_is_refused():
    bare = field(name="bare.fits")
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CRVAL1"):
        del bare.header[key]
    with pytest.raises(InputError, match=r"bare.fits: no WCS"):
        compared([field(), bare], [account_of_product(field(), href="x")[0]] * 2)
    away = field(name="away.fits")
    away.header["CRVAL2"] = -33.0
    with pytest.raises(InputError, match=r"away.fits shows another part of the sky"):
        compare(field(), away)


def foreign(path, *, cards, shift=0.0):
    """An image as another program writes it: the primary HDU alone, no masks, NaN outside, scale and rotation."""
    frame = field(seed=5)
    data = frame.data.copy()
    data[:4] = np.nan
    header = fits.Header()
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
        header[key] = frame.header[key]
    cd = np.array([[frame.header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    for i in (1, 2):
        header[f"CDELT{i}"] = SCALE / 3600
        for j in (1, 2):
            header[f"PC{i}_{j}"] = cd[i - 1, j - 1] / (SCALE / 3600)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header.update(cards)
    fits.PrimaryHDU(data, header).writeto(path)
    return path


def test_image_of_another_program_is_compared_and_its_headers_are_only_text(tmp_path):
    cards = {"OBJECT": "<script>alert(1)</script>", "INSTRUME": "&<b>", "EXPTIME": "long"}
    path = foreign(tmp_path / "theirs.fits", cards=cards)
    write_frame(field(), tmp_path / "ours.fits")
    page = write_product_report(tmp_path / "page.html", [tmp_path / "ours.fits", path]).read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("data:image/png") == 5
    assert "theirs.fits lies 0.0" in page


def test_product_whose_cards_are_missing_still_has_a_page(tmp_path):
    frame = field()
    for header in (frame.primary, frame.header):
        for key in [key for key in header if key not in ("SIMPLE", "EXTNAME")]:
            del header[key]
    write_frame(frame, tmp_path / "bare.fits")
    page = write_product_report(tmp_path / "page.html", [tmp_path / "bare.fits"]).read_text()
    assert page.count("data:image/png") == 1
    assert "Is the sky flat?" in page
