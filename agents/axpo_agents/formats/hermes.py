"""Defines `HermesFormat`: JSON in `<tool_call>` tags, as Qwen2.5, Qwen3, their vision models and Hermes write it."""

from __future__ import annotations

import json

from axpo_agents.formats.call_format import WrittenCall
from axpo_envs.parsing import parse_turn
from axpo_envs.tags import CALL_CLOSE, CALL_OPEN
from axpo_envs.types import ToolCall


class HermesFormat:
    """`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, which environments read by themselves."""

    native = True
    name = "Hermes"
    example = '<tool_call>\n{"name": "NAME", "arguments": {...}}\n</tool_call>'

    def find(self, text: str) -> tuple[WrittenCall, ...]:  # noqa: ARG002
        """Nothing: the environment reads such calls."""
        return ()

    def write(self, call: ToolCall) -> str:
        """A call in its tags."""
        return f"{CALL_OPEN}\n{call_json(call.name, json.loads(call.arguments))}\n{CALL_CLOSE}"

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return any(not call.untyped for call in parse_turn(turn).calls)

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt shows the tag, and no function in it."""
        return CALL_OPEN in prompt and "<function=" not in prompt


def call_json(name: object, arguments: object) -> str:
    """A call's JSON as environments read it."""
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
