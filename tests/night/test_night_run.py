from __future__ import annotations

import json
from dataclasses import replace

import pytest
from night_work import be_defect, be_killed_once, fail_on_flats, write_product

from keyhole.errors import SetupError
from keyhole.night import Group, LeftAside, Need, NightPlan
from keyhole.night.executors import Cluster, InProcess, Pool, open_executor
from keyhole.night.memory import Memory
from keyhole.night.run import run_plan
from keyhole.night.summary import write_summary


@pytest.fixture
def plan(raw):
    """A dark and a flat that an image needs, and a second image that needs the dark alone."""
    for name in ("d", "f", "a", "b"):
        (raw / f"{name}.fits").write_text(name)
    groups = (
        Group("image", "image", ("a.fits",), {"dark": Need(group="dark"), "flat": Need(group="flat")}),
        Group("other", "image", ("b.fits",), {"dark": Need(group="dark")}),
        Group("dark", "dark", ("d.fits",)),
        Group("flat", "flat", ("f.fits",)),
    )
    return NightPlan(raw, groups, (LeftAside("x.txt", "not a FITS file by its name"),))


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def states(result):
    return {name: found.state for name, found in result.groups.items()}


def done_in(out):
    return (out / "done.txt").read_text().split()


def run(plan, out, work=write_product, **options):
    return run_plan(plan, out, executor=InProcess(), work=work, **options)


def test_masters_are_made_before_what_needs_them_and_handed_on(plan, out):
    result = run(plan, out)
    assert states(result) == dict.fromkeys(("image", "other", "dark", "flat"), "done")
    order = done_in(out)
    assert order.index("dark") < min(order.index("image"), order.index("other"))
    assert order.index("flat") < order.index("image")
    assert result.whole
    assert (out / "a_stack.fits").read_text() != (out / "b_stack.fits").read_text()


def test_products_of_frames_of_one_name_go_into_folders_of_their_groups(plan, out, raw):
    (raw / "sub").mkdir()
    (raw / "sub" / "a.fits").write_text("another a")
    groups = [replace(group, files=("sub/a.fits",)) if group.name == "other" else group for group in plan.groups]
    run(replace(plan, groups=tuple(groups)), out)
    first, second = out / "image" / "a_stack.fits", out / "other" / "a_stack.fits"
    assert first.read_text() != second.read_text()
    assert (out / "d_dark.fits").is_file()
    assert set(states(run(replace(plan, groups=tuple(groups)), out)).values()) == {"kept"}


def test_a_second_run_does_nothing(plan, out):
    run(plan, out)
    before = done_in(out)
    result = run(plan, out)
    assert set(states(result).values()) == {"kept"}
    assert done_in(out) == before
    assert result.groups["dark"].outcome.products


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("input of the dark", {"dark", "image", "other"}),
        ("input of an image", {"image"}),
        ("parameter", {"other"}),
        ("product deleted", {"image"}),
        ("product changed", {"flat"}),
        ("frame left out", {"image"}),
        ("note lost", {"other"}),
        ("best effort", {"dark", "flat", "image", "other"}),
    ],
)
def test_only_what_depends_on_a_change_is_done_again(plan, out, raw, change, again):
    (raw / "a2.fits").write_text("a2")
    groups = {group.name: group for group in plan.groups}
    groups["image"] = replace(groups["image"], files=("a.fits", "a2.fits"))
    plan = replace(plan, groups=tuple(groups.values()))
    run(plan, out)
    (out / "done.txt").unlink()
    options = {}
    if change == "input of the dark":
        (raw / "d.fits").write_text("another")
    elif change == "input of an image":
        (raw / "a.fits").write_text("another")
    elif change == "parameter":
        groups["other"] = replace(groups["other"], parameters={"skyCorrect:scale_sky": False})
    elif change == "product deleted":
        (out / "a_stack.fits").unlink()
    elif change == "product changed":
        (out / "f_flat.fits").write_text("edited")
    elif change == "frame left out":
        groups["image"] = replace(groups["image"], files=("a.fits",))
    elif change == "note lost":
        (out / ".keyhole" / "done" / "other.json").write_text("{half")
    else:
        options["best_effort"] = True
    result = run(replace(plan, groups=tuple(groups.values())), out, **options)
    assert set(done_in(out)) == again
    assert {name for name, state in states(result).items() if state == "done"} == again


