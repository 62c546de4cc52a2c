"""Defines `journaled_signs`: VisualZoom whose tool writes down every call that it makes, and takes its time."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium

import axpo_envs  # noqa: F401  (registers the suite)
from axpo_envs import ToolEnv
from axpo_envs.tool.protocol import Effects, ToolContext
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.types import ToolResult


class JournaledZoom(ImageZoomIn):
    """`image_zoom_in` that appends a line to a file in the middle of each call: an effect on the outside world.

    Args:
        journal: the file.
        effects: what it declares.
        pause_s: how long it waits before it writes, and after it.
    """

    def __init__(self, journal: Path, effects: Effects, pause_s: float) -> None:
        super().__init__()
        self._journal, self._effects, self._pause_s = journal, effects, pause_s

    @property
    def effects(self) -> Effects:
        """As it was made."""
        return self._effects

    def step(self, arguments: Mapping[str, Any], state: None, context: ToolContext) -> tuple[ToolResult, None]:
        """See `ImageZoomIn`."""
        time.sleep(self._pause_s)
        call = [context.question.id, context.seed, dict(arguments), _node()]
        line = json.dumps(call, sort_keys=True, default=list) + "\n"
        # One write to a file that is appended to: lines of several processes do not mix.
        with self._journal.open("ab", buffering=0) as file:
            file.write(line.encode())
        time.sleep(self._pause_s)
        return super().step(arguments, state, context)


def journaled_signs(journal: Path, effects: Effects, pause_s: float) -> ToolEnv:
    """The environment."""
    env = gymnasium.make("axpo/VisualZoom-v0", image_size=360, view_size=64).unwrapped
    assert isinstance(env, ToolEnv)
    return ToolEnv(replace(env.rules, tools=(JournaledZoom(journal, effects, pause_s),)))


def calls_in(journal: Path) -> Counter[str]:
    """How often each call was made: question, seed and arguments."""
    if not journal.exists():
        return Counter()
    lines = (json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines())
    return Counter(json.dumps(line[:3]) for line in lines)


def nodes_in(journal: Path) -> set[str | None]:
    """Where calls were made: nodes of Ray, None outside it."""
    return {json.loads(line)[3] for line in journal.read_text(encoding="utf-8").splitlines()}


def _node() -> str | None:
    import ray

    if not ray.is_initialized():
        return None
    return str(ray.get_runtime_context().get_node_id())
