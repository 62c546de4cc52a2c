"""Defines `CompletionsServer`, which offers a policy on loopback over the HTTP interface of vLLM.

It is for tests and examples, not for speed: every token costs a forward pass over the whole sequence, and one request
is answered after the other.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from PIL import Image

from axpo_agents.engine.sampler import draw
from axpo_agents.formats._contexts import expanded
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Truncation
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.extras import requiring

with requiring("train", "a server of completions"):
    import torch

_COMPLETIONS: Final = "/v1/completions"
_GENERATE: Final = "/inference/v1/generate"
_TOP: Final = 2
_FLOOR: Final = -9999.0
"""What stands for minus infinity, which JSON does not know."""


class CompletionsServer:
    """Serves a policy from a thread, within a `with` block.

    Args:
        policy: what samples and scores.
    """

    def __init__(self, policy: TransformersPolicy) -> None:
        self._server = _Server(policy)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="completions server")

    @property
    def url(self) -> str:
        """Where its API begins."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests so far."""
        return self._server.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, policy: TransformersPolicy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.policy = policy
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Answers a request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock, torch.no_grad():
            self.server.requests.append(body)
            try:
                answer, status = _answer(self.server.policy, self.path, body), 200
            except _RefusedError as error:
                answer, status = {"error": {"message": str(error), "code": 400}}, 400
        content = json.dumps(answer).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class _RefusedError(Exception):
    """A request that vLLM would refuse."""


def _answer(policy: TransformersPolicy, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if path not in (_COMPLETIONS, _GENERATE):
        raise _RefusedError(f"there is no {path}")
    plain = path == _COMPLETIONS
    ids = body["prompt"] if plain else body["token_ids"]
    sampling = body if plain else body["sampling_params"]
    if not isinstance(ids, list):
        raise _RefusedError("expected a prompt of token ids")
    if sampling["n"] > 1 and sampling["temperature"] == 0.0:
        raise _RefusedError("n must be 1 when using greedy sampling")
    if not 0.0 <= sampling["temperature"] <= 2.0:
        raise _RefusedError("temperature must be in [0, 2]")
    prompt = _Prompt(policy, ids, () if plain else tuple(_image(part["url"]) for part in body["content_parts"]))
    scores = prompt.scores() if body.get("echo") or "prompt_logprobs" in sampling else None
    choices = []
    for index in range(sampling["n"]):
        turn = prompt.turn(sampling, torch.Generator().manual_seed(sampling["seed"] + index))
        choice = {"index": index, "finish_reason": turn.finish, "token_ids": turn.ids}
        logprobs = _legacy(turn, scores) if plain else _content(turn)
        choices.append({**choice, "logprobs": logprobs, **({"prompt_token_ids": prompt.ids} if plain else {})})
    if plain:
        return {"choices": choices}
    rows: list[dict[str, Any] | None] | None = None
    if scores is not None:
        pairs = zip(prompt.ids[1:], scores, strict=True)
        rows = [None, *({str(token): {"logprob": value}} for token, value in pairs)]
    return {"choices": choices, "prompt_token_ids": prompt.ids, "prompt_logprobs": rows}


@dataclass(slots=True, kw_only=True)
class _Turn:
    """A turn that is being written."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[dict[int, float]] = field(default_factory=list)
    finish: str = "length"


class _Prompt:
    """A prompt with its images, placeholders expanded."""

    def __init__(self, policy: TransformersPolicy, ids: list[int], images: tuple[ImageRef, ...]) -> None:
        self._network = policy._network
        self._images = images
        sizes = []
        if self._network.patchifier is not None:
            settings = self._network.patchifier.settings
            sizes = [settings.token_count(settings.grid(image)) for image in images]
        self.ids = list(expanded(ids, self._network.image_token, sizes))

    def scores(self) -> list[float]:
        """Log-probability of every id but the first."""
        logprobs = torch.log_softmax(self._logits(self.ids)[:-1], dim=-1)
        chosen = logprobs.gather(1, torch.tensor(self.ids[1:])[:, None])[:, 0]
        return [max(value, _FLOOR) for value in chosen.tolist()]

    def turn(self, sampling: Mapping[str, Any], generator: torch.Generator) -> _Turn:
        """Writes a turn, token by token."""
        turn = _Turn()
        for _ in range(sampling["max_tokens"]):
            logits = self._logits([*self.ids, *turn.ids])[-1]
            for token, bias in sampling["logit_bias"].items():
                logits[int(token)] += bias
            logits[sorted(set(turn.ids))] -= sampling.get("presence_penalty", 0.0)
            uniform = torch.rand(1, generator=generator, dtype=torch.float64)
            truncation = Truncation(top_k=max(0, sampling.get("top_k", 0)), top_p=sampling.get("top_p", 1.0))
            token, logprob = draw(logits[None], uniform, sampling["temperature"], truncation)
            top = torch.log_softmax(logits / (sampling["temperature"] or 1.0), dim=-1).topk(_TOP)
            turn.ids.append(int(token))
            turn.logprobs.append(float(logprob))
            turn.top.append(dict(zip(top.indices.tolist(), top.values.tolist(), strict=True)))
            if turn.ids[-1] in sampling["stop_token_ids"]:
                turn.finish = "stop"
                break
        return turn

    def _logits(self, ids: list[int]) -> torch.Tensor:
        """Shape (length, vocabulary)."""
        batch = self._network.collate([self._network.read(ids, self._images)], align="left")
        features = self._network.encode_images(self._images)
        return self._network.logits(batch, keep=len(ids), features=features)[0]


def _legacy(turn: _Turn, scores: list[float] | None) -> dict[str, Any]:
    """Log-probabilities as `/v1/completions` gives them, those of an echoed prompt in front."""
    echoed = [] if scores is None else [None, *scores]
    tops = [{str(token): value for token, value in row.items()} for row in turn.top]
    return {"token_logprobs": [*echoed, *turn.logprobs], "top_logprobs": [*(None for _ in echoed), *tops]}


def _content(turn: _Turn) -> dict[str, Any]:
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


def _image(url: str) -> ImageRef:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return ImageRef.from_pil(image)
