"""Defines `Crew`, threads that take the steps of several episodes side by side where tools or rewards may wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Final, Self, TypeVar

A = TypeVar("A")
B = TypeVar("B")

MAX_THREADS: Final = 256
"""Steps that wait at a time."""

PATIENCE_S: Final = 0.005
"""Seconds in which some step should have come back; else more threads join in."""


class Crew:
    """Threads that are kept from one round of steps to the next; used as a context manager.

    A round starts in one thread, because quick steps are not worth more, and the number of threads doubles
    whenever no step has come back for a while. So nobody needs to know which tools wait for a server, sleep, or compute
    without holding the interpreter. Only where it is known beforehand does a round start with more.

    Args:
        first: threads that a round starts with.
    """

    def __init__(self, *, first: int = 1) -> None:
        self._first = first
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="step")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """The function's value for every item, in their order.

        Raises:
            Exception: the first that the function raises; items that had not begun by then are left out.
        """
        waiting = deque(enumerate(items))
        if len(waiting) == 1:
            return [function(waiting[0][1])]
        values: dict[int, B] = {}

        def work_on() -> None:
            while waiting:
                try:
                    index, item = waiting.popleft()
                except IndexError:
                    # Another thread took the last one in between.
                    return
                values[index] = function(item)

        workers: list[Future[None]] = []
        came_back = 0
        wanted = self._first
        try:
            while waiting:
                workers += [self._pool.submit(work_on) for _ in range(min(wanted, len(waiting)))]
                done = wait(workers, timeout=PATIENCE_S, return_when=FIRST_EXCEPTION).done
                for worker in done:
                    worker.result()
                stuck = len(values) == came_back
                wanted = min(len(workers), MAX_THREADS - len(workers)) if stuck else 0
                came_back = len(values)
            for worker in workers:
                worker.result()
        finally:
            waiting.clear()
            wait(workers)
        return [values[index] for index in range(len(values))]
