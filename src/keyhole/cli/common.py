"""What all commands share: how errors end, how Ctrl-C ends, where text goes."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from keyhole.errors import KeyholeError

__all__ = ["INTERRUPTED", "guarded", "loading", "patient_collector", "tell"]

INTERRUPTED = 130
# Loading code makes many objects and no garbage; searching it for cycles after every 700 took a quarter of the start.
# A reduction loads 70,000.
_PATIENT_COLLECTOR = (100_000, 20, 20)
# Read by OpenBLAS when numpy is loaded: an idle thread looks for work for 2^20 cycles, a third of a millisecond, before
# it sleeps. As a rule it looks for a hundred times longer, two fifths of the CPU time of loading numpy.
_THREADS_REST = ("OPENBLAS_THREAD_TIMEOUT", "20")


def guarded(action: Callable[[], int]) -> int:
    """Run a command; a user's error becomes one sentence and its exit code.

    A defect keeps its traceback.
    """
    # Read when numpy is loaded. Its threads cost their start, and wait for each other on arrays of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Looking through all installed packages for plugins takes as long as the models themselves.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A process that ends looks several times for cycles among all that it loaded; files are closed by then, and memory
    # goes back to the system anyway.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        with patient_collector():
            code = action()
        sys.stdout.flush()
    except KeyholeError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing half-written was left", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone; what it did not want needs no complaint.
        _silence(sys.stdout)
        return 1
    return code


class _Patience:
    """How many runs want the collector to be patient, and how it was before the first of them."""

    lock = Lock()
    wanted = 0
    usual = (0, 0, 0)


@contextmanager
def patient_collector() -> Iterator[None]:
    """Look for garbage in cycles less often; all other memory is freed at once as ever. Runs may overlap."""
    with _Patience.lock:
        if not _Patience.wanted:
            _Patience.usual = gc.get_threshold()
            # 0: it is switched off.
            if _Patience.usual[0] > 0:
                gc.set_threshold(*(max(pair) for pair in zip(_Patience.usual, _PATIENT_COLLECTOR, strict=True)))
        _Patience.wanted += 1
    try:
        yield
    finally:
        with _Patience.lock:
            _Patience.wanted -= 1
            if not _Patience.wanted:
                gc.set_threshold(*_Patience.usual)


@contextmanager
def loading() -> Iterator[None]:
    """Load much code: without looking for garbage in it, and without idle threads that look for work."""
    with patient_collector(), _resting_threads():
        yield
        # What was loaded stays: it is counted among the old objects without being looked at. It can be freed as before.
        # What somebody else froze would not stay frozen.
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()


@contextmanager
def _resting_threads() -> Iterator[None]:
    """Load numpy, if it is to be, so that the idle threads of its linear algebra sleep soon.

    There are as many as ever. What the environment says already holds, and it is left as it was.
    """
    name, cycles = _THREADS_REST
    if name in os.environ or "numpy" in sys.modules:
        yield
        return
    os.environ[name] = cycles
    try:
        yield
    finally:
        os.environ.pop(name, None)


def tell(text: str, stream: TextIO, *, end: str = "\n") -> None:
    """Print at once; when the reader has gone (``reduce ... | head``) the work goes on without an audience."""
    try:
        print(text, end=end, file=stream, flush=True)
    except BrokenPipeError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Let a stream whose reader has gone end nowhere, with what is still in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
