"""The class `Reduce`, under the name that scripts know; the work is that of `keyhole.reduce`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keyhole
from keyhole.calibration import paths_by_type, words_of
from keyhole.cli import script_log

__all__ = ["Reduce", "reduce_data"]

Recipe = str | Callable[[Any], None]
UserParameters = Mapping[str, Any] | Iterable[tuple[str, Any] | str] | None
UserCals = Mapping[str, str] | Mapping[tuple[str, str], str] | None

_OURS = "geminidr"


class Reduce:
    """A reduction: its attributes are set, `runr` does it.

    Parameters
    ----------
    sys_args : argparse.Namespace, optional
        Options as the parser of ``buildParser`` gives them.

    Attributes
    ----------
    files : list of str
        Raw frames, or ``@list``.
    mode : str
        ``sq``, ``ql`` or ``qa``.
    uparms : list of (name, value), or mapping
        Parameters of steps, under ``name`` or ``step:name``.
    ucals : mapping
        Masters given by hand, as `recipe_system.utils.reduce_utils.normalize_ucals` gives them in either form.
    suffix : str or None
        Ending of the output names.
    logmode : str or None
        ``standard``, ``quiet``, ``verbose`` or ``debug``; None: as `gempy.utils.logutils.config` says.
    logfile : str or None
        Log file; None: that of `gempy.utils.logutils.config`, if any.
    config_file : str or None
        Configuration of the calibration databases; None: the usual one.
    adpkg, drpkg
        Have no effect, and the account says so where they are set.
    """

    def __init__(self, sys_args: Namespace | None = None) -> None:
        given = vars(sys_args) if sys_args is not None else {}
        self.files: list[str] = list(given.get("files") or [])
        self.mode: str = given.get("mode") or "sq"
        self.uparms: UserParameters = given.get("userparam") or given.get("param") or {}
        self.ucals: UserCals = paths_by_type(given.get("user_cal"))
        self.suffix: str | None = given.get("suffix")
        self.adpkg: str | None = given.get("adpkg")
        self.drpkg: str | None = given.get("drpkg") or _OURS
        self.logmode: str | None = given.get("logmode")
        self.logfile: str | None = given.get("logfile")
        self.config_file: str | None = given.get("config") or given.get("config_file")
        self.recipename = given.get("recipename") or given.get("recipe") or "_default"
        self.upload = given.get("upload")
        self._result: keyhole.Result | None = None

    @property
    def recipename(self) -> Recipe:
        """What to do: name, file and function, or function. After a run, what ``_default`` meant."""
        return self._result.recipe if self._recipe == "_default" and self._result else self._recipe

    @recipename.setter
    def recipename(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._result = None

    @property
    def upload(self) -> list[str] | None:
        """Kinds of products to be uploaded; nothing is, and the account says so."""
        return self._upload

    @upload.setter
    def upload(self, kinds: str | Iterable[str] | None) -> None:
        self._upload = kinds.split(",") if isinstance(kinds, str) else list(kinds) if kinds is not None else None

    @property
    def output_filenames(self) -> list[str] | None:
        """Names of the final products; None before a run and after a failed one."""
        return None if self._result is None else [str(path) for path in self._result.outputs]

    @property
    def processed_filenames(self) -> list[str] | None:
        """Names of the masters and science images that were stored; these are the final products."""
        return self.output_filenames

    def runr(self) -> None:
        """Reduce.

        Raises
        ------
        keyhole.KeyholeError
            See `keyhole.errors`; nothing half-written is left.
        """
        self._result = None
        idle = {"adpkg": self.adpkg, "drpkg": None if self.drpkg == _OURS else self.drpkg, "upload": self.upload}
        self._result = keyhole.reduce(
            self.files,
            recipe=self._recipe,
            mode=self.mode,
            parameters=self.uparms or {},
            calibrations=words_of(self.ucals),
            suffix=self.suffix,
            config=self.config_file,
            account=script_log.account(self.logmode),
            logfile=self.logfile or script_log.event_log(),
            notes=[f"{name}={value} has no effect in Keyhole" for name, value in idle.items() if value],
        )


def reduce_data(
    files: Iterable[str],
    mode: str = "sq",
    drpkg: str = _OURS,
    recipename: Recipe | None = None,
    uparms: UserParameters = None,
    ucals: UserCals = None,
    upload: str | Iterable[str] | None = None,
    config_file: str | None = None,
    suffix: str | None = None,
    logmode: str | None = None,
) -> dict[str, Any]:
    """Reduce in one call; the answer has the keys ``_output_filenames``, ``processed_filenames``, ``recipename``."""
    asked = {"mode": mode, "drpkg": drpkg, "recipename": recipename, "upload": upload, "suffix": suffix}
    made = Reduce(Namespace(files=files, config_file=config_file, logmode=logmode, userparam=uparms, **asked))
    made.ucals = ucals or {}
    made.runr()
    return {
        "_output_filenames": made.output_filenames,
        "processed_filenames": made.processed_filenames,
        "recipename": made.recipename,
    }
