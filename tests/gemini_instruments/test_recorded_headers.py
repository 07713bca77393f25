"""Real headers with the values recorded for them, asked as pure functions and through AstroData."""

from __future__ import annotations

import ast
import json
from datetime import date, time
from pathlib import Path

import pytest

from keyhole.headers import DESCRIPTORS, describe, describe_extension, read_headers, tags

FOLDER = Path(__file__).parents[3] / "shared" / "headers" / "GNIRS"
EXPECTED = json.loads((FOLDER / "expected.json").read_text()) if FOLDER.exists() else {}
FRAMES = sorted(name for name in EXPECTED if not name.startswith("_"))
POSITIONS = ("ra", "dec", "wcs_ra", "wcs_dec", "target_ra", "target_dec")

pytestmark = [
    pytest.mark.skipif(not FRAMES, reason="the recorded headers are not beside the repository"),
    # astrodata keeps files open until it is told to read their pixels.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


def file_of_dump(dump: str) -> bytes:
    """FITS header units of a text dump, without data."""
    units: list[list[str]] = []
    for line in dump.splitlines():
        if line.startswith("---"):
            units.append([])
        elif units and line.strip():
            units[-1].append(line)
    content = b""
    for unit in units:
        text = "".join(card.ljust(80)[:80] for card in [*unit, "END"]).encode("latin-1")
        content += text.ljust(-(-len(text) // 2880) * 2880)
    return content


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recorded")
    paths = {}
    for name in FRAMES:
        path = folder / EXPECTED[name]["file"]
        content = file_of_dump((FOLDER / f"{name}.fits.header").read_text())
        with path.open("wb") as handle:
            handle.write(content)
            handle.truncate(len(content) + -(-1024 * 1022 * 4 // 2880) * 2880)
        paths[name] = path
    return paths


def plain(value: object) -> object:
    """The value as JSON has it."""
    if isinstance(value, date | time):
        return value.isoformat()
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def assert_same(found: object, expected: object, tolerance: float, what: str) -> None:
    if isinstance(expected, list) and isinstance(found, list):
        assert len(found) == len(expected), what
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, tolerance, what)
    elif isinstance(expected, float) and isinstance(found, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=tolerance), what
    else:
        assert (type(found), found) == (type(expected), expected), what


def check(name: str, question: str, ask, expected: object) -> None:
    """Compare one answer; a position may have gone through a conversion."""
    converted = question.partition("(")[0] in POSITIONS and (
        "icrs=True" in question or {"NON_SIDEREAL", "AZEL_TARGET"} & set(EXPECTED[name]["tags"])
    )
    if isinstance(expected, dict):
        with pytest.raises(Exception) as raised:  # its type is what is checked
            ask()
        assert expected["error"] in [cls.__name__ for cls in type(raised.value).__mro__]
        return
    assert_same(plain(ask()), expected, 1e-6 if converted else 0.0, f"{name} {question}")


def options_of(call: str) -> tuple[str, dict[str, object]]:
    """Name and options of a recorded call such as ``camera(pretty=True)``."""
    node = ast.parse(call, mode="eval").body
    return node.func.id, {item.arg: ast.literal_eval(item.value) for item in node.keywords}


@pytest.mark.parametrize("name", FRAMES)
def test_pure_functions_give_the_recorded_values(name, files):
    expected, headers = EXPECTED[name], read_headers(files[name])
    assert sorted(tags(headers)) == expected["tags"]
    assert len(headers.extensions) == expected["extensions"]
    assert set(DESCRIPTORS) == set(expected["descriptors"])
    for question, value in {**expected["descriptors"], **expected["other_methods"]}.items():
        check(name, question, lambda q=question: describe(headers, q), value)
    for question, value in expected["descriptors_of_extension_0"].items():
        check(name, question, lambda q=question: describe_extension(headers, q), value)
    for call, value in expected["with_options"].items():
        question, options = options_of(call)
        check(name, call, lambda q=question, o=options: describe(headers, q, **o), value)


@pytest.mark.parametrize("name", FRAMES)
def test_astrodata_objects_give_the_recorded_values(name, files):
    astrodata = pytest.importorskip("astrodata")
    pytest.importorskip("gemini_instruments")
    expected, ad = EXPECTED[name], astrodata.open(str(files[name]))
    assert sorted(ad.tags) == expected["tags"]
    assert type(ad).__name__ == expected["class"]
    assert set(ad.descriptors) == set(expected["descriptors"])
    for question, value in {**expected["descriptors"], **expected["other_methods"]}.items():
        check(name, question, getattr(ad, question), value)
    for question, value in expected["descriptors_of_extension_0"].items():
        check(name, question, getattr(ad[0], question), value)
    for call, value in expected["with_options"].items():
        question, options = options_of(call)
        check(name, call, lambda q=question, o=options: getattr(ad, q)(**o), value)
