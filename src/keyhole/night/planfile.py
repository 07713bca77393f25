"""The plan as a small text file that a person can read, change and run again.

TOML, read by the standard library; written here, as no reader keeps comments.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keyhole.calibration import Grade
from keyhole.errors import InputError, ParameterError
from keyhole.night.inventory import LeftAside
from keyhole.night.plan import CALIBRATION_WORDS, Group, Need, NightPlan, order_of

__all__ = ["plan_text", "read_plan"]

_VERSION = 1
_HEAD = """\
# The plan of a night, made by: keyhole night
# Change it and run it with: keyhole night {name}
#
#   leave a frame out           delete its line, or put a # before it
#   take another calibration    dark = "/path/to/master.fits", or dark = "group:NAME" of a group below
#   go on without one           dark = "none"
#   set parameters of steps     parameters = {{ "skyCorrect:scale_sky" = true }}
#   leave a group out           delete it
"""
_MAKES = ("dark", "flat", "image")
_GROUP_KEYS = {"name", "make", "files", "parameters", *CALIBRATION_WORDS}


def plan_text(plan: NightPlan, *, name: str = "plan.toml") -> str:
    """Write a plan as text."""
    return "\n".join(_lines(plan, name)) + "\n"


def read_plan(path: str | Path) -> NightPlan:
    """Read a plan that a person may have changed.

    Raises
    ------
    InputError
        The file does not exist, is no TOML, or a raw frame or master that it names does not exist.
    ParameterError
        A key or value is not understood, or groups need what there is not.
    """
    file = Path(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; make a plan with: keyhole night RAWDIR --plan-only") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text; give a plan or a folder of raw frames") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no plan: {error}; correct that line") from error
    if content.get("version") != _VERSION:
        raise ParameterError(
            f"{path}: version {content.get('version')!r} of the plan is not known, this program writes {_VERSION}"
        )
    raw = content.get("raw")
    if not isinstance(raw, str) or not Path(raw).is_dir():
        raise InputError(f"{path}: the folder of raw frames {raw!r} does not exist; correct the line: raw = ...")
    unknown = set(content) - {"version", "raw", "group", "aside"}
    if unknown:
        raise ParameterError(f"{path}: unknown key {', '.join(sorted(unknown))}; known are raw, group and aside")
    groups = tuple(_group(table, file, Path(raw)) for table in _tables(content, "group", file))
    _check(groups, file)
    aside = tuple(
        LeftAside(str(item.get("file", "")), str(item.get("why", ""))) for item in _tables(content, "aside", file)
    )
    return NightPlan(Path(raw).absolute(), groups, aside)


def _lines(plan: NightPlan, name: str) -> Iterator[str]:
    yield _HEAD.format(name=name)
    yield f"version = {_VERSION}"
    yield f"raw = {_quoted(str(plan.raw))}"
    for group in plan.groups:
        yield ""
        yield "[[group]]"
        yield f"name = {_quoted(group.name)}"
        yield f"make = {_quoted(group.makes)}" + (f"  # {_comment(group.summary)}" if group.summary else "")
        for kind, need in group.needs.items():
            yield f"{kind} = {_quoted(_source(need))}  # {_comment(_why(need))}"
        if group.parameters:
            pairs = ", ".join(f"{_quoted(key)} = {_value(value)}" for key, value in group.parameters.items())
            yield f"parameters = {{ {pairs} }}"
        yield "files = ["
        yield from (f"  {_quoted(file)}," for file in group.files)
        yield "]"
    for item in plan.aside:
        yield ""
        yield "[[aside]]"
        yield f"file = {_quoted(item.path)}"
        yield f"why = {_quoted(item.why)}"


def _source(need: Need) -> str:
    return "none" if need.missing else f"group:{need.group}" if need.group else str(need.path)


def _why(need: Need) -> str:
    if need.grade is None or need.missing:
        return need.reason
    return f"grade {need.grade} ({Grade(need.grade).words}): {need.reason}"


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _quoted(text: str) -> str:
    # A basic string of TOML escapes what JSON escapes; characters beyond the basic plane stand as they are.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _quoted(str(value))


def _tables(content: Mapping[str, Any], key: str, file: Path) -> list[dict[str, Any]]:
    tables = content.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ParameterError(f"{file}: {key} is not a list of tables; begin each with [[{key}]]")
    return tables


def _group(table: dict[str, Any], file: Path, raw: Path) -> Group:
    name = table.get("name")
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise ParameterError(f"{file}: a group has no usable name ({name!r}); give it one of letters, digits and - _ .")
    unknown = set(table) - _GROUP_KEYS
    if unknown:
        raise ParameterError(
            f"{file}: group {name}: unknown key {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(_GROUP_KEYS))}"
        )
    makes = table.get("make")
    if makes not in _MAKES:
        raise ParameterError(f"{file}: group {name}: make = {makes!r} is unknown; use {', '.join(_MAKES)}")
    files = table.get("files")
    if not isinstance(files, list) or not files or not all(isinstance(item, str) for item in files):
        raise ParameterError(f"{file}: group {name}: files is no list of names, or empty; delete the group instead")
    for item in files:
        if not (raw / item).is_file():
            raise InputError(f"{file}: group {name}: {item} does not exist in {raw}; delete its line")
    parameters = table.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ParameterError(f'{file}: group {name}: parameters is no table; write {{ "step:name" = value }}')
    needs = {kind: _need(table[kind], kind, name, file) for kind in CALIBRATION_WORDS if kind in table}
    return Group(name, makes, tuple(files), needs, "", parameters)


def _need(value: object, kind: str, name: str, file: Path) -> Need:
    if not isinstance(value, str):
        raise ParameterError(f'{file}: group {name}: {kind} is no text; write "group:NAME", a path, or "none"')
    if value == "none":
        return Need(grade=int(Grade.MISSING), reason="left out by the plan")
    if value.startswith("group:"):
        return Need(group=value.removeprefix("group:"), reason="as the plan says")
    path = Path(value).expanduser()
    if not path.is_file():
        raise InputError(f"{file}: group {name}: the {kind} {value} does not exist; name another or write none")
    return Need(path=str(path.absolute()), reason="as the plan says")


def _check(groups: tuple[Group, ...], file: Path) -> None:
    by_name = {group.name: group for group in groups}
    if len(by_name) < len(groups):
        twice = next(group.name for group in groups if sum(other.name == group.name for other in groups) > 1)
        raise ParameterError(f"{file}: two groups are called {twice}; rename one")
    for group in groups:
        for kind, need in group.needs.items():
            if need.group is None:
                continue
            maker = by_name.get(need.group)
            if maker is None:
                raise ParameterError(f"{file}: group {group.name}: there is no group {need.group} for its {kind}")
            if maker.makes != kind:
                raise ParameterError(f"{file}: group {group.name}: {need.group} makes a {maker.makes}, not a {kind}")
    try:
        order_of(groups)
    except ValueError as error:
        raise ParameterError(f"{file}: {error}; a master cannot need itself") from error
