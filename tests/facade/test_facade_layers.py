"""The published import paths translate names and argument forms, and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FACADES = ("recipe_system", "gempy")
MODULES = sorted(path for name in FACADES for path in (SOURCE / name).rglob("*.py"))
# Holds classes for astrodata, so that it must do more than hand on.
CLASSES = sorted((SOURCE / "gemini_instruments").rglob("*.py"))
MOST_STATEMENTS = 5
# A constructor lists the attributes that scripts know.
MOST_IN_CONSTRUCTOR = 14
MOST_LINES = 160


def nodes(path: Path, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds))


def imports_of(path: Path) -> set[str]:
    found = {alias.name for node in nodes(path, ast.Import) for alias in node.names}
    return found | {node.module or "" for node in nodes(path, ast.ImportFrom)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_facade_imports_nothing_but_keyhole(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert tops - set(sys.stdlib_module_names) <= {"keyhole", *FACADES}


@pytest.mark.parametrize("path", CLASSES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_classes_for_astrodata_import_nothing_but_keyhole_and_astrodata(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert tops - set(sys.stdlib_module_names) <= {"keyhole", "astrodata", "gemini_instruments"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_facade_decides_nothing(path: Path) -> None:
    work = (ast.For, ast.While, ast.Try, ast.With, ast.Match, ast.Raise, ast.Global, ast.Lambda, ast.BinOp)
    found = [node for node in nodes(path, *work) if not is_annotation(node)]
    assert not found, [ast.unparse(node) for node in found]
    for function in nodes(path, ast.FunctionDef):
        body = [node for node in function.body if not is_docstring(node)]
        most = MOST_IN_CONSTRUCTOR if function.name == "__init__" else MOST_STATEMENTS
        assert len(body) <= most, function.name
    assert len(path.read_text().splitlines()) <= MOST_LINES


def is_annotation(node: ast.AST) -> bool:
    """``str | None`` is written with an operator, too."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_keyhole_imports_no_facade() -> None:
    for path in (SOURCE / "keyhole").rglob("*.py"):
        if path.name != "exchange.py":  # registers the classes of AstroData
            tops = {name.split(".")[0] for name in imports_of(path)}
            assert not tops & {*FACADES, "gemini_instruments"}, path


def test_only_the_package_itself_and_facades_use_the_api() -> None:
    for path in (SOURCE / "keyhole").rglob("*.py"):
        if path.parent != SOURCE / "keyhole":
            assert not {"keyhole", "keyhole.api"} & (imports_of(path) - version_only(path)), path


def version_only(path: Path) -> set[str]:
    """``from keyhole import __version__`` loads nothing."""
    names = [alias.name for node in nodes(path, ast.ImportFrom) if node.module == "keyhole" for alias in node.names]
    return {"keyhole"} if set(names) <= {"__version__"} else set()


PUBLISHED = {
    "recipe_system.reduction.coreReduce": ["Reduce"],
    "recipe_system.cal_service": [
        "CalibrationService",
        "LocalDB",
        "get_calconf",
        "is_local",
        "load_calconf",
        "set_calservice",
        "set_local_database",
    ],
    "recipe_system.cal_service.localdb": ["LocalDB"],
    "recipe_system.utils.reduce_utils": [
        "buildParser",
        "normalize_args",
        "normalize_ucals",
        "normalize_upload",
        "set_btypes",
    ],
    "gempy.adlibrary.dataselect": ["expr_parser", "select_data", "writeheader"],
    "gempy.utils.logutils": ["change_level", "config", "customize_logger", "get_logger", "update_indent"],
}


def test_published_names_are_there_and_importing_them_changes_no_logger() -> None:
    code = f"""
import importlib, logging
for module, names in {PUBLISHED!r}.items():
    found = importlib.import_module(module)
    for name in names:
        assert name in found.__all__ and getattr(found, name), (module, name)
assert not logging.getLogger().handlers and logging.getLogger().level == logging.WARNING
assert not logging.getLogger("keyhole").handlers
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
