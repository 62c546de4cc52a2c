"""AXPO in verl (0.9): an agent loop over our environments, the advantage estimator and the policy loss.

`register` makes both known to verl under the name `axpo`; the agent loop is named in verl's `agent_loop_config_path`.
How they tell each other which rows belong together is described in `marking`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo.adapters.verl._estimator import axpo_advantages
    from axpo.adapters.verl._loop import ToolEnvAgentLoop as ToolEnvAgentLoop
    from axpo.adapters.verl._loss import axpo_policy_loss
    from axpo.adapters.verl._registration import register
    from axpo.adapters.verl.marking import Role, role_of

__all__ = ["Role", "axpo_advantages", "axpo_policy_loss", "register", "role_of"]

_HOMES: Final = {
    "axpo_advantages": "axpo.adapters.verl._estimator",
    "ToolEnvAgentLoop": "axpo.adapters.verl._loop",  # needs verl, as its name in `agent_loop_config_path` does
    "Role": "axpo.adapters.verl.marking",
    "role_of": "axpo.adapters.verl.marking",
    "axpo_policy_loss": "axpo.adapters.verl._loss",
    "register": "axpo.adapters.verl._registration",
}
_find: Final = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return _find(name)
