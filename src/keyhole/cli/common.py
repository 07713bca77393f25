"""What all commands share: how errors end, how Ctrl-C ends, where text goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from keyhole.errors import KeyholeError

__all__ = ["INTERRUPTED", "guarded"]

INTERRUPTED = 130


def guarded(action: Callable[[], int]) -> int:
    """Run a command; a user's error becomes one sentence and its exit code.

    A defect keeps its traceback.
    """
    try:
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code
