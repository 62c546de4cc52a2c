"""What a faulty server answers is the policy's to read, over any transport; only a dead server is a fault."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp import types
from mcp.shared.message import SessionMessage

from axpo_envs.backends.mcp import McpServer, McpTools, mcp_tools
from axpo_envs.backends.mcp._connection import Connection
from axpo_envs.backends.mcp._messages import CallResults, RepairedBody
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import InfrastructureFault
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.tool.protocol import ToolContext, ToolError, ToolTimeout
from axpo_envs.types import Question, ToolStatus

PROGRAM = str(Path(__file__).with_name("mcp_faulty_server.py"))
COMMAND = (sys.executable, PROGRAM)
CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with subprocess.Popen((*COMMAND, "http"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.fixture(scope="module", params=["stdio", "json", "events"])
def tools(request: pytest.FixtureRequest, address: str) -> Iterator[McpTools]:
    server = COMMAND if request.param == "stdio" else f"{address}/{request.param}"
    with mcp_tools(server, timeout_s=60.0) as tools:
        yield tools


@pytest.fixture(scope="module")
def web(address: str) -> Iterator[McpTools]:
    with mcp_tools(f"{address}/json", timeout_s=60.0) as tools:
        yield tools


def call(tools: McpTools, name: str) -> tuple[ToolStatus, Any]:
    (tool,) = (tool for tool in tools if tool.name == name)
    try:
        result, _ = tool.step(tool.validate({}), None, CONTEXT)
    except ToolTimeout:
        return ToolStatus.TIMEOUT, ""
    except ToolError as error:
        return ToolStatus.ERROR, str(error)
    return result.status, "".join(map(str, result.content))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text_only", "the answer is 7"),
        ("wrong_structure", "the answer is 7"),
        ("list_structure", "the answer is 7"),
        ("only_structure", '{"a": "7"}'),
        ("unknown_kind", 'the answer is 7\n[content of a kind hologram: {"type": "hologram", "size": 3}]'),
        ("kindless", "the answer is 7"),
        ("half_an_image", "the answer is 7\n[image: image/*, cannot be decoded]"),
        ("kindless_image", str(ImageRef(np.array([[[255, 0, 0]]], np.uint8)))),
        ("lone_block", "the answer is 7"),
        ("text_as_content", "the answer is 7"),
        ("null_text", '[content of a kind text: {"type": "text", "text": null}]'),
        ("half_surrogate", "7 \ufffd \\ud83d \U0001f600 \ufffd"),
        ("good", "the answer is 7"),
    ],
)
def test_what_can_be_read_of_a_result_is_read(tools: McpTools, name: str, text: str) -> None:
    assert call(tools, name) == (ToolStatus.OK, text)


@pytest.mark.parametrize(
    "name",
    [
        *("failed", "no_content", "empty", "result_is_text", "result_is_null", "neither", "error_is_text"),
        *("no_version", "too_deep", "cut"),
    ],
)
def test_what_cannot_be_read_is_an_error_at_once(tools: McpTools, name: str) -> None:
    status, text = call(tools, name)
    assert (status, bool(text)) == (ToolStatus.ERROR, True)
    assert call(tools, "good") == (ToolStatus.OK, "the answer is 7")


def test_lines_are_read_whatever_stands_around_the_answer() -> None:
    with mcp_tools(COMMAND, timeout_s=60.0) as tools:
        assert call(tools, "batch") == (ToolStatus.OK, "the answer is 7")
        assert call(tools, "byte_order_mark") == (ToolStatus.OK, "the answer is 7")
        status, text = call(tools, "long_line")
        assert (status, text[:15]) == (ToolStatus.OK, "the answer is 7")


@pytest.mark.parametrize("name", ["status_400", "status_500"])
def test_a_status_that_refuses_one_request_is_an_error(web: McpTools, name: str) -> None:
    assert call(web, name)[0] is ToolStatus.ERROR
    assert call(web, "good")[0] is ToolStatus.OK


def test_a_server_that_cannot_serve_is_a_fault(web: McpTools) -> None:
    with pytest.raises(InfrastructureFault):
        call(web, "status_503")
    assert call(web, "good")[0] is ToolStatus.OK


def test_a_server_that_dies_is_a_fault() -> None:
    with mcp_tools(COMMAND) as tools:
        with pytest.raises(InfrastructureFault):
            call(tools, "die")
        assert call(tools, "good")[0] is ToolStatus.OK


def test_a_call_without_an_answer_ends_at_its_time_limit() -> None:
    with mcp_tools(COMMAND, timeout_s=0.3) as tools:
        assert call(tools, "silent")[0] is ToolStatus.TIMEOUT
        assert call(tools, "good")[0] is ToolStatus.OK


def test_all_attempts_and_all_callers_share_the_time_in_which_a_server_must_answer(tmp_path: Path) -> None:
    command = (*COMMAND, "mute", str(tmp_path / "starts"))
    connection = Connection(McpServer(command=command, start_s=1.0, retries=Retries(attempts=3, first_wait_s=0.0)))
    with ThreadPoolExecutor(4) as executor:
        faults = list(executor.map(lambda _: fault_of(connection), range(4)))
    assert all("did not answer within 1 s" in fault for fault in faults)
    # Three attempts of each caller would be twelve.
    assert 1 <= len((tmp_path / "starts").read_text().splitlines()) <= 4


def fault_of(connection: Connection) -> str:
    with pytest.raises(InfrastructureFault) as caught:
        run_coroutine(connection.tools())
    return str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_a_body_is_repaired_wherever_its_blocks_end(size: int) -> None:
    class Blocks:
        async def __aiter__(self) -> Any:
            for start in range(0, len(body), size):
                yield body[start : start + size]

    async def read() -> bytes:
        return b"".join([block async for block in RepairedBody(Blocks())])

    body = rb'data: "\ud83d\ude00 \ud83d \\ud83d \\\ud83d"' + b"\n\n" + rb"\uDE00\u00e9"
    assert asyncio.run(read()) == rb'data: "\ud83d\ude00 \ufffd \\ud83d \\\ufffd"' + b"\n\n" + rb"\ufffd\u00e9"


def test_for_the_fault_of_one_tool_a_server_keeps_the_others() -> None:
    faulty = {"name": "a", "description": 5, "outputSchema": {"type": "array"}, "inputSchema": None}
    request = types.JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/list")
    answer = types.JSONRPCResponse(jsonrpc="2.0", id=1, result={"tools": [faulty, {"name": "b"}]})
    results = CallResults()
    results.sent(SessionMessage(request))
    read = results.received(SessionMessage(answer)).message.result
    assert [tool.name for tool in types.ListToolsResult.model_validate(read).tools] == ["a", "b"]
