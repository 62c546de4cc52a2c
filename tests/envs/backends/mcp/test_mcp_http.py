"""The tools of an MCP server of streamable HTTP on loopback, written with the SDK (see mcp_server.py)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from axpo_envs import EnvConfigError, ImageRef, InfrastructureFault, Question, ToolStatus
from axpo_envs.backends.mcp import McpServer, McpTools, mcp_tools
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.tool.protocol import ToolTimeout
from axpo_envs.tools import ToolContext, ToolResult

PROGRAM = str(Path(__file__).with_name("mcp_server.py"))
CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)
QUICK = Retries(attempts=2, first_wait_s=0.0)


@contextmanager
def serving(port: int = 0) -> Iterator[str]:
    command = [sys.executable, PROGRAM, "http", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def tools(address: str) -> Iterator[McpTools]:
    with mcp_tools(f"{address}/mcp") as tools:
        yield tools


def call(tools: McpTools, name: str, /, **arguments: Any) -> ToolResult:
    (tool,) = (tool for tool in tools if tool.name == name)
    return tool.step(tool.validate(arguments), None, CONTEXT)[0]


def test_calls_are_answered_with_text_images_and_errors(tools: McpTools) -> None:
    assert call(tools, "add", a=2).content == ("3",)
    before, image, after = call(tools, "picture", width=4, height=3).content
    assert (before, after) == ("before", "after\nthat")
    assert isinstance(image, ImageRef)
    assert (image.width, image.height) == (4, 3)
    assert call(tools, "refuse").status is ToolStatus.ERROR


def test_an_image_of_several_megabytes_comes_through(tools: McpTools) -> None:
    _, image, _ = call(tools, "picture", width=1200, height=900, noise=True).content
    assert isinstance(image, ImageRef)
    assert (image.width, image.height) == (1200, 900)


def test_a_slow_call_is_cancelled_at_the_server(address: str, tools: McpTools) -> None:
    before = int(str(call(tools, "cancelled").content[0]))
    with mcp_tools(f"{address}/mcp", timeout_s=0.3) as hasty, pytest.raises(ToolTimeout):
        call(hasty, "sleep", seconds=60)
    tick = threading.Event()
    wanted = (str(before + 1),)
    assert any(call(tools, "cancelled").content == wanted or tick.wait(0.02) for _ in range(500))


def test_a_server_that_is_gone_is_a_fault_and_one_that_is_back_is_used(tmp_path: Path) -> None:
    with serving() as address:
        port = int(address.rpartition(":")[2])
        tools = mcp_tools(McpServer(url=f"{address}/mcp", retries=QUICK))
        with pytest.raises(InfrastructureFault, match="lost the connection during a call of die"):
            call(tools, "die", log=str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "called\n"
    with pytest.raises(InfrastructureFault, match=r"cannot be connected to \(ConnectError"):
        call(tools, "add", a=1)
    with serving(port):
        assert call(tools, "add", a=1).content == ("2",)
        tools.close()


def test_a_key_is_sent_and_shown_nowhere(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = McpServer(url=f"{address}/locked", key_variable="MCP_KEY", retries=QUICK)
    monkeypatch.setenv("MCP_KEY", "sesame")
    with mcp_tools(server) as tools:
        assert call(tools, "add", a=1).content == ("2",)
        assert "sesame" not in repr(tools)
    monkeypatch.setenv("MCP_KEY", "wrong-key")
    with pytest.raises(EnvConfigError, match="it answered 401: check the key") as caught:
        mcp_tools(server)
    assert "wrong-key" not in str(caught.value)
    monkeypatch.delenv("MCP_KEY")
    with pytest.raises(EnvConfigError, match="set the environment variable MCP_KEY"):
        mcp_tools(server)


@pytest.mark.parametrize(("path", "problem"), [("/nowhere", "cannot be connected to"), ("/broken", "it answered 500")])
def test_an_address_without_a_server_is_told_at_once(address: str, path: str, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        mcp_tools(McpServer(url=f"{address}{path}", retries=QUICK))


def test_a_closed_port_is_told_at_once() -> None:
    with pytest.raises(EnvConfigError, match="cannot be connected to"):
        mcp_tools(McpServer(url="http://127.0.0.1:1/mcp", retries=QUICK))


@pytest.mark.parametrize(
    "settings", [{"url": "file:///x"}, {"url": "http://me:secret@h/"}, {"command": ("x",)}, {"start_s": 0}]
)
def test_unusable_settings_are_told(settings: dict[str, Any]) -> None:
    with pytest.raises(EnvConfigError, match=r"MCP server|start_s") as caught:
        McpServer(**{"url": "http://127.0.0.1:1/mcp?key=secret", **settings})
    assert "secret" not in str(caught.value)


def test_a_lost_answer_leaves_the_other_calls_alone(tools: McpTools) -> None:
    # The session is left to end by itself: calls that are under way on it are answered, later ones have another.
    with ThreadPoolExecutor(2) as executor:
        asleep = executor.submit(call, tools, "sleep", seconds=0.5)
        lost = executor.submit(call, tools, "long_text", length=-1)
        assert asleep.result().content == ("slept",)
        with pytest.raises(InfrastructureFault, match="lost the connection during a call of long_text"):
            lost.result()
    assert call(tools, "add", a=1).content == ("2",)
