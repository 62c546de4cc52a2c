"""Defines `train_step`, one training step on one screen, and what it works on, `Training`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeAlias

from axpo.algorithm._cost import cost_of
from axpo.algorithm._dynamic_sampling import with_spread
from axpo.algorithm._entropy import with_floor
from axpo.algorithm._importance import Drift, corrected
from axpo.algorithm._rounds import StepRounds
from axpo.algorithm.batching import build_batch
from axpo.algorithm.buffer import GroupBuffer
from axpo.algorithm.methods import Method, method_named
from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.outcome import StepOutcome
from axpo.algorithm.replay import ReplayMemory, recalled, remembered
from axpo.algorithm.sampling import sampling_of
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Advantage, BranchPoint, Group
from axpo.algorithm.update import ALL_OF_IT, Objective, Sharing, UpdateStats, seeded, update
from axpo.settings.config import ConfigError, TrainConfig
from axpo_agents.policy import Follower, Learner, Sampler, Scorer
from axpo_agents.rolling import Lost
from axpo_envs.env import ToolEnv
from axpo_envs.tool.protocol import OneWayTool

Phase: TypeAlias = Callable[[str], AbstractContextManager[object]]
"""Is given the name of what begins, `environment`, `sampling`, `resampling` or `update`; its block lasts as long."""


class LocalPolicy(Sampler, Learner, Protocol):
    """A policy in both roles."""


def _unmeasured(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


def _at_once() -> None:
    """Nothing stands before an update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is trained, on what, and how."""

    config: TrainConfig
    """Everything that decides the results; with a learning rate."""
    env: ToolEnv
    """Asks the questions, and executes the turns."""
    sampler: Sampler
    """Samples the turns."""
    learner: Learner
    """What is trained: the sampler itself, or what the sampler follows."""
    reference: Scorer | None
    """What the KL is measured to; None without one."""
    optimizer: Optimizer
    """Changes the learner's weights."""
    buffer: GroupBuffer = field(default_factory=GroupBuffer)
    """What the update takes its groups from: those of the step, behind any that were added from elsewhere and are not
    too stale."""
    memory: ReplayMemory = field(default_factory=ReplayMemory)
    """What is learned from again (`config.replay`)."""

    sharing: Sharing = ALL_OF_IT
    """Who computes what in the update, where several processes make it together."""

    @classmethod
    def of(cls, config: TrainConfig, env: ToolEnv, policy: LocalPolicy) -> Training:
        """Trains a policy that samples for itself, from where it is now, to which the KL is measured.

        Args:
            config: everything that decides the results; with a learning rate. `model`, `env`, `log` and `out` are not
                read.
            env: asks the questions, and executes the turns.
            policy: sampler and learner in one, such as `axpo_agents.transformers_policy.load_policy` makes.

        Raises:
            ConfigError: there is no such method.
            ValueError: there is no learning rate, or nothing to train.
        """
        config = method_named(config.method).configure(config)
        return cls(
            config=config,
            env=env,
            sampler=policy,
            learner=policy,
            reference=policy.reference() if config.loss.kl > 0 else None,
            optimizer=Optimizer(policy.trainable_parameters(), config.optim, steps=config.steps),
        )

    def __post_init__(self) -> None:
        one_way = [tool.name for tool in self.env.tools if isinstance(tool, OneWayTool) and not tool.rewinds]
        if one_way and (self.method.select or self.method.refine):
            raise ConfigError(
                f"method: expected one that rolls every episode once, such as grpo, for the tool {one_way[0]!r} cannot "
                f"be rewound (it is not declared deterministic); {self.method.name!r} resamples from the middle"
            )

    @property
    def method(self) -> Method:
        """The training method."""
        return method_named(self.config.method)

    @property
    def drifts(self) -> bool:
        """Whether what samples may differ from what learns, or is to be made up for as if it did."""
        return isinstance(self.sampler, Follower) or bool(self.config.loss.max_importance)

    def seed(self, step: int, purpose: str) -> int:
        """The seed of one purpose in a step."""
        return derive_seed(self.config.seed, step, purpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledStep:
    """What was sampled for a step, and what it took."""

    step: int
    """The step."""
    groups: tuple[Group, ...]
    """The groups, with the branches that grew."""
    points: tuple[BranchPoint, ...] = ()
    """The prefixes that were selected."""
    given_up_prefixes: int = 0
    """How many of them grew nothing, because infrastructure faults took all their continuations."""
    discarded_rollouts: int = 0
    """Rollouts and continuations that were sampled, and that the method, or dynamic sampling, leaves out."""
    discarded_tokens: int = 0
    """Tokens that were sampled in them."""
    lost_rollouts: tuple[Lost, ...] = ()
    """Rollouts that infrastructure faults took for good."""
    lost_continuations: tuple[Lost, ...] = ()
    """Continuations that they took."""


def train_step(
    training: Training, step: int, *, phase: Phase = _unmeasured, before_update: Callable[[], None] = _at_once
) -> StepOutcome:
    """Samples, selects, resamples, credits, and updates: algorithm.md, "One training step".

    Args:
        training: the policy that acts and learns, where, and how.
        step: counted from 1; questions, seeds and learning rate follow from it.
        phase: stands around each phase, to measure it, say.
        before_update: called when everything is sampled, before the weights change.

    Raises:
        InfrastructureFault: every episode was lost for good.
        NonFiniteError: the policy's logits, or a reward, are infinite or not a number.
        DivergenceError: the update left something that is not finite; the weights must not be saved.
    """
    if isinstance(training.sampler, Follower):
        with phase("weights"):
            training.sampler.stage(training.learner)
            training.sampler.adopt()
    sampled = sample_step(training, step, phase=phase)
    before_update()
    training.buffer.add(sampled.groups, step=step)
    return learn_step(training, sampled, phase=phase)


def sample_step(training: Training, step: int, *, phase: Phase = _unmeasured) -> SampledStep:
    """Samples, selects, and resamples: what a step does before its update; raises as `train_step` does.

    The learner is not asked for anything but log-probabilities (by methods that force calls open).
    """
    config, method, rounds = training.config, training.method, StepRounds(training, step, phase)
    rounds.begin()
    if config.sampling.dynamic_rounds:
        rounds.groups = with_spread(rounds, method)
    groups = rounds.groups if method.refine is None else method.refine(rounds)
    points = () if method.select is None else method.select(groups, config, seed=training.seed(step, "selection"))
    groups = rounds.attempt(groups, points)
    discarded = rounds.sampled.minus(cost_of(groups))
    return SampledStep(
        step=step,
        groups=groups,
        points=rounds.points,
        given_up_prefixes=rounds.given_up,
        discarded_rollouts=discarded.rollouts,
        discarded_tokens=discarded.tokens,
        lost_rollouts=tuple(rounds.lost_rollouts),
        lost_continuations=tuple(rounds.lost_continuations),
    )


class _Learned(NamedTuple):
    """What an update did: see `StepOutcome`."""

    stats: UpdateStats
    lr: float
    replayed: int
    drift: Drift | None


def learn_step(training: Training, sampled: SampledStep, *, phase: Phase = _unmeasured) -> StepOutcome:
    """Credits and updates: what a step does once its groups lie in the buffer.

    Args:
        training: the policy that learns, and the buffer.
        sampled: what was sampled for the step; its groups are taken from the buffer, without those that are too stale.
        phase: stands around the update, to measure it, say.

    Raises:
        DivergenceError: the update left something that is not finite; the weights must not be saved.
    """
    config, method, step = training.config, training.method, sampled.step
    buffer, learner = training.buffer, training.learner
    dropped = buffer.dropped_stale
    buffer.advance(learner.version)
    groups = buffer.take_for(step)
    advantages = method.credit(groups, config)
    # What was kept for sampling would take memory from the update.
    _forget(training)
    with phase("update"), seeded(training.seed(step, "dropout")):
        learned = _updated(training, step, advantages)
    staleness = _staleness(groups, learner.version) if isinstance(training.sampler, Follower) else ()
    learner.advance_version()
    if config.replay.steps:
        training.memory.content = remembered(training.memory.content, groups, advantages, step, config.replay)
    _forget(training)
    return StepOutcome(
        groups=groups,
        points=sampled.points,
        given_up_prefixes=sampled.given_up_prefixes,
        stats=learned.stats,
        lr=learned.lr,
        replayed=learned.replayed,
        discarded_rollouts=sampled.discarded_rollouts,
        discarded_tokens=sampled.discarded_tokens,
        lost_rollouts=sampled.lost_rollouts,
        lost_continuations=sampled.lost_continuations,
        drift=learned.drift,
        staleness=staleness,
        dropped_groups=buffer.dropped_stale - dropped,
    )


def _updated(training: Training, step: int, advantages: Sequence[Advantage]) -> _Learned:
    """Changes the learner's weights by what its rollouts are credited with, and by what is learned from again."""
    config, learner = training.config, training.learner
    plan, seed = learner.plan, training.seed(step, "batches")
    replayed = recalled(training.memory.content, step, config.replay)
    minibatches = build_batch(advantages, config.loss, config.optim, plan=plan, seed=seed, replayed=replayed)
    lr = training.optimizer.start_step(step)
    minimized = objective(training)
    drift = None
    if training.drifts:
        minibatches, drift = corrected(minibatches, learner, minimized, sharing=training.sharing)
    minimized = replace(minimized, loss=with_floor(minimized.loss, minibatches))
    stats = update(learner, training.optimizer, minibatches, minimized, sharing=training.sharing)
    return _Learned(stats, lr, len(replayed), drift)


def _forget(training: Training) -> None:
    """Drops the keys and values that models kept of earlier turns."""
    # What follows may be sampling now; it forgets when it adopts other weights.
    sampler = None if isinstance(training.sampler, Follower) else training.sampler
    for model in (sampler, training.learner, training.reference):
        if model is not None:
            model.forget()


def _staleness(groups: Sequence[Group], version: int) -> tuple[int, ...]:
    """How many updates behind each turn's weights were; frozen turns of continuations count once, with their source."""
    turns = [turn for group in groups for rollout in group.rollouts for turn in rollout.completions]
    for group in groups:
        for branch in group.branches:
            turns += [turn for c in branch.continuations for turn in c.completions[branch.point.turn :]]
    return tuple(version - turn.policy_version for turn in turns)


def objective(training: Training) -> Objective:
    """What a step's update minimizes."""
    sampling = sampling_of(training.config.sampling, training.sampler)
    return Objective(
        loss=training.config.loss,
        temperature=sampling.temperature,
        truncation=sampling.truncation,
        reference=training.reference,
        function=training.method.loss,
    )
