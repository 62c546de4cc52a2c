"""The `browser` tool: sessions as data, replays that are compared, and Chromium itself where one is installed."""

from __future__ import annotations

from typing import Any

import pytest

from axpo_envs import EnvConfigError, ImageRef, ListQuestions, Snapshot, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.backends.browser._site import find_page
from axpo_envs.backends.browser.chromium import find_chromium
from axpo_envs.backends.browser.state import Act, Shown, Step, Submission
from axpo_envs.backends.browser.text_pages import TextPage
from axpo_envs.backends.commands._build import build_tree
from axpo_envs.backends.commands.limits import CommandLimits
from axpo_envs.backends.commands.trees import FileTree
from axpo_envs.errors import InfrastructureFault
from axpo_envs.rewards import ExactMatch
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tool.protocol import (
    AsyncTool,
    Effects,
    PreviewingTool,
    ToolArgumentError,
    ToolContext,
    ToolError,
    ToolTimeout,
)
from axpo_envs.tools import BrowserLimits, BrowserReplayFault, BrowserState, BrowserTool, TextPages
from axpo_envs.types import Question

QUESTION = Question(id="q", prompt=("Buy it.",), answer="done")
SITE = {
    "index.html": """<title>Shop</title><h1>Welcome</h1><a href="/buy" target="_blank">Buy</a>
    <a href="https://evil.test/">Away</a>""",
    "buy.html": """<title>Buy</title><form action="/done" method="post"><input name="who" aria-label="Name">
    <button>Send</button></form>""",
    "done.html": "<p>Thanks",
}
SCRIPTED = {
    **SITE,
    "index.html": """<title>Shop</title><button onclick="setTimeout(() => this.textContent = Date.now() + ' ' +
    Math.random() + ' ' + crypto.randomUUID(), 150)">Time</button><a href="/buy" target="_blank">Buy</a>
    <button onclick="while (true);">Hang</button><img src="https://evil.test/x.png">
    <script>fetch('/data.json').then((r) => r.json()).then((d) => document.title += d.a);
    new WebSocket('ws://evil.test/'); alert('hello')</script>""",
    "data.json": '{"a": 5}',
}


class CountedPages(TextPages):
    """Counts the pages that it opens; from a certain one on they hang, fail or show something else."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.spoilt = ""

    async def open(self, site: FileTree, seed: int) -> TextPage:
        self.opened += 1
        return CountedPage(site, self)


class CountedPage(TextPage):
    def __init__(self, site: FileTree, driver: CountedPages) -> None:
        super().__init__(site)
        self.driver = driver

    async def act(self, step: Step) -> Shown:
        shown = await super().act(step)
        match self.driver.spoilt:
            case "other":
                return Shown(text=shown.text + " and more")
            case "failing":
                raise InfrastructureFault("the browser failed")
            case "refusing":
                raise ToolError("it cannot be clicked")
            case "slow":
                raise TimeoutError
        return shown

    async def close(self) -> None:
        self.driver.closed += 1


class Session:
    """An episode's calls, one after the other."""

    def __init__(self, tool: BrowserTool, state: BrowserState | None = None) -> None:
        self.tool = tool
        self.state = tool.initial_state(QUESTION) if state is None else state

    def run(self, action: str, **arguments: Any) -> str | ImageRef:
        context = ToolContext(question=QUESTION, images=(), seed=3)
        validated = self.tool.validate({"action": action, **arguments})
        result, self.state = self.tool.step(validated, self.state, context)
        (part,) = result.content
        return part

    def read(self, action: str, **arguments: Any) -> str:
        return str(self.run(action, **arguments))

    def branch(self) -> Session:
        return Session(self.tool, self.state)


@pytest.fixture
def pages() -> CountedPages:
    return CountedPages()


@pytest.fixture
def session(pages: CountedPages) -> Session:
    return Session(BrowserTool(SITE, driver=pages, limits=BrowserLimits(live=2)))


