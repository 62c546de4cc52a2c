"""Defines `FunctionTagsFormat`: parameters in tags of their own, as Qwen3-Coder and Qwen3.5 write calls."""

from __future__ import annotations

import json

from axpo_agents.formats.call_format import WrittenCall
from axpo_envs.parsing import TextSpan, parse_turn
from axpo_envs.turn_format.tags import CALL_CLOSE, CALL_OPEN
from axpo_envs.types import ToolCall


class FunctionTagsFormat:
    """`<tool_call><function=NAME><parameter=P>value</parameter></function></tool_call>`; environments read it."""

    native = True
    name = "function tags"
    example = "<tool_call>\n<function=NAME>\n<parameter=P>\nVALUE\n</parameter>\n</function>\n</tool_call>"

    def opening(self, text: str, start: int) -> TextSpan | None:  # noqa: ARG002
        """None: the environment finds such calls."""
        return None

    def read(self, text: str, opening: TextSpan) -> WrittenCall:
        """Never asked for: nothing is opened."""
        raise NotImplementedError(f"{self.name} calls are read by the environment; got {text[slice(*opening)]!r}")

    def write(self, call: ToolCall) -> str:
        """A call in its tags; values that are no text are JSON."""
        lines = [CALL_OPEN, f"<function={call.name}>"]
        for parameter, value in json.loads(call.arguments).items():
            written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines += [f"<parameter={parameter}>", written, "</parameter>"]
        return "\n".join([*lines, "</function>", CALL_CLOSE])

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return any(call.untyped for call in parse_turn(turn).calls)

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt shows a function's tag."""
        return "<function=" in prompt
