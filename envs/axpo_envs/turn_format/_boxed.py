r"""Defines `boxes`, which finds every `\boxed{...}` of a text whose braces balance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

BOXED: Final = "\\boxed{"
_BRACE: Final = re.compile(r"\\boxed\{|\\?[{}]")


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` to close."""
    closed = list(boxes(text))
    return text[slice(*closed[-1])] if closed else None


def boxes(text: str) -> Iterator[tuple[int, int]]:
    r"""First character and end of the content of every `\boxed{...}`, in the order in which they close.

    Braces must balance, escaped ones do not count.
    """
    openings: list[int | None] = []
    for match in _BRACE.finditer(text):
        brace = match.group()
        if brace == "}" and openings:
            inside = openings.pop()
            if inside is not None:
                yield inside, match.start()
        elif brace == "{":
            openings.append(None)
        elif brace == BOXED:
            openings.append(match.end())