class TestSessions:
    def test_show_pages_and_keep_what_they_send(self, session: Session) -> None:
        assert session.read("open", path="/") == (
            'page: / (Shop)\n- text: Welcome\n- link "Buy" [ref=e2]\n- link "Away" [ref=e3]'
        )
        assert (
            session.read("click", ref="e2") == 'page: /buy (Buy)\n- textbox "Name" [ref=e1]: \n- button "Send" [ref=e2]'
        )
        session.run("type", ref="e1", text="Ada & Co")
        assert session.read("click", ref="e2") == "page: /done ()\n- text: Thanks"
        assert session.state.submissions == (Submission(method="POST", path="/done", body="who=Ada+%26+Co"),)
        assert session.read("back").startswith("page: /buy (Buy)")
        assert session.read("read") == session.state.shown

    def test_go_on_with_a_live_page(self, session: Session, pages: CountedPages) -> None:
        session.run("open", path="/")
        session.run("click", ref="e2")
        assert (pages.opened, pages.closed) == (1, 0)

    def test_are_replayed_for_a_branch(self, session: Session, pages: CountedPages) -> None:
        session.run("open", path="/buy")
        other = session.branch()
        session.run("type", ref="e1", text="one")
        other.run("type", ref="e1", text="two")
        assert session.read("click", ref="e2") == other.read("click", ref="e2")
        assert (session.state.submissions[0].body, other.state.submissions[0].body) == ("who=one", "who=two")
        assert pages.opened == 2

    def test_pages_that_are_not_needed_are_closed(self, session: Session, pages: CountedPages) -> None:
        for path in ("/", "/buy", "/done"):
            session.branch().run("open", path=path)
        assert (pages.opened, pages.closed) == (3, 1)

    def test_a_replay_that_shows_something_else_is_a_fault(self, session: Session, pages: CountedPages) -> None:
        session.run("open", path="/")
        other = session.branch()
        session.run("click", ref="e2")
        for spoilt, message in (("other", "showed something else"), ("refusing", "failed when it was done again")):
            pages.spoilt = spoilt
            with pytest.raises(BrowserReplayFault, match=rf"action 1 of 1 \(open\) {message}"):
                other.run("click", ref="e2")

    @pytest.mark.parametrize(
        ("spoilt", "error"), [("failing", InfrastructureFault), ("refusing", ToolError), ("slow", ToolTimeout)]
    )
    def test_a_page_on_which_something_failed_is_ended(
        self, session: Session, pages: CountedPages, spoilt: str, error: type[Exception]
    ) -> None:
        session.run("open", path="/")
        pages.spoilt = spoilt
        with pytest.raises(error):
            session.run("click", ref="e2")
        assert pages.closed == 1
        pages.spoilt = ""
        assert session.read("click", ref="e2").startswith("page: /buy")

    def test_say_what_cannot_be_done(self, session: Session) -> None:
        with pytest.raises(ToolError, match="no page is open"):
            session.run("click", ref="e1")
        with pytest.raises(ToolError, match="no page to go back to"):
            session.run("back")
        session.run("open", path="/nowhere")
        assert session.read("read") == "page: /nowhere (404)\n- text: There is no such page."
        with pytest.raises(ToolError, match="there is no element e9"):
            session.run("click", ref="e9")
        session.run("open", path="/")
        with pytest.raises(ToolError, match="there is no network"):
            session.run("click", ref="e3")

    def test_states_are_data(self, session: Session) -> None:
        session.run("open", path="/done")
        digest = Shown(text="page: /done ()\n- text: Thanks").digest
        assert session.state.acts == (Act(step=Step(action="open", path="/done"), digest=digest),)
        assert session.state.seed == 3


class TestSettings:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({}, "action must be one of open, click"),
            ({"action": "open"}, "open needs path"),
            ({"action": "back", "ref": "e1"}, "back takes no ref"),
            ({"action": "open", "path": "https://evil.test"}, "path must lead to a page of the site"),
            ({"action": "open", "path": "//evil.test"}, "path must lead to a page of the site"),
            ({"action": "click", "ref": "e1 >> css=a"}, "ref must be one that the page's text names"),
            ({"action": "click", "ref": ""}, "ref must be one"),
            ({"action": "type", "ref": "e1", "text": 1}, "text must be a text"),
            ({"action": "type", "ref": "e1", "text": "a", "submit": 1}, "submit must be true or false"),
            ({"action": "open", "path": "x" * 10_001}, "at most 10000 characters"),
        ],
    )
    def test_arguments_that_do_not_fit(self, session: Session, arguments: dict[str, Any], problem: str) -> None:
        with pytest.raises(ToolArgumentError, match=problem):
            session.tool.validate(arguments)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("limits", 1), ("name", ""), ("viewport", (0, 5)), ("viewport", 5), ("executable", "no-such-browser")],
    )
    def test_are_checked(self, setting: str, value: Any) -> None:
        with pytest.raises(EnvConfigError, match=value if setting == "executable" else setting):
            BrowserTool(SITE, **{setting: value})

    def test_limits_are_checked(self) -> None:
        with pytest.raises(EnvConfigError, match=r"BrowserLimits\.live: expected an integer above 0; got 0"):
            BrowserLimits(live=0)

    def test_addresses_are_those_of_files(self) -> None:
        site = build_tree({"index.html": "i", "a.html": "a", "b/index.html": "b", "c d.png": b"c"}, CommandLimits())
        found = {path: find_page(site, path) for path in ("", "/", "/a", "/b/", "/c%20d.png", "/x", "/../a.html")}
        assert found == {
            "": ("text/html; charset=utf-8", b"i"),
            "/": ("text/html; charset=utf-8", b"i"),
            "/a": ("text/html; charset=utf-8", b"a"),
            "/b/": ("text/html; charset=utf-8", b"b"),
            "/c%20d.png": ("image/png", b"c"),
            "/x": None,
            "/../a.html": None,
        }


