"""Defines how rewards become advantages: Eq. 2, 3 and 4, and the plain group-relative advantage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from axpo.algorithm.types import Advantage, Branch, Group
from axpo.settings.config import AdvantageConfig
from axpo_agents.errors import NonFiniteError
from axpo_agents.types import Rollout
from axpo_envs.types import StopReason

STD_EPSILON: Final = 1e-6
"""Added to the standard deviation, as in verl's GRPO."""


def compute_advantages(
    groups: Sequence[Group], config: AdvantageConfig, *, success_threshold: float = 0.5
) -> tuple[Advantage, ...]:
    """Credits every rollout and continuation of a step: step 4 of "One training step" (algorithm.md).

    Without branches this is GRPO: each rollout's sampled tokens get (r - mean) / (std + 1e-6) over its
    group. With branches:

    - Eq. 2: a continuation is normalized among its siblings; only what was sampled after the frozen prefix is covered.
    - Eq. 3: the source's recovery reward, see `recovery_reward`: 1 or 0 where rewards are binary, as in the paper.
    - Eq. 4: the source's sampled tokens up to the cut, earlier turns included, get the normalized recovery reward
      within the group, of which only this one reward is replaced; the source's tokens behind the cut are covered by
      nothing. Every other rollout keeps its advantage in the unmodified group.

    A point at the very beginning (`Cut.QUESTION`) freezes nothing: there is no prefix to credit, and the source keeps
    its own reward and advantage, as it does with `prefix_credit` off. With `separate_groups` off, the rewards of all
    rollouts and continuations of a question share one normalization; a continuation is then covered from its first
    token on, frozen ones included, and Eq. 3 and 4 do not apply. `continuation_loss` off only drops the continuations'
    own advantages. With `mask_truncated`, rollouts and continuations that ran over a limit have no advantage of their
    own, and count in mean and standard deviation all the same. `strata` and `strata_lift` are those of `stratified`,
    `graded` that of `recovery_reward` and Eq. 2. A source behind which tokens were added (`BranchPoint.added`) keeps
    its own reward and advantage; what was added has that of Eq. 4, if positive, where a continuation is right.

    Args:
        groups: the step's groups, with their branches.
        config: what is credited, and what is normalized together.
        success_threshold: Eq. 3: a continuation with at least this reward counts as a recovery.

    Returns:
        Advantages in the order of groups, rollouts, then continuations; rollouts that sampled nothing have none.

    Raises:
        ValueError: a rollout was recorded without tokens, or two branches froze prefixes of one rollout.
        NonFiniteError: a reward, or an advantage made of it, is infinite or not a number.
    """
    return tuple(
        advantage
        for index, group in enumerate(groups)
        for advantage in (
            _separate(index, group, config, success_threshold)
            if config.separate_groups
            else _joined(index, group, config)
        )
        if advantage.start < advantage.stop
    )


def normalize(rewards: Sequence[float], *, divide: bool = True) -> list[float]:
    """(r - mean) / (sample standard deviation + 1e-6), or r - mean; exactly 0 where all rewards are equal, NaN where
    one (or the deviation) is not finite.

    Worked value: (1, 0, 0, 0) has mean 1/4 and standard deviation 1/2: (1.5, -0.5, -0.5, -0.5), up to 1e-6;
    undivided (0.75, -0.25, -0.25, -0.25).
    """
    count = len(rewards)
    if not all(map(math.isfinite, rewards)):
        return [math.nan] * count
    if not rewards or min(rewards) == max(rewards):
        return [0.0] * count
    mean = math.fsum(reward / count for reward in rewards)
    std = math.hypot(*(reward - mean for reward in rewards)) / math.sqrt(count - 1)
    if not math.isfinite(std):
        return [math.nan] * count
    return [(reward - mean) / (std + STD_EPSILON) if divide else reward - mean for reward in rewards]


