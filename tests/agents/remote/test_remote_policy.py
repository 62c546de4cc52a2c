"""Tests of axpo_agents.remote against a scripted server: faults, retries, and refusals before any work."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from axpo_agents.policy import Prefix
from axpo_agents.remote import RemotePolicy, RemoteSettings, load_remote_policy
from axpo_agents.rolling import Lost, Start, roll
from axpo_agents.tiny import tiny_folder
from axpo_agents.transformers_policy import PolicyError
from axpo_agents.types import Context, FinishReason, Sampling, TokenSequence
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.web import EnvironmentKey, Retries
from axpo_envs.suite.visual_zoom.env import VisualZoom

KEY = "sk-s3cret-0123456789"
PROMPT = Prefix(sequence=TokenSequence.of((), then=Context(ids=(5, 6, 7))))
Reply = Callable[[dict[str, Any]], tuple[int, Any]]


def legacy(turns: list[list[int]], **changes: Any) -> dict[str, Any]:
    """What vLLM and SGLang answer on /v1/completions."""
    choices = []
    for index, ids in enumerate(turns):
        logprobs = {"token_logprobs": [-0.5] * len(ids), "top_logprobs": [{"a": -0.5, "b": -1.0}] * len(ids)}
        choices.append({"index": index, "token_ids": ids, "logprobs": logprobs, "finish_reason": "stop"} | changes)
    return {"choices": choices}


def as_told(body: dict[str, Any]) -> tuple[int, Any]:
    """A server of a model whose logits are all 0: it chooses what is raised, else the tokens 7 and 2."""
    raised = [(int(token), bias) for token, bias in body["logit_bias"].items() if bias > 0]
    top = {str(token): -0.5 for token in (7, 8)}
    if raised:
        top = {"raised": 0.0, "next": -raised[0][1] / body["temperature"]}
    ids = [token for token, _ in raised] or [7, 2]
    answer = legacy([ids] * body["n"])
    for choice in answer["choices"]:
        choice["logprobs"]["top_logprobs"] = [top] * len(ids)
        choice["prompt_token_ids"] = body["prompt"]
    return 200, answer


class ScriptedServer(ThreadingHTTPServer):
    """Answers as it is told; keeps bodies and keys, and counts what it answers at a time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.reply: Reply = as_told
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()
        self.under_way = self.most_under_way = 0


class ScriptedHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.append(self.headers.get("Authorization"))
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        status, answer = self.server.reply(body)
        content = json.dumps(answer).encode("ascii")
        with self.server.lock:
            self.server.under_way -= 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def load(server: ScriptedServer, **settings: Any) -> RemotePolicy:
    retries = Retries(attempts=3, first_wait_s=0.0)
    given: dict[str, Any] = {"url": server.url, "retries": retries, "images": False} | settings
    return load_remote_policy(str(tiny_folder()), RemoteSettings(**given))


def unsharpened(body: dict[str, Any]) -> tuple[int, Any]:
    return as_told(body | {"temperature": 1.0})


def unbiased(body: dict[str, Any]) -> tuple[int, Any]:
    status, answer = as_told(body)
    answer["choices"][0]["logprobs"]["top_logprobs"] = [{"a": -0.5, "b": -1.0}]
    return status, answer


def textual(body: dict[str, Any]) -> tuple[int, Any]:
    return 400, {"detail": "prompt must be a string."}


def without_ids(body: dict[str, Any]) -> tuple[int, Any]:
    return 200, legacy([[7]], token_ids=None)


def with_bos(body: dict[str, Any]) -> tuple[int, Any]:
    return as_told(body | {"prompt": [1, *body["prompt"]]})


def deaf(body: dict[str, Any]) -> tuple[int, Any]:
    return 200, legacy([[7, 8]], finish_reason="length")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (unsharpened, "are those before temperature and bias.*--logprobs-mode processed_logprobs"),
        (unbiased, "are those before temperature and bias"),
        (textual, "prompt must be a string.*needs prompts of token ids"),
        (without_ids, "has no token ids .*; this policy needs prompts of token ids"),
        (with_bos, r"expected the server to read the prompt as the (\d+) ids"),
        (deaf, r"expected a turn of just its end, token 2.*got \(7, 8\) \('length'\)"),
    ],
)
def test_a_server_that_cannot_do_what_is_needed_is_refused_before_any_work(
    reply: Reply, message: str, server: ScriptedServer
) -> None:
    server.reply = reply
    with pytest.raises(PolicyError, match=message):
        load(server)
    assert len(server.bodies) <= 2


def test_raw_log_probabilities_may_be_accepted(server: ScriptedServer) -> None:
    server.reply = unbiased
    with load(server, raw_logprobs=True) as policy:
        assert policy.version == 0


