"""Our environments and AXPO in TRL's `GRPOTrainer` (trl 1.16).

`tool_environments` makes of any environment of ours what `GRPOTrainer(environment_factory=...)` takes; TRL samples.
`AxpoGRPOTrainer` is a `GRPOTrainer` whose rollouts, resampled prefixes and advantages are ours; TRL trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo.adapters.trl._environment import ToolEpisode, environment_reward, environment_rows, tool_environments
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo.adapters.trl._trainer import AxpoGRPOTrainer

__all__ = [
    "AxpoGRPOTrainer",
    "ToolEpisode",
    "environment_reward",
    "environment_rows",
    "tool_environments",
]

_HOMES: Final = {"AxpoGRPOTrainer": "axpo.adapters.trl._trainer"}
_find: Final = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    with requiring("trl", name):
        return _find(name)