def stratified(group: Group, config: AdvantageConfig) -> list[float]:
    """The advantages of a group's rollouts: among all, mixed with those among their stratum, the rollouts that call a
    tool or those that call none.

    With a = `strata`: a A_stratum + (1 - a) A_group (Stratified GRPO, arXiv:2510.06214). With `strata_lift` (ours) only
    where A_group is below 0 and the mixture above it, else A_group.

    Worked value: tool rollouts with rewards (0, 0), others with (1, 0): A_group is (-0.5, -0.5, 1.5, -0.5), A_stratum
    (0, 0, 0.71, -0.71); a = 0.5 gives (-0.25, -0.25, 1.1, -0.6), and with `strata_lift` (-0.25, -0.25, 1.5, -0.5).
    """
    rewards = [rollout.reward for rollout in group.rollouts]
    among_all = normalize(rewards, divide=config.divide_by_std)
    if config.strata == 0:
        return among_all
    acting = [rollout.used_tool for rollout in group.rollouts]
    strata = {
        kind: iter(
            normalize([r for r, acts in zip(rewards, acting, strict=True) if acts is kind], divide=config.divide_by_std)
        )
        for kind in (True, False)
    }
    mixed = [
        config.strata * next(strata[acts]) + (1 - config.strata) * value
        for value, acts in zip(among_all, acting, strict=True)
    ]
    if not config.strata_lift:
        return mixed
    return [max(value, other) if value < 0 else value for value, other in zip(among_all, mixed, strict=True)]


def is_recovered(branch: Branch, *, success_threshold: float) -> bool:
    """Eq. 3: whether some continuation succeeded."""
    return any(continuation.reward >= success_threshold for continuation in branch.continuations)


def recovery_reward(source: Rollout, branch: Branch, *, success_threshold: float, graded: bool = False) -> float:
    """Eq. 3 on the scale of the group's own rewards.

    The paper's rewards are 0 and 1, and so is its recovery reward. Written into a group of other rewards (-1 and +1, a
    penalty or bonus, 0 to 10, F1), a 0 can be a gain and a 1 a loss. So the prefix of a source that recovered gets the
    best of its continuations' rewards, at least the source's own, and one that did not keeps the source's own.
    On binary rewards this is the paper's formula. On any scale the advantage of Eq. 4 is at most the source's ordinary
    one where nothing recovered (it is equal), and at least that where something did.

    Graded it is the mean of the continuations' rewards.

    Worked values: source -1, continuations (-1, -1), threshold 0: -1. Source 0, continuations (10, 0), threshold 5: 10;
    graded 5.
    """
    if graded:
        return math.fsum(continuation.reward for continuation in branch.continuations) / len(branch.continuations)
    if not is_recovered(branch, success_threshold=success_threshold):
        return source.reward
    return max(source.reward, *(continuation.reward for continuation in branch.continuations))


def _separate(index: int, group: Group, config: AdvantageConfig, success_threshold: float) -> Iterator[Advantage]:
    rewards = [rollout.reward for rollout in group.rollouts]
    credited = _credited(group) if config.prefix_credit else {}
    divide = config.divide_by_std
    for number, (rollout, value) in enumerate(zip(group.rollouts, stratified(group, config), strict=True)):
        branch = credited.get(number)
        if branch is None:
            if is_trained(rollout, config):
                yield advantage_of(index, rollout, value)
        else:
            recovery = recovery_reward(rollout, branch, success_threshold=success_threshold, graded=config.graded)
            replaced = [*rewards[:number], recovery, *rewards[number + 1 :]]
            yield advantage_of(index, rollout, normalize(replaced, divide=divide)[number], stop=cut_of(branch, rollout))
    if config.continuation_loss:
        for branch in group.branches:
            yield from among_siblings(index, branch, config)
    yield from _of_added(index, group, config, success_threshold)


