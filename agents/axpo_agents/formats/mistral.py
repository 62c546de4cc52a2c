"""Defines `MistralFormat`: calls behind `[TOOL_CALLS]`, as Mistral's models write them."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from axpo_agents.formats.call_format import WrittenCall
from axpo_agents.formats.hermes import call_json, in_tags, ran_out
from axpo_envs.parsing import TextSpan
from axpo_envs.types import ToolCall

_OPEN: Final = "[TOOL_CALLS]"
_NAMED: Final = re.compile(r"\s*+([^\s\[\]{}]++)\s*+(?:\[CALL_ID\]\s*+[^\s\[\]{}]*+\s*+)?(?:\[ARGS\]\s*+)?(?=\{)")
_SPACE: Final = re.compile(r"\s*+")
_DECODER: Final = json.JSONDecoder()


class MistralFormat:
    """`[TOOL_CALLS][{"name": ..., "arguments": {...}}]`, or `[TOOL_CALLS]name[ARGS]{...}` of the later models."""

    native = False
    name = "Mistral"
    example = '[TOOL_CALLS][{"name": "NAME", "arguments": {...}}]'

    def opening(self, text: str, start: int) -> TextSpan | None:
        """The token."""
        found = text.find(_OPEN, start)
        return None if found < 0 else TextSpan(found, found + len(_OPEN))

    def read(self, text: str, opening: TextSpan) -> WrittenCall:
        """The calls behind it; what is no JSON runs to the next `[TOOL_CALLS]`, or to the end and may be unclosed."""
        named = _NAMED.match(text, opening.stop)
        start = _SPACE.match(text, opening.stop).end() if named is None else named.end()  # type: ignore[union-attr]
        try:
            data, stop = _DECODER.raw_decode(text, start)
            bodies = [call_json(named[1], data)] if named is not None else [_body(each) for each in _as_list(data)]
            return WrittenCall(stop=stop, canonical="\n".join(in_tags(body, closed=True) for body in bodies))
        except (ValueError, RecursionError) as error:
            following = text.find(_OPEN, opening.stop)
            stop = len(text) if following < 0 else following
            body = text[opening.stop : stop].strip()
            unfinished = following < 0 and ran_out(error, len(text.rstrip()))
            return WrittenCall(stop=stop, canonical=in_tags(body, closed=not unfinished))

    def write(self, call: ToolCall) -> str:
        """A call as a list of one."""
        return f"{_OPEN}[{call_json(call.name, json.loads(call.arguments))}]"

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return _OPEN in turn

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt shows the token that opens calls or the one that lists tools."""
        return _OPEN in prompt or "[AVAILABLE_TOOLS]" in prompt


def _as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) and data else [data]


def _body(data: Any) -> str:
    if isinstance(data, dict) and "arguments" in data:
        return call_json(data.get("name"), data["arguments"])
    return json.dumps(data, ensure_ascii=False)
