"""makeBPM and storeBPM."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, raw_dark, raw_flat

from keyhole.errors import InputError
from keyhole.frames import read_frame, write_frame
from keyhole.primitives.bpm import MakeBPMParams, make_bpm
from keyhole.primitives.store import StoreBPMParams, store_bpm

SHAPE = (60, 80)
HOT, WARM, COLD, NOISY, DEAD, WEAK = (5, 5), (20, 10), (30, 10), (40, 40), (25, 50), (26, 60)
STAMP = "2026-01-01T00:00:00"


def master_dark(*, exposure=2.0, level=70.0):
    rng = np.random.default_rng(1)
    frame = raw_dark(rng.normal(level, 3, SHAPE), EXPTIME=exposure, NCOMBINE=10, PREPARE=STAMP)
    frame.data[HOT], frame.data[WARM], frame.data[COLD] = 3000, level + 60, -60
    frame.mask = np.zeros(SHAPE, np.uint16)
    frame.mask[NOISY] = 1
    return frame


def normal_flat():
    rng = np.random.default_rng(2)
    frame = raw_flat(rng.normal(1, 0.02, SHAPE), NORMLIZE=STAMP, PREPARE=STAMP, NCOMBINE=8, NLAMPOFF=8)
    frame.mask = np.zeros(SHAPE, np.uint16)
    frame.mask[:10], frame.data[:10] = 64, 0.0
    frame.data[DEAD], frame.data[WEAK] = 0.001, 0.7
    frame.header["BUNIT"], frame.header["DETSEC"] = "electron", "[1:80,1:60]"
    return frame


def mask_of(*darks, flat=None, **params):
    context = FakeContext(streams={"darks": list(darks)})
    out = make_bpm([flat or normal_flat()], MakeBPMParams(**params), context)[0]
    out.primary["BPMASK"] = STAMP  # the runner's stamp
    return out, context


def bad(mask):
    return {tuple(map(int, place)) for place in np.argwhere(mask.data & 1)}


def test_mask_holds_what_stands_out_of_its_neighbours_in_darks_and_flat():
    out, context = mask_of(master_dark())
    assert bad(out) == {HOT, WARM, COLD, NOISY, DEAD, WEAK}
    assert not context.caveats
    assert "4 hot, cold or noisy, 2 dead or weak" in context.notes[0]


def test_missing_light_outside_the_keyhole_is_no_flaw():
    out, _ = mask_of(master_dark())
    assert np.argwhere(out.data[:10]).tolist() == [list(HOT)]
    kept, _ = mask_of(master_dark(), keep_unilluminated=True)
    assert set(np.unique(kept.data[:10])) == {64, 65}
    assert bad(kept) == bad(out)
    np.testing.assert_array_equal(kept.data[10:], out.data[10:])


def test_product_is_whole_numbers_with_the_cards_of_a_mask(tmp_path):
    out, _ = mask_of(master_dark())
    store_bpm([out], StoreBPMParams(), FakeContext())
    assert out.data.dtype == np.int16
    assert out.variance is None and out.mask is None
    assert {"BPM", "PROCESSED"} <= out.tags and not out.tags & {"FLAT", "IMAGE", "DARK"}
    phu = out.primary
    assert (phu["OBJECT"], phu["NBADPIX"], phu["NHOTPIX"], phu["NDEADPIX"]) == ("BPM", 6, 4, 2)
    assert phu["BPMSRC"] == "learnt: 10 darks of 2 s, 16 flats"
    assert "BUNIT" not in out.header and out.header["DETSEC"] == "[1:80,1:60]"
    assert phu["DATALAB"] == normal_flat().primary["DATALAB"]
    again = read_frame(write_frame(out, tmp_path / "a_bpm.fits"))
    np.testing.assert_array_equal(again.data, out.data)
    assert again.header["BITPIX"] == 16


def test_excess_must_exceed_a_rate_that_harms_a_frame():
    long = master_dark(exposure=60.0)
    assert WARM not in bad(mask_of(long)[0])
    assert WARM in bad(mask_of(long, dark_rate=0.3)[0])
    assert WARM not in bad(mask_of(master_dark(), dark_sigma=40)[0])
    assert WEAK not in bad(mask_of(master_dark(), flat_tolerance=0.4)[0])


def test_darks_of_several_exposures_are_all_used():
    short, long = master_dark(), master_dark(exposure=60.0)
    long.data[33, 33] = 9000
    out, _ = mask_of(short, long)
    assert {WARM, (33, 33)} <= bad(out)
    assert out.primary["BPMSRC"] == "learnt: 10 darks of 2 s, 10 darks of 60 s, 16 flats"


def test_published_limits_decide_when_they_are_asked_for():
    out, _ = mask_of(master_dark(), override_thresh=True)
    # 0.7 of the usual response is within the published limits, and noise is not looked at.
    assert bad(out) == {HOT, WARM, COLD, DEAD}
    strict, _ = mask_of(master_dark(), override_thresh=True, dark_lo_thresh=None, flat_lo_thresh=0.9, dark_hi_thresh=99)
    assert {WEAK, WARM} <= bad(strict)
    assert COLD not in bad(strict)


def test_limit_that_is_given_counts_beside_the_neighbours():
    flat = normal_flat()
    assert (45, 45) not in bad(mask_of(master_dark(), flat=flat)[0])
    flat = normal_flat()
    flat.data[45, 45] = 1.15
    assert (45, 45) in bad(mask_of(master_dark(), flat=flat, flat_hi_thresh=1.1)[0])
    # Limits that are not given do not count: the level of these darks is above the published one.
    assert len(bad(mask_of(master_dark(level=300.0))[0])) == 6
    assert len(bad(mask_of(master_dark(level=300.0), dark_hi_thresh=100)[0])) > 4000


def test_flats_alone_make_a_mask_of_dead_pixels_with_a_caveat():
    out, context = mask_of()
    assert bad(out) == {DEAD, WEAK}
    assert "no darks" in context.caveats[0]


def test_what_is_no_normalised_flat_or_no_dark_is_refused():
    with pytest.raises(InputError, match="recipe makeProcessedBPM"):
        mask_of(master_dark(), flat=raw_flat(np.ones(SHAPE)))
    with pytest.raises(InputError, match="in the stream 'darks' is no dark"):
        mask_of(normal_flat())
    small = raw_dark(np.ones((5, 5)))
    with pytest.raises(InputError, match="different shapes"):
        mask_of(small)
    with pytest.raises(InputError, match="is no bad-pixel mask"):
        store_bpm([normal_flat()], StoreBPMParams(), FakeContext())
