"""The family of errors, ordered by who must act.

::

    KeyholeError
    ├── UserError            2  what was typed cannot be meant
    │   ├── InputError       2  files or lists given to a command
    │   └── ParameterError   2  recipe, step, parameter or option
    ├── DataError            3  a file cannot be used as what it should be
    ├── CalibrationError     4  a master is missing, or is of the wrong kind
    ├── AlgorithmError       5  the method does not work on these data
    └── SetupError           6  configuration, database, folder or disk

Every message is one sentence that names the thing, its value and a way out. The commands print it without a
traceback and exit with the number shown. Anything else that is raised is a defect and keeps its traceback.
"""

from __future__ import annotations

__all__ = [
    "AlgorithmError",
    "CalibrationError",
    "DataError",
    "InputError",
    "KeyholeError",
    "ParameterError",
    "SetupError",
    "UserError",
]


class KeyholeError(Exception):
    """Base of all errors that a user can cause or cure.

    Attributes
    ----------
    exit_code : int
        Status with which a command ends when this error reaches it.
    """

    exit_code = 1


class UserError(KeyholeError):
    """What was typed cannot be meant."""

    exit_code = 2


class InputError(UserError):
    """A file or list given to a command is missing, empty or contradictory."""


class ParameterError(UserError):
    """A recipe, step, parameter or option is unknown, or a value is out of its range."""


class DataError(KeyholeError):
    """A file cannot be used as what it should be: damaged, foreign, incomplete."""

    exit_code = 3


class CalibrationError(KeyholeError):
    """A calibration is missing, or the one given is of the wrong kind."""

    exit_code = 4


class AlgorithmError(KeyholeError):
    """A method does not work on these data; the message holds the numbers."""

    exit_code = 5


class SetupError(KeyholeError):
    """Configuration, database, folder or disk do not allow the run."""

    exit_code = 6
