"""Folders of small raw frames, with real headers and few pixels, for plans; and toy work for runs."""

from __future__ import annotations

import pytest


@pytest.fixture
def raw(tmp_path):
    """An empty folder for raw frames."""
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder
