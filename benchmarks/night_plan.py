"""How long a folder of thousands of raw frames takes to be planned, and how much memory.

    python benchmarks/night_plan.py --files 5000

The headers are those of simulated frames, with times and numbers of their own; the pixels are holes in the files.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

BLOCK = 2880


def main() -> None:
    """Make the folder, plan it in a process of its own, print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = str(Path(sys.executable).with_name("keyhole"))
        simulate = [command, "simulate", str(folder / "seed"), "--frames", "5", "--flats", "3", "--darks", "4"]
        subprocess.run(simulate, check=True, stdout=subprocess.DEVNULL)
        make_folder(folder / "raw", sorted((folder / "seed").glob("N*.fits")), options.files)
        shutil.rmtree(folder / "seed")
        begin = time.perf_counter()
        plan = [command, "night", str(folder / "raw"), "-o", str(folder / "out"), "--plan-only"]
        subprocess.run(plan, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - begin
        groups = (folder / "out" / "plan.toml").read_text().count("[[group]]")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(f"{options.files} files, {groups} groups: {wall:.1f} s wall, {used.ru_maxrss / 1024:.0f} MB at most", end="")
    print(f" (all children with the simulation: {cpu:.1f} s CPU)")


def make_folder(raw: Path, seeds: list[Path], count: int) -> None:
    """Fill a folder with frames whose headers are real and whose pixels are holes."""
    raw.mkdir()
    for number in range(count):
        seed = seeds[number % len(seeds)]
        night, place = divmod(number, 100)
        day = datetime(2012, 1, 17, 5) + timedelta(days=night, minutes=3 * place)
        write_sparse(seed, raw / f"N{day:%Y%m%d}S{place:04d}.fits", day, f"{night}-{place}")


def write_sparse(seed: Path, path: Path, when: datetime, label: str) -> None:
    """Copy all headers of a frame with another time and label; the data become a hole."""
    content = seed.read_bytes()
    first = end_of_header(content, 0)
    second = end_of_header(content, first)
    headers = content[:second]
    for key, value in (("DATE-OBS", f"{when:%Y-%m-%d}"), ("UT", f"{when:%H:%M:%S}.0"), ("DATALAB", f"GN-{label}")):
        headers = replaced(headers, key, value)
    with path.open("wb") as stream:
        stream.write(headers)
        stream.truncate(len(content))


def end_of_header(content: bytes, start: int) -> int:
    """Offset behind the header that begins at `start`."""
    position = start
    while b"END".ljust(80) not in [content[position + i : position + i + 80] for i in range(0, BLOCK, 80)]:
        position += BLOCK
    return position + BLOCK


def replaced(headers: bytes, key: str, value: str) -> bytes:
    """The cards with another value for one of them."""
    start = headers.index(f"{key:<8}=".encode())
    card = f"{key:<8}= '{value:<8}'".ljust(80).encode()
    return headers[:start] + card + headers[start + 80 :]


if __name__ == "__main__":
    main()
