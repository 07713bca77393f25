"""The promises between the rooms, checked on the syntax trees and in fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "keyhole"

# Which rooms a room may import from; `errors` is open to all.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "imaging": set(),
    "instruments": set(),
    "headers": {"instruments"},
    "selection": {"headers", "instruments"},
    "frames": {"headers", "instruments"},
    "calibration": {"headers", "instruments"},
    "simulate": {"instruments"},
    "primitives": {"imaging", "instruments", "headers", "frames"},
    "recipes": {"primitives"},
    "engine": {"calibration", "frames", "headers", "instruments", "primitives", "recipes"},
    "report": {"imaging", "frames", "engine"},
    "night": {"calibration", "engine", "frames", "instruments"},
    "cli": {
        "night",
        "calibration",
        "engine",
        "frames",
        "headers",
        "imaging",
        "instruments",
        "primitives",
        "recipes",
        "report",
        "selection",
        "simulate",
    },
}
# Packages outside the standard library that a room must not touch.
FORBIDDEN: dict[str, set[str]] = {
    "imaging": {"astropy", "astrodata", "pydantic", "sqlalchemy", "rich", "logging"},
    "headers": {"astrodata", "pydantic", "sqlalchemy", "numpy"},
    "calibration": {"astropy", "astrodata", "pydantic", "numpy"},
    "selection": {"astropy", "astrodata", "pydantic", "sqlalchemy", "numpy"},
    "instruments": {"astropy", "pydantic", "numpy"},
    "primitives": {"sqlalchemy", "rich", "astrodata"},
}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.name == "errors.py")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "keyhole" or len(parts) == 1:
            continue
        assert parts[1] in ALLOWED[room] | {room, "errors"}, f"{room} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_room_touches_a_package_that_is_not_its_own(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert not tops & FORBIDDEN.get(room_of(path), set())


def test_astropy_is_touched_by_headers_in_the_coordinate_conversion_only() -> None:
    users = {
        p.name for p in modules() if room_of(p) == "headers" and any(n.startswith("astropy") for n in imports_of(p))
    }
    assert users <= {"coordinates.py", "celestial.py"}


def test_sql_stays_in_one_room() -> None:
    users = {p.parent.relative_to(SOURCE) for p in modules() if any(n.startswith("sqlalchemy") for n in imports_of(p))}
    assert users == {Path("calibration/database")}


def test_astrodata_is_imported_by_the_adapter_alone() -> None:
    users = [p.name for p in modules() if any(n.split(".")[0] == "astrodata" for n in imports_of(p))]
    assert users == ["exchange.py"]


def test_primitives_import_no_other_step_and_no_engine() -> None:
    shared = {
        "astrometry",
        "bad_pixels",
        "base",
        "figures",
        "keyhole",
        "light",
        "noise",
        "previews",
        "registry",
        "source_list",
        "stacking",
        "wcs",
    }
    for path in (SOURCE / "primitives").glob("*.py"):
        if path.stem == "__init__":
            continue
        for name in imports_of(path):
            if name.startswith("keyhole.primitives."):
                assert name.split(".")[2] in shared, f"{path.name} imports {name}"


def test_no_module_reads_environment_or_home_at_import() -> None:
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            text = ast.unparse(node)
            assert "environ" not in text and "Path.home" not in text and "expanduser" not in text, path.name


HEAVY = ("numpy", "astropy", "scipy", "sqlalchemy", "pydantic", "rich", "astrodata", "sep", "jinja2", "keyhole.report")


@pytest.mark.parametrize(
    ("module", "arguments", "allowed"),
    [
        ("keyhole.cli.dataselect", ["--help"], set()),
        ("keyhole.cli.caldb", ["--help"], set()),
        ("keyhole.cli.reduce", ["--help"], set()),
        ("keyhole.cli.showpars", ["--help"], set()),
        ("keyhole", None, set()),
    ],
)
def test_heavy_packages_load_only_where_they_are_needed(
    module: str, arguments: list[str] | None, allowed: set[str]
) -> None:
    call = "" if arguments is None else f"\ntry:\n    m.main({arguments!r})\nexcept SystemExit:\n    pass\n"
    code = (
        f"import sys, importlib\nm = importlib.import_module({module!r}){call}\n"
        f"print('LOADED', *[n for n in {HEAVY!r} if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(out.strip().splitlines()[-1].split()[1:])
    assert loaded <= allowed
