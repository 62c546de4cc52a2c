"""Defines what makes the rollouts of an evaluation: `Engine`, and one for token policies and one for agents of text.

A rollout is a function of the evaluation's seed, its question and its number, whatever is made beside it: that is why
an evaluation that was killed goes on as if it had not been.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Group
from axpo.records.evaluation_records import EvaluatedRollout, said_turns
from axpo.records.tried import shared_by_tokens, tried_of
from axpo_agents.policy import Sampler
from axpo_agents.rolling import Lost, Start, roll
from axpo_agents.types import Rollout, Sampling
from axpo_benchmarks.environment import BenchmarkEnv
from axpo_benchmarks.harness._judging import judged_by
from axpo_benchmarks.harness._said import Played, Speaker, play
from axpo_benchmarks.harness._threads import side_by_side
from axpo_envs.errors import InfrastructureFault
from axpo_envs.types import Episode, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Rollouts of a question that are still to be made."""

    benchmark: str
    """The benchmark's name."""
    arm: str
    """The arm of the evaluation."""
    env: BenchmarkEnv
    """Its environment."""
    index: int
    """The question's place in it."""
    samples: tuple[int, ...]
    """The numbers of the rollouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A rollout that was made, or one that was lost."""

    job: Job
    """What it belongs to."""
    rollout: EvaluatedRollout | None
    """The rollout; None where an infrastructure fault took it."""
    fault: InfrastructureFault | None = None
    """The fault."""


class Engine(Protocol):
    """Makes rollouts."""

    def run(self, jobs: Sequence[Job]) -> Generator[Made]:
        """The rollouts of all jobs, as they end, in whatever order; closing the iterator stops the work."""
        ...


def _seed_of(seed: int, job: Job, question: Question, sample: int) -> int:
    # Not the arm's: with and without tools a rollout begins with the same random numbers.
    return derive_seed(seed, "benchmark", job.benchmark, question.id, sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEngine:
    """Rolls a policy that samples tokens."""

    policy: Sampler
    """Samples the turns."""
    sampling: Sampling
    """How."""
    seed: int
    """Of everything."""
    at_a_time: int
    """Questions whose rollouts are sampled together."""
    threads: int = 1
    """How many such batches are under way at a time; more than one is for a policy that only waits for a server."""

    def run(self, jobs: Sequence[Job]) -> Generator[Made]:
        """As `Engine`; questions of one batch are those of one environment."""
        batches: list[list[Job]] = []
        for job in jobs:
            if not batches or batches[-1][-1].env is not job.env or len(batches[-1]) == self.at_a_time:
                batches.append([])
            batches[-1].append(job)
        yield from side_by_side([partial(self._batch, batch) for batch in batches], self.threads)

    def _batch(self, jobs: Sequence[Job]) -> list[Made]:
        env, limits = jobs[0].env, self._limits()
        starts, owners = [], []
        for job in jobs:
            question = env.asked.question(job.index)
            for sample in job.samples:
                own = _seed_of(self.seed, job, question, sample)
                starts.append(Start(state=env.begin(question, seed=own), seed=own))
                owners.append((job, sample))
        begun = time.perf_counter()
        ended = roll(self.policy, env, starts, limits, seed=derive_seed(self.seed, "benchmarks"))
        seconds = time.perf_counter() - begun
        groups = [
            Group(question=rollout.episode.question, rollouts=(rollout,))
            for rollout in ended
            if isinstance(rollout, Rollout)
        ]
        shares = iter(shared_by_tokens(seconds, groups) if groups else ())
        return [self._made(job, sample, one, shares) for (job, sample), one in zip(owners, ended, strict=True)]

    def _made(self, job: Job, sample: int, ended: Rollout | Lost, shares: Iterator[float]) -> Made:
        if isinstance(ended, Lost):
            return Made(job=job, rollout=None, fault=ended.fault)
        group = Group(question=ended.episode.question, rollouts=(ended,))
        tried = tried_of(group, next(shares), success_threshold=1.0)
        tokens = Played(episode=ended.episode, written=tried.written[0], read=tried.read[0], reread=tried.reread[0])
        return Made(job=job, rollout=_evaluated(job, sample, tokens, tried.seconds))

    def _limits(self) -> Sampling:
        """No episode becomes longer than what the model was made for."""
        most = getattr(self.policy, "max_tokens", None)
        if most is None or most >= self.sampling.max_episode_tokens:
            return self.sampling
        return replace(self.sampling, max_episode_tokens=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerEngine:
    """Plays episodes with an agent that writes text."""

    speaker: Speaker
    """Writes the turns."""
    seed: int
    """Of everything."""
    threads: int = 1
    """Episodes under way at a time; more than one is for an agent that threads may share."""

    def run(self, jobs: Sequence[Job]) -> Generator[Made]:
        """As `Engine`."""
        calls = [partial(self._one, job, sample) for job in jobs for sample in job.samples]
        yield from side_by_side(calls, self.threads)

    def _one(self, job: Job, sample: int) -> list[Made]:
        question = job.env.asked.question(job.index)
        own = _seed_of(self.seed, job, question, sample)
        begun = time.perf_counter()
        try:
            played = play(self.speaker, job.env, job.env.begin(question, seed=own), seed=own)
            return [Made(job=job, rollout=_evaluated(job, sample, played, time.perf_counter() - begun))]
        except InfrastructureFault as fault:
            return [Made(job=job, rollout=None, fault=fault)]


def _evaluated(job: Job, sample: int, played: Played, seconds: float) -> EvaluatedRollout:
    episode: Episode = played.episode
    last = episode.turns[-1].text if episode.turns else ""
    verdict = job.env.scoring.verdict(episode.question, last, episode.stop)
    return EvaluatedRollout(
        question=episode.question.id,
        sample=sample,
        stop=episode.stop,
        turns=said_turns(episode),
        judged=judged_by(verdict),
        written=played.written,
        read=played.read,
        reread=played.reread,
        seconds=seconds,
    )
