"""Defines how the environment that a configuration names is made, and its held-out counterpart."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gymnasium
from gymnasium.envs.registration import load_env_creator

from axpo.config import ConfigError
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.extras import MissingExtraError

_PYTHON_WORDS: Final = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """One environment in its two roles."""

    training: ToolEnv
    """Asks the questions of training."""
    held_out: ToolEnv
    """Asks those of its test split, where it has one (see `with_split`)."""


def make_worlds(env_id: str, env_args: Sequence[str]) -> Worlds:
    """Makes an environment from its arguments as NAME=VALUE, for training and for evaluations.

    Raises:
        ConfigError: as `parse_env_args` and `make_env`.
    """
    arguments = parse_env_args(env_args)
    held_out = with_split(env_id, arguments, "test")
    return Worlds(training=make_env(env_id, arguments), held_out=make_env(env_id, held_out))


def parse_env_args(arguments: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from NAME=VALUE, where VALUE is JSON or a bare word.

    Worked value: `("guess_rate=0.6", "split=test")` gives `{"guess_rate": 0.6, "split": "test"}`.

    Raises:
        ConfigError: an argument is not of that form, or named twice.
    """
    parsed: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"env_args: expected NAME=VALUE; got {argument!r}")
        if name in parsed:
            raise ConfigError(f"env_args: {name} is given twice")
        parsed[name] = _value(name, text)
    return parsed


def make_env(env_id: str, arguments: Mapping[str, Any]) -> ToolEnv:
    """Makes an environment without Gymnasium's wrappers.

    Args:
        env_id: a Gymnasium id; `module:id` and `folder/module.py:id` import the module first, see `import_by_name`.
        arguments: keyword arguments of its constructor.

    Raises:
        ConfigError: there is no such environment, it is no `ToolEnv`, or the arguments do not suit it.
    """
    creator, defaults = _creator(env_id)
    try:
        inspect.signature(creator).bind(**{**defaults, **arguments})
    except TypeError as error:
        raise ConfigError(f"env_args: {env_id}: {error}; it takes {', '.join(_parameters(creator))}") from error
    try:
        name = env_id.rpartition(":")[2]
        env = gymnasium.make(name, disable_env_checker=True, **arguments).unwrapped
    except MissingExtraError:
        raise
    except (EnvConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"env_args: {env_id}: {error}") from error
    except ImportError as error:
        raise ConfigError(f"env: {env_id} needs a package that is not installed: {error}") from error
    if not isinstance(env, ToolEnv):
        raise ConfigError(f"env: expected a ToolEnv; {env_id} is a {type(env).__name__}")
    return env


def with_split(env_id: str, arguments: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The arguments that make the environment ask the questions of a split, where its constructor knows splits.

    Where it does not, they are the same arguments: held-out questions are then questions of training.

    Raises:
        ConfigError: there is no such environment.
    """
    creator, _ = _creator(env_id)
    parameters = inspect.signature(creator).parameters
    split_arguments = {**arguments, "split": split}
    if "split" in parameters:
        return split_arguments
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        try:
            make_env(env_id, split_arguments)
        except ConfigError:
            return dict(arguments)
        return split_arguments
    return dict(arguments)


def import_by_name(module: str) -> None:
    """Imports a module by its name or by the path of its file.

    Modules of the working folder are found by name, too, as they are by `python -m`; installed ones come first. A
    module that is given as a file finds its neighbours.

    Raises:
        ConfigError: there is no such file, or a module of its name is imported from elsewhere.
        ImportError: there is no such module, or it fails to import another.
    """
    if not module.endswith(".py"):
        _find_modules_in(Path.cwd())
        importlib.import_module(module)
        return
    file = Path(module).expanduser().resolve()
    if not file.is_file():
        raise ConfigError(f"env: expected a module's file; there is none at {file}")
    _find_modules_in(file.parent)
    found = importlib.import_module(file.stem)
    if Path(found.__file__ or "").resolve() != file:
        raise ConfigError(f"env: {file} cannot be imported: {found.__file__ or file.stem} has the same name")


def _find_modules_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _creator(env_id: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What makes the environment, and the keyword arguments it was registered with."""
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_by_name(module)
        spec = gymnasium.spec(name)
        if spec.entry_point is None:
            raise ConfigError(f"env: {env_id} is registered without an entry point")
        entry = spec.entry_point
        return load_env_creator(entry) if isinstance(entry, str) else entry, dict(spec.kwargs)
    except gymnasium.error.Error as error:
        raise ConfigError(f"env: {error}; `axpo envs` lists those that are known") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"env: {env_id} cannot be loaded: {error}") from error


def _parameters(creator: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(creator).parameters if name not in ("self", "render_mode")]


def _value(name: str, text: str) -> Any:
    if text in _PYTHON_WORDS:
        raise ConfigError(f"env_args: {name}: expected {_PYTHON_WORDS[text]!r} (JSON); got {text!r}")
    try:
        return json.loads(text)
    except ValueError as error:
        if text[:1] in tuple('{["'):
            raise ConfigError(f"env_args: {name}: expected JSON; got {text!r} ({error})") from error
        return text
