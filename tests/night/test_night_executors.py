"""A pool of processes that breaks while a group is begun is replaced."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from keyhole.night.executors import Pool


class Fake:
    """A pool that fails once, or works."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure

    def submit(self, work, job):
        if self.failure is not None:
            raise self.failure
        future: Future = Future()
        future.set_result(work(job))
        return future


@pytest.mark.parametrize(
    "failure", [BrokenProcessPool("lost"), ValueError("bad value(s) in fds_to_keep"), OSError("handle is closed")]
)
def test_a_pool_that_breaks_while_a_group_is_begun_is_replaced(monkeypatch, failure):
    pools = [Fake(failure), Fake(None)]
    monkeypatch.setattr(Pool, "_made", lambda _: pools.pop(0))
    assert Pool(2).start(lambda job: job + 1, 4).result() == 5
    assert pools == []


def test_a_pool_that_can_never_begin_a_group_says_so(monkeypatch):
    monkeypatch.setattr(Pool, "_made", lambda _: Fake(OSError("no processes left")))
    with pytest.raises(OSError, match="no processes left"):
        Pool(2).start(lambda job: job, 1)
