"""Defines how a configuration is written to TOML, read back, and checked value by value."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from axpo.settings.config import ConfigError
from axpo_envs.plumbing.extras import requiring

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
"""A configuration: a dataclass of plain values, enum members, tuples and further such dataclasses."""


def to_toml(config: DataclassInstance) -> str:
    """The configuration as TOML; settings that are None are left out, since TOML has no word for them."""
    # Only what trains writes files; the base installation does without.
    with requiring("train", "writing a configuration"):
        import tomli_w

    return tomli_w.dumps(_without_none(asdict(config)))


def dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted names, in order: `{"log": {"patience": 2}}` gives `log.patience`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def read_toml(path: str | Path, kind: type[C]) -> C:
    """Reads a configuration file; settings that it leaves out have their defaults.

    Args:
        path: a TOML file.
        kind: the configuration it holds, such as `TrainConfig`.

    Raises:
        ConfigError: the file cannot be read, is no TOML, has unknown settings, or values that do not fit.
    """
    data = _loaded(Path(path))
    problems = _layout_problems(data, asdict(kind()))
    if problems:
        raise ConfigError(_listing(str(path), problems))
    return _parsed(data, kind, source=str(path))


def left_out(path: str | Path, kind: type[DataclassInstance]) -> dict[str, Any]:
    """The settings with a default that a configuration file does not have, by dotted name, with that default.

    A run writes all of its settings, so what its file lacks is what its version did not know: a setting that is added
    has a default with which training does what it did without.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    given = dict(dotted(_loaded(Path(path))))
    known = dotted(json.loads(json.dumps(asdict(kind()), default=str)))
    return {name: default for name, default in known if default is not None and name not in given}


def completed(given: Mapping[str, Any], kind: type[DataclassInstance]) -> dict[str, Any]:
    """The content of a configuration file, with the defaults of the settings that it does not have (see `left_out`)."""
    return _merged(json.loads(json.dumps(asdict(kind()), default=str)), given)


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**_without_none(defaults), **given}
    for name, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(given.get(name), Mapping):
            merged[name] = _merged(default, given[name])
    return merged


def _loaded(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a TOML file; {error}") from error


def checked(config: C, *, source: str = "configuration") -> C:
    """The same configuration, every single value checked and of its declared type.

    Text that names an enum's member becomes that member, a list becomes a tuple, a path becomes text.

    Args:
        config: the configuration.
        source: what messages say that the values are from.

    Raises:
        ConfigError: a value has the wrong type or lies outside its range; the message names every such setting.
    """
    return _parsed(asdict(config), type(config), source=source)


@cache
def _adapter(kind: type[C]) -> TypeAdapter[C]:
    """Making one takes longer than a hundred checks."""
    return TypeAdapter(kind)


def _parsed(data: Mapping[str, Any], kind: type[C], *, source: str) -> C:
    # By way of JSON, in which lists may stand for tuples and text for enum members while all else stays strict.
    document = json.dumps(data, default=str)
    adapter: TypeAdapter[C] = _adapter(kind)
    try:
        return adapter.validate_json(document, strict=True)
    except ValidationError as error:
        raise ConfigError(_listing(source, [_problem(details) for details in error.errors()])) from error


def _problem(details: ErrorDetails) -> str:
    key = ".".join(str(part) for part in details["loc"])
    expected = (
        details["msg"]
        .replace("Input should be", "expected")
        .replace("a valid integer", "a whole number")
        .replace("a valid array", "an array")
        .replace("a valid", "a")
    )
    return f"{key}: {expected}; got {details['input']!r}"


def _listing(source: str, problems: list[str]) -> str:
    if len(problems) == 1:
        return f"{source}: {problems[0]}"
    return "\n".join([f"{source}: {len(problems)} settings are wrong", *(f"  {problem}" for problem in problems)])


def _layout_problems(data: Mapping[str, Any], known: Mapping[str, Any], *, section: str = "") -> list[str]:
    problems = [f"{section}{name}: unknown setting" for name in data if name not in known]
    for name, default in known.items():
        key = f"{section}{name}"
        is_section = isinstance(default, Mapping)
        if name in data and is_section != isinstance(data[name], Mapping):
            expected, got = ("a section", repr(data[name])) if is_section else ("a value", "a section")
            problems.append(f"{key}: expected {expected}; got {got}")
        elif name in data and is_section:
            problems += _layout_problems(data[name], default, section=f"{key}.")
        elif name in data and _is_table_array(default) and _is_table_array(data[name]):
            # All tables of an array have the settings of its default's first.
            for place, table in enumerate(data[name]):
                problems += _layout_problems(table, default[0], section=f"{key}.{place}.")
    return problems


def _is_table_array(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _plain(value) for name, value in data.items()}
    return {name: value for name, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _without_none(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
