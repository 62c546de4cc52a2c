r"""Defines `short_answer`, which reads the field "short answer" of the JSON that DynaMath asks for.

The last balanced `{...}` that names the field counts. It is read as JSON; where it is none because of LaTeX (`"\pi"`),
every backslash that JSON does not know is doubled, and no other, so that `\n` stays a line's end. Numbers and truth
values are taken as they are written. A field that is missing, empty or a list is no answer.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

FIELD: Final = "short answer"
"""The field that is read."""

_STRAY: Final = re.compile(r'\\(?:(["\\/nrt])|u[0-9a-fA-F]{4}|(?=.))', re.DOTALL)
_BRACE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)
_LONGEST: Final = 100_000


def short_answer(text: str) -> str | None:
    """The short answer; None where there is none."""
    for candidate in reversed(_objects(text[-_LONGEST:])):
        for written in (candidate, _STRAY.sub(_doubled, candidate)):
            try:
                given = json.loads(written, strict=False, parse_float=str, parse_int=str)
            except (ValueError, RecursionError):
                continue
            return _as_text(given.get(FIELD)) if isinstance(given, dict) else None
    return None


def _objects(text: str) -> list[str]:
    """The balanced outermost `{...}` that name the field."""
    found: list[str] = []
    depth, begin = 0, 0
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            begin = brace.start() if depth == 0 else begin
            depth += 1
        elif brace[0] == "}" and depth:
            depth -= 1
            found += [text[begin : brace.end()]] if depth == 0 else []
    return [one for one in found if f'"{FIELD}"' in one]


def _doubled(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) > 1 else "\\\\"


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return value.strip() or None if isinstance(value, str) else None