def test_dates_alone_change_nothing(plan, out, raw):
    run(plan, out)
    for path in raw.iterdir():
        path.write_bytes(path.read_bytes())
    assert set(states(run(plan, out)).values()) == {"kept"}


def test_a_failure_is_told_and_only_what_needs_it_is_skipped(plan, out):
    told = []
    result = run(plan, out, fail_on_flats, tell=lambda found: told.append((found.group.name, found.state)))
    assert states(result) == {"dark": "done", "other": "done", "flat": "failed", "image": "skipped"}
    assert result.groups["flat"].reason == "no light"
    assert result.groups["image"].reason == "its flat is missing: flat failed (no light)"
    assert not result.whole
    assert [state for name, state in told if name == "flat"] == ["running", "failed"]
    # What failed is tried again, what was done is kept.
    assert states(run(plan, out)) == {"dark": "kept", "other": "kept", "flat": "done", "image": "done"}


def test_best_effort_goes_on_without_a_failed_master(plan, out):
    assert states(run(plan, out, fail_on_flats, best_effort=True))["image"] == "done"


def test_what_lacks_a_calibration_is_skipped_with_the_reason(plan, out):
    groups = [replace(plan.groups[1], needs={"dark": Need(grade=4, reason="there is no dark")})]
    result = run(replace(plan, groups=tuple(groups)), out)
    assert (states(result), result.groups["other"].reason) == ({"other": "skipped"}, "there is no dark")


def test_a_frame_that_has_gone_since_the_plan_fails_its_group_alone(plan, out, raw):
    (raw / "b.fits").unlink()
    result = run(plan, out)
    assert states(result) == {"dark": "done", "flat": "done", "image": "done", "other": "failed"}
    assert "b.fits" in result.groups["other"].reason


def test_a_defect_of_one_group_does_not_stop_the_others(plan, out):
    pool = Pool(2)
    try:
        result = run_plan(plan, out, executor=pool, work=be_defect)
    finally:
        pool.close(now=False)
    assert states(result) == {"dark": "failed", "flat": "failed", "image": "skipped", "other": "skipped"}
    assert "a defect in dark" in result.groups["dark"].reason


def test_processes_that_are_killed_are_replaced_and_the_products_are_the_same(plan, out, tmp_path):
    pool = Pool(2)
    try:
        result = run_plan(plan, out, executor=pool, work=be_killed_once)
    finally:
        pool.close(now=False)
    assert set(states(result).values()) == {"done"}
    alone = tmp_path / "alone"
    alone.mkdir()
    run(plan, alone)
    for name in ("a_stack.fits", "b_stack.fits", "d_dark.fits", "f_flat.fits"):
        assert (out / name).read_text() == (alone / name).read_text()


def test_two_runs_do_not_work_in_one_folder(plan, out):
    with Memory(out).locked(), pytest.raises(SetupError, match="another run works in"):
        run(plan, out)


def test_a_scheduler_that_does_not_answer_is_one_sentence():
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with pytest.raises(SetupError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        Cluster("tcp://127.0.0.1:9", timeout=1)


def test_the_executor_is_what_was_asked_for():
    assert isinstance(open_executor(jobs=1, scheduler=None), InProcess)
    pool = open_executor(jobs=3, scheduler=None)
    assert isinstance(pool, Pool)
    assert pool.slots == 3
    pool.close(now=True)


def test_the_summary_accounts_for_groups_and_files(plan, out):
    result = run(plan, out, fail_on_flats)
    told = json.loads(write_summary(plan, result).read_text())
    assert told["schema"] == "keyhole-night-2"
    assert told["aside"] == [{"file": "x.txt", "why": "not a FITS file by its name"}]
    groups = {group["name"]: group for group in told["groups"]}
    assert {name: group["state"] for name, group in groups.items()} == states(result)
    assert groups["flat"]["reason"] == "no light"
    assert [product["file"] for product in groups["dark"]["products"]] == ["d_dark.fits"]
    assert groups["image"]["figures"] == {}
    assert groups["image"]["log"] is None
    assert groups["image"]["planned_calibrations"]["flat"]["group"] == "flat"
