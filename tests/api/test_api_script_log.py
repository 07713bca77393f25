from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyhole.cli import script_log
from keyhole.errors import ParameterError, SetupError


@pytest.fixture
def log(here: Path) -> Iterator[logging.Logger]:
    yield script_log.script_logger("mine")


def test_screen_shows_messages_once_with_the_level_of_warnings(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.stdinfo("one")
    log.status("two")
    log.fullinfo("hidden")
    log.info("hidden")
    log.warning("three")
    assert capsys.readouterr() == ("", "one\ntwo\nWARNING - three\n")


def test_asking_for_a_logger_or_configuring_twice_doubles_nothing(
    log: logging.Logger, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        script_log.configure(file="a.log")
        script_log.script_logger("mine").stdinfo("here I am")
    assert capsys.readouterr().err.splitlines() == ["here I am", "here I am"]
    assert (here / "a.log").read_text().count("here I am") == 2


@pytest.mark.parametrize(
    ("mode", "screen", "file"),
    [
        ("standard", ["s"], ["f", "s"]),
        ("quiet", [], ["f", "s"]),
        ("rotating", [], ["f", "s"]),
        ("verbose", ["f", "s"], ["f", "s"]),
        ("debug", ["DEBUG - d", "f", "s"], ["d", "f", "s"]),
    ],
)
def test_modes_decide_what_goes_where(
    here: Path, capsys: pytest.CaptureFixture[str], mode: str, screen: list[str], file: list[str]
) -> None:
    script_log.configure(mode, file="a.log")
    log = script_log.script_logger()
    log.debug("d")
    log.fullinfo("f")
    log.stdinfo("s")
    assert capsys.readouterr().err.splitlines() == screen
    assert [line.rpartition("- ")[2] for line in (here / "a.log").read_text().splitlines()] == file
    with pytest.raises(ParameterError, match="standard"):
        script_log.configure("loud")


def test_file_is_appended_or_begun_anew(here: Path) -> None:
    for overwrite, lines in ((False, 1), (False, 2), (True, 1)):
        script_log.configure("quiet", file="a.log", overwrite=overwrite)
        script_log.script_logger().stdinfo("line")
        assert len((here / "a.log").read_text().splitlines()) == lines
    with pytest.raises(SetupError, match="nowhere"):
        script_log.configure(file="nowhere/a.log")


def test_indent_is_put_before_the_messages_of_the_script(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    script_log.set_indent(2)
    log.stdinfo("%s", "inner")
    script_log.set_indent(0)
    log.stdinfo("outer")
    assert capsys.readouterr().err == "      inner\nouter\n"


@pytest.mark.parametrize("level", [15, "fullinfo", "FULLINFO"])
def test_level_of_the_screen_changes_by_number_and_name(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], level: int | str
) -> None:
    script_log.set_level(level)
    log.fullinfo("now seen")
    script_log.set_level("warning")
    log.stdinfo("not any more")
    assert capsys.readouterr().err == "now seen\n"
    with pytest.raises(ParameterError, match="stdinfo"):
        script_log.set_level("loud")


@pytest.mark.parametrize("place", ["", "keyhole", "keyhole.script.mine"])
def test_message_shown_by_a_handler_of_the_script_is_not_shown_again(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    own = logging.StreamHandler(sys.stderr)
    target = logging.getLogger(place)
    target.addHandler(own)
    try:
        log.warning("careful")
    finally:
        target.removeHandler(own)
    assert capsys.readouterr().err == "careful\n"


def test_handler_of_the_script_that_is_no_screen_gets_the_message_too(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    own = logging.StreamHandler(stream)
    logging.getLogger().addHandler(own)
    try:
        log.warning("careful")
    finally:
        logging.getLogger().removeHandler(own)
    assert stream.getvalue() == "careful\n"
    assert capsys.readouterr().err == "WARNING - careful\n"


def test_further_handlers_are_used_and_kept_on_demand(here: Path) -> None:
    stream = io.StringIO()
    own = logging.StreamHandler(stream)
    script_log.configure("quiet", additional=[own])
    script_log.configure("quiet", keep=True)
    script_log.script_logger().stdinfo("heard")
    script_log.configure("quiet")
    script_log.script_logger().stdinfo("not heard")
    assert stream.getvalue() == "heard\n"


def test_account_follows_the_mode(here: Path) -> None:
    assert script_log.account() == "standard"
    script_log.configure("rotating")
    assert script_log.account() == "quiet"
    assert script_log.account("verbose") == "verbose"
    with pytest.raises(ParameterError, match="quiet"):
        script_log.account("loud")


def test_events_of_a_run_go_to_the_file_of_the_script_only(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from keyhole.engine.events import Caveat, Note

    assert script_log.event_log() is None
    script_log.configure(file="a.log")
    writer = script_log.event_log()
    assert writer is not None
    writer(Note("measured"))
    writer(Caveat("doubtful"))
    assert capsys.readouterr() == ("", "")
    text = (here / "a.log").read_text()
    assert text.count("measured") == 1 and text.count("doubtful") == 1


def test_own_logger_gets_the_methods_and_nothing_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = logging.getLogger("a script of mine")
    script_log.add_levels(own)
    assert (own.handlers, own.level) == ([], logging.NOTSET)
    own.setLevel(1)
    own.stdinfo("for the root logger alone")
    assert capsys.readouterr().err == ""
