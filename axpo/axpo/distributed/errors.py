"""Defines how a run ends on a process for reasons that lie elsewhere: a signal, or the fault of another process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOST: Final = re.compile(r"gloo|NCCL|connection (was )?(closed|reset|refused)|broken pipe", re.IGNORECASE)
"""What errors of the communication between processes have in common; torch gives them no class of their own."""


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; what it had finished is saved."""


class PeerError(Exception):
    """Another process of the run has ended, so this one cannot go on."""


class PeerFailed(PeerError):
    """Another process failed, and said why: the message names it."""


class PeerLost(PeerError):
    """Another process has gone without a word: it was killed, or its machine is unreachable."""


@contextmanager
def noticing_losses() -> Iterator[None]:
    """Turns what a broken connection raises into a `PeerLost`."""
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise PeerLost(
            "another process of the run has ended; if it said why, that stands above. Continue from the newest "
            f"checkpoint with `axpo train --resume` ({str(error).splitlines()[0]:.200})"
        ) from error
