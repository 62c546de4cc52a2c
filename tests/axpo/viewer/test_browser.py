"""What the pages' own scripts do, in a browser if one is installed: Chromium, driven by its command line."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvicorn

from axpo.algorithm.types import Group
from axpo.records._rollout_log import write_rollouts
from axpo.records.run_log import RunLog
from axpo.viewer._app import make_app
from axpo.viewer._library import Library
from axpo.viewer._pages import Pages
from axpo.viewer._runs import Shelf

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=3500",
)
OWNED = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


class Drawn(HTMLParser):
    """The elements of a page after its scripts have run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def classes(self, tag: str) -> list[str]:
        return [found.get("class") or "" for name, found in self.elements if name == tag]


Visit: TypeAlias = Callable[..., Drawn | None]


def curves_then(happens: Callable[[], None], app: Any) -> Any:
    """An application like another, behind whose first answer with curves something happens."""
    waiting = [happens]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope.get("path") == "/curves.json" and waiting:
            waiting.pop()()

    return answer


@contextmanager
def served(folder: Path, happens: Callable[[], None]) -> Iterator[str]:
    """The viewer of a run at an address of this machine."""
    app = curves_then(happens, make_app(Pages(Shelf([folder]), Library())))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def visit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Visit:
    """Opens a page of a run; None, and it is said, where there is no browser."""

    def make(folder: Path, address: str, happens: Callable[[], None] = lambda: None) -> Drawn | None:
        if BROWSER is None:
            with capsys.disabled():
                print(f"\nno browser is installed ({', '.join(NAMES)}): the scripts of {address} were not tried")
            return None
        with served(folder, happens) as url:
            command = [BROWSER, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{url}{address}"]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stderr
        return Drawn(ended.stdout)

    return make


def test_curves_are_drawn_with_their_legend(run: Path, visit: Visit) -> None:
    drawn = visit(run, "/")
    if drawn is None:
        return
    assert "AXPO" in drawn.text
    assert sum(name == "card chart" for name in drawn.classes("section")) >= 3
    assert {"curve", "curve single"} <= set(drawn.classes("path"))
    labels = [found.get("aria-label") or "" for tag, found in drawn.elements if tag == "svg"]
    # Two steps of 0.25 and 0.5: their mean.
    assert "Reward. At the end: AXPO 37.5%" in labels


def test_a_line_that_the_address_hides_is_not_drawn(run: Path, visit: Visit) -> None:
    drawn = visit(run, "/?hide=AXPO")
    if drawn is None:
        return
    pressed = [found["aria-pressed"] for tag, found in drawn.elements if tag == "button" and "aria-pressed" in found]
    assert pressed == ["false"]
    assert [name for name in drawn.classes("path") if name.startswith("curve")] == []


def test_scripts_in_rollouts_do_not_run(run: Path, group: Group, visit: Visit) -> None:
    question = replace(group.question, id=OWNED, prompt=(OWNED,), answer=OWNED)
    rollouts = tuple(replace(each, episode=replace(each.episode, question=question)) for each in group.rollouts)
    write_rollouts(run / "rollouts", 3, [replace(group, question=question, rollouts=rollouts, branches=())], limit=0)
    for address in ("/group?run=run&step=3&group=0", "/rollouts?run=run&step=all"):
        drawn = visit(run, address)
        if drawn is None:
            return
        assert OWNED in drawn.text
        assert "owned" not in drawn.text.replace(OWNED, "")
        assert not any(tag == "img" for tag, _ in drawn.elements)


def test_shading_follows_the_address(run: Path, visit: Visit) -> None:
    drawn = visit(run, "/group?run=run&step=2&group=0&shade=0")
    if drawn is None:
        return
    assert drawn.classes("body") == ["unshaded"]


def test_a_page_follows_its_run(run: Path, group: Group, visit: Visit) -> None:
    def goes_on() -> None:
        with RunLog.open(run, tensorboard=False) as log:
            log.append_step({"step": 3, "reward_mean": 1.0})

    drawn = visit(run, "/", goes_on)
    if drawn is None:
        return
    assert "step 3 of 2" in " ".join(drawn.text.split())
    labels = [found.get("aria-label") or "" for tag, found in drawn.elements if tag == "svg"]
    # 0.25, 0.5 and 1: their mean.
    assert "Reward. At the end: AXPO 58.3%" in labels
