"""Recipes that users write: a function of ``p`` in a file of theirs, or handed over as it is."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from keyhole.engine.parameters import nearest
from keyhole.engine.user_steps import STEP_MARK
from keyhole.errors import KeyholeError, ParameterError
from keyhole.recipes import Recipe, find_recipe

__all__ = ["choose_recipe", "load_file", "source_of"]

_DEFAULT = "_default"


def choose_recipe(tags: frozenset[str], recipe: str | Recipe) -> tuple[str, Recipe]:
    """Find the recipe that a user asks for.

    Parameters
    ----------
    tags : frozenset of str
        Of the first input.
    recipe : str or callable
        A function of one argument; the name of a recipe or step; or a function in a file: ``file.py:name``,
        ``file.name`` or, for the default of the file, ``file.py``, each with or without a folder before it.

    Returns
    -------
    str, callable
        Name for the account, and the recipe.

    Raises
    ------
    ParameterError
        File or function do not exist, or the file cannot be loaded.
    InputError
        No recipe exists for such frames.
    """
    if callable(recipe):
        return _checked(getattr(recipe, "__name__", "recipe"), recipe)
    place = _place(recipe)
    if place is None:
        return find_recipe(tags, recipe)
    path, name = place
    name, function = _from_module(load_file(path), path, name)
    return name, _beside(function, path.resolve().parent)


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe, able to import from its folder also while it is planned and run."""

    @functools.wraps(recipe)
    def with_folder(p: Any) -> None:
        with _importable(folder):
            recipe(p)

    return with_folder


def _place(recipe: str) -> tuple[Path, str] | None:
    """File and function that a name means; None when it means no file."""
    head, colon, name = recipe.rpartition(":")
    if colon and head.endswith(".py"):
        return Path(head).expanduser(), name or _DEFAULT
    if recipe.endswith(".py"):
        return Path(recipe).expanduser(), _DEFAULT
    folder, _, last = recipe.rpartition("/")
    stem, dot, name = last.rpartition(".")
    if not dot or not stem or not name:
        return None
    return Path(folder or ".").expanduser() / f"{stem}.py", name


def source_of(recipe: Recipe) -> str:
    """Where a recipe is written: file and line; a single step is written nowhere."""
    recipe = inspect.unwrap(recipe)
    code = getattr(recipe, "__code__", None)
    if code is None or recipe.__name__ == "<lambda>":
        return "a single step"
    return f"{code.co_filename}, line {code.co_firstlineno}"


def load_file(path: str | Path) -> types.ModuleType:
    """Run a file of recipes and steps; its steps are registered, and files beside it can be imported.

    The file is read anew each time, so that a notebook sees what was changed.

    Raises
    ------
    ParameterError
        The file does not exist or fails.
    """
    path = Path(path)
    if not path.is_file():
        raise ParameterError(f"the recipe file {path} does not exist; check folder and name")
    module = types.ModuleType(f"_recipes_in_{path.stem}")
    module.__file__ = str(path.resolve())
    # Pickling and type hints look a module up by its name.
    sys.modules[module.__name__] = module
    with _importable(path.resolve().parent):
        try:
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
        except KeyholeError as error:
            raise ParameterError(f"{path}: {error}") from error
        except SyntaxError as error:
            raise ParameterError(f"the recipe file {path} has a mistake in line {error.lineno}: {error.msg}") from error
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            raise ParameterError(f"the recipe file {path} cannot be loaded{_line(error, path)}; {words}") from error
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.append(str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the recipe may have taken it out itself
            sys.path.remove(str(folder))


def _line(error: Exception, path: Path) -> str:
    """Where in the user's file an error came up."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


def _from_module(module: types.ModuleType, path: Path, name: str) -> tuple[str, Recipe]:
    own = _functions(module)
    if name == _DEFAULT and not hasattr(module, _DEFAULT):
        recipes = [key for key, function in own.items() if not hasattr(function, STEP_MARK) and _takes_one(function)]
        if len(recipes) != 1:
            found = ", ".join(recipes) or "none"
            raise ParameterError(f"{path} does not say which recipe is its default; name one (found: {found})")
        name = recipes[0]
    recipe = getattr(module, name, None)
    if not callable(recipe):
        hint = nearest(name, own) or f"; found: {', '.join(own) or 'none'}"
        raise ParameterError(f"no recipe {name!r} in {path}{hint}")
    return _checked(getattr(recipe, "__name__", name) if name == _DEFAULT else name, recipe)


def _functions(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """Functions defined in the file itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _checked(name: str, recipe: Callable[..., Any]) -> tuple[str, Recipe]:
    step = getattr(recipe, STEP_MARK, None)
    if step is not None:
        return step, lambda p: getattr(p, step)()
    if not _takes_one(recipe):
        raise ParameterError(f"{name} is no recipe: a recipe is a function of one argument, as in: def {name}(p)")
    return name, recipe
