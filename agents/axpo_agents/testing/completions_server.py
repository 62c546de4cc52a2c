"""Defines `CompletionsServer`, which offers a policy on loopback over the HTTP interface of vLLM or SGLang.

It is for tests and examples, not for speed: every token costs a forward pass over the whole sequence (unless it is told
to sample as the policy does), and one request is answered after the other. Its weights change as those of a real one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from axpo_agents.testing.batch import Batch
from axpo_agents.testing.served_prompt import ServedPrompt, ServedTurn, read_image
from axpo_agents.testing.served_weights import SGLANG, VLLM, RefusedError, ServedWeights
from axpo_agents.testing.sglang_answers import answer_generate
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_envs.plumbing.extras import requiring

with requiring("train", "a server of completions"):
    import torch

_COMPLETIONS: Final = "/v1/completions"
_GENERATE: Final = "/inference/v1/generate"
_SGLANG_GENERATE: Final = "/generate"


class CompletionsServer:
    """Serves a policy from a thread, within a `with` block.

    Args:
        policy: what samples and scores.
        kind: whose interface it has: `vllm` or `sglang`.
        quick: sample as the policy does, with its caches, in place of plain forward passes.
        port: where it listens on loopback; 0 takes a free port.
    """

    def __init__(self, policy: TransformersPolicy, *, kind: str = VLLM, quick: bool = False, port: int = 0) -> None:
        self._server = _Server(ServedWeights(policy, kind), quick, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="completions server")

    @property
    def url(self) -> str:
        """Where its API begins."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests for turns so far."""
        return self._server.requests

    @property
    def weights(self) -> ServedWeights:
        """What it samples with now."""
        return self._server.weights

    def serve(self) -> None:
        """Answers in this thread, until it is interrupted."""
        self._server.serve_forever(0.05)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.ended = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    request_queue_size = 128

    def __init__(self, weights: ServedWeights, quick: bool, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.weights = weights
        self.ended = False
        self.batch = Batch() if quick else None
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Answers a request, unless the server has ended: a connection that was kept open ends with it."""
        if self.server.ended:
            self.close_connection = True
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # Requests that are sampled together must not wait for each other.
        with nullcontext() if self.server.batch else self.server.lock, torch.no_grad():
            try:
                answer, status = self._answered(body), 200
            except RefusedError as error:
                answer, status = {"error": {"message": str(error), "code": error.status}}, error.status
        content = json.dumps(answer).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answered(self, body: dict[str, Any]) -> Any:
        weights = self.server.weights
        told = weights.control(self.path, body)
        if told is not None:
            return told
        self.server.requests.append(body)
        if weights.kind == SGLANG and self.path == _SGLANG_GENERATE:
            return answer_generate(weights, body, self.server.batch)
        return _answer(weights, self.path, body, self.server.batch)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def _answer(weights: ServedWeights, path: str, body: Mapping[str, Any], batch: Batch | None) -> dict[str, Any]:
    if path not in (_COMPLETIONS, _GENERATE) or (path == _GENERATE and weights.kind == SGLANG):
        raise RefusedError(f"there is no {path}", 404)
    plain = path == _COMPLETIONS
    policy = weights.named(body.get("model"))
    ids = body["prompt"] if plain else body["token_ids"]
    sampling = body if plain else body["sampling_params"]
    if not isinstance(ids, list):
        raise RefusedError("expected a prompt of token ids")
    if sampling["n"] > 1 and sampling["temperature"] == 0.0:
        raise RefusedError("n must be 1 when using greedy sampling")
    if not 0.0 <= sampling["temperature"] <= 2.0:
        raise RefusedError("temperature must be in [0, 2]")
    prompt = ServedPrompt(
        policy, ids, () if plain else tuple(read_image(part["url"]) for part in body["content_parts"])
    )
    scores = prompt.scores() if body.get("echo") or "prompt_logprobs" in sampling else None
    choices = []
    for index, turn in enumerate(prompt.turns(sampling, batch)):
        choice: dict[str, Any] = {"index": index, "finish_reason": turn.finish, "token_ids": turn.ids}
        if not plain:
            choice["weight_versions"] = [{"version": weights.version, "start": 0, "end": len(turn.ids)}]
        logprobs = _legacy(turn, scores) if plain else _content(turn)
        choices.append({**choice, "logprobs": logprobs, **({"prompt_token_ids": prompt.ids} if plain else {})})
    if plain:
        told = {"metadata": {"weight_version": weights.version}} if weights.kind == SGLANG else {}
        return {"choices": choices, **told}
    rows: list[dict[str, Any] | None] | None = None
    if scores is not None:
        pairs = zip(prompt.ids[1:], scores, strict=True)
        rows = [None, *({str(token): {"logprob": value}} for token, value in pairs)]
    return {"choices": choices, "prompt_token_ids": prompt.ids, "prompt_logprobs": rows}


def _legacy(turn: ServedTurn, scores: list[float] | None) -> dict[str, Any]:
    """Log-probabilities as `/v1/completions` gives them, those of an echoed prompt in front."""
    echoed = [] if scores is None else [None, *scores]
    tops = [{str(token): value for token, value in row.items()} for row in turn.top]
    return {"token_logprobs": [*echoed, *turn.logprobs], "top_logprobs": [*(None for _ in echoed), *tops]}


def _content(turn: ServedTurn) -> dict[str, Any]:
    """Log-probabilities as `/inference/v1/generate` gives them."""
    rows = zip(turn.ids, turn.logprobs, turn.top, strict=True)
    return {
        "content": [
            {
                "token_id": token,
                "logprob": value,
                "top_logprobs": [{"token_id": other, "logprob": logprob} for other, logprob in top.items()],
            }
            for token, value, top in rows
        ]
    }
