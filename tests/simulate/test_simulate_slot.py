from __future__ import annotations

import numpy as np
import pytest

from keyhole.errors import ParameterError
from keyhole.instruments import load
from keyhole.simulate.slot import slot

GNIRS = load("GNIRS")


@pytest.mark.parametrize(("camera", "wings"), sorted(GNIRS.expected_keyholes))
def test_every_known_keyhole_has_its_published_pixels(camera, wings):
    lit = slot(GNIRS, camera, wings=wings).transmission() > 0.5
    known = GNIRS.keyhole_expected(camera, wings)
    assert lit.sum() == pytest.approx(known.default_pixels, rel=0.005)
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    box = (columns[0], columns[-1], rows[0], rows[-1])
    assert np.abs(np.subtract(box, known.default_box)).max() <= 1


def test_the_edge_is_one_pixel_wide():
    opening = slot(GNIRS, "ShortBlue_G5538", wings=True)
    edge = opening.transmission()[:, 300]
    profile = np.abs(np.diff(edge))
    width = 2.3548 * np.sqrt(
        np.average((np.arange(20) - 10) ** 2, weights=profile[profile.argmax() - 10 : profile.argmax() + 10])
        - np.average(np.arange(20) - 10, weights=profile[profile.argmax() - 10 : profile.argmax() + 10]) ** 2
    )
    # Differences of neighbours widen it by one pixel, 2.35 / sqrt(12) in these terms.
    assert 1.0 <= width <= np.hypot(1.0, 2.3548 / np.sqrt(12)) + 0.1


def test_displacement_moves_the_light_by_fractions_of_a_pixel():
    opening = slot(GNIRS, "ShortBlue_G5538", wings=True)
    y, x = np.mgrid[: GNIRS.shape[0], : GNIRS.shape[1]]

    def centre(image):
        return np.array([(image * x).sum(), (image * y).sum()]) / image.sum(dtype=np.float64)

    moved = centre(opening.transmission(1.3, -2.4).astype(np.float64)) - centre(
        opening.transmission().astype(np.float64)
    )
    # Edges as sharp as a pixel are sampled to about a hundredth of one.
    assert moved == pytest.approx([1.3, -2.4], abs=0.02)


def test_the_box_holds_all_light():
    opening = slot(GNIRS, "LongBlue_G5542", wings=True)
    image = opening.transmission()
    image[opening.box(margin=2.0)] = 0
    assert image.max() < 1e-5


def test_an_unknown_keyhole_is_refused():
    with pytest.raises(ParameterError, match="ShortRed_G5539 without wings"):
        slot(GNIRS, "ShortRed_G5539", wings=False)
