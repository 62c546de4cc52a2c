"""Defines `Chromium`, the driver of a Chromium that is installed on the machine, by Playwright."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from axpo_envs.backends.browser._scripts import first_script
from axpo_envs.backends.browser._site import HOST, find_page
from axpo_envs.backends.browser.state import Shown, Step, Submission
from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.images import Size
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.tool.protocol import ToolError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARGUMENTS: Final = (
    # Nothing gets out, whatever a page tries: names lead nowhere, and so does the proxy.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-background-networking",
    "--dns-prefetch-disable",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--disable-gpu",
    "--force-color-profile=srgb",
)
_EARLIER_MS: Final = 1000
_ROUNDS: Final = 5
_ROUND_MS: Final = 200
"""Of a page's own time, which goes on after actions alone: a second in all."""
_POLL_S: Final = 0.01
_CLOSE_S: Final = 5.0
_MOST_REFUSED: Final = 5
_MOST_NOTE: Final = 200


def find_chromium(executable: str | None) -> str:
    """The path of the browser.

    Args:
        executable: a path or a name; None looks for the usual names.

    Raises:
        EnvConfigError: there is none.
    """
    require_extra("browser", "the tool browser")
    found = next(filter(None, map(shutil.which, NAMES if executable is None else (executable,))), None)
    if found is None:
        what = f"no {executable}" if executable is not None else f"none of the programs {', '.join(NAMES)}"
        raise EnvConfigError(f"the tool browser needs Chromium (apt install chromium); there is {what} on the PATH")
    return found


class Chromium:
    """The browser. It starts with the first page, and again where it has died.

    Args:
        executable: its path.
        viewport: width and height of what is to be seen of a page, in pixels.
        clock_ms: what time it is for pages, in milliseconds since 1970.
    """

    def __init__(self, executable: str, *, viewport: Size, clock_ms: int) -> None:
        self._executable = executable
        self._viewport = {"width": viewport.width, "height": viewport.height}
        self._clock_ms = clock_ms
        self._running: tuple[asyncio.AbstractEventLoop, Any, Any] | None = None
        self._starting: asyncio.Lock | None = None

    async def open(self, site: FileTree, seed: int) -> Page:
        """A page with a profile of its own.

        Raises:
            InfrastructureFault: the browser cannot be started, or failed.
        """
        from playwright.async_api import Error

        try:
            browser = await self._browser()
            context = await browser.new_context(
                viewport=self._viewport,
                locale="en-US",
                timezone_id="UTC",
                color_scheme="light",
                reduced_motion="reduce",
                service_workers="block",
                accept_downloads=False,
            )
            page = Page(context, site)
            await page.prepare(first_script(seed), self._clock_ms)
        except Error as error:
            raise InfrastructureFault(f"the browser failed: {_brief(error)}") from error
        return page

    async def close(self) -> None:
        """Ends it."""
        running, self._running = self._running, None
        if running is not None and running[0] is asyncio.get_running_loop():
            for end in (running[2].close, running[1].stop):
                with suppress(Exception):
                    await asyncio.wait_for(end(), _CLOSE_S)

    async def _browser(self) -> Any:
        from playwright.async_api import async_playwright

        loop = asyncio.get_running_loop()
        if self._running is not None and self._running[0] is not loop:
            # That of a parent process.
            self._running = self._starting = None
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if self._running is not None and self._running[2].is_connected():
                return self._running[2]
            await self.close()
            playwright = await async_playwright().start()
            try:
                browser = await playwright.chromium.launch(
                    executable_path=self._executable, headless=True, args=list(_ARGUMENTS)
                )
            except BaseException:
                await playwright.stop()
                raise
            self._running = loop, playwright, browser
            return browser


