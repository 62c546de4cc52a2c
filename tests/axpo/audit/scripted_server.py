"""A server of OpenAI's chat completions that answers by a script, for the makers of the logs beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def calls(name: str, arguments: str, *, number: int = 0, says: str = "") -> dict[str, Any]:
    """A turn with one call."""
    function = {"name": name, "arguments": arguments}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": says, "tool_calls": [call]}


def says(text: str, thinking: str | None = None) -> dict[str, Any]:
    """A turn without calls."""
    return {
        "role": "assistant",
        "content": text,
        **({} if thinking is None else {"reasoning_content": thinking}),
    }


@contextmanager
def scripted_server(rollouts: Sequence[Sequence[dict[str, Any]]]) -> Iterator[str]:
    """Serves rollouts one after the other, each turn by turn; a conversation without assistant begins the next.

    Yields:
        the base URL.
    """
    at = {"rollout": -1}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            done = sum(message["role"] == "assistant" for message in asked["messages"])
            at["rollout"] += done == 0
            script = rollouts[at["rollout"] % len(rollouts)]
            message = script[min(done, len(script) - 1)]
            finish = "tool_calls" if message.get("tool_calls") else "stop"
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            head = {"id": f"scripted-{at['rollout']}-{done}", "created": 0, "model": "scripted"}
            if not asked.get("stream"):
                self._send({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
                return
            numbered = [{"index": place, **call} for place, call in enumerate(message.get("tool_calls", ()))]
            delta = {**message, **({"tool_calls": numbered} if numbered else {})}
            chunk = {**head, "object": "chat.completion.chunk"}
            choices = ({"index": 0, "delta": delta}, {"index": 0, "delta": {}, "finish_reason": finish})
            events = [json.dumps({**chunk, "choices": [choice]}) for choice in choices]
            events += [json.dumps({**chunk, "choices": [], "usage": usage}), "[DONE]"]
            self._write("".join(f"data: {event}\n\n" for event in events).encode(), "text/event-stream")

        def _send(self, record: dict[str, Any]) -> None:
            self._write(json.dumps(record).encode(), "application/json")

        def _write(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
