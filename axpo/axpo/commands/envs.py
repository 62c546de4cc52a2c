"""Defines `axpo envs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import gymnasium
import tyro

import axpo_envs  # registers the suite
from axpo.commands.arguments import parse
from axpo.run._env_making import HOMES, import_by_name, make_env
from axpo.settings.config import ConfigError
from axpo_envs.plumbing.extras import MissingExtraError
from axpo_envs.plumbing.printable import printable

NAMESPACE = "axpo"
"""Namespace of the suite's ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvsArguments:
    """List the environments of the suite and their tools."""

    modules: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[MODULE ...]")] = ()
    """Modules (names, or paths of their files) that register further environments; theirs are listed, too."""


def run(arguments: Sequence[str]) -> int:
    """Prints the list; returns the exit code."""
    parsed = parse(EnvsArguments, "envs", arguments)
    axpo_envs.register_envs()
    for module in HOMES.values():
        import_by_name(module)
    before = set(gymnasium.registry)
    for module in parsed.modules:
        if not module.endswith(".py") and not all(part.isidentifier() for part in module.split(".")):
            raise ConfigError(
                f"expected the name of a module, such as package.module, or the path of its file; got {module!r}"
            )
        try:
            import_by_name(module)
        except ConfigError:
            raise
        except Exception as error:
            # Whatever a module does when it is imported, the fault is its own.
            raise ConfigError(f"cannot import {module}: {type(error).__name__}: {error}") from error
    listed = [
        env_id
        for env_id, spec in sorted(gymnasium.registry.items())
        if spec.namespace == NAMESPACE or env_id not in before
    ]
    for env_id in listed:
        print(printable("\n".join(_description(env_id))))
    return 0


def _description(env_id: str) -> list[str]:
    try:
        env = make_env(env_id, {})
    except (ConfigError, MissingExtraError) as error:
        return [env_id, f"  (not made: {error})"]
    lines = [env_id, f"  {_first_line(type(env).__doc__)}"]
    return lines + [f"  tool {tool.name}: {_first_line(tool.description)}" for tool in env.tools]


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
