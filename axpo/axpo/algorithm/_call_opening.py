"""Defines where a call could have begun in a turn without one, and which tokens open it there."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from axpo.settings.config import ConfigError
from axpo_agents.policy import Sampler
from axpo_agents.types import Completion
from axpo_envs.types import ToolCall


@runtime_checkable
class CallWriter(Protocol):
    """A policy that can say how its calls begin."""

    def encode_call(self, call: ToolCall) -> list[int]:
        """Ids of a call as the model writes it."""
        ...


def behind_thinking(policy: Sampler, completion: Completion) -> int | None:
    """How many ids reach to the end of the thinking and of the white space behind it; None where nothing follows."""
    ids = completion.ids
    kept = 0 if completion.thinking is None else completion.thinking.stop
    if kept >= len(ids):
        return None
    text = policy.decode_turn(ids[:kept])
    while kept + 1 < len(ids):
        longer = policy.decode_turn(ids[: kept + 1])
        if not (longer.startswith(text) and longer[len(text) :].isspace()):
            break
        kept, text = kept + 1, longer
    return kept


def opening_behind(policy: Sampler, before: tuple[int, ...], tool: str) -> tuple[int, ...] | None:
    """The ids that open a call behind these; None where none would be read there, as in thinking without an end.

    Raises:
        ConfigError: the policy does not say how calls begin.
    """
    if not isinstance(policy, CallWriter):
        raise ConfigError(f"forced acting needs a policy with encode_call; {type(policy).__name__} has none")
    ids = (*before, *policy.encode_call(ToolCall(name=tool, arguments="{}")))
    cut = policy.find_spans(ids).cut
    return None if cut is None or cut <= len(before) else ids[len(before) : cut]
