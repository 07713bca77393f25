"""Steps are known by name before their modules are loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keyhole.primitives import REGISTRY
from keyhole.primitives.base import Params, Primitive
from keyhole.primitives.registry import HOMES, Registry


def toy(name: str) -> Primitive:
    return Primitive(name, lambda frames, params, context: frames, Params, "frame")


@pytest.mark.parametrize("module", sorted(HOMES))
def test_each_module_registers_the_steps_that_the_table_promises(module: str) -> None:
    for name in HOMES[module]:
        assert REGISTRY[name].function.__module__ == f"keyhole.primitives.{module}"


def test_every_registered_step_is_in_the_table() -> None:
    code = (
        "import importlib, pkgutil\n"
        "import keyhole.primitives as rooms\n"
        "for found in pkgutil.iter_modules(rooms.__path__):\n"
        "    importlib.import_module(f'keyhole.primitives.{found.name}')\n"
        "print(*rooms.REGISTRY)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == [name for names in HOMES.values() for name in names]


def test_names_are_told_without_loading_a_step() -> None:
    code = (
        "import sys\nfrom keyhole.primitives import REGISTRY\n"
        "assert 'stackDarks' in REGISTRY and len(list(REGISTRY)) > 30\n"
        "print('keyhole.primitives.stack' in sys.modules, REGISTRY['stackDarks'].scope,"
        " 'keyhole.primitives.sky' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "list", "False"]


def test_a_replaced_step_is_not_replaced_back_when_its_module_loads() -> None:
    registry = Registry({"stack": ("stackDarks",)})
    mine = toy("stackDarks")
    registry["stackDarks"] = mine
    registry.enter(toy("stackDarks"))
    assert registry["stackDarks"] is mine


def test_a_forgotten_step_is_gone_and_a_new_one_comes_last() -> None:
    registry = Registry({"stack": ("stackDarks", "makeLampFlat")})
    del registry["stackDarks"]
    registry["mine"] = toy("mine")
    assert list(registry) == ["makeLampFlat", "mine"]
    assert "stackDarks" not in registry and len(registry) == 2
    with pytest.raises(KeyError):
        registry["stackDarks"]
