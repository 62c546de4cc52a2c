"""Defines `CompletionsServer`, which offers a policy on loopback over the HTTP interface of vLLM.

It is for tests and examples, not for speed: every token costs a forward pass over the whole sequence (unless it is told
to sample as the policy does), and one request is answered after the other. Its weights change as those of a real one.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from PIL import Image

from axpo_agents.engine.sampler import draw
from axpo_agents.formats._contexts import expanded
from axpo_agents.policy import Prefix
from axpo_agents.testing.batch import Batch
from axpo_agents.testing.served_weights import SGLANG, VLLM, RefusedError, ServedWeights
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Sampling, TokenSequence, Truncation
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
        kind: whose interface it has: `vllm`, or `sglang` (text only).
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

    def _answered(self, body: dict[str, Any]) -> dict[str, Any]:
        weights = self.server.weights
        told = weights.control(self.path, body)
        if told is not None:
            return told
        self.server.requests.append(body)
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
    prompt = _Prompt(policy, ids, () if plain else tuple(_image(part["url"]) for part in body["content_parts"]))
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
        self._policy = policy
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

    def turns(self, sampling: Mapping[str, Any], batch: Batch | None) -> list[_Turn]:
        """Writes as many turns as are asked for."""
        seeds = [sampling["seed"] + index for index in range(sampling["n"])]
        if batch is not None and all(bias < 0 for bias in sampling["logit_bias"].values()):
            return self._quick(sampling, seeds, batch)
        return [self.turn(sampling, torch.Generator().manual_seed(seed)) for seed in seeds]

    def _quick(self, sampling: Mapping[str, Any], seeds: list[int], batch: Batch) -> list[_Turn]:
        """As the policy itself samples; what is never sampled is what it never samples."""
        nothing = (False,) * len(self.ids), (0.0,) * len(self.ids)
        sequence = TokenSequence(ids=tuple(self.ids), images=self._images, sampled=nothing[0], logprobs=nothing[1])
        settings = Sampling(
            temperature=sampling["temperature"],
            truncation=_truncation(sampling),
            forbidden=tuple(map(int, sampling["logit_bias"])),
            max_turn_tokens=sampling["max_tokens"],
            max_episode_tokens=self._policy.max_tokens or len(self.ids) + sampling["max_tokens"],
        )
        turns = batch.sample(self._policy, [Prefix(sequence=sequence, seed=seed) for seed in seeds], settings)
        return [
            _Turn(
                ids=list(turn.ids),
                logprobs=list(turn.logprobs),
                top=[{token: value} for token, value in zip(turn.ids, turn.logprobs, strict=True)],
                finish=str(turn.finish),
            )
            for turn in turns
        ]

    def turn(self, sampling: Mapping[str, Any], generator: torch.Generator) -> _Turn:
        """Writes a turn, token by token."""
        turn = _Turn()
        for _ in range(sampling["max_tokens"]):
            logits = self._logits([*self.ids, *turn.ids])[-1]
            for token, bias in sampling["logit_bias"].items():
                logits[int(token)] += bias
            logits[sorted(set(turn.ids))] -= sampling.get("presence_penalty", 0.0)
            uniform = torch.rand(1, generator=generator, dtype=torch.float64)
            token, logprob = draw(logits[None], uniform, sampling["temperature"], _truncation(sampling))
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


def _truncation(sampling: Mapping[str, Any]) -> Truncation:
    return Truncation(top_k=max(0, sampling.get("top_k", 0)), top_p=sampling.get("top_p", 1.0))


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
