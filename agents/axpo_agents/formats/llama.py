"""Defines `LlamaFormat`: a bare JSON object with `parameters`, as Llama 3.1, 3.2 and 3.3 write calls."""

from __future__ import annotations

import json
import re
from typing import Final

from axpo_agents.formats.call_format import WrittenCall
from axpo_agents.formats.hermes import call_json
from axpo_envs.parsing import TextSpan
from axpo_envs.tags import CALL_CLOSE, CALL_OPEN
from axpo_envs.types import ToolCall

_OPENING: Final = re.compile(r'<\|python_tag\|>\s*+(?=\{)|(?:^|(?<=\n)|(?<=;)|(?<=; ))[ \t]*+\{\s*+"name"\s*+:')
_ASKED: Final = re.compile(r'\{\s*"name"\s*:\s*[^"{}]+,\s*"parameters"\s*:')
_DECODER: Final = json.JSONDecoder()


class LlamaFormat:
    """`{"name": ..., "parameters": {...}}` at the beginning of a line, or behind `<|python_tag|>`.

    Several calls are divided by `;` or stand on lines of their own. `arguments` is taken for `parameters`.
    """

    native = False
    name = "Llama JSON"
    example = '{"name": "NAME", "parameters": {...}}'

    def find(self, text: str) -> tuple[WrittenCall, ...]:
        """The calls of a turn; one whose JSON does not end runs to the end of the turn and stays unclosed."""
        found: list[WrittenCall] = []
        position = 0
        while (opening := _OPENING.search(text, position)) is not None:
            start = text.index("{", opening.start())
            position, canonical = _read(text, start)
            if canonical is not None:
                span = TextSpan(opening.start(), position)
                found.append(WrittenCall(span=span, opening=opening.end(), canonical=canonical))
        return tuple(found)

    def write(self, call: ToolCall) -> str:
        """A call on a line."""
        parameters = json.loads(call.arguments)
        return json.dumps({"name": call.name, "parameters": parameters}, ensure_ascii=False)

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return bool(self.find(turn))

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt describes such an object in words."""
        return _ASKED.search(prompt) is not None


def _read(text: str, start: int) -> tuple[int, str | None]:
    """Where the JSON that begins at `start` ends, and the call as environments read it; None where it is no call."""
    try:
        data, stop = _DECODER.raw_decode(text, start)
        known = next((name for name in ("parameters", "arguments") if name in data), None)
        if known is None:
            return stop, None
        return stop, f"{CALL_OPEN}\n{call_json(data.get('name'), data[known])}\n{CALL_CLOSE}"
    except json.JSONDecodeError as error:
        rest = text[start:].rstrip()
        unfinished = error.pos >= start + len(rest) or error.msg.startswith("Unterminated string")
        return len(text), f"{CALL_OPEN}\n{rest}" + ("" if unfinished else f"\n{CALL_CLOSE}")
    except (RecursionError, ValueError):
        # Nested too deep, or a number of too many digits: the environment says which.
        return len(text), f"{CALL_OPEN}\n{text[start:]}\n{CALL_CLOSE}"
