"""Defines `run_coroutine`: one event loop in a thread of its own, on which async tools wait, hundreds at a time.

It is no portal of anyio: a caller is let go when a coroutine swallows its cancellation or blocks the loop, and a forked
process begins a loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from axpo_envs.tool.protocol import ToolTimeout

T = TypeVar("T")

GRACE_S: Final = 5.0
"""Seconds that a cancelled coroutine has to end."""


def run_coroutine(coroutine: Coroutine[Any, Any, T], *, limit_s: float | None = None) -> T:
    """Runs a coroutine to its end on the shared event loop; the calling thread waits, other coroutines go on.

    Args:
        coroutine: what to run.
        limit_s: seconds after which it is cancelled; None for no limit.

    Raises:
        ToolTimeout: it was cancelled at the limit.
        RuntimeError: the caller is on the event loop itself; or the coroutine blocks the loop, or swallows its
            cancellation, so that nothing can stop it.
    """
    loop, thread = _SHARED.running()
    if threading.current_thread() is thread:
        coroutine.close()
        raise RuntimeError("the tools' event loop cannot wait for itself; await the coroutine instead")
    future = asyncio.run_coroutine_threadsafe(_within(coroutine, limit_s), loop)
    try:
        return future.result(None if limit_s is None else limit_s + GRACE_S)
    except TimeoutError:
        if future.done():
            raise
        problem = f"it did not end within {GRACE_S:g} s of its time limit: async code must not block the event loop"
        raise RuntimeError(problem) from None
    finally:
        # A caller that is interrupted leaves nothing running behind it; a future that is done stays as it is.
        future.cancel()


async def _within(coroutine: Coroutine[Any, Any, T], limit_s: float | None) -> T:
    if limit_s is None:
        return await coroutine
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await coroutine
    except TimeoutError:
        # The coroutine may raise a TimeoutError of its own.
        if limit.expired():
            raise ToolTimeout.after(limit_s) from None
        raise


class _LoopThread:
    """An event loop that starts with its first use and runs in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._left_behind: list[object] = []

    def running(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        with self._lock:
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="tool event loop", daemon=True)
                thread.start()
                self._running = loop, thread
            return self._running

    def close(self) -> None:
        """Cancels what still waits and ends the thread."""
        if self._running is None:
            return
        loop, thread = self._running
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop)
        thread.join(timeout=GRACE_S)
        if not thread.is_alive():
            loop.close()

    def forget(self) -> None:
        """A forked child has the loop and its tasks without the thread that runs them.

        They are kept as they are: to close the loop would take the parent's file descriptors away.
        """
        if self._running is not None:
            self._left_behind.append((self._running, asyncio.all_tasks(self._running[0])))
        self._lock, self._running = threading.Lock(), None


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others, timeout=GRACE_S / 2) if others else None
    asyncio.get_running_loop().stop()


_SHARED: Final = _LoopThread()
atexit.register(_SHARED.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SHARED.forget)
