"""What the apertures of sources hold of their neighbours, and the images on which sources are measured."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import sep

from keyhole.imaging import photometry
from keyhole.imaging.scene import Ellipses

SHAPE = (70, 90)


def ellipses(n: int) -> Ellipses:
    rng = np.random.default_rng(4)
    b = rng.uniform(1, 2, n)
    at_border = np.append(rng.uniform(2, 88, n - 1), 0.4), np.append(rng.uniform(2, 68, n - 1), 69.2)
    return Ellipses(*at_border, b * rng.uniform(1, 5, n), b, rng.uniform(-1.5, 1.5, n))


def test_light_of_neighbours_is_looked_up_where_apertures_are():
    rng = np.random.default_rng(5)
    data, image = rng.normal(20, 5, (2, *SHAPE)).astype(np.float32)
    hidden, own, radius = rng.random(SHAPE) < 0.02, ellipses(12), rng.uniform(2, 4, 12)
    scene = SimpleNamespace(data=data, hidden=hidden)
    whole = np.abs(data - image) * np.float32(photometry._NEIGHBOUR_ERROR)
    expected, _, _ = sep.sum_ellipse(whole, *own, radius, mask=hidden)
    room = np.zeros(SHAPE, np.float32)
    for members in (np.arange(6), np.arange(6, 12)):
        found = photometry._foreign_error(scene, image, own.of(members), radius[members], room)
        np.testing.assert_array_equal(found, expected[members])


def test_each_image_holds_the_light_of_its_sources_alone():
    own = ellipses(5)._replace(x=np.array([20.0, 24, 60, 22, 70]), y=np.array([30.0, 31, 30, 33, 60]))
    images = [
        SimpleNamespace(rows=slice(y - 5, y + 6), columns=slice(x - 5, x + 6), light=np.full((11, 11), 10.0 + k))
        for k, (x, y) in enumerate(zip(own.x.astype(int), own.y.astype(int), strict=True))
    ]
    residual = np.random.default_rng(6).normal(0, 1, SHAPE).astype(np.float32)
    field = SimpleNamespace(residual=residual, images=[*images[:4], None])
    seen = []
    for alone, members in photometry._images(SimpleNamespace(), own, field):
        expected = residual.copy()
        for k in members.tolist():
            if field.images[k] is not None:
                expected[images[k].rows, images[k].columns] += images[k].light.astype(np.float32)
        np.testing.assert_array_equal(alone, expected)
        seen += members.tolist()
    assert sorted(seen) == list(range(5))
    assert len(seen) > len(members)
