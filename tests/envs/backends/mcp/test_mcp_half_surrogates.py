"""Answers of servers with halves of surrogate pairs, over both transports."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from axpo_envs.backends.mcp import McpServer, mcp_tools
from axpo_envs.tool.protocol import ToolContext
from axpo_envs.types import Question

HALF = r"price: 5 \ud83d"
CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)

SERVER = r"""
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    head = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        info = {"name": "raw", "version": "1"}
        told = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    elif asked["method"] == "tools/list":
        told = {"tools": [{"name": "cut", "description": "HALF", "inputSchema": {"type": "object"}}]}
    elif asked["method"] == "tools/call":
        told = {"content": [{"type": "text", "text": "HALF"}]}
    else:
        print(json.dumps({**head, "error": {"code": -32601, "message": "no"}}), flush=True)
        continue
    print(json.dumps({**head, "result": told}).replace("HALF", "@HALF@"), flush=True)
""".replace("@HALF@", HALF.replace("\\", "\\\\"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    events: ClassVar[bool] = False

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told: dict[str, Any]
        match asked["method"]:
            case "initialize":
                version = asked["params"]["protocolVersion"]
                info = {"name": "raw", "version": "1"}
                told = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            case "tools/list":
                told = {"tools": [{"name": "cut", "description": "HALF", "inputSchema": {"type": "object"}}]}
            case "tools/call":
                told = {"content": [{"type": "text", "text": "HALF"}]}
            case _:
                self.send_response(202 if "id" not in asked else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}).replace("HALF", HALF)
        if self.events:
            body = f"event: message\ndata: {body}\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if self.events else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def serving(events: bool) -> Iterator[str]:
    handler = type("Handler", (Handler,), {"events": events})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/mcp"
        server.shutdown()
        thread.join()


def heard(server: McpServer) -> tuple[str, Any]:
    with mcp_tools(server) as tools:
        (cut,) = tools
        return cut.description, cut.step({}, None, CONTEXT)[0].content


def test_over_standard_input_and_output_the_answer_comes_with_what_is_missing_marked() -> None:
    description, content = heard(McpServer(command=(sys.executable, "-c", SERVER)))
    assert description == "price: 5 \ufffd"
    assert content == ("price: 5 \ufffd",)


@pytest.mark.parametrize("events", [False, True])
def test_over_http_the_answer_comes_with_what_is_missing_marked(events: bool) -> None:
    with serving(events) as address:
        description, content = heard(McpServer(url=address))
    assert description == "price: 5 \ufffd"
    assert content == ("price: 5 \ufffd",)