def test_unusable_settings_are_refused_without_repeating_secrets(server: ScriptedServer) -> None:
    with pytest.raises(
        EnvConfigError, match="expected concurrency and samples_per_request of at least 1; got 0 and 16"
    ):
        RemoteSettings(url=server.url, concurrency=0)
    with pytest.raises(EnvConfigError, match="without user, password or query") as caught:
        load(server, url="http://me:hunter2@127.0.0.1/v1")
    assert "hunter2" not in str(caught.value)
    for timeout_s in (0.0, 1e12):
        with pytest.raises(EnvConfigError, match="expected timeout_s > 0"):
            load(server, timeout_s=timeout_s)
    for url in ("http://127.0.0.1:99999", "http://host..name", f"http://{'a' * 99}"):
        with pytest.raises(EnvConfigError, match="expected an address"):
            load(server, url=url)
    with pytest.raises(EnvConfigError, match="set the environment variable AXPO_TEST_KEY"):
        load(server, key=EnvironmentKey("AXPO_TEST_KEY"))
    assert server.bodies == []


def test_the_key_is_sent_and_never_shown(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AXPO_TEST_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with load(server, key=EnvironmentKey("AXPO_TEST_KEY")) as policy:
        server.reply = lambda body: (503, f"no {KEY}")
        with pytest.raises(InfrastructureFault) as caught:
            policy.sample([PROMPT], Sampling(), seed=0)
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert KEY not in f"{caught.value!r} {policy!r} {vars(policy)!r} {policy._server.settings!r} {caplog.text}"


def test_a_failed_attempt_is_repeated(server: ScriptedServer) -> None:
    with load(server) as policy:
        failures = iter([503, 429])
        server.reply = lambda body: (next(failures, 200), as_told(body)[1])
        (turn,) = policy.sample([PROMPT], Sampling(), seed=0)
    assert (turn.ids, turn.logprobs, turn.finish) == ((7, 2), (-0.5, -0.5), FinishReason.STOP)
    assert len(server.bodies) == 5


def test_a_server_that_stays_down_loses_the_episodes_without_scoring_them(server: ScriptedServer) -> None:
    env = VisualZoom(split="validation")
    with load(server) as policy:
        server.reply = lambda body: (500, "down")
        starts = [Start(state=env.begin(replace(env.questions.question(0), prompt=("?",)))) for _ in range(2)]
        outcomes = roll(policy, env, starts, Sampling(), seed=0)
    assert [type(outcome) for outcome in outcomes] == [Lost, Lost]


def test_forbidden_ids_are_biased_away_beside_those_that_are_never_sampled(server: ScriptedServer) -> None:
    with load(server) as policy:
        for forbidden in ((), (9, 11)):
            policy.sample([PROMPT], Sampling(forbidden=forbidden), seed=0)
    never, held = (body["logit_bias"] for body in server.bodies[-2:])
    assert {token: bias for token, bias in held.items() if token not in never} == {"9": -100.0, "11": -100.0}
    assert never.items() <= held.items()


def test_a_refused_request_ends_the_run(server: ScriptedServer) -> None:
    with load(server) as policy:
        server.reply = lambda body: (400, "max_tokens cannot be greater than max_model_len")
        with pytest.raises(EnvConfigError, match="cannot be greater than max_model_len"):
            policy.sample([PROMPT], Sampling(), seed=0)


def test_an_answer_to_another_prompt_is_a_fault(server: ScriptedServer) -> None:
    with load(server) as policy:
        server.reply = with_bos
        with pytest.raises(InfrastructureFault, match="is to another prompt: 4 ids; expected the 3"):
            policy.sample([PROMPT], Sampling(), seed=0)


def test_a_server_that_scores_no_prompts_says_so(server: ScriptedServer) -> None:
    sequence = TokenSequence(ids=(5, 6), sampled=(False, True), logprobs=(0.0, -1.0))
    with load(server) as policy, pytest.raises(PolicyError, match="expected a server that scores prompts"):
        policy.logprobs([sequence])


def test_requests_are_made_side_by_side_but_no_more_than_allowed(server: ScriptedServer) -> None:
    prompts = [Prefix(sequence=TokenSequence.of((), then=Context(ids=(5, token)))) for token in range(10, 22)]

    together = threading.Barrier(3, timeout=60)

    def in_threes(body: dict[str, Any]) -> tuple[int, Any]:
        together.wait()
        return as_told(body)

    with load(server, concurrency=3) as policy:
        server.reply = in_threes
        turns = policy.sample(prompts, Sampling(), seed=0)
    assert len(turns) == 12
    assert server.most_under_way == 3
