"""Defines `DeclaredTool`, a tool of which only the declaration is known: recordings name tools without their code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from axpo_envs.tool.protocol import Effects, ToolContext, ToolError
from axpo_envs.types import Question, ToolResult


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTool:
    """A tool that is shown to a policy and cannot be called."""

    name: str
    """The name a policy calls it by."""
    description: str = ""
    """What it does, for the policy."""
    parameters: Mapping[str, Any] = field(default_factory=_no_parameters)
    """JSON schema of the arguments."""

    @property
    def effects(self) -> Effects:
        """None."""
        return Effects.PURE

    @property
    def timeout_s(self) -> float | None:
        """None."""
        return None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as they are."""
        return arguments

    def initial_state(self, question: Question) -> None:
        """It keeps no state."""
        del question

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Tells the policy that it cannot be called.

        Raises:
            ToolError: always.
        """
        del arguments, state, context
        raise ToolError(f"the tool {self.name!r} was only declared; nothing executes it")
