"""Defines `RankInterrupts`: how a run on several processes reacts to signals, all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from axpo.distributed.ranks import Ranks
from axpo.run._interrupts import Interrupts


class RankInterrupts(Interrupts):
    """A signal that any process receives interrupts all of them where they meet next.

    A terminal and the launcher may send each process a signal of their own, so a second one means no hurry: whoever is
    in a hurry kills.

    Args:
        ranks: the processes.
        held_back: called when a signal has to wait.
    """

    def __init__(self, ranks: Ranks, held_back: Callable[[], None]) -> None:
        super().__init__(held_back)
        self._ranks = ranks

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Holds signals back until the block has ended on all processes."""
        self._deferred = True
        try:
            with self._ranks.holding_back():
                yield
        finally:
            self._deferred = False

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self._deferred and not self._pending:
            self._pending = True
            self._held_back()
        self._ranks.ask_to_stop()


def interrupts_of(ranks: Ranks, held_back: Callable[[], None]) -> Interrupts:
    """How the run reacts to signals."""
    return Interrupts(held_back) if ranks.count == 1 else RankInterrupts(ranks, held_back)
