"""Defines the tool `browser`: Chromium on a site that belongs to the episode."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any, Final

from axpo_envs.backends.browser.chromium import Chromium, find_chromium
from axpo_envs.backends.browser.limits import DEFAULT_LIMITS, BrowserLimits
from axpo_envs.backends.browser.sessions import BrowserSessions, Driver
from axpo_envs.backends.browser.state import BrowserState, Step
from axpo_envs.backends.commands._build import build_tree
from axpo_envs.backends.commands.limits import CommandLimits
from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.digest import digest_of
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef, Size
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.printable import printable
from axpo_envs.plumbing.surrogates import has_surrogates
from axpo_envs.tool._arguments import known_arguments
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tool.start import Start
from axpo_envs.types import Question, ToolResult

_CLOCK: Final = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("path",),
    "click": ("ref",),
    "type": ("ref", "text"),
    "back": (),
    "read": (),
    "screenshot": (),
}
"""What can be done, each with the arguments that it needs."""
_MOST_CHARS: Final = 10_000


class BrowserTool:
    """Browses a site that is part of the tool's state; there is no network.

    | action | does |
    |---|---|
    | `open` | opens a page of the site |
    | `click` | clicks an element, named by its `ref` in the page's text |
    | `type` | writes into a field, or chooses an option; presses Enter where `submit` is true |
    | `back` | goes back to the page before |
    | `read` | shows the page's text again |
    | `screenshot` | shows what is to be seen of the page, as an image |

    The text of a page is the tree of what a screen reader would read. A page's time stands still but for a second after
    every action, its random numbers follow from the episode's seed, dialogs are dismissed, and links that would open a
    window open in this one. What pages send (a form by POST, say) is kept in the state.

    The state is the site and the actions with a digest of what each led to. A live page is a cache of it: a branch from
    a state whose page has gone on replays the actions, and a replay that shows something else is a
    `BrowserReplayFault`, an infrastructure fault.

    Args:
        site: what an episode starts with: a mapping from paths to text or bytes, a `pathlib.Path` of a folder, a
            `FileTree`, or a picklable function that makes one of these of the question; None takes the question's
            column of the tool's name, and an empty site where it has none.
        limits: how much an action may take and show.
        viewport: width and height of what is to be seen, in pixels.
        executable: Chromium's path; None looks for it on the PATH.
        name: what the policy calls it by.
        driver: what opens pages instead of Chromium.

    Raises:
        EnvConfigError: there is no Chromium, Playwright is not installed, or a setting is unusable.
    """

    def __init__(
        self,
        site: Any | Callable[[Question], Any] = None,
        *,
        limits: BrowserLimits = DEFAULT_LIMITS,
        viewport: tuple[int, int] = (1024, 768),
        executable: str | None = None,
        name: str = "browser",
        driver: Driver | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(limits, BrowserLimits):
            raise EnvConfigError(f"limits: expected BrowserLimits; got {brief(limits)}")
        if not (isinstance(name, str) and name):
            raise EnvConfigError(f"name: expected a text; got {brief(name)}")
        size = _read_viewport(viewport)
        self._settings = {"limits": limits, "viewport": viewport, "executable": executable, "name": name}
        self._settings |= {"driver": driver} if driver is not None else {}
        self._name, self._limits, self._viewport = name, limits, size
        self._site_limits = CommandLimits(files=limits.site_files, folder_mb=limits.site_mb)
        fixed = Start(given=site, column=name).is_fixed
        self._start = Start(given=build_tree(site, self._site_limits) if fixed else site, column=name)
        if driver is None:
            clock_ms = int(_CLOCK.timestamp() * 1000)
            driver = Chromium(find_chromium(executable), viewport=size, clock_ms=clock_ms)
        self._sessions = BrowserSessions(driver, live=limits.live, seconds=limits.seconds)

    @property
    def name(self) -> str:
        """`browser`, or as it was named."""
        return self._name

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return (
            "Browses a web site. open: opens path, such as / or /about. click: clicks the element ref, such as e5, as "
            "the page's text names it. type: writes text into the field ref, or chooses an option; submit presses "
            "Enter. back: goes back. read: shows the page's text. screenshot: shows the page as an image."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": list(_NEEDED)},
                "path": {"type": "string", "description": "open: where, from the site's top on."},
                "ref": {"type": "string", "description": "click, type: the element, such as e5."},
                "text": {"type": "string", "description": "type: what is written, or the option's label."},
                "submit": {"type": "boolean", "description": "type: press Enter afterwards."},
            },
            "required": ["action"],
            "additionalProperties": False,
        }

    @property
    def effects(self) -> Effects:
        """Stateful: the site and what was done."""
        return Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: it keeps its limit itself (`BrowserLimits.seconds`), beside the time that a replay takes."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of what it starts with, its limits and the size of its window; the browser's version is not in it."""
        fixed = self._start.given.digest if self._start.is_fixed else ""
        return f"browser-1/{digest_of(self._start.described, fixed, repr(self._limits), tuple(self._viewport))[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The action with its own arguments.

        Raises:
            ToolArgumentError: there is no such action, or one of its arguments is missing or does not fit.
        """
        given = known_arguments(arguments, "action", "path", "ref", "text", "submit")
        action = given.get("action")
        if not isinstance(action, str) or action not in _NEEDED:
            raise ToolArgumentError(f"action must be one of {', '.join(_NEEDED)}; got {brief(action)}")
        if missing := [name for name in _NEEDED[action] if name not in given]:
            raise ToolArgumentError(f"{action} needs {', '.join(missing)}")
        taken = {"action", *_NEEDED[action], *(("submit",) if action == "type" else ())}
        if unused := sorted(set(given) - taken):
            raise ToolArgumentError(f"{action} takes no {unused[0]}")
        _check_texts(given)
        return given

    def initial_state(self, question: Question) -> BrowserState:
        """The question's site; no page is open.

        Raises:
            EnvConfigError: it cannot be made of what the question gives.
        """
        given = self._start.of(question)
        site: FileTree = given if self._start.is_fixed else build_tree(given, self._site_limits)
        return BrowserState(site=site)

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Does something, and shows the page.

        Raises:
            ToolTimeout: it took too long.
            ToolError: it cannot be done.
            BrowserReplayFault: what was done before showed something else when it was done again.
            InfrastructureFault: the browser failed.
        """
        return run_coroutine(self.step_async(arguments, state, context))

    async def step_async(
        self, arguments: Mapping[str, Any], state: Any, context: ToolContext
    ) -> tuple[ToolResult, Any]:
        """As `step`."""
        action = arguments["action"]
        if action not in ("open", "back") and not state.acts:
            raise ToolError("no page is open: open one")
        if action == "read":
            return ToolResult(content=(self._cut(state.shown),)), state
        if action == "screenshot":
            picture = await self._sessions.picture(state, seed=context.seed)
            return ToolResult(content=(ImageRef.from_bytes(picture),)), state
        after = await self._sessions.act(state, Step(**arguments), seed=context.seed)
        return ToolResult(content=(self._cut(after.shown),)), after

    def preview(self, arguments: Mapping[str, Any], state: Any) -> str:
        """What would be done to which element; what the page would make of it is not known.

        Raises:
            ToolError: there is no such element, or no page.
        """
        action = arguments["action"]
        if action in ("read", "screenshot"):
            return "would change nothing"
        if action == "open":
            return f"would open {printable(arguments['path'])}"
        if not state.acts:
            raise ToolError("no page is open: open one")
        if action == "back":
            return "would go back"
        mark = f"[ref={arguments['ref']}]"
        line = next((line.strip() for line in state.shown.split("\n") if mark in line), None)
        if line is None:
            raise ToolError(f"there is no element {arguments['ref']} on the page")
        written = f" and write {brief(arguments['text'])}" if action == "type" else ""
        submitted = ", then press Enter" if arguments.get("submit") else ""
        return f"would {'go to' if written else 'click'} {line}{written}{submitted}"

    def close(self) -> None:
        """Ends all pages and the browser; a later call starts another."""
        run_coroutine(self._sessions.close())

    def _cut(self, text: str) -> str:
        shown, most = printable(text), self._limits.shown_chars
        return shown if len(shown) <= most else f"{shown[:most]}\n... ({len(shown) - most} characters are not shown)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._start.given, self._settings)


