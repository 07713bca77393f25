from __future__ import annotations

import io
from pathlib import Path

import pytest
from toy_runs import raw_file

from gempy.adlibrary import dataselect
from gempy.utils import logutils
from keyhole.calibration import service
from keyhole.errors import CalibrationError, InputError, ParameterError, SetupError
from recipe_system import cal_service


@pytest.fixture
def older(here: Path) -> Path:
    """The database folder of the older configuration file."""
    (here.parent / "home" / ".geminidr").mkdir()
    (here.parent / "home" / ".geminidr" / "rsys.cfg").write_text(
        f"[calibs]\nstandalone = True\ndatabase_dir = {here.parent}/db\n"
    )
    return here.parent / "db"


def newer(here: Path, lines: str) -> None:
    (here.parent / "home" / ".dragons").mkdir()
    (here.parent / "home" / ".dragons" / "dragonsrc").write_text(f"[calibs]\ndatabases = {lines}\n")


def test_older_form_makes_fills_lists_and_empties_a_database(
    older: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = raw_file(here / "a_dark.fits", "master dark")
    caldb = cal_service.CalibrationService()
    caldb.config()
    caldb.init()
    caldb.add_cal("a_dark.fits")
    assert list(caldb.list_files()) == [("a_dark.fits", str(dark))]
    caldb.init()
    assert [entry.name for entry in caldb.list_files()] == ["a_dark.fits"]
    caldb.remove_cal("anywhere/a_dark.fits")
    assert dark.is_file() and not list(caldb.list_files())
    with pytest.raises(InputError, match="a_dark"):
        caldb.remove_cal("a_dark.fits")
    caldb.add_cal("a_dark.fits")
    caldb.init(wipe=True)
    assert not list(caldb.list_files())
    assert (older / "cal_manager.db").is_file()
    assert capsys.readouterr() == ("", "")
    with pytest.raises(CalibrationError, match="raw"):
        caldb.add_cal(str(raw_file(here / "raw.fits", "dark")))


def test_config_tells_which_file_rules_and_what_it_means(
    older: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    caldb = cal_service.CalibrationService()
    caldb.config(verbose=True)
    text = capsys.readouterr().out
    assert "rsys.cfg" in text and "caldb add" in text and "does not exist" in text
    newer(here, f"{here}/mine.db get store")
    caldb.config()
    caldb.config_info()
    text = capsys.readouterr().out
    assert text.startswith("Configuration: ") and "dragonsrc" in text.splitlines()[0]
    assert "Store: yes" in text
    assert "the newer file wins" in text


def test_database_of_the_script_serves_its_reductions(older: Path, here: Path) -> None:
    cal_service.set_calservice(local_db_dir=f"{here}/own")
    assert cal_service.get_calconf().database_dir == f"{here}/own"
    assert service.active_config().databases[0].location == f"{here}/own/cal_manager.db"
    cal_service.set_calservice()
    assert cal_service.get_calconf().database_dir == str(older)
    assert cal_service.get_calconf().standalone is True
    assert cal_service.is_local()
    (here / "mine.cfg").write_text(f"[calibs]\ndatabase_dir = {here}\n")
    assert cal_service.load_calconf("mine.cfg").source == here / "mine.cfg"


def test_newer_form_finds_the_database_of_the_configuration(here: Path) -> None:
    newer(here, f"{here}/mine.db get store")
    caldb = cal_service.set_local_database()
    caldb.init()
    caldb.init(wipe=False)
    (here / "masters").mkdir()
    for name, kind in (("b_flat.fits", "master flat"), ("a_dark.fits", "master dark"), ("raw.fits", "dark")):
        raw_file(here / "masters" / name, kind)
    caldb.add_directory("masters", walk=True)
    assert [entry.name for entry in caldb.list_files()] == ["a_dark.fits", "b_flat.fits"]
    caldb.remove_cal("b_flat.fits")
    caldb.add_cal("masters/b_flat.fits")
    caldb.init(wipe=True)
    assert not list(caldb.list_files())


def test_several_databases_of_which_none_is_to_be_changed_are_an_error(here: Path) -> None:
    newer(here, f"{here}/a.db\n   {here}/b.db")
    with pytest.raises(SetupError, match="several"):
        cal_service.set_local_database()


def test_database_is_made_on_demand(here: Path) -> None:
    caldb = cal_service.LocalDB(str(here / "x.db"), force_init=True)
    assert not list(caldb.list_files())
    with pytest.raises(SetupError, match="caldb init"):
        list(cal_service.LocalDB("nothing.db").list_files())


def test_without_configuration_the_first_master_makes_the_database(here: Path) -> None:
    raw_file(here / "a_dark.fits", "master dark")
    caldb = cal_service.CalibrationService()
    caldb.add_cal("a_dark.fits")
    assert (here / "cal_manager.db").is_file()


def test_selection_by_tags_and_expression(here: Path) -> None:
    dark = str(raw_file(here / "a.fits", "dark"))
    short = str(raw_file(here / "b.fits", "dark", EXPTIME=10.0))
    flat = str(raw_file(here / "c.fits", "flat"))
    files = [flat, short, dark]
    assert dataselect.select_data(files) == files
    assert dataselect.select_data(files, ["DARK"]) == [short, dark]
    assert dataselect.select_data(files, [], ["DARK"]) == [flat]
    assert dataselect.select_data(files, ["DARK"], [], dataselect.expr_parser("exposure_time==60")) == [dark]
    assert dataselect.select_data(files, expression="exposure_time==10") == [short]
    strict = dataselect.expr_parser("exposure_time==60.1", strict=True)
    assert dataselect.select_data(files, ["DARK"], [], strict) == []
    with pytest.raises(ParameterError, match="exposure_time"):
        dataselect.expr_parser("exposuretime==60")


def test_header_of_a_list_says_how_it_was_made() -> None:
    stream = io.StringIO()
    dataselect.writeheader(stream, ["DARK"], None, "exposure_time==60")
    assert stream.getvalue() == "# Tags: ['DARK']\n# Excluded tags: None\n# Expression: exposure_time==60\n"


def test_logs_of_scripts_go_by_their_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logutils.config(mode="standard", file_name="a.log", stomp=True)
    log = logutils.get_logger(__name__)
    logutils.update_indent(1)
    log.stdinfo("shown")
    logutils.change_level("warning")
    log.stdinfo("hidden")
    logutils.customize_logger(log)
    logutils.customize_logger()
    assert (logutils.STATUS, logutils.STDINFO, logutils.FULLINFO) == (25, 21, 15)
    assert capsys.readouterr().err == "   shown\n"
    assert len((here / "a.log").read_text().splitlines()) == 2
