from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path

import pytest
from toy_runs import raw_file, raw_files

import keyhole
from keyhole.calibration import Config
from keyhole.cli import main as keyhole_command
from keyhole.cli import provenance, showd, showrecipes, typewalk
from keyhole.primitives import REGISTRY


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for kind in ("dark", "flat", "science"):
        raw_file(tmp_path / f"{kind}.fits", kind)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], code: int) -> str:
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return captured.out


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert code != 0 and line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("kind", "recipe", "steps"),
    [("dark", "makeProcessedDark", 7), ("flat", "makeProcessedFlat", 10), ("science", "reduce", 27)],
)
def test_showrecipes_names_recipe_and_steps(
    raw: Path, capsys: pytest.CaptureFixture[str], kind: str, recipe: str, steps: int
) -> None:
    text = shown(capsys, showrecipes.main([f"{kind}.fits"]))
    assert f"Recipe: {recipe} " in text and "Input mode: sq" in text
    assert text.count("   p.") == steps
    # What is commented out in a recipe is no step.
    assert "p.prepare()" in text


def test_showrecipes_lists_all_and_those_of_a_file(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, showrecipes.main(["science.fits", "--all"]))
    assert "   reduce  (default)" in text and "   alignAndStack" in text
    Path("mine.py").write_text("def r(p):\n    p.prepare()\n    # p.addDQ()\n    p.stackDarks(nlow=1, stream='a')\n")
    text = shown(capsys, showrecipes.main(["dark.fits", "-r", "mine.r"]))
    assert "Recipe: r  (mine.py, line 1)" in text
    assert text.splitlines()[-2:] == ["   p.prepare()", "   p.stackDarks(nlow=1, stream='a')"]
    assert "did you mean" in refused(capsys, showrecipes.main(["science.fits", "-r", "alignAndStak"]))
    assert "nowhere" in refused(capsys, showrecipes.main(["nowhere.fits"]))


def test_showd_makes_a_table(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, showd.main(["-d", "filter_name,exposure_time,object", "science.fits", "flat.fits"]))
    rows = [line.split() for line in lines.splitlines() if not line.startswith("---")]
    assert rows == [
        ["filename", "filter_name", "exposure_time", "object"],
        ["science.fits", "J", "60.0", "GRB120116A"],
        ["flat.fits", "J", "1.2", "GCALflat"],
    ]
    assert len({len(line) for line in lines.splitlines()}) == 1


def test_showd_gives_full_names_and_values_for_programs(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.lis").write_text("science.fits\n")
    text = shown(capsys, showd.main(["--long", "--csv", "@list.lis", "-d", "filter_name, gain,array_section"]))
    header, row = csv.reader(text.splitlines())
    assert header == ["filename", "filter_name", "gain", "array_section"]
    assert row[:3] == ["science.fits", "Open&J_G0517", "13.5"]


def test_showd_refuses_what_it_does_not_know(
    raw: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    assert "exposure_time" in refused(capsys, showd.main(["-d", "exposuretime", "science.fits"]))
    assert "no files" in refused(capsys, showd.main(["-d", "gain"]))
    assert "nowhere" in refused(capsys, showd.main(["-d", "gain", "nowhere.fits"]))
    monkeypatch.setattr("sys.stdin", io.StringIO("dark.fits\nflat.fits\n"))
    assert shown(capsys, showd.main(["-d", "gain", "-"])).count(".fits") == 2


def test_typewalk_shows_tags_of_all_files_below(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "below").mkdir()
    shutil.copy("dark.fits", "below/another.fits")
    (raw / "note.txt").write_text("no frame")
    text = shown(capsys, typewalk.main([]))
    assert text.count("directory: ") == 2 and text.count(".fits ") == 4
    assert "\x1b" not in text and "None" not in text
    assert "(CAL) (DARK)" in text
    assert "another" not in shown(capsys, typewalk.main(["-n"]))
    assert "science" not in shown(capsys, typewalk.main(["-f", "^(dark|flat)"]))


def test_typewalk_chooses_and_writes_a_list_that_reduce_reads(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, typewalk.main(["--tags", "DARK", "FLAT", "--or", "--xtags", "LAMPON", "-o", "a.lis"]))
    assert "dark.fits" in text and "flat.fits" not in text
    from keyhole.selection import expand

    assert expand(["@a.lis"]).files == [str(raw / "dark.fits")]
    shown(capsys, typewalk.main(["--tags", "DARK", "FLAT", "-o", "b.lis"]))
    assert not Path("b.lis").exists()
    assert "--tags" in refused(capsys, typewalk.main(["-o", "c.lis"]))
    assert "nowhere" in refused(capsys, typewalk.main(["-d", "nowhere"]))
    assert "regular expression" in refused(capsys, typewalk.main(["-f", "("]))


def test_typewalk_leaves_out_what_is_no_frame(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.fits").write_text("nothing")
    assert typewalk.main([]) == 0
    captured = capsys.readouterr()
    assert "left out" in captured.err and "text.fits" in captured.err
    assert captured.out.count(".fits ") == 3


def test_provenance_shows_files_and_steps_in_full(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "raw").mkdir()
    files = raw_files(raw / "raw")
    product = str(keyhole.reduce(files, config=Config((), source=None)).outputs[0])
    text = shown(capsys, provenance.main([product]))
    for name in ("Provenance:", "History:", *(path.name for path in files), "stackDarks", '"operation": "mean"'):
        assert name in text
    assert "..." not in text
    assert "History:" not in shown(capsys, provenance.main(["-p", product]))
    assert "Provenance:" not in shown(capsys, provenance.main(["--history", product]))
    assert "Provenance: none" in shown(capsys, provenance.main(["dark.fits"]))
    assert "nowhere" in refused(capsys, provenance.main(["nowhere.fits"]))


COMPLETE = """
source completion.bash
line={line!r}
COMP_LINE=$line; COMP_POINT=${{#line}}; COMP_WORDBREAKS=$' \\t\\n"><=;|&(:'; COMPREPLY=()
_keyhole_{command}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(raw: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = raw / "completion.bash"
    path.write_text(shown(capsys, keyhole_command.main(["completion", "bash"])))
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("reduce --user", {"--user_cal"}),
        ("reduce --user_cal processed_d", {"processed_dark:"}),
        ("reduce @a.lis -r makeProcessed", {"makeProcessedBPM", "makeProcessedDark", "makeProcessedFlat"}),
        ("reduce -p stackDarks:oper", {"operation="}),
        ("reduce --logmode q", {"quiet"}),
        ("reduce some.fi", set()),
        ("caldb re", {"rebuild", "remove"}),
        ("dataselect --xt", {"--xtags"}),
        ("showpars a.fits associa", {"associateSky"}),
        ("showrecipes a.fits -m ", {"sq", "ql", "qa"}),
        ("showd -d coadd", {"coadds"}),
        ("keyhole ver", {"verify"}),
    ],
)
def test_bash_completes(script: Path, line: str, expected: set[str]) -> None:
    text = COMPLETE.format(line=line, command=line.split(maxsplit=1)[0])
    done = subprocess.run(["bash", "-c", text], cwd=script.parent, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""


def test_completion_for_zsh_names_commands_options_and_steps(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, keyhole_command.main(["completion", "zsh"]))
    assert text.startswith("#compdef reduce caldb dataselect showpars")
    for name in REGISTRY:
        assert f" {name}" in text
    assert text.count("_keyhole_reduce") == 2 and "--user_cal" in text
    if zsh := shutil.which("zsh"):
        (raw / "completion.zsh").write_text(text)
        subprocess.run([zsh, "-n", "completion.zsh"], cwd=raw, check=True)
