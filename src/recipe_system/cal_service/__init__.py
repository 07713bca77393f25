"""The calibration database of a script, under the names that scripts know; see `keyhole.calibration.service`."""

from __future__ import annotations

from types import SimpleNamespace

from keyhole.calibration import Config
from keyhole.calibration import service as _service
from recipe_system.cal_service.calibration_service import CalibrationService
from recipe_system.cal_service.localdb import FileData, LocalDB

__all__ = [
    "CalibrationService",
    "FileData",
    "LocalDB",
    "get_calconf",
    "is_local",
    "load_calconf",
    "set_calservice",
    "set_local_database",
]


def set_calservice(local_db_dir: str | None = None, config_file: str | None = None) -> None:
    """Use this database, or configuration file, in all later reductions of the script."""
    _service.activate(_service.chosen_config(database=local_db_dir, file=config_file))


def set_local_database() -> LocalDB:
    """The database that the configuration names."""
    return LocalDB(_service.store_to_change(_service.active_config()).address)


def load_calconf(conf_path: str | None = None) -> Config:
    """Read the configuration."""
    return _service.chosen_config(file=conf_path)


def get_calconf() -> SimpleNamespace:
    """What the configuration says, in the terms of the older file."""
    config = _service.active_config()
    return SimpleNamespace(standalone=config.standalone, database_dir=_service.folder_of(config))


def is_local() -> bool:
    """Whether calibrations come from a database of the user."""
    return bool(_service.active_config().databases)