def among_siblings(index: int, branch: Branch, config: AdvantageConfig) -> Iterator[Advantage]:
    """Eq. 2: the advantages of a branch's continuations, on what was sampled behind its prefix and what was added."""
    own = [continuation.reward for continuation in branch.continuations]
    values = normalize(own, divide=config.divide_by_std and not config.graded)
    for continuation, value in zip(branch.continuations, values, strict=True):
        if is_trained(continuation, config):
            start = cut_of(branch, continuation) + len(branch.point.added)
            yield advantage_of(index, continuation, value, start=start)


def _of_added(index: int, group: Group, config: AdvantageConfig, success_threshold: float) -> Iterator[Advantage]:
    """What was added behind sources is trained once, where it recovered, by the credit that a prefix would get."""
    for branch in group.branches:
        if branch.point.added and is_recovered(branch, success_threshold=success_threshold):
            number, first = branch.point.rollout, branch.continuations[0]
            rewards = [rollout.reward for rollout in group.rollouts]
            rewards[number] = recovery_reward(
                group.rollouts[number], branch, success_threshold=success_threshold, graded=config.graded
            )
            value = max(0.0, normalize(rewards, divide=config.divide_by_std)[number])
            start = cut_of(branch, first)
            yield advantage_of(index, first, value, start=start, stop=start + len(branch.point.added))


def _joined(index: int, group: Group, config: AdvantageConfig) -> Iterator[Advantage]:
    continuations = [continuation for branch in group.branches for continuation in branch.continuations]
    rollouts = [*group.rollouts, *continuations]
    values = normalize([rollout.reward for rollout in rollouts], divide=config.divide_by_std)
    trained = len(rollouts) if config.continuation_loss else len(group.rollouts)
    for rollout, value in zip(rollouts[:trained], values[:trained], strict=True):
        if is_trained(rollout, config):
            yield advantage_of(index, rollout, value)


def is_trained(rollout: Rollout, config: AdvantageConfig) -> bool:
    """Whether a rollout has an advantage of its own: none that ran over a limit has, with `mask_truncated`."""
    truncated = rollout.episode.stop in (StopReason.MAX_TOKENS, StopReason.MAX_TURNS)
    return not (truncated and config.mask_truncated)


def _credited(group: Group) -> dict[int, Branch]:
    """The branches whose frozen tokens are credited, by their source: all that froze sampled tokens and no others."""
    credited: dict[int, Branch] = {}
    for branch in group.branches:
        point = branch.point
        if (point.turn == 0 and point.token == 0) or point.added:
            continue
        if point.rollout in credited:
            raise ValueError(
                f"expected at most one frozen prefix per rollout; rollout {point.rollout} of question "
                f"{group.question.id!r} has two"
            )
        credited[point.rollout] = branch
    return credited


def cut_of(branch: Branch, rollout: Rollout) -> int:
    """Position of the first token behind the frozen prefix, in the source as in its continuations."""
    return rollout.turn_offset(branch.point.turn) + branch.point.token


def advantage_of(
    index: int, rollout: Rollout, value: float, *, start: int | None = None, stop: int | None = None
) -> Advantage:
    """The advantage of a rollout of the group of that index, of its stretch from `start` to `stop`, by default of all.

    Raises:
        ValueError: the rollout was recorded without tokens.
        NonFiniteError: the value is infinite or not a number.
    """
    if not rollout.completions:
        raise ValueError(
            f"a rollout of question {rollout.episode.question.id!r} was recorded without tokens: "
            "text agents can be evaluated, not trained"
        )
    if not math.isfinite(value):
        raise NonFiniteError(
            f"expected finite advantages; got {value} for a rollout of question {rollout.episode.question.id!r} "
            f"with a reward of {rollout.reward}"
        )
    last = len(rollout.completions) - 1
    end = rollout.turn_offset(last) + len(rollout.completions[last].ids)
    return Advantage(
        rollout=rollout,
        value=value,
        start=rollout.turn_offset(0) if start is None else start,
        stop=end if stop is None else stop,
        group=index,
    )
