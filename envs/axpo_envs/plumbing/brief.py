"""Defines `brief`, a value as messages quote it."""

from __future__ import annotations

from typing import Final

_MOST_CHARS: Final = 60


def brief(value: object) -> str:
    """The value's representation, at most 60 characters of it."""
    try:
        text = repr(value)
    except ValueError:
        # Python writes no integer of more than some thousand digits.
        text = f"a {type(value).__name__} that is too long to be written"
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 3]}..."
