from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_frames
from tiny_frames import write_frame

import keyhole
from keyhole.cli.dataselect import main


@pytest.fixture
def night(tmp_path, monkeypatch):
    (tmp_path / "playdata").mkdir()
    (tmp_path / "playground").mkdir()
    monkeypatch.chdir(tmp_path / "playground")
    for name, cards, changes in [
        ("N03", tiny_frames.SCIENCE, {}),
        ("N01", tiny_frames.DARK, {}),
        ("N02", tiny_frames.DARK, {"EXPTIME": 10.0}),
        ("N04", tiny_frames.FLAT, {}),
        ("N05", tiny_frames.SCIENCE, {}),
    ]:
        write_frame(Path("../playdata") / f"{name}.fits", cards, **changes)
    return tmp_path


def names_in(file):
    return [line for line in Path(file).read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tags", "DARK"], ["N01", "N02"]),
        (["--tags", "DARK", "--expr=exposure_time==60"], ["N01"]),
        (["--tags", "FLAT"], ["N04"]),
        (["--tags", "IMAGE", "--xtags", "FLAT"], ["N03", "N05"]),
        (["--xtags", "FLAT", '--expr=filter_name=="J"'], ["N03", "N05"]),
        (['--expr=object=="GRB120116A"'], ["N03", "N05"]),
        (["-t", "DARK,RAW", "--expr", "exposure_time==60", "--strict"], ["N01"]),
        (["--tags", "NOTHING"], []),
    ],
)
@pytest.mark.parametrize("inputs", [["../playdata/*.fits"], [f"../playdata/N0{n}.fits" for n in range(1, 6)]])
def test_the_lists_of_the_tutorial(night, capsys, inputs, arguments, expected):
    assert main([*inputs, *arguments, "-o", "out.lis"]) == 0
    assert names_in("out.lis") == [f"../playdata/{name}.fits" for name in expected]
    assert capsys.readouterr().out == ""


def test_a_list_begins_with_three_comment_lines(night):
    main(["../playdata/*.fits", "--tags", "DARK,RAW", "--expr=exposure_time\n==60", "-o", "out.lis"])
    assert Path("out.lis").read_text().splitlines()[:3] == [
        "# Tags: ['DARK', 'RAW']",
        "# Excluded tags: None",
        "# Expression: exposure_time ==60",
    ]


def test_an_empty_choice_writes_its_list_and_says_so(night, capsys):
    assert main(["../playdata/*.fits", "--tags", "NOTHING", "-o", "out.lis"]) == 0
    assert len(Path("out.lis").read_text().splitlines()) == 3
    assert "none of 5 files is chosen" in capsys.readouterr().err


def test_without_a_list_the_names_go_to_the_screen_with_one_only_when_verbose(night, capsys):
    main(["../playdata/*.fits", "--tags", "FLAT"])
    assert capsys.readouterr().out == "../playdata/N04.fits\n"
    main(["../playdata/*.fits", "--tags", "FLAT", "-o", "out.lis", "-v"])
    assert capsys.readouterr().out == "../playdata/N04.fits\n"


def test_a_list_can_be_chosen_from_and_overwritten(night):
    main(["../playdata/*.fits", "--tags", "DARK", "-o", "darks.lis"])
    main(["@darks.lis", "--expr=exposure_time<30", "-o", "darks.lis"])
    assert names_in("darks.lis") == ["../playdata/N02.fits"]
    assert [path.name for path in Path().iterdir()] == ["darks.lis"]


def test_a_damaged_file_is_named_and_left_out(night, capsys):
    Path("../playdata/N00.fits").write_text("not FITS")
    assert main(["../playdata/*.fits", "--tags", "FLAT"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "../playdata/N04.fits\n"
    assert captured.err.startswith("left out: ")
    assert "N00.fits" in captured.err


def test_a_file_given_twice_is_used_once_with_a_warning(night, capsys):
    main(["../playdata/N04.fits", "../playdata/*.fits", "--tags", "FLAT"])
    captured = capsys.readouterr()
    assert captured.out == "../playdata/N04.fits\n"
    assert "1 file is given more than once" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.fits"], "gone.fits"),
        (["gone*.fits"], "gone*.fits"),
        (["@gone.lis"], "gone.lis"),
        (["../playdata"], "folder"),
        (["../playdata/*.fits", "--expr=exposure_tme==60"], "exposure_time"),
        (["../playdata/*.fits", "--expr=exposure_time=60"], "single '='"),
        (["../playdata/*.fits", "-o", "nowhere/out.lis"], "nowhere/out.lis"),
        (["../playdata/*.fits", "-o", "."], "folder"),
    ],
)
def test_each_mistake_is_one_sentence_and_writes_nothing(night, capsys, arguments, words):
    assert main(arguments) != 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert list(Path().iterdir()) == []


def test_no_input_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    capsys.readouterr()


def test_old_options_are_accepted(night, capsys):
    assert main(["../playdata/N04.fits", "--debug", "--adpkg", "mine"]) == 0
    assert "--adpkg mine has no effect" in capsys.readouterr().err


def test_the_command_loads_no_heavy_package(night):
    code = (
        "import sys; from keyhole.cli.dataselect import main; main(sys.argv[1:])\n"
        "heavy = {'astropy', 'numpy', 'pydantic', 'sqlalchemy', 'scipy', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run(
        [sys.executable, "-c", code, "../playdata/N01.fits", "--tags", "DARK", "--expr=exposure_time==60"],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(Path(keyhole.__file__).parents[1])},
    )


def test_an_unknown_tag_is_told_with_the_nearest_when_nothing_is_chosen(night, capsys):
    assert main(["../playdata/*.fits", "--tags", "DRAK"]) == 0
    assert "no frame has the tag DRAK; did you mean DARK?" in capsys.readouterr().err
    main(["../playdata/*.fits", "--tags", "SPECT"])
    assert "no frame has" not in capsys.readouterr().err
