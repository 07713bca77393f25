"""The older form of the calibration database: `CalibrationService`."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.calibration import Config
from keyhole.calibration import service as _service
from recipe_system.cal_service.localdb import FileData, LocalDB

__all__ = ["CalibrationService"]


class CalibrationService:
    """The calibration database that the configuration names."""

    def __init__(self) -> None:
        self._config: Config | None = None

    def config(self, db_dir: str | None = None, verbose: bool = False, config_file: str | None = None) -> None:
        """Read the configuration, or use the database in `db_dir`."""
        self._config = _service.chosen_config(database=db_dir, file=config_file)
        if verbose:
            self.config_info()

    def init(self, wipe: bool = False) -> None:
        """Make the database; one that exists is kept, unless `wipe`."""
        self._database.init(wipe)

    def add_cal(self, path: str) -> None:
        """Register a master; without any configuration the database is made on first use."""
        _service.add(_service.store_to_change(self._chosen), path, config=self._chosen)

    def remove_cal(self, path: str) -> None:
        """Forget a master; the file stays."""
        self._database.remove_cal(path)

    def list_files(self) -> Iterator[FileData]:
        """Registered files by name."""
        return self._database.list_files()

    def config_info(self) -> None:
        """Print which file rules, and what it means."""
        print("\n".join(_service.explain_config(self._chosen)))

    @property
    def _chosen(self) -> Config:
        return self._config or _service.active_config()

    @property
    def _database(self) -> LocalDB:
        return LocalDB(_service.store_to_change(self._chosen).address)
