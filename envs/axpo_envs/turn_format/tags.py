"""Defines the tags of the turn format, and `quote_parts`, which keeps what others wrote from holding any.

A tool's result stands between tags, and so does what a policy writes. Where a text from outside holds such a tag, its
`<` is written `&lt;`, as in HTML: `&lt;/tool_response>`. A policy reads what was meant, and nothing of it can be taken
for the end of a result or the beginning of a call.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import pairwise
from typing import Final

from axpo_envs.images import ImageRef
from axpo_envs.types import Parts

THINK_OPEN: Final = "<think>"
THINK_CLOSE: Final = "</think>"
CALL_OPEN: Final = "<tool_call>"
CALL_CLOSE: Final = "</tool_call>"
ANSWER_OPEN: Final = "<answer>"
ANSWER_CLOSE: Final = "</answer>"
RESPONSE_OPEN: Final = "<tool_response>"
RESPONSE_CLOSE: Final = "</tool_response>"

TAGS: Final = re.compile(r"<(?=\s*+/?+\s*+(?:think|tool_call|answer|tool_response)\s*+/?+\s*+>)", re.IGNORECASE)
"""The `<` of every tag of the turn format, however spaced or capitalized."""

RESPONSE_TAGS: Final = re.compile(r"<(?=\s*+/?+\s*+tool_response\s*+/?+\s*+>)", re.IGNORECASE)
"""The same of the tags of results: for texts that may quote the format, but not speak as the environment."""

_QUOTED: Final = "&lt;"


def quote_parts(parts: Parts, tags: re.Pattern[str]) -> Parts:
    """Parts with `&lt;` for the `<` of every tag, also of one that is spread over several parts or around an image.

    Args:
        parts: what others wrote.
        tags: `TAGS` or `RESPONSE_TAGS`.
    """
    whole = "".join(part for part in parts if isinstance(part, str))
    places = [match.start() for match in tags.finditer(whole)] if "<" in whole else []
    if not places:
        return parts
    quoted: list[str | ImageRef] = []
    start = 0
    for part in parts:
        if isinstance(part, ImageRef):
            quoted.append(part)
            continue
        stop = start + len(part)
        edges = [*places[bisect_left(places, start) : bisect_left(places, stop)], stop]
        rest = (_QUOTED + whole[left + 1 : right] for left, right in pairwise(edges))
        quoted.append(whole[start : edges[0]] + "".join(rest))
        start = stop
    return tuple(quoted)


def quote_text(text: str, tags: re.Pattern[str]) -> str:
    """The same for one text."""
    return tags.sub(_QUOTED, text) if "<" in text else text
