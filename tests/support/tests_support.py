"""Running the installed commands in a folder and a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Playground:
    """A folder to work in, beside the raw night, with a home of its own."""

    folder: Path
    home: Path
    raw: Path

    def run(self, command: str, *, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command line in a shell; the installed commands come first on the path."""
        environ = {k: v for k, v in os.environ.items() if k not in ("DRAGONSRC",)}
        environ["HOME"] = str(self.home)
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        if ok:
            assert done.returncode == 0, done.stdout + done.stderr
        return done


def make_playground(base: Path, night: Path, *, configured: bool = True) -> Playground:
    """Lay out folder, home and configuration."""
    (base / "playdata").symlink_to(night)
    folder, home = base / "playground", base / "home"
    for path in (folder, home / ".geminidr", base / "database"):
        path.mkdir(parents=True)
    if configured:
        text = f"[calibs]\nstandalone = True\ndatabase_dir = {base / 'database'}\n"
        (home / ".geminidr" / "rsys.cfg").write_text(text)
    return Playground(folder, home, base / "playdata")
