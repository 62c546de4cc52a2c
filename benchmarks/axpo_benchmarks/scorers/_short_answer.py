r"""Defines `short_answer`, which reads the field "short answer" of the JSON that DynaMath asks for.

The last JSON object that has the field counts. Where a text is no JSON because of LaTeX (`"\pi"`), every backslash that
JSON does not know is doubled, and no other, so that `\n` stays a line's end. Numbers and truth values are taken as
they are written. A field that is missing, empty or a list is no answer. The field may be written `Short_Answer`, too.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

FIELD: Final = re.compile(r"short[ _]answer", re.IGNORECASE)
"""The field that is read."""

_STRAY: Final = re.compile(r'\\(?:(["\\/nrt])|u[0-9a-fA-F]{4}|(?=.))', re.DOTALL)
_OPENING: Final = re.compile(r'\{\s*"')
_DECODER: Final = json.JSONDecoder(strict=False, parse_float=str, parse_int=str, parse_constant=str)
_LONGEST: Final = 100_000
_MOST: Final = 64
"""Braces that are tried as the beginning of the object, from the last one on."""


def short_answer(text: str) -> str | None:
    """The short answer; None where there is none."""
    end = text[-_LONGEST:]
    if FIELD.search(end) is None:
        return None
    starts = [found.start() for found in _OPENING.finditer(end)]
    for start in reversed(starts[-_MOST:]):
        for written in (end[start:], _STRAY.sub(_doubled, end[start:])):
            try:
                given, _ = _DECODER.raw_decode(written)
            except (ValueError, RecursionError):
                continue
            fields = [value for name, value in given.items() if FIELD.fullmatch(name.strip())]
            if fields:
                return _as_text(fields[-1])
            break
    return None


def _doubled(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) > 1 else "\\\\"


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return value.strip() or None if isinstance(value, str) else None
