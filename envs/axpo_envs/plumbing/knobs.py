"""Defines how an environment's keyword arguments become its settings, and the checks that settings share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from axpo_envs.errors import EnvConfigError, UnknownSplitError

Settings = TypeVar("Settings")


def settings_from(kind: type[Settings], env: str, knobs: Mapping[str, Any]) -> Settings:
    """The settings of these keyword arguments.

    Args:
        kind: a data class.
        env: the environment's name, for messages.
        knobs: its fields.

    Raises:
        EnvConfigError: there is no such setting; or what the data class raises.
    """
    names = knob_names(kind)
    for name in knobs:
        if name not in names:
            raise EnvConfigError(f"{env} has no setting {name!r}; it has {', '.join(names)}")
    return kind(**knobs)


def knob_names(kind: Any) -> list[str]:
    """The fields of a data class of settings, or of an object of it; those that it inherits come last."""
    own = kind if isinstance(kind, type) else type(kind)
    bases = [base for base in own.__mro__[1:] if dataclasses.is_dataclass(base)]
    inherited = {field.name for base in bases for field in dataclasses.fields(base)}
    names = [field.name for field in dataclasses.fields(own)]
    return sorted(names, key=inherited.__contains__)


def knobs_of(settings: Any) -> dict[str, Any]:
    """The fields of an object of settings as keyword arguments that make an equal one."""
    return {name: getattr(settings, name) for name in knob_names(settings)}


def check_range(name: str, value: Any, kind: type[int] | type[float], low: float, high: float) -> None:
    """Holds a number to its range, both ends included; raises `EnvConfigError`."""
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not low <= value <= high:
        what = "an integer" if kind is int else "a number"
        raise EnvConfigError(f"{name} must be {what} from {low} to {high}; got {value!r}")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Holds a text to what it may be; raises `EnvConfigError`."""
    if value not in choices:
        raise EnvConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def some_of(name: str, given: Any, allowed: tuple[Any, ...]) -> tuple[Any, ...]:
    """Some of the allowed values in their order; a single one may stand for itself.

    Raises:
        EnvConfigError: there is none, or one that is not allowed.
    """
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not values or any(isinstance(value, bool) or value not in allowed for value in values):
        raise EnvConfigError(f"{name} must be some of {', '.join(map(str, allowed))}; got {given!r}")
    return tuple(value for value in allowed if value in values)


def check_split(value: Any, splits: type[StrEnum]) -> None:
    """Holds a split to those that there are; raises `UnknownSplitError`, which names them."""
    if value not in tuple(splits):
        raise UnknownSplitError(f"split must be one of {', '.join(splits)}; got {value!r}", tuple(splits))
