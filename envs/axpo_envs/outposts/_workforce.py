"""Defines `Workforce`: seats with a worker each, filled anew where one was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final

from axpo_envs.outposts._post import Worker, WorkerLost, answer_of


class Workforce:
    """Workers of one kind, by the number of their seat; may be asked from any thread.

    Args:
        hire: starts a worker; returns at once, whether or not it is there yet.
        seats: how many there are.
    """

    def __init__(self, hire: Callable[[], Worker], seats: int) -> None:
        self._hire = hire
        self._lock = threading.Lock()
        self._workers: list[Worker | None] = [None] * seats
        self._busy = [0] * seats
        self._lost = 0
        self.seats: Final = seats

    @property
    def lost(self) -> int:
        """Workers that were lost so far."""
        return self._lost

    def least_busy(self) -> int:
        """The seat with the fewest calls under way."""
        with self._lock:
            return min(range(self.seats), key=self._busy.__getitem__)

    def ask(self, seat: int, method: str, *given: Any) -> Any:
        """Asks the worker of a seat, a new one where there is none, and waits.

        Raises:
            WorkerLost: it was lost before it answered; the next call finds another.
            Exception: what the method raised.
        """
        worker = self._at(seat)
        try:
            answer = worker.ask(method, *given)
        except WorkerLost:
            self._vacate(seat, worker)
            raise
        finally:
            with self._lock:
                self._busy[seat] -= 1
        return answer_of(answer)

    def start(self, method: str, *, within_s: float) -> int:
        """Asks every worker at once, the first call that makes their objects; returns how many did not answer in time.

        Args:
            method: what they are asked for.
            within_s: how long is waited.

        Raises:
            WorkerLost: one was lost meanwhile.
            Exception: what making an object raised.
        """
        threads = ThreadPoolExecutor(self.seats, thread_name_prefix="start")
        asked = [threads.submit(self.ask, seat, method) for seat in range(self.seats)]
        done, late = wait(asked, timeout=within_s, return_when=FIRST_EXCEPTION)
        threads.shutdown(wait=False)
        for one in done:
            one.result()
        return len(late)

    def end(self) -> None:
        """Ends all workers."""
        with self._lock:
            workers, self._workers = self._workers, [None] * self.seats
        for worker in workers:
            if worker is not None:
                _end(worker)

    def _at(self, seat: int) -> Worker:
        with self._lock:
            worker = self._workers[seat]
            if worker is None:
                worker = self._workers[seat] = self._hire()
            self._busy[seat] += 1
            return worker

    def _vacate(self, seat: int, worker: Worker) -> None:
        with self._lock:
            if self._workers[seat] is not worker:
                return
            self._workers[seat] = None
            self._lost += 1
        _end(worker)


def _end(worker: Worker) -> None:
    # It may be gone already, which is what is wanted.
    with suppress(Exception):
        worker.end()
