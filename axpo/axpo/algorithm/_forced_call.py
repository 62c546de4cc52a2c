"""Defines `opened`, points of rollouts behind which a tool call is forced open that the policy did not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from axpo.algorithm._call_opening import behind_thinking, opening_behind
from axpo.algorithm.types import BranchPoint, Group
from axpo_agents.policy import Sampler, Scorer
from axpo_agents.types import Sampling, TokenSequence
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """What is needed to open a call: who writes it, and who knows its probability."""

    sampler: Sampler
    """Writes calls (`encode_call`), and finds their opening."""
    scorer: Scorer
    """Knows the log-probabilities of tokens."""
    sampling: Sampling
    """How turns are sampled: the distribution that the probabilities are those of."""
    tool: str
    """The name of a tool, with which a call is written; the opening does not hold it."""


def opened(groups: Sequence[Group], points: Sequence[BranchPoint], opener: Opener) -> tuple[BranchPoint, ...]:
    """Points within turns that hold no call, moved behind the thinking and its white space, with the opening of a call
    behind them and its log-probabilities there. Points at which no call would be read are left out.

    Raises:
        ConfigError: the policy does not say how calls begin.
    """
    kept, sequences = [], []
    for point in points:
        source = groups[point.group].rollouts[point.rollout]
        cut = source.completions[point.turn]
        token = behind_thinking(opener.sampler, cut)
        added = None if token is None else opening_behind(opener.sampler, cut.ids[:token], opener.tool)
        if token is None or added is None:
            continue
        logprobs = cut.logprobs[:token] + (0.0,) * len(added)
        begun = replace(cut, ids=cut.ids[:token] + added, logprobs=logprobs)
        sequences.append(TokenSequence.of((*source.completions[: point.turn], begun)))
        kept.append(replace(point, token=token, added=added))
    if not kept:
        return ()
    sampling = opener.sampling
    with torch.no_grad():
        scored = opener.scorer.logprobs(sequences, temperature=sampling.temperature, truncation=sampling.truncation)
    return tuple(
        replace(point, added_logprobs=tuple(logprobs[-len(point.added) :].tolist()))
        for point, logprobs in zip(kept, scored, strict=True)
    )
