"""The numbers of an axis have room beside its label."""

from __future__ import annotations

import re

import pytest

from keyhole.report.plots import Plot


@pytest.mark.parametrize("span", [(0.0, 1.0), (26150.0, 26570.0), (-142000.0, 53286.0)])
def test_numbers_of_the_axis_do_not_run_into_its_label(span: tuple[float, float]) -> None:
    drawn = Plot("title", "description", "x", "y", (0, 1), span).svg("name")
    ticks = re.findall(r'<text class="tick" x="(\d+)"[^>]*text-anchor="end">([^<]+)<', drawn)
    assert len(ticks) >= 3
    # A digit of this size is at most 6.5 wide; the turned label ends at 14.
    assert min(float(x) - 6.5 * len(words) for x, words in ticks) > 14
