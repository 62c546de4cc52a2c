"""Defines the vocabulary of `tiny-python`: phrases of PythonReasoning's written sums and calls, numbers, characters."""

from __future__ import annotations

from typing import Final

from axpo_agents.tiny.vocabulary import CHARACTERS, SPECIAL_TOKENS, TAGS, UNKNOWN

PHRASES: Final[tuple[str, ...]] = (
    "system",
    "user",
    "assistant",
    "What is the remainder of ",
    "What is the last digit of ",
    " divided by ",
    "I can guess",
    "I must compute",
    "it prints",
    '{"name": "python", "arguments": {"code": "print(',
    ')"}}',
    " + ",
    " - ",
    " * ",
    " % ",
    "error: ",
)
"""Text that the policy writes or reads as one token each, so that a computation takes fifty tokens."""

NUMBERS: Final[tuple[str, ...]] = tuple(str(number) for number in range(10, 100))
"""Numbers of two digits as one token each; longer ones are written in several."""


def tokens() -> tuple[str, ...]:
    """All tokens; the position is the token id."""
    return (*SPECIAL_TOKENS, *TAGS, UNKNOWN, *dict.fromkeys((*NUMBERS, *PHRASES, *CHARACTERS)))
