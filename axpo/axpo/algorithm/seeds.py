"""Defines how every random number of a run follows from its seed, so that a resumed run needs no generator's state."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A seed (0 to 2**63 - 1) that depends on every part, and on nothing else: neither on process nor on platform.

    `derive_seed(run_seed, step, "sampling")` differs from that of any other step or purpose.
    """
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
