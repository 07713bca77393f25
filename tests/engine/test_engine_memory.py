"""Freed memory that the process keeps, as the system counts its pages."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from keyhole.engine import memory
from keyhole.engine.memory import keep_freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from keyhole.engine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def pages():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    planes = [np.ones(1 << 20, np.uint8) for _ in range(100)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin
pages()
print(pages())
"""


def pages_asked_for_again(how, **environment):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    words = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(words, env=env | environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in its own way")
def test_memory_that_was_freed_is_not_asked_for_again():
    assert pages_asked_for_again("usual") > 20_000
    assert pages_asked_for_again("keep") < 2_000
    # A user who has said how it is to be is not overruled.
    assert pages_asked_for_again("keep", MALLOC_TRIM_THRESHOLD_="131072") > 20_000


class Library:
    def __init__(self, *, takes):
        self.asked, self.takes = [], takes

    def mallopt(self, name, value):
        self.asked.append((name, value))
        return self.takes


@pytest.mark.parametrize("takes", [0, 1])
def test_a_library_that_takes_no_threshold_for_single_blocks_goes_on_learning(monkeypatch, takes):
    library = Library(takes=takes)
    for name in memory._ASKED_FOR:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    keep_freed_memory()
    assert [name for name, _ in library.asked] == [-3, -1][: 1 + takes]


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_library_is_left_alone(monkeypatch, error):
    def library(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_freed_memory()
