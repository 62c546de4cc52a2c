"""Defines `denied`, whether an answer says what it is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_DENIAL: Final = re.compile(
    r"(?<!\\)\b(?:not|never|neither|nor|cannot|without|unless|except|instead|wrong|incorrect)\b|n['\u2019]t\b|\u4e0d\u662f",
    re.IGNORECASE,
)


def denied(answer: str, expected: Iterable[str]) -> str | None:
    """The first denial in an answer that none of the expected texts has; None where there is none.

    Args:
        answer: what was said.
        expected: the golds, and the texts of the options.
    """
    meant = {found[0].casefold() for text in expected for found in _DENIAL.finditer(text)}
    return next((found[0] for found in _DENIAL.finditer(answer) if found[0].casefold() not in meant), None)
