"""AXPO (arXiv:2605.28774) in one file: the embedded policy learns to act, readable from top to bottom.

    python recipes/one_file_axpo.py --steps 60

Environments and policies come from `axpo_envs` and `axpo_agents`; of the trainer `axpo` nothing is used. Each step

    1. samples N rollouts of each of B questions,
    2. takes groups whose tool-using rollouts are all wrong, and of them the rollouts least sure of their first call,
    3. restores the environment before that call and resamples it K times behind the frozen thinking,
    4. turns rewards into advantages (Eq. 2 to 4), and
    5. minimizes the clipped loss with a KL to the starting policy (Eq. 5, 6), one optimizer step per mini-batch.

With the same settings a step is that of `axpo train --method axpo`: same rollouts, same loss, same weights; with
`--budget 0` it is that of GRPO. What it leaves out: checkpoints and resumption, evaluations, reports, the ablations,
other optimizers and devices, and what to do about broken tools (here the run ends). Rewards are taken to be 0 or 1.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import torch
import tyro

from axpo_agents import Completion, Rollout, Sampling, Start, TokenSequence, roll
from axpo_agents.transformers_policy import TransformersPolicy, load_policy
from axpo_envs import Question, ToolEnv


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the results; the defaults are those of `axpo train`."""

    env: str = "axpo/VisualZoom-v0"
    """Gymnasium id of the environment."""
    model: str = "tiny"
    """The embedded policy, a checkpoint folder, or a Hugging Face id."""
    steps: int = 60
    """Training steps."""
    seed: int = 0
    """Decides questions, sampling and order."""
    questions: int = 16
    """Questions per step (B)."""
    group_size: int = 8
    """Rollouts per question (N)."""
    budget: float = 0.25
    """Extra rollouts as a share of B * N (r)."""
    continuations: int = 4
    """Continuations per prefix (K)."""
    success: float = 0.5
    """A rollout with a reward below it is wrong."""
    clip: tuple[float, float] = (0.2, 0.4)
    """Probability ratios are clipped to [1 - low, 1 + high]."""
    kl: float = 1e-3
    """Weight of the KL to the starting policy (k3)."""
    lr: float = 1e-4
    """Learning rate of AdamW."""
    minibatches: int = 2
    """Optimizer steps per training step."""
    pass_tokens: int = 16384
    """Tokens per forward and backward pass."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """K continuations behind the first `token` tokens of a turn of the group's rollout number `source`."""

    source: int
    turn: int
    token: int
    continuations: Sequence[Rollout]


@dataclass(kw_only=True)
class Group:
    """The rollouts of one question, and what was grown from them."""

    question: Question
    rollouts: Sequence[Rollout]
    branches: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Credit:
    """An advantage and the positions of a rollout's token sequence that it is for: [start, stop)."""

    rollout: Rollout
    value: float
    start: int
    stop: int


def seed_of(*parts: int | str) -> int:
    """A seed that depends on every part and nothing else."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


# 1 and 3: rollouts


def finished(policy: TransformersPolicy, env: ToolEnv, starts: Sequence[Start], seed: int) -> list[Rollout]:
    """The episodes at their ends."""
    ends = []
    for outcome in roll(policy, env, starts, Sampling(), seed=seed):
        if not isinstance(outcome, Rollout):
            raise outcome.fault
        ends.append(outcome)
    return ends


def sample_groups(policy: TransformersPolicy, env: ToolEnv, settings: Settings, step: int) -> list[Group]:
    """N rollouts of each of the step's B questions."""
    first = seed_of(settings.seed, "questions") % 2**31 + (step - 1) * settings.questions
    questions = [env.questions.question(first + number) for number in range(settings.questions)]
    seed = seed_of(settings.seed, step, "sampling")
    starts = []
    for question in questions:
        for number in range(settings.group_size):
            own = seed_of(seed, "episode", question.id, 0, number)
            starts.append(Start(state=env.begin(question, seed=own), seed=own))
    rollouts = finished(policy, env, starts, seed_of(seed, "groups"))
    size = settings.group_size
    return [Group(question=q, rollouts=rollouts[i * size : (i + 1) * size]) for i, q in enumerate(questions)]


