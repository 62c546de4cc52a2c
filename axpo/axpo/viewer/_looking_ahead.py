"""Defines `LookingAhead`: looks through the saved steps of runs beside the server, so that searches need not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from axpo.terminal.unfailing import say
from axpo.viewer._library import Library, Unseen
from axpo.viewer._runs import Shelf
from axpo.viewer._shown import Shown

PAUSE_S: Final = 2.0
"""Seconds between two looks for steps that were saved meanwhile."""
BATCH: Final = 16
"""Steps that are kept at a time."""
_NICE: Final = 10


class LookingAhead:
    """Looks through every saved step that is not known yet, the newest first, until it is stopped.

    Args:
        shelf: the runs.
        library: what is known of their rollouts; learns what is found.
        executor: does the reading; one process beside the server by default, which gives way to others.
    """

    def __init__(self, shelf: Shelf, library: Library, executor: Executor | None = None) -> None:
        self._shelf, self._library = shelf, library
        self._executor = executor or ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_give_way)
        # Steps that cannot be read stay unknown: they are tried again when the run has saved something new.
        self._looked_at: dict[Path, tuple[int, ...]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="looking ahead", daemon=True)

    def __enter__(self) -> LookingAhead:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._thread.join(timeout=PAUSE_S)

    def look(self) -> int:
        """Looks through what is not known now; returns how many steps that were."""
        count = 0
        for run in self._shelf.runs().values():
            saved = self._library.saved(run)
            if self._looked_at.get(run.folder) == saved:
                continue
            unseen = iter(self._library.unseen(run))
            while not self._stopped.is_set() and (batch := tuple(islice(unseen, BATCH))):
                self._library.learn(run, dict(self._looked_through(batch)))
                count += len(batch)
            self._looked_at[run.folder] = saved
        return count

    def _go_on(self) -> None:
        try:
            while not self._stopped.is_set():
                self.look()
                self._stopped.wait(PAUSE_S)
        except BrokenExecutor:
            say("axpo view: the process that looks through steps has ended; searches read for themselves")
        except (CancelledError, RuntimeError):
            # An executor that is being stopped takes no more work.
            if not self._stopped.is_set():
                raise

    def _looked_through(self, batch: tuple[Unseen, ...]) -> Iterator[tuple[int, Shown]]:
        asked = [self._executor.submit(unseen.shown) for unseen in batch]
        for unseen, future in zip(batch, asked, strict=True):
            shown = future.result()
            if shown is not None:
                yield unseen.step, shown


def _give_way() -> None:
    if hasattr(os, "nice"):
        os.nice(_NICE)
