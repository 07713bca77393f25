"""The published scripts run line for line; whatever they tell, they tell once."""

from __future__ import annotations

import re
from pathlib import Path

from small_night import small_playground
from tests_support import Playground

DARK, FLAT = "N20120102S0538_dark.fits", "N20120117S0034_flat.fits"

SCRIPT = """\
import glob
from recipe_system.reduction.coreReduce import Reduce
from recipe_system import cal_service
from gempy.adlibrary import dataselect
from gempy.utils import logutils
logutils.config(file_name='gnirs_tutorial.log')
caldb = cal_service.CalibrationService(); caldb.config(); caldb.init(); cal_service.set_calservice()
all_files = glob.glob('../playdata/*.fits'); all_files.sort()
darks60 = dataselect.select_data(all_files, ['DARK'], [], dataselect.expr_parser('exposure_time==60'))
flats = dataselect.select_data(all_files, ['FLAT'])
target = dataselect.select_data(all_files, ['IMAGE'], ['FLAT'])
assert target == dataselect.select_data(all_files, [], ['FLAT'], dataselect.expr_parser('filter_name=="J"'))
assert target == dataselect.select_data(all_files, [], [], dataselect.expr_parser('object=="GRB120116A"'))
reduce_darks = Reduce(); reduce_darks.files.extend(darks60); reduce_darks.runr()
caldb.add_cal(reduce_darks.output_filenames[0])
reduce_flats = Reduce(); reduce_flats.files.extend(flats); reduce_flats.runr()
caldb.add_cal(reduce_flats.output_filenames[0])
from recipe_system.utils.reduce_utils import normalize_ucals
reduce_target = Reduce(); reduce_target.files.extend(target)
reduce_target.ucals = normalize_ucals(reduce_target.files, ['processed_dark:N20120102S0538_dark.fits'])
reduce_target.runr()
"""

NEWER = """\
import glob
from recipe_system.reduction.coreReduce import Reduce
from recipe_system import cal_service
from recipe_system.utils.reduce_utils import normalize_ucals
from gempy.adlibrary import dataselect
caldb = cal_service.set_local_database()
caldb.init(wipe=True)
all_files = sorted(glob.glob('../playdata/*.fits'))
darks60 = dataselect.select_data(all_files, ['DARK'], [], dataselect.expr_parser('exposure_time==60'))
flats = dataselect.select_data(all_files, ['FLAT'])
target = dataselect.select_data(all_files, ['IMAGE'], ['FLAT'])
reduce_darks = Reduce()
reduce_darks.files.extend(darks60)
reduce_darks.runr()
reduce_flats = Reduce()
reduce_flats.files.extend(flats)
reduce_flats.runr()
for f in caldb.list_files():
    print(f)
caldb.remove_cal(reduce_darks.output_filenames[0])
reduce_target = Reduce()
reduce_target.files.extend(target)
reduce_target.ucals = normalize_ucals(['processed_dark:N20120102S0538_dark.fits'])
reduce_target.uparms = dict([('stackFrames:reject_method', 'sigclip')])
reduce_target.runr()
print(reduce_target.recipename, reduce_target.output_filenames, [f.name for f in caldb.list_files()])
"""


def told(text: str) -> list[list[str]]:
    """Lines of each run; how long a step took does not make it another line."""
    lines = [re.sub(r"\d+\.\d+ s", "s", line).strip() for line in text.splitlines() if line.strip()]
    runs: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("Keyhole "):
            runs.append([])
        runs[-1].append(line)
    return [run for run in runs if run]


def assert_nothing_is_told_twice(text: str) -> None:
    for run in told(text):
        assert sorted(run) == sorted(set(run)), [line for line in run if run.count(line) > 1]


def run_script(playground: Playground, text: str) -> str:
    (playground.folder / "script.py").write_text(text)
    done = playground.run("python -W error script.py")
    assert_nothing_is_told_twice(done.stdout)
    assert_nothing_is_told_twice(done.stderr)
    assert not set(done.stdout.splitlines()) & {line for line in done.stderr.splitlines() if line.strip()}
    return done.stdout + done.stderr


def test_script_of_the_tutorial_runs_and_tells_everything_once(tmp_path: Path, night: Path) -> None:
    playground = small_playground(tmp_path, night)
    text = run_script(playground, SCRIPT)
    assert [run[0].split()[3] for run in told(text) if run[0].startswith("Keyhole ")] == ["darks", "flats", "science"]
    for name in (DARK, FLAT, "N20120117S0014_stack.fits", "N20120117S0014_image.fits"):
        assert (playground.folder / name).is_file()
        assert text.count(f"wrote {name}") == 1
    assert "given by hand" in text
    log = (playground.folder / "gnirs_tutorial.log").read_text()
    for recipe in ("makeProcessedDark", "makeProcessedFlat", "reduce"):
        assert log.count(f"RECIPE: {recipe} ") == 1
    assert log.count("PRIMITIVE: skyCorrect") == 1
    listed = playground.run("caldb list").stdout
    assert DARK in listed and FLAT in listed
    assert not (playground.folder / "reduce.log").exists()


def test_newer_form_of_the_script_runs(tmp_path: Path, night: Path) -> None:
    playground = small_playground(tmp_path, night, configured=False)
    (playground.home / ".dragons").mkdir()
    database = tmp_path / "newer" / "mine.db"
    (playground.home / ".dragons" / "dragonsrc").write_text(f"[calibs]\ndatabases = {database} get store\n")
    text = run_script(playground, NEWER)
    assert f"FileData(name='{DARK}', path='{playground.folder / DARK}')" in text
    assert text.splitlines().count(f"reduce ['N20120117S0014_image.fits'] ['{FLAT}']") == 1
    assert database.is_file()
    # The second time everything is there already.
    again = playground.run("caldb config").stdout
    assert str(playground.home / ".dragons" / "dragonsrc") in again and "Store: yes" in again
