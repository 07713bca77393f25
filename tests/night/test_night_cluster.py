"""A run on a real Dask scheduler with two workers, which are killed in the middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from night_work import be_killed_once, write_product

from keyhole.night import Group, Need, NightPlan
from keyhole.night.executors import Cluster, InProcess
from keyhole.night.run import run_plan

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def scheduler(tmp_path):
    """Address of a scheduler on loopback, with two workers whose nannies replace them when they die."""
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    environment = os.environ | {"PYTHONPATH": str(SUPPORT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20"}
    common: dict[str, object] = {
        "cwd": tmp_path,
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    common["start_new_session"] = True
    module = [sys.executable, "-m", "distributed.cli"]
    words = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    processes = [subprocess.Popen([*module[:2], f"{module[2]}.dask_scheduler", *words], **common)]
    for _ in range(2):
        words = [address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        processes.append(subprocess.Popen([*module[:2], f"{module[2]}.dask_worker", *words], **common))
    yield address
    for process in processes:
        # A nanny has a worker below it; all go.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_lost_workers_are_replaced_and_the_products_are_those_of_one_process(scheduler, raw, tmp_path):
    for name in ("d", "a", "b", "c"):
        (raw / f"{name}.fits").write_text(name)
    images = [Group(name, "image", (f"{name}.fits",), {"dark": Need(group="dark")}) for name in ("a", "b", "c")]
    plan = NightPlan(raw, (Group("dark", "dark", ("d.fits",)), *images))
    outs = [tmp_path / "cluster", tmp_path / "alone"]
    for out in outs:
        out.mkdir()
    cluster = Cluster(scheduler)
    try:
        result = run_plan(plan, outs[0], executor=cluster, work=be_killed_once)
    finally:
        cluster.close(now=False)
    assert {found.state for found in result.groups.values()} == {"done"}, [g.reason for g in result.groups.values()]
    run_plan(plan, outs[1], executor=InProcess(), work=write_product)
    for name in ("d_dark.fits", "a_stack.fits", "b_stack.fits", "c_stack.fits"):
        assert (outs[0] / name).read_text() == (outs[1] / name).read_text()
    assert len(list(outs[0].glob("*.tried"))) == 4
