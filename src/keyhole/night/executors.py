"""Where groups are reduced: in this process, in several on this machine, or on a Dask cluster.

All three offer `submit`, which gives a future with ``done()`` and ``result()``; what they run and what comes back is
the same, so the products are, too.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from keyhole.errors import SetupError
from keyhole.night.work import Job, Outcome

__all__ = ["Cluster", "Executor", "InProcess", "Pool", "Promise", "Work", "open_executor"]

Work = Callable[[Job], Outcome]
# So often a group is tried again whose worker was lost.
_RETRIES = 3
_CONNECT_SECONDS = 15


class Promise(Protocol):
    """What will become of a group."""

    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def result(self) -> Any:
        """The outcome; raises what the work raised."""
        ...


class Executor(Protocol):
    """Runs groups."""

    @property
    def slots(self) -> int:
        """So many at once."""
        ...

    def submit(self, work: Work, job: Job) -> Promise:
        """Begin a group as soon as there is a place."""
        ...

    def close(self, *, now: bool) -> None:
        """End; with `now` without waiting for what runs."""
        ...


class InProcess:
    """One group after the other, in this process."""

    slots = 1

    def submit(self, work: Work, job: Job) -> Promise:
        """Do the work at once."""
        future: Future[Outcome] = Future()
        future.set_result(work(job))
        return future

    def close(self, *, now: bool) -> None:
        """Nothing is to be ended."""


class Pool:
    """Several processes on this machine; one that is lost is replaced, and its group begun again.

    Parameters
    ----------
    jobs : int
        Number of processes.
    """

    def __init__(self, jobs: int) -> None:
        self.slots = jobs
        self._pool = self._made()

    def submit(self, work: Work, job: Job) -> Promise:
        """Begin a group in one of the processes."""
        return _Tried(self, work, job)

    def start(self, work: Work, job: Job) -> Future[Outcome]:
        """Begin a group, in a new pool if the old one has lost a process."""
        try:
            return self._pool.submit(work, job)
        except (BrokenProcessPool, OSError, ValueError):
            # A pool that breaks at this moment closes its pipes under the process that is being started: ValueError.
            self._pool = self._made()
            return self._pool.submit(work, job)

    def close(self, *, now: bool) -> None:
        """End the processes."""
        processes = list((self._pool._processes or {}).values()) if now else []
        self._pool.shutdown(wait=not now, cancel_futures=True)
        for process in processes:
            # A step in the middle of a long computation does not hear that the run was interrupted.
            process.terminate()
        for process in processes:
            process.join(timeout=5)

    def _made(self) -> ProcessPoolExecutor:
        # Not forked: numerical libraries and threads do not survive that everywhere.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.slots, mp_context=context, initializer=_ignore_interrupts)


class _Tried:
    """A group in a pool, begun again when its process was lost."""

    def __init__(self, pool: Pool, work: Work, job: Job) -> None:
        self._pool, self._work, self._job = pool, work, job
        self._future = pool.start(work, job)
        self._left = _RETRIES

    def done(self) -> bool:
        if not self._future.done():
            return False
        if isinstance(self._future.exception(), BrokenProcessPool) and self._left:
            self._left -= 1
            self._future = self._pool.start(self._work, self._job)
            return False
        return True

    def result(self) -> Outcome:
        return self._future.result()


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal; only the first one acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # One core each: the groups are what runs in parallel.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _end_with_parent() -> None:
    """A process whose parent was killed must not go on alone, nor wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Cluster:
    """A Dask cluster; groups whose worker is lost are begun again elsewhere.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://host:8786``.
    timeout : float
        Seconds to wait for an answer.

    Raises
    ------
    SetupError
        Dask is not installed, or no scheduler answers.
    """

    # The scheduler keeps the queue; workers may come and go.
    slots = 1_000_000

    def __init__(self, address: str, *, timeout: float = _CONNECT_SECONDS) -> None:
        try:
            import distributed
        except ImportError as error:
            raise SetupError("a cluster needs the package distributed: pip install 'keyhole[cluster]'") from error
        try:
            # The package declares no types of its own.
            connect: Any = distributed.Client
            self._client = connect(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise SetupError(f"no Dask scheduler answers at {address} ({error}); start one, or leave it out") from error

    def submit(self, work: Work, job: Job) -> Promise:
        """Begin a group on a worker."""
        # pure=False: the same group again is done again. Whether that is needed was decided before.
        promise: Promise = self._client.submit(work, job, pure=False, retries=_RETRIES, key=f"keyhole-{job.name}")
        return promise

    def close(self, *, now: bool) -> None:
        """Leave the cluster, which goes on."""
        self._client.close()


def open_executor(*, jobs: int, scheduler: str | None) -> Executor:
    """The executor that options ask for.

    Raises
    ------
    SetupError
        The cluster cannot be reached.
    """
    if scheduler is not None:
        return Cluster(scheduler)
    return InProcess() if jobs <= 1 else Pool(jobs)
