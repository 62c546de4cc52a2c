"""Measures what a server costs as sampler, against the learner sampling for itself, and how long the learner waits.

Unless another is named, the server is this package's own, in a process of its own on loopback, with vLLM's endpoints:
what is measured is the way to a server and back (requests, JSON, weights through files), and what sampling ahead hides
of it, not vLLM's speed. Where vLLM is installed, it is measured in this process as well.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import torch

import axpo
from axpo.algorithm.questions import training_questions
from axpo.algorithm.sampling import sample_groups
from axpo.compare.comparison import EMBEDDED
from axpo.run.display import Silent
from axpo.run.environments import make_worlds
from axpo.settings.config import LogConfig, SamplingConfig, TrainConfig
from axpo_agents.policy import Follower, Sampler
from axpo_agents.testing import CompletionsServer
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_benchmarks.speed.pairs import measure_pairs
from axpo_benchmarks.speed.rows import Absolute, Ratio, Row

_READY_S: Final = 300
"""Seconds in which the server's process should have loaded its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    questions: int = 8
    """Questions of a step."""
    group_size: int = 8
    """Rollouts of each."""
    steps: int = 5
    """Steps of a run; the first is left out."""
    rounds: int = 2
    """How often each kind of run is made, in turns."""
    repeats: int = 5
    """How often what is not a run is timed."""

    @property
    def sampling(self) -> SamplingConfig:
        """How a run of this size samples."""
        return replace(EMBEDDED.sampling, questions=self.questions, group_size=self.group_size)


class _Follows(Sampler, Follower, Protocol):
    """A sampler that follows a learner."""


def measure(*, size: Size | None = None, server: str | None = None) -> list[Row]:
    """Sampling, new weights, and whole steps with a server as sampler.

    Args:
        size: how much is measured.
        server: address of one that serves the embedded policy; None starts this package's own.
    """
    size = size or Size()
    with _server() if server is None else nullcontext(server) as url:
        return [*_alone(url, size), *_steps(url, size)]


def _alone(url: str, size: Size) -> Iterator[Row]:
    """Rollouts and new weights, each in both ways in turns."""
    learner = load_policy(EMBEDDED.model)
    with tempfile.TemporaryDirectory() as folder:
        with _served(url, Path(folder)) as served:
            yield from _rollouts("server", served, learner, size)
            yield from _weights("server", served, learner, size)
        if importlib.util.find_spec("vllm") is not None:
            with _vllm(Path(folder)) as engine:
                yield from _rollouts("vLLM", engine, learner, size)
                yield from _weights("vLLM", engine, learner, size)


def _rollouts(name: str, sampler: Sampler, learner: TransformersPolicy, size: Size) -> Iterator[Row]:
    env = make_worlds(EMBEDDED.env, EMBEDDED.env_args).training
    questions = training_questions(env.questions, seed=0, step=1, count=size.questions)
    counts: dict[str, int] = {}

    def roll(who: str, policy: Sampler) -> None:
        groups = sample_groups(questions, policy, env, size.sampling, seed=0)
        turns = [turn for group in groups for rollout in group.rollouts for turn in rollout.completions]
        counts[who] = sum(len(turn.ids) for turn in turns)

    pairs = measure_pairs(
        partial(roll, name, sampler), partial(roll, "in process", learner), repeats=size.repeats, prepare=learner.forget
    )
    ways = ((name, pairs.first), ("in process", pairs.second))
    per_token = {who: median(seconds) / counts[who] for who, seconds in ways}
    yield Ratio(
        name=f"time of a sampled token, {name} / in process",
        ratio=per_token[name] / per_token["in process"],
        target=None,
    )
    for who, seconds in per_token.items():
        yield Absolute(name=f"sampling, {who}", value=1 / seconds, unit="tokens/s", limit=None)


def _weights(name: str, sampler: _Follows, learner: TransformersPolicy, size: Size) -> Iterator[Row]:
    follower = learner.follower()

    def hand_over(to: Follower) -> None:
        to.stage(learner)
        to.adopt()

    pairs = measure_pairs(
        partial(hand_over, sampler),
        partial(hand_over, follower),
        repeats=size.repeats,
        prepare=learner.advance_version,
    )
    yield pairs.ratio(f"new weights, {name} / in process", None)
    yield Absolute(name=f"new weights, {name}", value=1e3 * median(pairs.first), unit="ms", limit=None)


def _steps(url: str, size: Size) -> Iterator[Row]:
    """Whole runs on the server, one behind the other in turns."""
    seconds: dict[int, list[float]] = {0: [], 1: [], 2: []}
    waited: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for _ in range(size.rounds):
        for staleness, steps in seconds.items():
            for record in _run(url, staleness, size):
                step = record["seconds_step"]
                steps.append(step)
                computing = record["seconds_update"] + record["seconds_reference"]
                waited[staleness].append(1 - min(1.0, computing / step))
    for staleness, shares in waited.items():
        name = f"share of a step that the learner waits, server, max_staleness {staleness}"
        yield Absolute(name=name, value=100 * median(shares), unit="%", limit=None)
    for staleness in (1, 2):
        ratio = median(seconds[0]) / median(seconds[staleness])
        yield Ratio(name=f"step on a server, max_staleness 0 / {staleness}", ratio=ratio, target=None)


def _run(url: str, staleness: int, size: Size) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        config: TrainConfig = replace(
            EMBEDDED,
            sampler=url,
            max_staleness=staleness,
            sampling=size.sampling,
            steps=size.steps,
            out=str(Path(folder) / "run"),
            log=LogConfig(eval_questions=0, tensorboard=False, rollouts_every=0, checkpoint_every=size.steps),
        )
        return list(axpo.train(config, display=Silent()).metrics[1:])


@contextmanager
def _served(url: str, folder: Path) -> Iterator[_Follows]:
    from axpo_agents.remote import RemoteSettings, WeightForm, load_served_sampler

    with load_served_sampler(EMBEDDED.model, RemoteSettings(url=url), WeightForm.RELOAD, folder) as sampler:
        yield sampler


@contextmanager
def _vllm(folder: Path) -> Iterator[_Follows]:
    from axpo_agents.remote import WeightForm, load_vllm_sampler

    options = {
        "max_model_len": EMBEDDED.sampling.max_episode_tokens,
        "dtype": "float32",
        # On CPUs what vLLM compiles takes minutes.
        "enforce_eager": not torch.cuda.is_available(),
    }
    with load_vllm_sampler(EMBEDDED.model, WeightForm.RELOAD, folder, options) as sampler:
        yield sampler


@contextmanager
def _server() -> Iterator[str]:
    """A server in a process of its own."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        if not here.poll(_READY_S):
            raise TimeoutError(f"expected the completions server to have loaded its model within {_READY_S} s")
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(to: Connection) -> None:
    torch.set_num_threads(1)
    server = CompletionsServer(load_policy(EMBEDDED.model), quick=True)
    to.send(server.url)
    server.serve()
