"""verifiers both ways (verifiers 0.4): our environments as its tasksets, and its environments as ours.

`ToolEnvTaskset`, `TurnsEnv` and `TurnHarness` make a plugin of verifiers: a module of one's own exports them, and is
named as a taskset. `verifiers_env` makes an environment of ours of one of verifiers'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo_envs.adapters.verifiers._session import verifiers_env
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.adapters.verifiers._harness import TurnHarness
    from axpo_envs.adapters.verifiers._taskset import ToolEnvTaskset, TurnsEnv

__all__ = ["ToolEnvTaskset", "TurnHarness", "TurnsEnv", "verifiers_env"]

_HOMES: Final = {
    "TurnHarness": "axpo_envs.adapters.verifiers._harness",
    "ToolEnvTaskset": "axpo_envs.adapters.verifiers._taskset",
    "TurnsEnv": "axpo_envs.adapters.verifiers._taskset",
}
_find: Final = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    with requiring("verifiers", name):
        return _find(name)
