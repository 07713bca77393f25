"""What a group tells of itself, from the process that reduces it to the summary."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import raw_files

from keyhole.cli.night_report import NightReport
from keyhole.night import Group, NightPlan
from keyhole.night.executors import InProcess, Pool
from keyhole.night.run import GroupResult, NightResult, run_plan
from keyhole.night.summary import write_summary
from keyhole.night.work import Outcome


@pytest.fixture
def plan(raw):
    files = tuple(path.name for path in raw_files(raw, "dark", 3))
    return NightPlan(raw, (Group("dark", "dark", files),), ())


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def told(plan, out, executor=None):
    result = run_plan(plan, out, executor=executor or InProcess())
    return json.loads(write_summary(plan, result).read_text()), result


def without_times(group):
    """What must not depend on where and when a group was reduced."""
    steps = [{key: value for key, value in step.items() if key != "seconds"} for step in group["steps"]]
    kept = ("name", "state", "frames", "figures", "caveats", "calibrations", "previews", "sources")
    return {key: group[key] for key in kept} | {"steps": steps}


def test_summary_has_figures_of_frames_and_product_and_the_picture_lies_beside_it(plan, out):
    summary, _ = told(plan, out)
    (group,) = summary["groups"]
    assert [frame["file"] for frame in group["frames"]] == list(plan.groups[0].files)
    assert all(frame["figures"]["exposure"] == {"value": 60, "error": None, "unit": "s"} for frame in group["frames"])
    assert group["figures"]["median"]["error"] > 0
    (preview,) = group["previews"]
    assert (out / preview["file"]).read_bytes().startswith(b"\x89PNG")
    assert summary["versions"]["numpy"]
    assert len(group["sources"]) == 3


def test_another_process_tells_the_same(plan, out, tmp_path):
    here, _ = told(plan, out)
    (tmp_path / "there").mkdir()
    pool = Pool(1)
    there, _ = told(plan, tmp_path / "there", pool)
    pool.close(now=True)
    assert without_times(there["groups"][0]) == without_times(here["groups"][0])
    picture = here["groups"][0]["previews"][0]["file"]
    assert (out / picture).read_bytes() == (tmp_path / "there" / picture).read_bytes()


def test_a_group_that_is_kept_tells_what_it_told_when_it_was_made(plan, out):
    first, result = told(plan, out)
    assert pickle.loads(pickle.dumps(result.groups["dark"].outcome)) == result.groups["dark"].outcome
    again, _ = told(plan, out)
    assert again["groups"][0]["state"] == "kept"
    assert without_times(again["groups"][0]) | {"state": "done"} == without_times(first["groups"][0])


def test_a_group_whose_picture_is_gone_is_done_again(plan, out):
    summary, _ = told(plan, out)
    (out / summary["groups"][0]["previews"][0]["file"]).unlink()
    again, _ = told(plan, out)
    assert again["groups"][0]["state"] == "done"


def test_a_group_that_fails_tells_how_far_it_came(plan, out):
    for name in plan.groups[0].files:
        with fits.open(plan.raw / name, mode="update") as hdus:
            hdus[1].data[:] = np.nan
    summary, _ = told(plan, out)
    (group,) = summary["groups"]
    assert group["state"] == "failed" and "none of 4096 pixels" in group["reason"]
    assert group["failed_step"] == "stackDarks"
    assert [step["name"] for step in group["steps"]][:2] == ["prepare", "addDQ"]
    assert group["frames"][2]["figures"]["exposure"]["value"] == 60
    assert [frame["file"] for frame in group["frames"]] == list(plan.groups[0].files)
    assert group["products"] == [] and group["previews"] == []


def ended(plan, *, state="done"):
    return GroupResult(plan.groups[0], state, Outcome("dark", error=None if state == "done" else "no light"))


def test_report_is_written_as_groups_end_and_when_the_night_is_interrupted(plan, out):
    report = NightReport(plan, out)
    report.finish(None)
    assert list(out.iterdir()) == []
    report(GroupResult(plan.groups[0], "running"))
    assert list(out.iterdir()) == []
    report(ended(plan, state="failed"))
    assert {path.name for path in out.iterdir()} == {"summary.json", "index.html"}
    (out / "index.html").unlink()
    report.finish(None)
    assert "Failed" in (out / "index.html").read_text()


def test_many_groups_do_not_draw_the_page_at_each_end(plan, out, monkeypatch):
    drawn = []
    groups = tuple(replace(plan.groups[0], name=f"dark{k}") for k in range(50))
    report = NightReport(replace(plan, groups=groups), out)
    monkeypatch.setattr("keyhole.report.files.write_night", lambda *_: drawn.append(1))
    for group in groups:
        report(GroupResult(group, "done", Outcome(group.name)))
    report.finish(NightResult(out, {group.name: GroupResult(group) for group in groups}))
    assert 2 <= len(drawn) < 25


def test_report_that_cannot_be_written_is_a_warning(plan, out, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    NightReport(plan, out)(ended(plan))
    assert "warning: the report is not up to date" in capsys.readouterr().err
