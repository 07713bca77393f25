from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clean_slate import clean_slate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, empty, with a home of its own."""
    with clean_slate(tmp_path, monkeypatch) as folder:
        yield folder
