"""Defines `BrowserSessions`: live pages as a cache of states, which are had again by replaying their actions."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Final, Protocol

from axpo_envs.backends.browser.state import BrowserReplayFault, BrowserState, Shown, Step
from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.tool.protocol import ToolError, ToolTimeout

_REPLAY_PATIENCE: Final = 3.0
"""A replay must not fail because the machine is busy."""


class LivePage(Protocol):
    """A page in a browser that has a profile of its own."""

    async def act(self, step: Step) -> Shown:
        """Does something, and tells what the page shows.

        Raises:
            ToolError: it cannot be done.
            InfrastructureFault: the browser failed.
        """
        ...

    async def picture(self) -> bytes:
        """What is to be seen of it, as PNG."""
        ...

    async def close(self) -> None:
        """Ends it."""
        ...


class Driver(Protocol):
    """What opens pages."""

    async def open(self, site: FileTree, seed: int) -> LivePage:
        """An empty page, for which the site is all that there is.

        Raises:
            InfrastructureFault: the browser failed.
        """
        ...

    async def close(self) -> None:
        """Ends the browser; a later `open` starts another."""
        ...


class BrowserSessions:
    """Browsing sessions, for any number of episodes, on one event loop.

    A page that was acted on is in another state, so that every live page stands for one state; a branch of a state
    whose page has gone on replays its actions on a new page.

    Args:
        driver: what opens pages.
        live: pages that are kept; the least recently used goes first.
        seconds: how long an action may take.
    """

    def __init__(self, driver: Driver, *, live: int, seconds: float) -> None:
        self._driver = driver
        self._most = live
        self._seconds = seconds
        self._pages: OrderedDict[str, LivePage] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def act(self, state: BrowserState, step: Step, *, seed: int) -> BrowserState:
        """Does something in a state; returns the state afterwards.

        Raises:
            ToolTimeout: it took too long.
            ToolError: it cannot be done.
            BrowserReplayFault: what was done before showed something else.
            InfrastructureFault: the browser failed.
        """
        first = seed if state.seed is None else state.seed
        page = await self._page(state, first)
        shown = await self._timed(page, step, self._seconds)
        after = state.after(step, shown, seed=first)
        await self._keep(after, page)
        return after

    async def picture(self, state: BrowserState, *, seed: int) -> bytes:
        """What is to be seen in a state.

        Raises:
            ToolTimeout: it took too long.
            BrowserReplayFault: what was done before showed something else.
            InfrastructureFault: the browser failed.
        """
        page = await self._page(state, seed if state.seed is None else state.seed)
        try:
            async with asyncio.timeout(self._seconds):
                picture = await page.picture()
        except BaseException as error:
            await _end(page)
            if isinstance(error, TimeoutError):
                raise ToolTimeout.after(self._seconds) from None
            raise
        await self._keep(state, page)
        return picture

    async def close(self) -> None:
        """Ends all pages and the browser."""
        pages, self._pages = self._pages, OrderedDict()
        for page in pages.values():
            await _end(page)
        await self._driver.close()

    async def _page(self, state: BrowserState, seed: int) -> LivePage:
        """The live page of a state, which is the caller's now."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Those of another loop are a parent process's.
            self._loop, self._pages = loop, OrderedDict()
        page = self._pages.pop(state.key, None)
        return page if page is not None else await self._replayed(state, seed)

    async def _replayed(self, state: BrowserState, seed: int) -> LivePage:
        page = await self._driver.open(state.site, seed)
        for number, act in enumerate(state.acts, 1):
            where = f"action {number} of {len(state.acts)} ({act.step.action})"
            try:
                shown = await self._timed(page, act.step, _REPLAY_PATIENCE * self._seconds)
            except ToolError as error:
                raise BrowserReplayFault(f"{where} failed when it was done again: {error}") from error
            if shown.digest != act.digest:
                await _end(page)
                raise BrowserReplayFault(f"{where} showed something else when it was done again: {shown.text[:200]!r}")
        return page

    async def _timed(self, page: LivePage, step: Step, seconds: float) -> Shown:
        """Acts on a page, which is ended if that fails: what became of it is not known."""
        try:
            async with asyncio.timeout(seconds):
                return await page.act(step)
        except BaseException as error:
            await _end(page)
            if isinstance(error, TimeoutError):
                raise ToolTimeout.after(self._seconds) from None
            raise

    async def _keep(self, state: BrowserState, page: LivePage) -> None:
        before = self._pages.pop(state.key, None)
        self._pages[state.key] = page
        if before is not None:
            await _end(before)
        while len(self._pages) > self._most:
            _, oldest = self._pages.popitem(last=False)
            await _end(oldest)


async def _end(page: LivePage) -> None:
    with suppress(Exception):
        await page.close()
