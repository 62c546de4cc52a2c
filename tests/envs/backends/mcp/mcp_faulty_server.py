"""An MCP server whose answers break the protocol: `python mcp_faulty_server.py [http | mute LOG]`.

Over HTTP it prints its port; muted it logs that it was started, and never answers.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TEXT = {"type": "text", "text": "the answer is 7"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
HEAD = '{"jsonrpc":"2.0","id":@,'
RESULTS: dict[str, dict[str, Any]] = {
    "text_only": {"content": [TEXT]},
    "wrong_structure": {"content": [TEXT], "structuredContent": {"a": "7"}},
    "list_structure": {"content": [TEXT], "structuredContent": [7]},
    "only_structure": {"structuredContent": {"a": "7"}},
    "failed": {"content": [{"type": "text", "text": "no such file"}], "isError": True},
    "unknown_kind": {"content": [TEXT, {"type": "hologram", "size": 3}]},
    "kindless": {"content": [{"text": "the answer is 7"}]},
    "half_an_image": {"content": [TEXT, {"type": "image", "data": "AAAA"}]},
    "kindless_image": {"content": [{"type": "image", "data": PIXEL}]},
    "lone_block": {"content": TEXT},
    "text_as_content": {"content": "the answer is 7"},
    "null_text": {"content": [{"type": "text", "text": None}]},
    "no_content": {"answer": 7},
    "empty": {},
}
ANSWERS = {
    "half_surrogate": HEAD + r'"result":{"content":[{"type":"text","text":"7 \ud83d \\ud83d \ud83d\ude00 \ude00"}]}}',
    "result_is_text": HEAD + '"result":"7"}',
    "result_is_null": HEAD + '"result":null}',
    "neither": HEAD + '"answer":7}',
    "both": HEAD + '"result":{"content":[]},"error":7}',
    "error_is_text": HEAD + '"error":"broken"}',
    "no_version": '{"id":@,"result":{"content":[]}}',
    "too_deep": HEAD + '"result":{"structuredContent":' + '{"a":' * 900 + "7" + "}" * 902,
    "cut": HEAD + '"result":{"content":[{"type":"text","te',
}
# Over standard streams.
LINES = {
    "batch": "[" + HEAD + '"result":{"content":[{"type":"text","text":"the answer is 7"}]}}]',
    "byte_order_mark": "\ufeff" + HEAD + '"result":{"content":[{"type":"text","text":"the answer is 7"}]}}',
    "long_line": HEAD + '"result":{"content":[{"type":"text","text":"the answer is 7' + " " * 3_000_000 + '"}]}}',
}
ANSWERS |= LINES
STATUSES = {"status_400": 400, "status_500": 500, "status_503": 503}
GOOD = {"good": {"content": [TEXT]}}
NAMES = (*RESULTS, *ANSWERS, *STATUSES, *GOOD, "silent", "die")


def answer(request: dict[str, Any]) -> str:
    head = {"jsonrpc": "2.0", "id": request["id"]}
    match request["method"]:
        case "initialize":
            version = request["params"]["protocolVersion"]
            about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "faulty", "version": "1"}}
            return json.dumps({**head, "result": {"protocolVersion": version, **about}})
        case "tools/list":
            plain = {"inputSchema": {"type": "object", "properties": {}}}
            tools = [{"name": name, **plain, "outputSchema": SCHEMA} for name in RESULTS]
            tools += [{"name": name, **plain} for name in NAMES if name not in RESULTS]
            return json.dumps({**head, "result": {"tools": tools}})
        case "tools/call":
            name = request["params"]["name"]
            if name in ANSWERS:
                return ANSWERS[name].replace("@", str(request["id"]))
            return json.dumps({**head, "result": {**RESULTS, **GOOD}[name]})
    return json.dumps({**head, "error": {"code": -32601, "message": "no such method"}})


def serve_stdio() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        name = request.get("params", {}).get("name")
        if name == "die":
            return
        if "id" in request and name != "silent":
            print(answer(request), flush=True)


def serve_http() -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    async def handle(request: Request) -> Response:
        message = await request.json() if request.method == "POST" else {}
        if "id" not in message:
            return Response(status_code=202 if message else 405)
        if (name := message.get("params", {}).get("name")) in STATUSES:
            return PlainTextResponse("no", status_code=STATUSES[name])
        text = answer(message)
        if request.url.path == "/events":
            return Response(f"event: message\ndata: {text}\n\n", media_type="text/event-stream")
        return Response(text, media_type="application/json")

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    routes = [Route(path, handle, methods=["GET", "POST", "DELETE"]) for path in ("/events", "/json")]
    uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    if sys.argv[1:2] == ["mute"]:
        with Path(sys.argv[2]).open("a") as log:
            log.write("started\n")
        time.sleep(600)
    serve_http() if sys.argv[1:] == ["http"] else serve_stdio()
