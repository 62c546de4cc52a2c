"""Defines how the environment that a configuration names is found, and made from its arguments."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gymnasium
from gymnasium.envs.registration import load_env_creator

from axpo.settings.config import ConfigError
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import MissingExtraError

HOMES: Final = {"axpo/Benchmark-v0": "axpo_benchmarks"}
"""Environments of this project that no package below registers, and the modules that do; they are imported by name."""


def make_env(env_id: str, arguments: Mapping[str, Any]) -> ToolEnv:
    """Makes an environment without Gymnasium's wrappers.

    Args:
        env_id: a Gymnasium id; `module:id` and `folder/module.py:id` import the module first, see `import_by_name`.
        arguments: keyword arguments of its constructor.

    Raises:
        ConfigError: there is no such environment, it is no `ToolEnv`, or the arguments do not suit it.
    """
    creator, defaults = find_creator(env_id)
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


def find_creator(env_id: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What makes the environment, and the keyword arguments it was registered with.

    Raises:
        ConfigError: there is no such environment.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module or name in HOMES:
            import_by_name(module or HOMES[name])
        spec = gymnasium.spec(name)
        if spec.entry_point is None:
            raise ConfigError(f"env: {env_id} is registered without an entry point")
        entry = spec.entry_point
        return load_env_creator(entry) if isinstance(entry, str) else entry, dict(spec.kwargs)
    except gymnasium.error.Error as error:
        raise ConfigError(f"env: {str(error).rstrip('.')}; `axpo envs` lists those that are known") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"env: {env_id} cannot be loaded: {error}") from error


def located_env(env_id: str) -> str:
    """The id with its module so named that it is found from any working folder.

    A module that is given as a file, or found by its name in the working folder, is named by the absolute path of the
    file; any other id stays as it is.

    Worked value: in `/home/a/b`, `../x.py:my/Env-v0` gives `/home/a/x.py:my/Env-v0`.
    """
    module, _, name = env_id.rpartition(":")
    if module.endswith(".py"):
        return f"{Path(module).expanduser().resolve()}:{name}"
    file = Path(f"{module}.py").resolve()
    if not module.isidentifier() or not file.is_file():
        return env_id
    _find_modules_in(Path.cwd())
    found = importlib.util.find_spec(module)
    is_it = found is not None and found.origin is not None and Path(found.origin).resolve() == file
    return f"{file}:{name}" if is_it else env_id


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


def _parameters(creator: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(creator).parameters if name not in ("self", "render_mode")]
