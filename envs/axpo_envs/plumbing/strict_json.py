"""Defines `read_json`, which reads JSON that every consumer can take: finite, valid Unicode, of bounded depth."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from axpo_envs.plumbing.surrogates import has_surrogates

MAX_DIGITS: Final = 300
"""Digits of an integer; longer ones overflow a float."""

MAX_DEPTH: Final = 64
"""Levels of nesting; a fixed number, since how deep Python itself can go depends on the caller's stack."""


class JsonError(ValueError):
    """A text is no such JSON; the message completes "the call ..."."""


def read_json(text: str, *, halves: bool = False) -> Any:
    """Reads strict JSON: no NaN or infinity, at most `MAX_DIGITS` and `MAX_DEPTH`, no half surrogate pairs.

    Args:
        text: the JSON.
        halves: let half surrogate pairs pass, for a caller who repairs them.

    Raises:
        JsonError: it is none.
    """
    try:
        data = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # Some of Python's messages end with the word that leads to the place.
        raise JsonError(f"is not valid JSON ({error.msg.removesuffix(' at')} at character {error.pos})") from None
    except RecursionError:
        raise JsonError(f"is nested more than {MAX_DEPTH} levels deep") from None
    if _is_deeper(data, MAX_DEPTH):
        raise JsonError(f"is nested more than {MAX_DEPTH} levels deep")
    if halves:
        return data
    if has_surrogates(text) or ("\\u" in text and has_surrogates(json.dumps(data, ensure_ascii=False))):
        raise JsonError("holds half of a surrogate pair")
    return data


def _is_deeper(data: Any, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"is not valid JSON ({name} is no JSON number)")


def _read_float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonError(f"holds the number {digits[:20]}, which is too large")
    return value


def _read_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonError(f"holds the number {digits[:20]}..., which is too large")
    return int(digits)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_read_float, parse_int=_read_integer)
