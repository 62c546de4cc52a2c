"""Defines `redact`, the one place that takes secrets out of texts: out of answers, messages, last words and logs."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from typing import Final
from urllib.parse import quote

_SHORTEST: Final = 8
"""Characters below which a secret is only taken out as it is: its other spellings stand in any text by chance."""
_GAPS: Final = "[\\s\u00ad\u200b-\u200d\u2060\ufeff]*"
"""What may stand between two characters of a secret without hiding it from a reader."""
# By name: the value, or None where the environment variable of that name holds it.
_SECRETS: Final[dict[str, str | None]] = {}


def register_secret(name: str, value: str | None = None) -> None:
    """Makes `redact` take a secret out of every text from now on.

    Args:
        name: stands in its place, as `[name]`.
        value: the secret; None for the value that the environment variable `name` has whenever a text is redacted.
    """
    _SECRETS[name] = value


def redact(text: str) -> str:
    """The text with `[name]` in the place of every registered secret.

    Found are a secret as it is, URL-quoted, HTML-escaped, in base64 (also within a longer text, with either alphabet)
    and in hexadecimal, each in any case and with spaces, line breaks or invisible characters within.
    """
    for name, value in _SECRETS.items():
        secret = (os.environ.get(name, "") if value is None else value).strip()
        if secret:
            text = _pattern(secret).sub(f"[{name}]", text)
    return text


@lru_cache(maxsize=64)
def _pattern(secret: str) -> re.Pattern[str]:
    if len(secret) < _SHORTEST:
        return re.compile(re.escape(secret))
    # The longest first: of two that begin alike the shorter would leave the rest of the longer.
    spellings = sorted(set(_spellings(secret)), key=lambda spelling: (-len(spelling), spelling))
    return re.compile("|".join(_GAPS.join(map(re.escape, spelling)) for spelling in spellings), re.IGNORECASE)


def _spellings(secret: str) -> Iterator[str]:
    data = secret.encode()
    yield from (secret, quote(secret), quote(secret, safe=""), escape(secret), data.hex())
    yield "".join(f"%{byte:02x}" for byte in data)
    for before in range(3):
        # What stands before and behind the secret has a part in the first and last characters; the others are its own.
        padded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        core = padded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield from (core, core.replace("+", "-").replace("/", "_"))
