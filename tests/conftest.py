"""Defines a toy policy and builders of rollouts, a server that counts its visitors, and how hypothesis runs."""

from __future__ import annotations

import math
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from axpo_agents.policy import Prefix, Sampled, TurnSpans
from axpo_agents.types import Completion, Context, FinishReason, Rollout, Sampling, Span, TokenSequence
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.parsing import parse_turn
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import (
    CallOutcome,
    CallRecord,
    Episode,
    EpisodeState,
    Parts,
    Question,
    RewardTerm,
    StopReason,
    ToolResult,
    Turn,
)

# How long an example takes tells how busy the machine is, and nothing about what is tested.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

# Commands that tests start and end by signals inherit what this process ignores: one in the background of a shell
# ignores Ctrl-C, one under nohup a hang-up.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

TAGS = ("<end>", "<image>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>")
VOCABULARY = (*TAGS, *(chr(code) for code in range(32, 127)), "\n")
IDS = {token: number for number, token in enumerate(VOCABULARY)}
END = IDS["<end>"]
WORDS = re.compile("|".join(map(re.escape, TAGS)) + r"|[\s\S]")

Script = Callable[[str, random.Random], str]


def encode(text: str) -> tuple[int, ...]:
    """One token per tag or character."""
    return tuple(IDS[word] for word in WORDS.findall(text))


def decode(ids: Sequence[int]) -> str:
    return "".join(VOCABULARY[token] for token in ids)


def find_spans(ids: Sequence[int]) -> TurnSpans:
    text = [VOCABULARY[token] for token in ids]
    thinking = _span(text, 0, "<think>", "</think>")
    call = _span(text, thinking.stop if thinking else 0, "<tool_call>", "</tool_call>")
    return TurnSpans(thinking=thinking, call=call, cut=call.start + 1 if call else None)


def _span(text: list[str], begin: int, opening: str, closing: str) -> Span | None:
    if opening not in text[begin:]:
        return None
    start = text.index(opening, begin)
    return Span(start, text.index(closing, start) + 1 if closing in text[start:] else len(text))


class ToyPolicy:
    """Writes what a script says; its probabilities are those of a table of bigrams, one row per previous token.

    The script gets the text of everything so far, forced tokens included, and a seeded generator; it returns the rest
    of the turn without `<end>`, which is added. The policy ignores token limits.
    """

    def __init__(self, script: Script, *, version: int = 0) -> None:
        self.script = script
        self.version = version
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(len(VOCABULARY), len(VOCABULARY), generator=generator).requires_grad_()
        self.calls: list[list[Prefix]] = []

    def encode_prompt(self, env: ToolEnv, state: EpisodeState) -> Context:
        return self._context(env.opening(state))

    def encode_observation(self, observation: Parts, *, after: Sequence[int]) -> Context:
        return self._context(("\n", *observation, "\n"))

    def _context(self, parts: Parts) -> Context:
        text = "".join(part if isinstance(part, str) else "<image>" for part in parts)
        return Context(ids=encode(text), images=tuple(part for part in parts if isinstance(part, ImageRef)))

    def decode_turn(self, ids: Sequence[int]) -> str:
        return decode(ids).removesuffix("<end>")

    def find_spans(self, ids: Sequence[int]) -> TurnSpans:
        return find_spans(ids)

    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, *, seed: int) -> list[Sampled]:
        self.calls.append(list(prefixes))
        rng = random.Random(seed)
        return [self._sample(prefix.sequence.ids + prefix.forced, rng) for prefix in prefixes]

    def _sample(self, before: tuple[int, ...], rng: random.Random) -> Sampled:
        ids = encode(self.script(decode(before), rng) + "<end>")
        with torch.no_grad():
            logprobs = self._score((*before, *ids))[-len(ids) :]
        return Sampled(ids=ids, logprobs=tuple(logprobs.tolist()), finish=FinishReason.STOP)

    def logprobs(self, sequences: Sequence[TokenSequence], *, temperature: float = 1.0) -> list[torch.Tensor]:
        return [self._score(sequence.ids)[torch.tensor(sequence.sampled)] for sequence in sequences]

    def _score(self, ids: Sequence[int]) -> torch.Tensor:
        """Log-probability of every token after the one before; the first follows <end>."""
        previous = torch.tensor([END, *ids[:-1]])
        return torch.log_softmax(self.table[previous], -1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def make_question(number: int = 0, **fields: Any) -> Question:
    return Question(id=f"q{number}", prompt=("?",), answer="7", **fields)


def make_rollout(
    *turns: str,
    reward: float = 0.0,
    question: Question | None = None,
    probability: float = 0.5,
    outcome: CallOutcome = CallOutcome.EXECUTED,
    stop: StopReason = StopReason.ANSWERED,
    forced: int = 0,
) -> Rollout:
    """A rollout of these turns. Contexts are "Q:" and then "R:" (2 tokens), every sampled token is equally probable.

    `forced` tokens of the first turn count as frozen.
    """
    question = question or make_question()
    completions, records = [], []
    for number, text in enumerate(turns):
        ids = encode(text)
        spans = find_spans(ids)
        completions.append(
            Completion(
                context=Context(ids=encode("R:" if number else "Q:")),
                ids=ids,
                logprobs=(math.log(probability),) * len(ids),
                forced=0 if number else forced,
                thinking=spans.thinking,
                call=spans.call,
                cut=spans.cut,
                finish=FinishReason.STOP,
                policy_version=0,
            )
        )
        calls = tuple(
            CallRecord(call=parsed.call, outcome=outcome, result=ToolResult()) for parsed in parse_turn(text).calls
        )
        records.append(Turn(text=text, calls=calls))
    episode = Episode(
        question=question,
        turns=tuple(records),
        stop=stop,
        reward=reward,
        terms=(RewardTerm(name="correct", value=reward),),
    )
    states = [EpisodeState(question=question, seed=0, turns=tuple(records[:number])) for number in range(len(turns))]
    snapshots = tuple(Snapshot(state=state, env_id="toy") for state in states)
    return Rollout(episode=episode, completions=tuple(completions), snapshots=snapshots)


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """The toy policy, its codec, and builders of rollouts and questions."""
    return SimpleNamespace(
        Policy=ToyPolicy, encode=encode, decode=decode, rollout=make_rollout, question=make_question, END=END
    )


class CountingServer(ThreadingHTTPServer):
    """Counts the requests for every path, and answers with the path."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CountingHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()


class _CountingHandler(BaseHTTPRequestHandler):
    server: CountingServer

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.counts[self.path[1:]] += 1
        body = f"did {self.path[1:]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def counting_server() -> Iterator[CountingServer]:
    """A server on loopback that counts the POST requests for every path."""
    with CountingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
