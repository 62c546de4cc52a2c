"""Defines `skyrl_rows`, the rows of a data set from which SkyRL begins episodes of ours."""

from __future__ import annotations

from typing import Any

from axpo_envs.adapters.messages import image_url_part, opening_messages
from axpo_envs.env import ToolEnv


def skyrl_rows(env: ToolEnv, name: str, count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Rows with the prompt in chat messages, the registered name and the question's number.

    SkyRL hands no tools to chat templates, so the system message declares them as Qwen's own templates do.

    Args:
        env: the environment.
        name: the name under which it was registered.
        count: how many questions.
        first: number of the first.
    """
    rows = []
    for index in range(first, first + count):
        parts = env.opening(env.begin(env.questions.question(index)))
        rows.append(
            {
                "prompt": opening_messages(env, parts, image_url_part, declare_tools=True),
                "env_class": name,
                "index": index,
            }
        )
    return rows
