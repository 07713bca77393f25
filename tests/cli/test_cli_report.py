from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from report_pages import image_group, pictures, summary
from toy_runs import raw_files

from keyhole.cli import reduce
from keyhole.cli.main import main

DARK = "N20120102S0001_dark.fits"


@pytest.fixture(autouse=True)
def playground(tmp_path, monkeypatch):
    """An empty folder to work in and a home without configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DRAGONSRC", raising=False)


@pytest.fixture
def darks():
    Path("raw").mkdir()
    return [str(path) for path in raw_files(Path("raw"), "dark", 3)]


def data_of(path):
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text.partition('id="keyhole-data">')[2].partition("</script>")[0])["summary"]


def test_run_writes_its_report_if_asked(darks, capsys):
    assert reduce.main([*darks, "--report", "run.html"]) == 0
    assert "report run.html" in capsys.readouterr().out
    (group,) = data_of("run.html")["groups"]
    assert group["state"] == "done" and group["makes"] == "dark"
    assert group["products"][0]["file"] == DARK and len(group["products"][0]["md5"]) == 32
    assert group["figures"]["frames_combined"]["value"] == 3
    assert 'href="reduce.log"' in Path("run.html").read_text()


def test_links_of_a_report_in_another_folder_lead_to_the_products(darks):
    Path("web").mkdir()
    reduce.main([*darks, "--report", "web/run.html"])
    assert data_of("web/run.html")["groups"][0]["products"][0]["file"] == f"../{DARK}"


def test_run_that_fails_writes_its_report_too(darks, capsys):
    Path(darks[1]).write_bytes(Path(darks[1]).read_bytes()[:6000])
    assert reduce.main([*darks, "--report", "run.html"]) != 0
    (group,) = data_of("run.html")["groups"]
    assert group["state"] == "failed" and Path(darks[1]).name in group["reason"]


def test_report_that_cannot_be_written_is_a_warning_and_the_product_stands(darks, capsys):
    assert reduce.main([*darks, "--report", "nowhere/run.html"]) == 0
    assert "nowhere/run.html cannot be written" in " ".join(capsys.readouterr().err.split())
    assert Path(DARK).is_file()


def test_product_is_shown_by_what_its_headers_tell(darks, capsys):
    reduce.main(darks)
    capsys.readouterr()
    assert main(["report", DARK]) == 0
    assert capsys.readouterr().out == "wrote N20120102S0001_dark_report.html\n"
    (group,) = data_of("N20120102S0001_dark_report.html")["groups"]
    assert [Path(name).name for name in darks] == [frame["file"] for frame in group["frames"]]


def test_page_of_a_night_is_drawn_again_from_its_summary(capsys):
    told = summary(image_group())
    Path("out").mkdir()
    Path("out/summary.json").write_text(json.dumps(told))
    for name, png in pictures(told).items():
        (Path("out") / name).write_bytes(png)
    assert main(["report", "out"]) == 0
    assert data_of("out/index.html") == told


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere.fits"], 2, "nowhere.fits"),
        (["text.fits"], 3, "text.fits"),
        (["empty"], 2, "empty holds no summary of a night"),
        (["old"], 2, "another version of Keyhole"),
        (["empty", "text.fits"], 2, "give it alone"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(words, code, told, capsys):
    Path("text.fits").write_text("text")
    Path("empty").mkdir()
    Path("old").mkdir()
    Path("old/summary.json").write_text('{"schema": "keyhole-night-1"}')
    assert main(["report", *words]) == code
    err = capsys.readouterr().err
    assert told in err and len(err.splitlines()) == 1


def test_nothing_of_reports_is_imported_unless_one_is_asked_for(darks):
    code = (
        "import sys\nfrom keyhole.cli.reduce import main\n"
        f"assert main({[*darks, '--logmode', 'quiet']!r}) == 0\n"
        "print([name for name in sys.modules if name.startswith(('jinja2', 'keyhole.report'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().splitlines()[-1] == "[]"
