"""Our environments as those of SkyRL-gym (skyrl-gym 0.4), which SkyRL's trainers make by name.

`register_skyrl` registers one; `skyrl_rows` are the rows of its data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo_envs.adapters.skyrl_gym._rows import skyrl_rows
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.adapters.skyrl_gym._env import SkyRLEnv, register_skyrl

__all__ = ["SkyRLEnv", "register_skyrl", "skyrl_rows"]

_find: Final = lazily(__name__, dict.fromkeys(("SkyRLEnv", "register_skyrl"), "axpo_envs.adapters.skyrl_gym._env"))


def __getattr__(name: str) -> Any:
    with requiring("skyrl", name):
        return _find(name)
