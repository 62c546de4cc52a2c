"""Defines `side_by_side`, which makes batches in threads and hands out what they made as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def side_by_side(calls: Sequence[Callable[[], list[T]]], threads: int) -> Iterator[T]:
    """What the calls return, as they end.

    No more of them are begun than there are threads, so that one that fails, or an iterator that is closed, leaves
    nothing behind but those that are under way.

    Args:
        calls: made in order.
        threads: with 1 they are made in this one.
    """
    if threads == 1:
        for call in calls:
            yield from call()
        return
    waiting = iter(calls)
    with ThreadPoolExecutor(threads, thread_name_prefix="evaluation") as pool:
        running: set[Future[list[T]]] = {pool.submit(call) for call in islice(waiting, threads)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(call) for call in islice(waiting, len(ended))}
            for future in ended:
                yield from future.result()
