from __future__ import annotations

import re

import pytest
from toy_runs import raw_file

from keyhole.cli.showpars import main
from keyhole.primitives import REGISTRY

STEPS = sorted(REGISTRY)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    return {kind: str(raw_file(folder / f"{kind}.fits", kind)) for kind in ("dark", "flat", "science")}


def shown(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    assert captured.err == ""
    assert code == 0
    return captured.out


@pytest.mark.parametrize("kind", ["dark", "flat", "science"])
def test_every_step_is_shown_in_full_within_100_columns(frames, capsys, kind):
    for step in STEPS:
        text = shown(capsys, frames[kind], step, "-a", "-d")
        assert max(map(len, text.splitlines())) <= 100, step
        assert "…" not in text, step
        for name in REGISTRY[step].params.model_fields:
            assert re.search(rf"^{name} ", text, re.MULTILINE), (step, name)


def test_call_of_the_tutorial_shows_values_ranges_and_meanings(frames, capsys):
    lines = shown(capsys, frames["science"], "associateSky").splitlines()
    assert lines[0] == "Frame tags: GEMINI GNIRS IMAGE NORTH RAW SIDEREAL UNPREPARED"
    assert lines[1].startswith("associateSky: ")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[3:] if not line.startswith(" ")}
    assert list(rows) == ["suffix", "time", "distance", "min_skies", "max_skies", "use_all", "sky"]
    assert rows["time"].startswith("600.0 ")
    assert "a number in [0, inf)" in rows["time"]
    assert "Largest time difference" in rows["time"]
    assert "a whole number in [1, inf) or None" in rows["max_skies"]
    assert rows["use_all"].startswith("False ")


def test_defaults_are_those_of_the_kind_of_frame(frames, capsys):
    def value(kind):
        return re.search(r"^add_illum_mask +(\w+( \*)?)", shown(capsys, frames[kind], "addDQ"), re.MULTILINE).group(1)

    assert value("science") == "True"
    assert value("dark") == "False"
    # The usual recipe for flats says so in its call.
    assert value("flat") == "False *"


def test_value_of_the_recipe_is_explained(frames, capsys):
    assert "* as recipe reduce calls the step" in shown(capsys, frames["science"], "addVAR")
    assert "*" not in shown(capsys, frames["science"], "separateSky")


def test_parameters_for_debugging_are_shown_on_demand(frames, capsys):
    assert "debug_" not in shown(capsys, frames["science"], "prepare")
    assert "debug_" in shown(capsys, frames["science"], "prepare", "-a")


def test_description_of_the_step_is_shown_on_demand(frames, capsys, monkeypatch):
    monkeypatch.setattr(REGISTRY["associateSky"].function, "__doc__", "Short.\n\n    The whole story.\n    ")
    assert "The whole story." not in shown(capsys, frames["science"], "associateSky")
    text = shown(capsys, frames["science"], "associateSky", "-d")
    assert "\nThe whole story.\n" in text
    assert text.count("Short.") == 1


@pytest.mark.parametrize(
    ("file", "step", "told"),
    [
        ("science", "asociateSky", "did you mean 'associateSky'"),
        ("science", "qqqq", "no step 'qqqq'"),
        ("nowhere.fits", "associateSky", "nowhere.fits"),
    ],
)
def test_unknown_step_or_missing_file_is_one_sentence(frames, capsys, file, step, told):
    assert main([frames.get(file, file), step]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert told in line


def test_frame_of_no_known_kind_shows_the_defaults_of_the_step(frames, capsys, tmp_path):
    path = raw_file(tmp_path / "a.fits", "science", ACQMIR=None)
    assert re.search(r"^add_illum_mask +True ", shown(capsys, str(path), "addDQ"), re.MULTILINE)
