"""Defines `Gate`, which decides whether a call may run, and `Audit`, which is told what became of every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from axpo_envs.tool.protocol import Tool
from axpo_envs.types import CallRecord, EpisodeState, ToolCall


class Verdict(StrEnum):
    """What a gate says of a call."""

    ALLOW = "allow"
    """It runs."""
    DENY = "deny"
    """It does not run; the policy reads the reason as an error."""
    DRY_RUN = "dry_run"
    """It does not run; the policy reads that it was checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A gate's decision."""

    verdict: Verdict
    """What happens with the call."""
    reason: str = ""
    """Why, for the policy; a default text where empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A call that parsed, names a known tool, fits its schema and is within every limit: ready to run."""

    tool: Tool
    """The tool."""
    arguments: Mapping[str, Any]
    """The validated arguments."""
    call: ToolCall
    """The call as written."""
    state: EpisodeState
    """The episode before the turn."""
    number: int
    """How many calls the episode attempted before this one, earlier ones of the same turn included."""


Gate: TypeAlias = Callable[[CallRequest], Ruling]
"""Decides about a call, right before it would run: permissions and dry runs.

Rewinding is exact where equal requests get equal rulings. Calls of different episodes ask from several threads. What a
gate or an audit raises passes unchanged.
"""

Audit: TypeAlias = Callable[[EpisodeState, CallRecord], None]
"""Is told the episode before the turn and the record of every attempted call, in the order of a turn's calls.

Calls of different episodes tell from several threads. A branch that is abandoned has been told of all the same.
"""


@dataclass(frozen=True, slots=True)
class AllOf:
    """A gate of several: the first of them that does not allow a call decides, later ones are not asked."""

    gates: tuple[Gate, ...]
    """The gates."""

    def __call__(self, request: CallRequest) -> Ruling:
        """What they say of a call."""
        for gate in self.gates:
            ruling = gate(request)
            if ruling.verdict is not Verdict.ALLOW:
                return ruling
        return Ruling(verdict=Verdict.ALLOW)