def resample(policy: TransformersPolicy, env: ToolEnv, settings: Settings, step: int, groups: Sequence[Group]) -> None:
    """Grows K continuations behind every selected prefix: snapshot restored, thinking frozen, call sampled anew."""
    points, starts = select_prefixes(groups, settings), []
    for group, source, turn, token in points:
        start = Start.within(groups[group].rollouts[source], turn=turn, token=token)
        for k in range(settings.continuations):
            starts.append(replace(start, seed=seed_of("continuation", group, source, k)))
    seed = seed_of(seed_of(settings.seed, step, "resampling"), "branches")
    grown = iter(finished(policy, env, starts, seed))
    for group, source, turn, token in points:
        continuations = [next(grown) for _ in range(settings.continuations)]
        groups[group].branches.append(Branch(source=source, turn=turn, token=token, continuations=continuations))


# 2: selection


def select_prefixes(groups: Sequence[Group], settings: Settings) -> list[tuple[int, int, int, int]]:
    """Group, rollout, turn and token of every cut: breadth first over the questions, least confident call first."""
    budget = int(settings.budget * settings.questions * settings.group_size / settings.continuations + 1e-9)
    queues = [sorted(candidates(number, group, settings)) for number, group in enumerate(groups)]
    selected = []
    for depth in range(settings.group_size):
        selected += sorted(queue[depth] for queue in queues if len(queue) > depth)
    return [place for _, place in selected[:budget]]


def candidates(number: int, group: Group, settings: Settings) -> Iterator[tuple[float, tuple[int, int, int, int]]]:
    """The cuts of a group whose tool-using rollouts are all wrong, each behind the confidence in its call."""
    acting = [(source, rollout) for source, rollout in enumerate(group.rollouts) if rollout.used_tool]
    if any(rollout.reward >= settings.success for _, rollout in acting):
        return
    for source, rollout in acting:
        called = ((turn, c) for turn, c in enumerate(rollout.completions) if c.call is not None and c.cut is not None)
        turn, completion = next(called, (0, None))
        if completion is None or completion.cut is None or completion.call is None:
            continue
        if completion.cut < len(completion.ids):
            first, last = completion.call
            confidence = math.fsum(map(math.exp, completion.logprobs[first:last])) / (last - first)
            yield confidence, (number, source, turn, completion.cut)


# 4: advantages


def credits(group: Group, settings: Settings) -> Iterator[Credit]:
    """Eq. 4 for the sources, the plain group-relative advantage for the others, Eq. 2 for continuations."""
    rewards = [rollout.reward for rollout in group.rollouts]
    branches = {branch.source: branch for branch in group.branches}
    for number, (rollout, own) in enumerate(zip(group.rollouts, normalized(rewards), strict=True)):
        value, start, stop = own, rollout.turn_offset(0), len(rollout.sequence().ids)
        if number in branches:
            branch = branches[number]
            best = max(continuation.reward for continuation in branch.continuations)
            recovery = max(best, rollout.reward) if best >= settings.success else rollout.reward
            value = normalized([*rewards[:number], recovery, *rewards[number + 1 :]])[number]
            stop = rollout.turn_offset(branch.turn) + branch.token
        yield Credit(rollout=rollout, value=value, start=start, stop=stop)
    for branch in group.branches:
        values = normalized([continuation.reward for continuation in branch.continuations])
        for rollout, value in zip(branch.continuations, values, strict=True):
            start = rollout.turn_offset(branch.turn) + branch.token
            yield Credit(rollout=rollout, value=value, start=start, stop=len(rollout.sequence().ids))


def normalized(rewards: Sequence[float]) -> list[float]:
    """(r - mean) / (sample standard deviation + 1e-6); 0 where all are equal."""
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(reward / len(rewards) for reward in rewards)
    std = math.hypot(*(reward - mean for reward in rewards)) / math.sqrt(len(rewards) - 1)
    return [(reward - mean) / (std + 1e-6) for reward in rewards]


# 5: loss and update


