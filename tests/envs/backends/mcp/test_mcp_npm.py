"""Real MCP servers from the npm registry; where there is no node, the test says so among pytest's warnings.

The packages are installed once, into pytest's cache folder.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gymnasium
import pytest

from axpo_envs import ImageRef, Question, ToolEnv
from axpo_envs.backends.mcp import McpServer, McpTools, mcp_tools
from axpo_envs.examples import call_turn
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.tools import ToolContext, ToolResult

PACKAGES = ("@modelcontextprotocol/server-everything@2026.8.31", "@modelcontextprotocol/server-memory@2026.8.31")
CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)
INSTALL_S = 240
IN_CI = bool(os.environ.get("CI"))

# Warnings are errors in these tests, this one excepted: it is how pytest's summary comes to say it.
pytestmark = pytest.mark.filterwarnings("default:MCP servers of the npm registry:UserWarning")


def say_untested(reason: str) -> None:
    warnings.warn(f"MCP servers of the npm registry were not tested here: {reason}", stacklevel=2)


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest) -> Path | None:
    """The folder of the installed packages; None where they cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        say_untested("there is no node, or no npm")
        return None
    cache = request.config.cache
    folder = cache.mkdir("npm-mcp-servers") if cache is not None else Path(tempfile.mkdtemp())
    installed = folder / "-".join(package.rpartition("/")[2] for package in PACKAGES)
    if not installed.exists():
        partial = Path(tempfile.mkdtemp(dir=folder))
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(partial), *PACKAGES]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            shutil.rmtree(partial)
            if IN_CI:
                raise
            say_untested(f"npm cannot install them: {error.stderr}")
            return None
        # Another worker may have been faster.
        with suppress(OSError):
            partial.replace(installed)
        shutil.rmtree(partial, ignore_errors=True)
    return installed / "node_modules" / "@modelcontextprotocol"


def program(packages: Path, name: str) -> tuple[str, ...]:
    return ("node", str(packages / name / "dist" / "index.js"))


def call(tools: McpTools, name: str, /, **arguments: object) -> ToolResult:
    (tool,) = (tool for tool in tools if tool.name == name)
    return tool.step(tool.validate(arguments), None, CONTEXT)[0]


def check_everything(tools: McpTools) -> None:
    assert call(tools, "echo", message="hello").content == ("Echo: hello",)
    assert call(tools, "get-sum", a=2, b=3).content == ("The sum of 2 and 3 is 5.",)
    before, image, after = call(tools, "get-tiny-image").content
    assert (before, after) == ("Here's the image you requested:", "The image above is the MCP logo.")
    assert isinstance(image, ImageRef)
    assert (image.width, image.height) == (20, 20)
    (links,) = call(tools, "get-resource-links", count=1).content
    assert "demo://resource/" in str(links)


def test_server_everything_answers_with_text_and_an_image(packages: Path | None) -> None:
    if packages is None:
        return
    with mcp_tools((*program(packages, "server-everything"), "stdio")) as tools:
        check_everything(tools)
        env = gymnasium.make(
            "axpo/ToolTask-v0", questions=[{"id": "q", "prompt": "?", "answer": "3"}], tools=tools
        ).unwrapped
        assert isinstance(env, ToolEnv)
        env.reset(seed=0)
        observation, *_ = env.step(call_turn("get-tiny-image", {}))
        assert [picture.shape for picture in observation["images"]] == [(20, 20, 3)]


@pytest.fixture
def everything_over_http(packages: Path | None) -> Iterator[str | None]:
    """The address of server-everything, which keeps sessions as servers before 2026 do."""
    if packages is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [*program(packages, "server-everything"), "streamableHttp"]
    environment = {**os.environ, "PORT": str(port)}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def test_server_everything_answers_over_http(everything_over_http: str | None) -> None:
    if everything_over_http is None:
        return
    patient = Retries(attempts=40, first_wait_s=0.1, longest_wait_s=0.5)
    with mcp_tools(McpServer(url=everything_over_http, retries=patient)) as tools:
        check_everything(tools)


def test_server_memory_keeps_what_it_is_told(packages: Path | None, tmp_path: Path) -> None:
    if packages is None:
        return
    server = McpServer(
        command=program(packages, "server-memory"), environment=(f"MEMORY_FILE_PATH={tmp_path / 'memory.jsonl'}",)
    )
    with mcp_tools(server, prefix="memory_") as tools:
        paris = {"name": "Paris", "entityType": "city", "observations": ["capital of France"]}
        call(tools, "memory_create_entities", entities=[paris])
        call(tools, "memory_add_observations", observations=[{"entityName": "Paris", "contents": ["on the Seine"]}])
        (found,) = call(tools, "memory_search_nodes", query="Seine").content
        assert "capital of France" in str(found)
        # What it was told stands in its file: a server that is started again knows it, too.
        tools.close()
        (again,) = call(tools, "memory_read_graph").content
        assert "on the Seine" in str(again)
