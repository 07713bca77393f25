from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest

from keyhole.cli.common import guarded, loading, patient_collector
from keyhole.errors import CalibrationError, InputError, SetupError


def raising(error):
    def action():
        raise error

    return action


def test_code_of_the_action_is_handed_on():
    assert guarded(lambda: 7) == 7


@pytest.mark.parametrize("error", [InputError("what to do"), CalibrationError("what to do"), SetupError("what to do")])
def test_error_of_the_user_is_one_sentence_with_its_code(error, capsys):
    assert guarded(raising(error)) == error.exit_code
    assert capsys.readouterr().err == "error: what to do\n"


def test_interrupt_is_130(capsys):
    assert guarded(raising(KeyboardInterrupt())) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("x"), OSError("x")])
def test_defect_is_raised(error):
    with pytest.raises(type(error)):
        guarded(raising(error))


def test_the_garbage_collector_is_as_it_was_when_the_last_of_several_runs_has_ended():
    usual = gc.get_threshold()
    first, second = patient_collector(), patient_collector()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold() != usual
    first.__exit__(None, None, None)
    assert gc.get_threshold() != usual
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual


def test_a_collector_that_is_switched_off_stays_so():
    usual = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with patient_collector():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*usual)


def test_the_garbage_collector_is_as_it_was_afterwards():
    usual = gc.get_threshold()
    seen = []
    assert guarded(lambda: seen.append(gc.get_threshold()) or 0) == 0
    assert gc.get_threshold() == usual != seen[0]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        guarded(raising(ZeroDivisionError()))
    assert gc.get_threshold() == usual


def test_idle_threads_of_the_linear_algebra_rest_where_keyhole_loads_numpy():
    program = (
        "import os, sys, keyhole\n"
        "class Seen:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy':\n"
        "            print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'))\n"
        "sys.meta_path.insert(0, Seen())\n"
        "keyhole.reduce\n"
        "print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'))"
    )
    usual = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
    for given, seen in ({}, ["20", "None"]), ({"OPENBLAS_THREAD_TIMEOUT": "26"}, ["26", "26"]):
        words = [sys.executable, "-c", program]
        told = subprocess.run(words, env=usual | given, check=True, capture_output=True, text=True).stdout
        assert told.split() == seen


def test_the_environment_is_left_alone_once_numpy_is_there(monkeypatch):
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", sys.modules.get("numpy", sys))
    with loading():
        assert "OPENBLAS_THREAD_TIMEOUT" not in os.environ


def test_the_environment_is_as_it_was_when_loading_fails(monkeypatch):
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    with pytest.raises(ZeroDivisionError), loading():
        raise ZeroDivisionError
    assert "OPENBLAS_THREAD_TIMEOUT" not in os.environ


class Node:
    """An object that can be part of a cycle."""

    def __init__(self):
        self.other = self


def test_garbage_among_what_was_there_before_loading_is_still_found():
    node = Node()
    seen = weakref.ref(node)
    with loading():
        young = Node()
    seen_young = weakref.ref(young)
    del node, young
    gc.collect()
    assert seen() is None
    assert seen_young() is None


def test_loading_looks_at_nothing_and_leaves_frozen_what_others_froze():
    runs = []
    gc.collect()
    gc.callbacks.append(lambda phase, info: runs.append(phase))
    try:
        with loading():
            kept = [[] for _ in range(20_000)]
        assert not runs
        gc.freeze()
        count = gc.get_freeze_count()
        with loading():
            kept.append([])
        assert gc.get_freeze_count() > count - 100 > len(kept)
    finally:
        gc.callbacks.pop()
        gc.unfreeze()


def test_nothing_is_looked_through_for_cycles_when_a_command_ends() -> None:
    program = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "from keyhole.cli.common import guarded\n"
        "guarded(lambda: 0)\n"
        "print(gc.get_freeze_count())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # Frozen at the end alone: a program that calls a command and goes on is not touched.
    assert done.stdout.split() == ["0", "True"]
