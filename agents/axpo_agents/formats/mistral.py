"""Defines `MistralFormat`: calls behind `[TOOL_CALLS]`, as Mistral's models write them."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from axpo_agents.formats.call_format import WrittenCall
from axpo_agents.formats.hermes import call_json
from axpo_envs.parsing import TextSpan
from axpo_envs.tags import CALL_CLOSE, CALL_OPEN
from axpo_envs.types import ToolCall

_OPEN: Final = "[TOOL_CALLS]"
_NAMED: Final = re.compile(r"\s*+([^\s\[\]{}]++)\s*+(?:\[CALL_ID\]\s*+[^\s\[\]{}]*+\s*+)?(?:\[ARGS\]\s*+)?(?=\{)")
_DECODER: Final = json.JSONDecoder()


class MistralFormat:
    """`[TOOL_CALLS][{"name": ..., "arguments": {...}}]`, or `[TOOL_CALLS]name[ARGS]{...}` of the later models."""

    native = False
    name = "Mistral"
    example = '[TOOL_CALLS][{"name": "NAME", "arguments": {...}}]'

    def find(self, text: str) -> tuple[WrittenCall, ...]:
        """The calls of a turn; one whose JSON does not end runs to the next `[TOOL_CALLS]` or the end."""
        found: list[WrittenCall] = []
        start = text.find(_OPEN)
        while start >= 0:
            opening = start + len(_OPEN)
            stop, canonical = _read(text, opening)
            found.append(WrittenCall(span=TextSpan(start, stop), opening=opening, canonical=canonical))
            start = text.find(_OPEN, stop)
        return tuple(found)

    def write(self, call: ToolCall) -> str:
        """A call as a list of one."""
        return f"{_OPEN}[{call_json(call.name, json.loads(call.arguments))}]"

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return bool(self.find(turn))

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt shows the token that opens calls or the one that lists tools."""
        return _OPEN in prompt or "[AVAILABLE_TOOLS]" in prompt


def _read(text: str, opening: int) -> tuple[int, str]:
    """Where the calls end that are opened before `opening`, and the same as environments read them."""
    named = _NAMED.match(text, opening)
    start = opening if named is None else named.end()
    while named is None and start < len(text) and text[start].isspace():
        start += 1
    try:
        data, stop = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        following = text.find(_OPEN, opening)
        stop = len(text) if following < 0 else following
        body = text[opening:stop].strip()
        unfinished = following < 0 and _ran_out(error, start + len(text[start:].rstrip()))
        return stop, f"{CALL_OPEN}\n{body}" + ("" if unfinished else f"\n{CALL_CLOSE}")
    bodies = [_canonical(each) for each in _as_list(data)] if named is None else [call_json(named.group(1), data)]
    return stop, "\n".join(f"{CALL_OPEN}\n{body}\n{CALL_CLOSE}" for body in bodies)


def _ran_out(error: Exception, end: int) -> bool:
    """Whether the JSON was right as far as it goes."""
    return isinstance(error, json.JSONDecodeError) and (error.pos >= end or error.msg.startswith("Unterminated string"))


def _as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) and data else [data]


def _canonical(data: Any) -> str:
    if isinstance(data, dict) and "arguments" in data:
        return call_json(data.get("name"), data["arguments"])
    return json.dumps(data, ensure_ascii=False)