def test_a_preview_names_the_element(session: Session) -> None:
    tool = session.tool
    assert isinstance(tool, PreviewingTool)
    assert tool.preview({"action": "open", "path": "/"}, session.state) == "would open /"
    with pytest.raises(ToolError, match="no page is open"):
        tool.preview({"action": "back"}, session.state)
    session.run("open", path="/buy")
    typing = {"action": "type", "ref": "e1", "text": "Ada", "submit": True}
    assert tool.preview(typing, session.state) == (
        "would go to - textbox \"Name\" [ref=e1]: and write 'Ada', then press Enter"
    )
    assert tool.preview({"action": "click", "ref": "e2"}, session.state) == 'would click - button "Send" [ref=e2]'
    with pytest.raises(ToolError, match="there is no element e7"):
        tool.preview({"action": "click", "ref": "e7"}, session.state)
    assert tool.preview({"action": "read"}, session.state) == "would change nothing"


def env_of(tool: BrowserTool) -> ToolEnv:
    questions = ListQuestions([QUESTION])
    return ToolEnv(ToolEnvSpec(env_id="test/Browser-v0", questions=questions, tools=(tool,), reward=ExactMatch()))


def test_the_tool_conforms() -> None:
    tool = BrowserTool(SITE, driver=TextPages())
    assert isinstance(tool, AsyncTool)
    assert tool.effects is Effects.STATEFUL
    check_tool(tool, arguments={"action": "open", "path": "/"}, fuzz=100)
    check_tool_env(lambda: env_of(tool), fuzz=5)
    env = env_of(tool)
    env.reset(seed=0)
    env.step(call_turn("browser", {"action": "open", "path": "/buy"}))
    moment = env.snapshot()
    assert Snapshot.from_bytes(moment.to_bytes()) == moment


@pytest.fixture
def chromium(capsys: pytest.CaptureFixture[str]) -> BrowserTool | None:
    """The tool with the browser that is installed; None, and it is said, where there is none."""
    try:
        find_chromium(None)
    except EnvConfigError as error:
        with capsys.disabled():
            print(f"\nthe tool browser was tried with a stand-in alone: {error}")
        return None
    return BrowserTool(SCRIPTED, limits=BrowserLimits(seconds=60))


def test_chromium_shows_the_same_again_and_reaches_nothing_else(chromium: BrowserTool | None) -> None:
    if chromium is None:
        return
    try:
        session = Session(chromium)
        first = session.read("open", path="/")
        assert first.startswith("page: / (Shop5)\n")
        assert first.endswith(
            "[a dialog was dismissed: hello]\n[refused, there is no network: https://evil.test/x.png]\n"
            "[refused, there is no network: ws://evil.test/]"
        )
        other = session.branch()
        (button,) = (line.split("ref=")[1].split("]")[0] for line in first.split("\n") if '"Time"' in line)
        after = session.read("click", ref=button)
        assert "17672688" in after
        # By replay, on another page.
        assert other.read("click", ref=button) == after
        assert other.state == session.state
        picture = session.run("screenshot")
        assert isinstance(picture, ImageRef)
        assert picture.size == (1024, 768)
        assert session.read("open", path="/buy").startswith("page: /buy (Buy)\n")
        refs = [line.split("ref=")[1].split("]")[0] for line in session.state.shown.split("\n") if '"' in line]
        session.run("type", ref=refs[0], text="Ada", submit=True)
        assert session.state.submissions == (Submission(method="POST", path="/done", body="who=Ada"),)
        assert session.read("back").startswith("page: /buy")
    finally:
        chromium.close()
