"""An MCP server for the tests, written with the SDK: `python mcp_server.py [http]`. Over HTTP it prints its port."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from mcp import types
from mcp.server.mcpserver import Context, Image, MCPServer
from PIL import Image as Pillow
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

server = MCPServer("test")
waiting: list[asyncio.Event] = []
seen = {"count": 0, "cancelled": 0}


def png(width: int, height: int, *, noise: bool = False) -> bytes:
    size = (width, height)
    image = Pillow.frombytes("RGB", size, os.urandom(3 * width * height)) if noise else Pillow.new("RGB", size, "red")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@server.tool()
def add(a: int, b: int = 1) -> str:
    """Adds two numbers."""
    return str(a + b)


@server.tool(structured_output=False)
def picture(width: int, height: int, noise: bool = False) -> list[Any]:
    """Shows a picture."""
    return ["before", Image(data=png(width, height, noise=noise), format="png"), "after", "that"]


@server.tool(structured_output=False)
def kinds() -> Any:
    """Shows every kind of content."""
    data = base64.b64encode(b"12345").decode()
    image = base64.b64encode(png(2, 3)).decode()
    text = types.TextResourceContents(uri="memo://one", mime_type="text/plain", text="a memo")
    blob = types.BlobResourceContents(uri="memo://two", mime_type="application/zip", blob=data)
    picture = types.BlobResourceContents(uri="memo://three", mime_type="image/png", blob=image)
    return [
        types.AudioContent(data=data, mime_type="audio/wav"),
        types.ResourceLink(name="link", uri="memo://link", mime_type="text/plain", description="A link."),
        types.EmbeddedResource(resource=text),
        types.EmbeddedResource(resource=blob),
        types.EmbeddedResource(resource=picture),
        types.ImageContent(data=data, mime_type="image/png"),
    ]


@server.tool(structured_output=False)
def nothing() -> Any:
    """Answers nothing."""
    return []


@server.tool()
def long_text(length: int) -> str:
    """A long text."""
    return "x" * length


@server.tool()
def refuse() -> str:
    """Always fails."""
    raise ValueError("it cannot be done")


@server.tool()
def count() -> str:
    """Counts its calls."""
    seen["count"] += 1
    return str(seen["count"])


@server.tool()
async def sleep(seconds: float) -> str:
    """Sleeps."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        seen["cancelled"] += 1
        raise
    return "slept"


@server.tool()
def cancelled() -> str:
    """How many sleeps were cancelled."""
    return str(seen["cancelled"])


@server.tool()
async def meet(others: int) -> str:
    """Waits until that many calls wait."""
    waiting.append(asyncio.Event())
    if len(waiting) == others:
        for event in waiting:
            event.set()
    await waiting[-1].wait() if len(waiting) < others else None
    return "met"


@server.tool()
def pid(context: Context[Any]) -> str:
    """The process."""
    return str(os.getpid())


@server.tool()
def child() -> str:
    """Starts a process that stays."""
    return str(subprocess.Popen(["sleep", "600"]).pid)


@server.tool()
def stay() -> str:
    """Keeps the process from ending when its input does."""
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    return "0"


@server.tool()
def environment(name: str) -> str:
    """An environment variable."""
    return os.environ.get(name, "not set")


@server.tool()
def die(log: str, times: int = 1000) -> str:
    """Ends the process, the first times it is called with that log."""
    with Path(log).open("a") as file:
        file.write("called\n")
    if len(Path(log).read_text().splitlines()) <= times:
        print("I am dying", file=sys.stderr, flush=True)
        os._exit(3)
    return "alive"


async def request_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Guard:
    """Answers with errors where the headers, the path or the body ask for them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None = None
        if scope["type"] == "http":
            request = Request(scope)
            if request.url.path == "/broken":
                answer = PlainTextResponse("broken", status_code=500)
            elif request.url.path == "/locked" and request.headers.get("Authorization") != "Bearer sesame":
                answer = JSONResponse({"error": "who are you?"}, status_code=401)
            elif request.url.path == "/locked":
                scope["path"] = "/mcp"
            elif b'"length":-1' in (body := await request_body(receive)):
                answer = PlainTextResponse("overloaded", status_code=503)
            else:
                receive = replaying(body, receive)
        await (answer or self._app)(scope, receive, send)


def serve_http() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    print(listener.getsockname()[1], flush=True)
    app = Guard(server.streamable_http_app())
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        serve_http()
    else:
        server.run()
