"""Defines `HermesFormat`: JSON in `<tool_call>` tags, as Qwen2.5, Qwen3, their vision models and Hermes write it."""

from __future__ import annotations

import json

from axpo_agents.formats.call_format import WrittenCall
from axpo_envs.parsing import TextSpan, parse_turn
from axpo_envs.turn_format.tags import CALL_CLOSE, CALL_OPEN
from axpo_envs.types import ToolCall


class HermesFormat:
    """`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, which environments read by themselves."""

    native = True
    name = "Hermes"
    example = '<tool_call>\n{"name": "NAME", "arguments": {...}}\n</tool_call>'

    def opening(self, text: str, start: int) -> TextSpan | None:  # noqa: ARG002
        """None: the environment finds such calls."""
        return None

    def read(self, text: str, opening: TextSpan) -> WrittenCall:
        """Never asked for: nothing is opened."""
        raise NotImplementedError(f"{self.name} calls are read by the environment; got {text[slice(*opening)]!r}")

    def write(self, call: ToolCall) -> str:
        """A call in its tags."""
        return in_tags(call_json(call.name, json.loads(call.arguments)), closed=True)

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return any(not call.untyped for call in parse_turn(turn).calls)

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt shows the tag, and no function in it."""
        return CALL_OPEN in prompt and "<function=" not in prompt


def call_json(name: object, arguments: object) -> str:
    """A call's JSON as environments read it."""
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def in_tags(body: str, *, closed: bool) -> str:
    """The body of a call in its tags; without the closing one where the model never ended it."""
    return f"{CALL_OPEN}\n{body}\n{CALL_CLOSE}" if closed else f"{CALL_OPEN}\n{body}"


def ran_out(error: Exception, end: int) -> bool:
    """Whether a text that was to be JSON is right as far as it goes; `end` is where it ends."""
    return isinstance(error, json.JSONDecodeError) and (error.pos >= end or error.msg.startswith("Unterminated string"))
