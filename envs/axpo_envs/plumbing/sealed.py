"""Defines `seal` and `unseal`: bytes with a first line that says what they are, and a check that they are whole."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_DIGEST_BYTES: Final = 32


class SealError(ValueError):
    """Bytes are not what was sealed."""


def seal(title: bytes, body: bytes, *, key: bytes | None) -> bytes:
    """The body under a title.

    Args:
        title: one line that names what follows and its version.
        body: what follows.
        key: a secret, at least 16 bytes: whoever reads with it knows that a holder of it wrote the bytes (HMAC with
            SHA-256). None guards against damage alone.
    """
    return b"".join((title, b"\n", _check(title, body, key), body))


def unseal(title: bytes, data: bytes, *, key: bytes | None) -> bytes:
    """The body.

    Raises:
        SealError: there is another title, the bytes are damaged, or they were sealed with another key or none.
    """
    start = len(title) + 1
    if data[:start] != title + b"\n":
        raise SealError(
            f"expected bytes that begin with {title.decode()}; got {len(data)} bytes beginning {data[:24]!r}"
        )
    body = data[start + _DIGEST_BYTES :]
    if not hmac.compare_digest(_check(title, body, key), data[start : start + _DIGEST_BYTES]):
        other = "were written without this key, or are damaged" if key is not None else "are damaged, or need a key"
        raise SealError(f"the {len(data)} bytes {other}: the checksum does not match")
    return body


def _check(title: bytes, body: bytes, key: bytes | None) -> bytes:
    if key is None:
        return hashlib.sha256(title + body).digest()
    if len(key) < 16:
        raise ValueError(f"expected a key of at least 16 bytes; got {len(key)}")
    return hmac.digest(key, title + body, "sha256")
