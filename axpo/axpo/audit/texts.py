"""Defines `turns_of_text`: a whole rollout as one text, cut into the policy's turns at what came back from tools."""

from __future__ import annotations

import re
from typing import Final

from axpo.audit.record import AssistantTurn

_MARKS: Final = ("<|im_", "user\n", "assistant\n", "tool\n")
_CHAT_ROLE: Final = re.compile(r"<\|im_start\|>(\w+)\n|<\|im_end\|>\n?|^(user|assistant|tool)\n", re.MULTILINE)
_RESULT: Final = re.compile(
    r"<(information|tool_response|result|output|observation|interpreter)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
"""What environments wrote into the text."""


def turns_of_text(text: str) -> tuple[AssistantTurn, ...]:
    """The turns: what stands before each run of results, these with it, and what stands behind the last."""
    turns: list[AssistantTurn] = []
    start = 0
    results: list[str] = []
    written = ""
    for match in _RESULT.finditer(text):
        between = _without_roles(text[start : match.start()])
        if between.strip() and results:
            turns.append(AssistantTurn(text=written, results=tuple(results)))
            written, results = "", []
        written += between
        results.append(match[2].strip())
        start = match.end()
    rest = _without_roles(text[start:])
    if results:
        turns.append(AssistantTurn(text=written, results=tuple(results)))
    if rest.strip() or not turns:
        turns.append(AssistantTurn(text=rest))
    return tuple(turns)


def _without_roles(text: str) -> str:
    return _CHAT_ROLE.sub("", text) if any(mark in text for mark in _MARKS) else text
