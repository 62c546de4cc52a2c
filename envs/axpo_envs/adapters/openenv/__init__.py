"""OpenEnv both ways: our environments behind its server, and its environments as ours (openenv-core 0.3, openenv 0.10).

`openenv_app` serves an environment of ours over OpenEnv's protocol; `openenv_env` makes an environment of ours of a
server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo_envs.adapters.openenv._client import observation_parts, openenv_env
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.adapters.openenv._server import (
        OpenEnvEnvironment,
        TurnAction,
        TurnObservation,
        TurnState,
        openenv_app,
    )

__all__ = [
    "OpenEnvEnvironment",
    "TurnAction",
    "TurnObservation",
    "TurnState",
    "observation_parts",
    "openenv_app",
    "openenv_env",
]

_HOMES: Final = dict.fromkeys(
    ("OpenEnvEnvironment", "TurnAction", "TurnObservation", "TurnState", "openenv_app"),
    "axpo_envs.adapters.openenv._server",
)
_find: Final = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    with requiring("openenv", name):
        return _find(name)
