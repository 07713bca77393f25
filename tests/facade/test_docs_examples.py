"""The examples of the documentation run as they stand, in their order."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from small_night import small_playground

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Runs the blocks in one interpreter, as a reader would in a session, and the commands in it, too, which spares
# their start. A block that begins with a file name is written to that file.
DRIVER = """\
import glob, importlib, shlex, subprocess, sys
sys.path.insert(0, "")
names = {"__name__": "__main__"}

def command(line):
    if ">" in line:
        subprocess.run(["bash", "-euc", line], check=True)
        return
    program, *words = shlex.split(line)
    words = [found for word in words for found in (sorted(glob.glob(word)) or [word])]
    assert importlib.import_module(f"keyhole.cli.{program}").main(words) == 0, line

for number, (language, text) in enumerate(BLOCKS, start=1):
    first = text.partition("\\n")[0]
    if language == "sh":
        for line in text.splitlines():
            command(line)
    elif first.startswith("# ") and first.endswith(".py"):
        open(first[2:], "w").write(text)
    else:
        exec(compile(text, f"block {number}", "exec"), names)
"""


def blocks_of(name: str) -> list[tuple[str, str]]:
    return BLOCK.findall((DOCS / f"{name}.md").read_text())


@pytest.mark.parametrize("name", ["python", "your-own-recipe", "coming-from-dragons"])
def test_examples_run(tmp_path: Path, night: Path, name: str) -> None:
    blocks = blocks_of(name)
    assert len(blocks) > 2
    playground = small_playground(tmp_path, night, configured=name != "python")
    (playground.folder / "driver.py").write_text(f"BLOCKS = {blocks!r}\n{DRIVER}")
    done = playground.run(f"{sys.executable} driver.py")
    assert "error:" not in done.stderr