class Page:
    """A page of the browser.

    Args:
        context: its profile.
        site: what there is.
    """

    def __init__(self, context: Any, site: FileTree) -> None:
        self._context = context
        self._site = site
        self._pending = 0
        self._notes: set[str] = set()
        self._submissions: list[Submission] = []

    async def prepare(self, script: str, clock_ms: int) -> None:
        """Sets the page up: its clock stands, its randomness is seeded, and nothing but the site answers."""
        context = self._context
        await context.clock.install(time=clock_ms - _EARLIER_MS)
        await context.clock.pause_at(clock_ms)
        await context.add_init_script(script)
        await context.route(re.compile(""), self._answer)
        await context.route_web_socket(re.compile(""), self._refuse_socket)
        self._page = await context.new_page()
        self._page.on("dialog", lambda dialog: asyncio.ensure_future(self._dismiss(dialog)))

    async def act(self, step: Step) -> Shown:
        """Does something, and tells what the page shows.

        Raises:
            ToolError: it cannot be done.
            InfrastructureFault: the browser failed.
        """
        from playwright.async_api import Error

        self._notes, self._submissions = set(), []
        try:
            await self._do(step)
            await self._settle()
            return await self._show()
        except Error as error:
            if not self._context.browser.is_connected() or type(error).__name__ == "TargetClosedError":
                raise InfrastructureFault(f"the browser failed: {_brief(error)}") from error
            raise ToolError(f"{step.action} failed: {_brief(error)}") from None

    async def picture(self) -> bytes:
        """What is to be seen of it, as PNG."""
        from playwright.async_api import Error

        try:
            picture: bytes = await self._page.screenshot(animations="disabled", caret="hide", scale="css")
        except Error as error:
            raise InfrastructureFault(f"the browser failed: {_brief(error)}") from error
        return picture

    async def close(self) -> None:
        """Ends it."""
        await asyncio.wait_for(self._context.close(), _CLOSE_S)

    async def _do(self, step: Step) -> None:
        match step.action:
            case "open":
                await self._page.goto(f"{HOST}/{step.path.lstrip('/')}", wait_until="load")
            case "back":
                if await self._page.go_back(wait_until="load") is None:
                    raise ToolError("there is no page to go back to")
            case "click":
                await (await self._element(step.ref)).click()
            case _:
                await self._type(step)

    async def _type(self, step: Step) -> None:
        element = await self._element(step.ref)
        if await element.evaluate("element => element.tagName") == "SELECT":
            await element.select_option(label=step.text)
        else:
            await element.fill(step.text)
        if step.submit:
            await element.press("Enter")

    async def _element(self, ref: str) -> Any:
        element = self._page.locator(f"aria-ref={ref}")
        if await element.count() != 1:
            raise ToolError(f"there is no element {ref} on the page")
        return element

    async def _settle(self) -> None:
        """Waits for what was asked of the site, and lets the page's own time go on for a while."""
        for _ in range(_ROUNDS):
            await self._page.wait_for_load_state("load")
            while self._pending:
                await asyncio.sleep(_POLL_S)
            await self._context.clock.run_for(_ROUND_MS)
        await self._page.wait_for_load_state("load")

    async def _show(self) -> Shown:
        tree = await self._page.aria_snapshot(mode="ai")
        address = self._page.url.removeprefix(HOST)
        head = f"page: {address} ({await self._page.title()})"
        notes = sorted(self._notes)
        kept = [f"[{note}]" for note in notes[:_MOST_REFUSED]]
        if len(notes) > _MOST_REFUSED:
            kept.append(f"[{len(notes) - _MOST_REFUSED} more of this kind]")
        return Shown(text="\n".join((head, tree or "(an empty page)", *kept)), submissions=tuple(self._submissions))

    async def _answer(self, route: Any, request: Any) -> None:
        self._pending += 1
        try:
            if not request.url.startswith(f"{HOST}/"):
                self._notes.add(f"refused, there is no network: {request.url[:_MOST_NOTE]}")
                await route.abort("addressunreachable")
                return
            address = urlsplit(request.url)
            if request.method not in ("GET", "HEAD"):
                body = (request.post_data_buffer or b"").decode("utf-8", "backslashreplace")
                path = address.path + (f"?{address.query}" if address.query else "")
                self._submissions.append(Submission(method=request.method, path=path, body=body))
            found = find_page(self._site, address.path)
            if found is None:
                await route.fulfill(
                    status=404, content_type="text/html", body="<title>404</title>There is no such page."
                )
            else:
                await route.fulfill(status=200, content_type=found[0], body=found[1])
        finally:
            self._pending -= 1

    async def _refuse_socket(self, socket: Any) -> None:
        self._notes.add(f"refused, there is no network: {socket.url[:_MOST_NOTE]}")
        await socket.close()

    async def _dismiss(self, dialog: Any) -> None:
        self._notes.add(f"a dialog was dismissed: {dialog.message[:_MOST_NOTE]}")
        with suppress(Exception):
            await dialog.dismiss()


def _brief(error: Exception) -> str:
    """The first line of one of Playwright's messages, which go on with a log."""
    return str(error).strip().partition("\n")[0][:_MOST_NOTE]
