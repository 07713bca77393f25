"""Child processes that start in a millisecond: copies of one process that has loaded everything already.

Used by tests that kill processes, or let many of them work at once; an interpreter of its own for each would take
most of the time to load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path


class Nursery:
    """Starts children; use it as a context manager.

    Each child runs one of the jobs below, and writes what it prints to a file.
    """

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask(["ready"])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(self, output: Path, job: str, *arguments: object) -> int:
        """Start a job; gives the number of the process."""
        return self._ask(["start", str(output), job, *arguments])

    def wait(self, number: int) -> int:
        """Exit code of a child, negative where a signal ended it."""
        return self._ask(["wait", number])

    def _ask(self, message: list[object]) -> int:
        print(json.dumps(message), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def caldb(*commands: list[str]) -> int:
    """Run some ``caldb`` commands; the exit code is the largest one."""
    from keyhole.cli.caldb import main

    return max(main(command) for command in commands)


def as_nobody(*command: str) -> int:
    """Run a ``caldb`` command as a user who may do nothing."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    return caldb(list(command))


def ask(location: str, frame: str, times: int) -> int:
    """Look for the dark of a frame so many times; 0 when it was always found."""
    from keyhole.calibration import CalibrationStore, Found, facts_of, find
    from keyhole.headers import read_headers

    facts = facts_of(read_headers(frame))
    answers = [find([CalibrationStore(location)], facts, "processed_dark") for _ in range(times)]
    return sum(not isinstance(answer, Found) for answer in answers)


JOBS = {job.__name__: job for job in (caldb, as_nobody, ask)}


def _child(output: str, job: str, *arguments: object) -> int:
    with Path(output).open("w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    # The first line buffer is that of the parent.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    try:
        return JOBS[job](*arguments)
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()


def _serve() -> None:
    import keyhole.calibration.checkup
    import keyhole.calibration.database
    import keyhole.calibration.service
    import keyhole.cli.caldb
    import keyhole.selection.lists
    from keyhole.errors import KeyholeError

    # Loads the drivers; they would be loaded on first use otherwise, in each child.
    for location in ("postgresql://nobody@127.0.0.1:1/none", "/dev/null/none.db"):
        with suppress(KeyholeError):
            keyhole.calibration.CalibrationStore(location).create()
    for line in sys.stdin:
        action, *arguments = json.loads(line)
        answer = 0
        if action == "start":
            answer = os.fork()
            if answer == 0:
                os._exit(_child(*arguments))
        elif action == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
        print(answer, flush=True)


if __name__ == "__main__":
    _serve()
