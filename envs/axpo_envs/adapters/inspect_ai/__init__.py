"""inspect_ai (0.3.285): our environments as its tasks, its sandboxes as tools of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axpo_envs.adapters.inspect_ai._sandbox import inspect_sandbox_tool
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.adapters.inspect_ai._task import environment_scorer, environment_solver, inspect_task

__all__ = ["environment_scorer", "environment_solver", "inspect_sandbox_tool", "inspect_task"]

_HOMES: Final = dict.fromkeys(
    ("environment_scorer", "environment_solver", "inspect_task"), "axpo_envs.adapters.inspect_ai._task"
)
_find: Final = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    with requiring("inspect-ai", name):
        return _find(name)
