"""Defines `opened`, points of rollouts behind which a tool call is forced open that the policy did not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import ConfigError
from axpo_agents.policy import Sampler, Scorer
from axpo_agents.types import Sampling, TokenSequence
from axpo_envs.plumbing.extras import requiring
from axpo_envs.turn_format.tags import THINK_CLOSE
from axpo_envs.types import ToolCall

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

    def ids(self, tool: str) -> tuple[int, ...]:
        """What opens a call in the way the model writes it, such as `<tool_call>`.

        Raises:
            ConfigError: the policy cannot write calls, or finds none in what it writes.
        """
        write, read = getattr(self.sampler, "encode_call", None), getattr(self.sampler, "encode_turn", None)
        if write is None or read is None:
            kind = type(self.sampler).__name__
            raise ConfigError(f"method: forcing calls expects a policy that can write them (encode_call); got {kind}")
        call = tuple(write(ToolCall(name=tool, arguments="{}")))
        # A chat template may have opened the thinking already, within which there is no call.
        for before in ((), tuple(read(THINK_CLOSE))):
            cut = self.sampler.find_spans(before + call).cut
            if cut is not None:
                return call[: cut - len(before)]
        raise ConfigError(f"method: forcing calls expects a policy that finds the call in {call}; it finds none")


def opened(
    groups: Sequence[Group], points: Sequence[BranchPoint], tool: str, opener: Opener
) -> tuple[BranchPoint, ...]:
    """The points with the opening of a call behind them, and its log-probabilities there.

    Raises:
        ConfigError: the policy cannot write calls.
    """
    ids = opener.ids(tool)
    sequences = []
    for point in points:
        source = groups[point.group].rollouts[point.rollout]
        cut = source.completions[point.turn]
        frozen = cut.ids[: point.token] + ids
        begun = replace(cut, ids=frozen, logprobs=cut.logprobs[: point.token] + (0.0,) * len(ids))
        sequences.append(TokenSequence.of((*source.completions[: point.turn], begun)))
    sampling = opener.sampling
    with torch.no_grad():
        scored = opener.scorer.logprobs(sequences, temperature=sampling.temperature, truncation=sampling.truncation)
    return tuple(
        replace(point, added=ids, added_logprobs=tuple(logprobs[-len(ids) :].tolist()))
        for point, logprobs in zip(points, scored, strict=True)
    )
