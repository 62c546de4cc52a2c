"""Defines how groups are sampled, and how branches are grown from the points that were selected."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from axpo.algorithm.buffer import BufferSettings, GroupBuffer, Slot
from axpo.algorithm.seeds import derive_seed
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.settings.config import SamplingConfig
from axpo_agents.policy import Sampler, TextAgent
from axpo_agents.rolling import Lost, Start, roll, roll_agent
from axpo_agents.types import Rollout, Sampling
from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.web import Retries
from axpo_envs.types import Question

logger = logging.getLogger(__name__)

Run: TypeAlias = Callable[[Sequence[Start]], list[Rollout | Lost]]
"""Runs episodes to their ends, tools included; what becomes of one depends on its start alone."""
Divided: TypeAlias = Callable[[Sequence[Start], Run], list[Rollout | Lost]]
"""Has episodes run, some here and some on other processes; all of them in the order of the starts."""

LONGEST_WAIT_S: Final = 30.0
"""No wait before a faulty turn is executed again is longer."""


def _forget(_lost: Lost) -> None:
    """Keeps no count of what was lost."""


def sample_groups(
    questions: Sequence[Question],
    policy: Sampler,
    env: ToolEnv,
    config: SamplingConfig,
    *,
    seed: int,
    on_lost: Callable[[Lost], None] = _forget,
) -> tuple[Group, ...]:
    """Samples `config.group_size` episodes of every question, each with its own environment seed.

    What an episode becomes depends on the seed, its question's id and its number in the group, not on which other
    questions are asked beside it. A turn that met an infrastructure fault is executed again with the same tokens, up to
    `config.fault_retries` times; then the episode is dropped, its group shrinks, and vanishes with its last episode. No
    episode is ever begun anew: those that call a faulty tool would be replaced by some that do not.

    Args:
        questions: what is asked.
        policy: samples the turns.
        env: executes them.
        config: how many episodes, and how they are sampled.
        seed: of everything.
        on_lost: told of every episode that was dropped.

    Returns:
        The groups in the order of the questions.

    Raises:
        InfrastructureFault: every episode was lost for good; the last fault.
        NonFiniteError: the policy's logits, or a reward, are infinite or not a number.
    """
    families = []
    asked: Counter[str] = Counter()
    for question in questions:
        seeds = [
            derive_seed(seed, "episode", question.id, asked[question.id], number) for number in range(config.group_size)
        ]
        families.append([Start(state=env.begin(question, seed=own), seed=own) for own in seeds])
        asked[question.id] += 1
    groups, lost = _finish(families, policy, env, config, seed=derive_seed(seed, "groups"))
    if lost and not any(group.rollouts for group in groups):
        raise lost[-1].fault
    _report(lost, on_lost)
    return tuple(group for group in groups if group.rollouts)


def agent_groups(
    questions: Sequence[Question],
    agent: TextAgent,
    env: ToolEnv,
    config: SamplingConfig,
    *,
    seed: int,
) -> tuple[Group, ...]:
    """The groups of an agent that writes text, as `sample_groups` makes those of a policy; they hold no tokens.

    Raises:
        InfrastructureFault: a tool's machinery failed for good; an agent's episode cannot be gone on with.
    """
    groups = []
    for asked, question in enumerate(questions):
        numbers = range(config.group_size)
        states = [
            env.begin(question, seed=derive_seed(seed, "episode", question.id, _earlier(questions, asked), number))
            for number in numbers
        ]
        groups.append(Group(question=question, rollouts=tuple(roll_agent(agent, env, states))))
    return tuple(groups)


def _earlier(questions: Sequence[Question], place: int) -> int:
    """How often a question stands before its place: each time it is asked with other seeds."""
    return sum(question.id == questions[place].id for question in questions[:place])


def resample(  # noqa: PLR0913  (what `sample_groups` takes, and the points)
    groups: Sequence[Group],
    points: Sequence[BranchPoint],
    policy: Sampler,
    env: ToolEnv,
    config: SamplingConfig,
    *,
    seed: int,
    on_lost: Callable[[Lost], None] = _forget,
) -> tuple[Group, ...]:
    """Grows a branch of continuations from every point: step 3 of "One training step" (algorithm.md).

    Every continuation starts from the environment's snapshot before the point's turn and from the source's token
    ids up to the cut. Faulty turns are executed again, and lost continuations dropped, as in `sample_groups`. A point
    that lost all of them is given up, which is logged: it gets no branch, as if it had not been selected.

    Returns:
        The same groups with the branches, in the order of the points.

    Raises:
        SnapshotError: a point's snapshot cannot be restored in this environment.
        NonFiniteError: the policy's logits, or a reward, are infinite or not a number.
    """
    families = []
    for point in points:
        env.check(point.snapshot)
        source = groups[point.group].rollouts[point.rollout]
        start = Start.within(source, turn=point.turn, token=point.token)
        forced, logprobs = start.forced + point.added, start.forced_logprobs + point.added_logprobs
        start = replace(start, forced=forced, forced_logprobs=logprobs)
        seeds = [derive_seed("continuation", point.group, point.rollout, k) for k in range(point.continuations)]
        families.append([replace(start, seed=own) for own in seeds])
    grown: list[list[Branch]] = [list(group.branches) for group in groups]
    finished, lost = _finish(families, policy, env, config, seed=derive_seed(seed, "branches"))
    _report(lost, on_lost)
    for point, family in zip(points, finished, strict=True):
        if family.rollouts:
            grown[point.group].append(Branch(point=point, continuations=family.rollouts))
        else:
            logger.warning(
                "a prefix of question %r is given up: infrastructure faults took all of its %d continuations",
                family.question.id,
                point.continuations,
            )
    return tuple(group.with_branches(tuple(branches)) for group, branches in zip(groups, grown, strict=True))


def sampling_of(config: SamplingConfig, policy: Sampler) -> Sampling:
    """How a policy's turns are sampled: no episode becomes longer than what its model was made for."""
    most = getattr(policy, "max_tokens", None)
    sampling = config.sampling
    return sampling if most is None else replace(sampling, max_episode_tokens=min(sampling.max_episode_tokens, most))


