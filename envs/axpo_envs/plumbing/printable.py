"""Defines how text from outside is written to a terminal: what would command the terminal is shown instead."""

from __future__ import annotations

import re
from typing import Final

_COMMANDS: Final = re.compile(
    # Control characters but for tab and line feed; direction overrides and isolates; half a surrogate pair.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The same text with every control character but tab and line feed spelt out.

    Worked value: an escape character becomes the four characters `\\x1b`.
    """
    return _COMMANDS.sub(_spelt, text)


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
