"""Defines `LlamaFormat`: a bare JSON object with `parameters`, as Llama 3.1, 3.2 and 3.3 write calls."""

from __future__ import annotations

import json
import re
from typing import Final

from axpo_agents.formats.call_format import WrittenCall
from axpo_agents.formats.hermes import call_json, in_tags, ran_out
from axpo_envs.parsing import TextSpan
from axpo_envs.types import ToolCall

_BEFORE: Final = r"(?:^|(?<=\n)|(?<=;)|(?<=; )|(?<=</think>))[ \t]*+"
_OPENING: Final = re.compile(rf'<\|python_tag\|>\s*+(?=\{{)|{_BEFORE}\{{\s*+"name"\s*+:')
_ASKED: Final = re.compile(r'\{\s*"name"\s*:\s*[^"{}]+,\s*"parameters"\s*:')
_DECODER: Final = json.JSONDecoder()


class LlamaFormat:
    """`{"name": ..., "parameters": {...}}` at the beginning of a line, or behind `<|python_tag|>`.

    Several calls are divided by `;` or stand on lines of their own. `arguments` is taken for `parameters`.
    """

    native = False
    name = "Llama JSON"
    example = '{"name": "NAME", "parameters": {...}}'

    def opening(self, text: str, start: int) -> TextSpan | None:
        """`<|python_tag|>`, or the beginning of the object up to the colon behind `"name"`."""
        opening = _OPENING.search(text, start)
        return None if opening is None else TextSpan(*opening.span())

    def read(self, text: str, opening: TextSpan) -> WrittenCall:
        """The object; one that does not end runs to the end of the turn and stays unclosed."""
        start = text.index("{", opening.start)
        try:
            data, stop = _DECODER.raw_decode(text, start)
            known = next((name for name in ("parameters", "arguments") if name in data), None)
            if known is None:
                return WrittenCall(stop=stop, canonical=None)
            body, closed = call_json(data.get("name"), data[known]), True
        except json.JSONDecodeError as error:
            stop, body = len(text), text[start:].rstrip()
            closed = not ran_out(error, start + len(body))
        except (RecursionError, ValueError):
            # Nested too deep, or a number of too many digits: the environment says which.
            stop, body, closed = len(text), text[start:], True
        return WrittenCall(stop=stop, canonical=in_tags(body, closed=closed))

    def write(self, call: ToolCall) -> str:
        """A call on a line."""
        parameters = json.loads(call.arguments)
        return json.dumps({"name": call.name, "parameters": parameters}, ensure_ascii=False)

    def recognizes(self, turn: str) -> bool:
        """Whether a turn holds such a call."""
        return self.opening(turn, 0) is not None

    def asked_for(self, prompt: str) -> bool:
        """Whether the prompt describes such an object in words."""
        return _ASKED.search(prompt) is not None