def run_starts(
    starts: Sequence[Start],
    policy: Sampler,
    env: ToolEnv,
    config: SamplingConfig,
    *,
    seed: int,
    forbidden: tuple[int, ...] = (),
) -> list[Rollout | Lost]:
    """Runs episodes to their ends from wherever they start; faulty turns are executed again as in `sample_groups`.

    Args:
        starts: where they start.
        policy: samples the turns.
        env: executes them.
        config: how they are sampled.
        seed: of everything; an episode with a seed of its own depends on nothing that is sampled beside it.
        forbidden: token ids that are not sampled.

    Returns:
        In the order of the starts: the finished episode, or what was lost to an infrastructure fault for good.

    Raises:
        NonFiniteError: the policy's logits, or a reward, are infinite or not a number.
    """
    retries = Retries(
        attempts=config.fault_retries + 1, first_wait_s=config.fault_wait_s, longest_wait_s=LONGEST_WAIT_S
    )
    sampling = replace(sampling_of(config, policy), forbidden=forbidden)

    def run(own: Sequence[Start]) -> list[Rollout | Lost]:
        return roll(policy, env, own, sampling, seed=seed, retries=retries)

    # A policy on several processes runs some of the episodes on each (`axpo.distributed.episodes`).
    divided: Divided | None = getattr(policy, "divided", None)
    return run(starts) if divided is None else divided(starts, run)


def _finish(
    families: Sequence[Sequence[Start]], policy: Sampler, env: ToolEnv, config: SamplingConfig, *, seed: int
) -> tuple[tuple[Group, ...], list[Lost]]:
    """Runs all episodes to their ends; one group per family, without those that were lost, and these."""
    buffer = GroupBuffer(BufferSettings(fault_retries=0, min_size=0))
    starts: dict[Slot, Start] = {}
    for family in families:
        starts.update(zip(buffer.open(family[0].state.question, len(family)), family, strict=True))
    outcomes = run_starts(list(starts.values()), policy, env, config, seed=seed)
    lost = []
    for slot, outcome in zip(starts, outcomes, strict=True):
        if isinstance(outcome, Lost):
            lost.append(outcome)
            buffer.lose(slot)
        else:
            buffer.deliver(slot, outcome)
    return buffer.take(len(families)), lost


def _report(lost: Sequence[Lost], on_lost: Callable[[Lost], None]) -> None:
    if lost:
        acted = sum(episode.used_tool for episode in lost)
        logger.warning(
            "%d episodes were lost to infrastructure faults, %d of them after they had called a tool; last: %r",
            len(lost),
            acted,
            lost[-1].fault,
        )
    for episode in lost:
        on_lost(episode)
