"""Defines `ToolEnvSpec`, everything that a `ToolEnv` is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.gate import Audit, Gate
from axpo_envs.images import ImageRef
from axpo_envs.parsing import AnswerFormat
from axpo_envs.questions import QuestionSource
from axpo_envs.rewards import Reward
from axpo_envs.surrogates import well_formed
from axpo_envs.tools.tool import FingerprintedTool, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnvSpec:
    """What a `ToolEnv` is made of.

    Raises:
        EnvConfigError: a limit is out of range.
    """

    env_id: str
    """Name that snapshots carry, usually the Gymnasium id."""
    questions: QuestionSource
    """Where questions come from."""
    tools: tuple[Tool, ...]
    """The tools, in the order shown."""
    reward: Reward
    """Scores the end of an episode."""
    instructions: str = ""
    """How to act and answer; a chat policy reads it as its system message, Gymnasium users before the question."""
    max_turns: int = 3
    """Turns that may call tools; one more turn remains to answer."""
    max_calls_per_turn: int = 4
    """Calls executed per turn; further ones are recorded as `OVER_LIMIT`."""
    gate: Gate | None = None
    """Decides about every call that is ready to run: permissions, dry runs; None lets every one run. It is no part of
    the fingerprint: name in `settings` what must be equal where a snapshot is restored."""
    audit: Audit | None = None
    """Is told of every attempted call and what became of it."""
    answers: AnswerFormat = AnswerFormat.EITHER
    """Where a turn's answer stands."""
    view: Callable[[ImageRef], ImageRef] | None = None
    """How a question's image is shown to the policy (downscaled, say); None shows originals."""
    settings: tuple[tuple[str, str | float | bool | None], ...] = ()
    """Named settings that change what happens unseen by the other fields (a view's size, say): a snapshot is
    restored only where they are equal."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "instructions", well_formed(self.instructions))
        for name, least in (("max_turns", 0), ("max_calls_per_turn", 1)):
            if getattr(self, name) < least:
                raise EnvConfigError(f"{self.env_id}: expected {name} >= {least}; got {getattr(self, name)}")

    @property
    def fingerprint(self) -> str:
        """Hash of the rules: tools, instructions, limits and settings. Questions have their own."""
        tools = tuple(_identity(tool) for tool in self.tools)
        limits = (self.max_turns, self.max_calls_per_turn, self.answers.value)
        return digest_of(tools, self.instructions, limits, self.settings)


def _identity(tool: Tool) -> tuple[str, ...]:
    schema = json.dumps(tool.parameters, sort_keys=True, default=repr)
    own = (tool.fingerprint,) if isinstance(tool, FingerprintedTool) else ()
    return tool.name, tool.description, schema, *own
