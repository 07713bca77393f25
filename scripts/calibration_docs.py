"""Fill the generated parts of docs/calibrations.md: the table of rules, and an example made with real commands.

Run it in the folder of the project: ``python scripts/calibration_docs.py``. A test compares the table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs" / "calibrations.md"


def main() -> None:
    """Replace what stands between the marks."""
    text = DOCS.read_text()
    text = replaced(text, "caldb rules", run(Path.cwd(), "caldb", "rules"))
    with tempfile.TemporaryDirectory() as folder:
        text = replaced(text, "example", example(Path(folder)))
    DOCS.write_text(text)


def replaced(text: str, mark: str, content: str) -> str:
    """The text with new content between a mark and the next end."""
    before, _, rest = text.partition(f"<!-- {mark} -->")
    _, _, after = rest.partition("<!-- end -->")
    return f"{before}<!-- {mark} -->\n{content}\n<!-- end -->{after}"


def example(folder: Path) -> str:
    """A science frame with two darks that do not fit, one that does with a doubt, and what ``caldb why`` says."""
    made = {}
    options = {
        "bright": ["--read-mode", "Bright"],
        "short": ["--exptime", "10"],
        "fitting": [],
    }
    for name, words in options.items():
        night = folder / name
        run(folder, "keyhole", "simulate", str(night), "--frames", "1", "--flats", "1", "--darks", "3", *words)
        run(folder, "reduce", *map(str, sorted(night.glob("N20120102*.fits"))))
        made[name] = (folder / "N20120102S0538_dark.fits").rename(folder / f"{name}_dark.fits")
    (folder / "cal_manager.db").unlink()
    (folder / "raw").symlink_to(folder / "fitting")
    run(folder, "caldb", "add", str(made["bright"]), str(made["short"]))
    asked = ("why", "raw/N20120117S0014.fits", "dark")
    missed = run(folder, "caldb", *asked, code=4)
    run(folder, "caldb", "add", str(made["fitting"]))
    found = run(folder, "caldb", *asked)
    shown = [f"$ caldb {' '.join(asked)}", missed, "$ caldb add fitting_dark.fits", f"$ caldb {' '.join(asked)}", found]
    lines = "\n".join(shown).replace(f"{folder}/", "/data/").splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines)


def run(folder: Path, command: str, *words: str, code: int = 0) -> str:
    """Run an installed command and return what it printed."""
    # A home of its own: no configuration of the user plays into the example.
    environment = os.environ | {"HOME": str(folder), "PYTHONIOENCODING": "utf-8"}
    call = [str(Path(sys.executable).with_name(command)), *words]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"{' '.join(call)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    main()
