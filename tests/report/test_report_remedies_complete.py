"""No caveat of a step is without its own remedy."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import keyhole.primitives
from keyhole.report.remedies import remedy_for

FOLDER = Path(keyhole.primitives.__file__).parent


def caveats() -> list[tuple[str, str]]:
    """File and words of every caveat that a step writes out; a value is a 7."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "caveat":
                text = node.args[0]
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                if all(isinstance(part, (ast.Constant, ast.FormattedValue)) for part in parts):
                    words = "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)
                    found.append((path.name, words))
    return found


def test_there_are_caveats() -> None:
    assert len(caveats()) > 20


@pytest.mark.parametrize(("file", "text"), caveats())
def test_caveat_has_a_meaning_and_a_remedy_of_its_own(file: str, text: str) -> None:
    assert remedy_for(text) != remedy_for("words that no step says"), file