def update(
    policy: TransformersPolicy,
    reference: TransformersPolicy,
    optimizer: torch.optim.Optimizer,
    credited: Sequence[Sequence[Credit]],
    settings: Settings,
    *,
    seed: int,
) -> list[float]:
    """One optimizer step per mini-batch of whole groups; returns their losses."""
    order = list(range(len(credited)))
    random.Random(seed).shuffle(order)
    parts = min(settings.minibatches, len(order))
    losses = []
    for part in range(parts):
        items = [item for number in order[part::parts] for item in credited[number]]
        tokens = sum(sum(is_trained(item)) for item in items)
        items = [item for item in items if item.value != 0.0]
        if not items:
            continue
        optimizer.zero_grad()
        loss = 0.0
        for each in policy.plan([scored(item) for item in items], tokens=settings.pass_tokens):
            part_loss = loss_of(policy, reference, [items[member] for member in each.members], settings) / tokens
            part_loss.backward()  # type: ignore[no-untyped-call]
            loss += part_loss.item()
        torch.nn.utils.clip_grad_norm_(policy.trainable_parameters(), 1.0)
        optimizer.step()
        losses.append(loss)
    for model in (policy, reference):
        model.forget()
    policy.advance_version()
    return losses


def loss_of(
    policy: TransformersPolicy, reference: TransformersPolicy, items: Sequence[Credit], settings: Settings
) -> torch.Tensor:
    """Eq. 5 and 6, summed over the trained tokens of these items."""
    sequences = [scored(item) for item in items]
    with torch.no_grad():
        old_policy = torch.cat(reference.logprobs(sequences))
    current = torch.cat(policy.logprobs(sequences))
    trained = torch.tensor([flag for item in items for flag in is_trained(item)])
    sampled = [value for s in sequences for value, own in zip(s.logprobs, s.sampled, strict=True) if own]
    advantage = torch.tensor([item.value for item in items for _ in is_trained(item)])[trained]
    current, old_policy, old = current[trained], old_policy[trained], torch.tensor(sampled)[trained]
    ratio = (current - old).exp()
    clipped = ratio.clamp(1 - settings.clip[0], 1 + settings.clip[1])
    k3 = (old_policy - current).exp() - (old_policy - current) - 1
    return -(torch.minimum(ratio * advantage, clipped * advantage) - settings.kl * k3).sum()


def scored(item: Credit) -> TokenSequence:
    """The rollout up to the last token that the advantage is for."""
    kept: list[Completion] = []
    for turn, completion in enumerate(item.rollout.completions):
        take = item.stop - item.rollout.turn_offset(turn)
        if take > 0:
            kept.append(replace(completion, ids=completion.ids[:take], logprobs=completion.logprobs[:take]))
    return TokenSequence.of(kept)


def is_trained(item: Credit) -> list[bool]:
    """For every sampled token of `scored(item)`, whether the advantage is for it."""
    return [item.start <= place for place, sampled in enumerate(scored(item).sampled) if sampled]


def train(settings: Settings) -> Iterator[dict[str, Any]]:
    """Makes the steps, and says of each what there was to see."""
    env = gymnasium.make(settings.env, split="train").unwrapped
    assert isinstance(env, ToolEnv)
    policy = load_policy(settings.model)
    reference = policy.reference()
    optimizer = torch.optim.AdamW(policy.trainable_parameters(), lr=settings.lr, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(1, settings.steps + 1):
        groups = sample_groups(policy, env, settings, step)
        resample(policy, env, settings, step, groups)
        credited = [list(credits(group, settings)) for group in groups]
        seed = seed_of(settings.seed, step, "batches")
        losses = update(policy, reference, optimizer, credited, settings, seed=seed)
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        reward = sum(rollout.reward for rollout in rollouts) / len(rollouts)
        acting = sum(rollout.used_tool for rollout in rollouts) / len(rollouts)
        yield {"step": step, "groups": groups, "losses": losses, "policy": policy, "reward": reward, "acting": acting}


if __name__ == "__main__":
    for seen in train(tyro.cli(Settings)):
        print(f"step {seen['step']:3}  reward {seen['reward']:.2f}  tool attempts {seen['acting']:.2f}", flush=True)
