"""Defines RLTF-SD, self-distillation with text feedback (arXiv:2602.02482): second attempts, which saw how the first
ones ended, are learned as if they were first ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Final

from axpo.algorithm.advantages import advantage_of, compute_advantages
from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.types import Advantage, Branch, BranchPoint, Group
from axpo.settings.config import LossConfig, TrainConfig
from axpo_agents.types import Rollout
from axpo_envs.types import Question

if TYPE_CHECKING:
    import torch

    from axpo.algorithm.loss import LossStats, Targets


def with_feedback(rollout: Rollout, success_threshold: float) -> Question:
    """The question of a rollout, and behind it how that attempt ended; the reference answer is not told."""
    question = rollout.episode.question
    answer = next((turn.answer for turn in reversed(rollout.episode.turns) if turn.answer is not None), None)
    attempt = "An earlier attempt gave no answer" if answer is None else f"An earlier attempt answered: {answer}"
    verdict = "right" if rollout.reward >= success_threshold else "wrong"
    return replace(question, prompt=(*question.prompt, f"\n{attempt}. That was {verdict}."))


def distilled(first: Rollout, second: Rollout) -> Rollout:
    """The second attempt, written behind the prompt that the first one saw."""
    begun = replace(second.completions[0], context=first.completions[0].context)
    return replace(second, completions=(begun, *second.completions[1:]))


def rltf_credit(groups: Sequence[Group], config: TrainConfig) -> tuple[Advantage, ...]:
    """First attempts are credited as in GRPO; a second attempt gets its reward less the mean of the first attempts'.

    Worked value: first attempts with rewards (1, 0, 0, 0): a right second attempt gets 0.75, a wrong one -0.25.
    """
    firsts = [group.with_branches(()) for group in groups]
    own = compute_advantages(firsts, config.advantages, success_threshold=config.success_threshold)
    return (*own, *(advantage for index, group in enumerate(groups) for advantage in _of_seconds(index, group)))


def _of_seconds(index: int, group: Group) -> Iterator[Advantage]:
    baseline = fmean(rollout.reward for rollout in group.rollouts)
    for branch in group.branches:
        for second in branch.continuations:
            yield advantage_of(index, second, second.reward - baseline)


def rltf_loss(
    logprobs: torch.Tensor, targets: Targets, config: LossConfig, *, reference: torch.Tensor | None = None
) -> tuple[torch.Tensor, LossStats]:
    """Minimizes -sum_t w_t [A_t log pi_t - kl * KL_t]: no importance weights, as in the paper, because second attempts
    were sampled behind another prompt. Arguments, results and errors are those of `policy_loss`."""
    # Methods have names where torch is not installed; only their losses need it.
    from axpo.algorithm.loss import TrainedTokens

    tokens = TrainedTokens.of(logprobs, targets, config, reference)
    ratio = tokens.log_ratio.detach().exp()
    nothing = ratio < 0
    return tokens.loss(tokens.advantages * tokens.current, config, ratio=ratio, clipped=(nothing, nothing))


def _second_attempts(rounds: Rounds) -> tuple[Group, ...]:
    threshold = rounds.config.success_threshold
    told = [with_feedback(rollout, threshold) for group in rounds.groups for rollout in group.rollouts]
    seconds: dict[str, list[Rollout]] = defaultdict(list)
    for answered in rounds.ask(told, size=1):
        seconds[answered.question.id] += (r for r in answered.rollouts if r.completions[0].ids)
    return tuple(_joined(index, group, seconds.pop(group.question.id, [])) for index, group in enumerate(rounds.groups))


def _joined(index: int, group: Group, seconds: Sequence[Rollout]) -> Group:
    """The group with its second attempts as a branch that begins at the question."""
    if not seconds:
        return group
    first = group.rollouts[0]
    point = BranchPoint(
        group=index,
        rollout=0,
        turn=0,
        token=0,
        confidence=1.0,
        snapshot=first.snapshots[0],
        continuations=len(seconds),
    )
    return group.with_branches((Branch(point=point, continuations=tuple(distilled(first, one) for one in seconds)),))


RLTF: Final = Method(name="rltf", label="RLTF-SD", refine=_second_attempts, credit=rltf_credit, loss=rltf_loss)
"""GRPO without ratios, and as many second attempts, from whose prompts the feedback is taken before they are learned.

Compared with GRPO at twice the rollouts (`grpo_n16`). The paper's feedback is a critic's; here it is the earlier answer
and whether it was right. Its second turn is trained as such, too, which is left out here."""
