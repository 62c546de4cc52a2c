"""Defines `Heartbeat`, by which processes that wait for the first one hear that it is still at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from axpo.distributed.errors import PeerLost, noticing_losses
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch.distributed

_BEATS: Final = 4
"""Beats within the time that a process waits in silence: one may be late."""
_LONGEST_S: Final = 60.0
_AT_WORK, _DONE = 0, 1


class Heartbeat:
    """Bounds waiting for the first process by its silence, not by how long its work takes.

    All processes must make theirs, and pass its blocks, in the same order.

    Args:
        is_first: whether this is the process that works.
        timeout_s: seconds of silence after which the others give up.
    """

    def __init__(self, *, is_first: bool, timeout_s: float) -> None:
        self._is_first = is_first
        self._every_s = min(timeout_s / _BEATS, _LONGEST_S)
        # A group of its own, on CPUs: beats come from a thread, and must not get between what else is sent.
        self._group: Any = torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Lets the first process do the block's work, while the others, whose block is soon over, wait for it.

        Raises:
            PeerLost: the first process has gone, or was silent for too long.
        """
        if not self._is_first:
            yield
            while self._sent(_AT_WORK) != _DONE:
                pass
            return
        done = threading.Event()
        beating = threading.Thread(target=self._beat, args=(done,), name="heartbeat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()

    def _beat(self, done: threading.Event) -> None:
        try:
            while not done.wait(self._every_s):
                self._sent(_AT_WORK)
            self._sent(_DONE)
        except PeerLost:
            # The others have gone, which the meeting behind the block tells of.
            return

    def _sent(self, sign: int) -> int:
        """The sign that the first process gives; that of others counts for nothing."""
        told = torch.tensor([sign])
        with noticing_losses():
            torch.distributed.broadcast(told, src=0, group=self._group)
        return int(told.item())