def _rebuild(site: Any, settings: dict[str, Any]) -> BrowserTool:
    return BrowserTool(site, **settings)


def _read_viewport(viewport: Any) -> Size:
    whole = isinstance(viewport, tuple) and len(viewport) == 2
    if not whole or not all(type(side) is int and 100 <= side <= 4096 for side in viewport):
        raise EnvConfigError(f"viewport: expected two integers from 100 to 4096; got {brief(viewport)}")
    return Size(*viewport)


def _check_texts(given: Mapping[str, Any]) -> None:
    for name in ("path", "ref", "text"):
        value = given.get(name, "")
        if not isinstance(value, str) or has_surrogates(value) or "\x00" in value:
            raise ToolArgumentError(f"{name} must be a text; got {brief(value)}")
        if len(value) > _MOST_CHARS:
            raise ToolArgumentError(f"{name} must have at most {_MOST_CHARS} characters; it has {len(value)}")
    if not given.get("ref", "e").isalnum() or not given.get("ref", "e").isascii():
        raise ToolArgumentError(f"ref must be one that the page's text names, such as e5; got {brief(given['ref'])}")
    if "://" in given.get("path", "") or given.get("path", "").startswith("//"):
        raise ToolArgumentError(f"path must lead to a page of the site, such as /about; got {brief(given['path'])}")
    if not isinstance(given.get("submit", False), bool):
        raise ToolArgumentError(f"submit must be true or false; got {brief(given['submit'])}")
