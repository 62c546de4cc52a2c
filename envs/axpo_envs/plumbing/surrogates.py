"""Defines how halves of surrogate pairs, which JSON can spell and no encoding can write, are found and replaced."""

from __future__ import annotations

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def has_surrogates(text: str) -> bool:
    """Whether a text holds halves of surrogate pairs."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def well_formed(text: str) -> str:
    """The text with U+FFFD in place of every half of a surrogate pair."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
