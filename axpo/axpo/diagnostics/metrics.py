"""Defines the diagnostics of a step and of an evaluation (the table of algorithm.md).

Every rate is a ratio of two sums over groups; a step reports the ratios, an evaluation adds intervals. Rates
describe the rollouts sampled from the question; continuations enter what is said of recovery and resampling, and the
counts. Metrics are read by people: nothing here may influence training.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from axpo.algorithm.advantages import is_recovered
from axpo.algorithm.selection import is_triggered
from axpo.algorithm.types import Group
from axpo.diagnostics._collapse import COLLAPSE_WINDOW, ToolCollapse, tool_collapse
from axpo.diagnostics.estimates import Estimate, estimate_ratio, pass_at_k
from axpo_agents.types import Rollout
from axpo_envs.parsing import parse_turn
from axpo_envs.types import Label, StopReason

__all__ = [
    "COLLAPSE_WINDOW",
    "PASS_KS",
    "RATES",
    "TERM",
    "Metrics",
    "ToolCollapse",
    "evaluation_metrics",
    "has_no_room",
    "step_metrics",
    "tool_collapse",
]

PASS_KS: Final = (1, 4)
"""The k of the Pass@k that evaluations report."""
TERM: Final = "reward/"
"""What the metric of a reward's term begins with; its name follows."""

Metrics: TypeAlias = dict[str, float | None]
"""Values by name; None where undefined (nothing to count)."""


def step_metrics(groups: Sequence[Group], *, tools: Collection[str] = (), success_threshold: float = 0.5) -> Metrics:
    """Every diagnostic of one step.

    Args:
        groups: the step's groups, with their branches.
        tools: names of the environment's tools, which `mention_without_call` looks for; undefined without any.
        success_threshold: a rollout with a reward below it is wrong.
    """
    metrics = _counts(groups, success_threshold)
    mention = _mention(tools)
    views = [_View(group, mention, success_threshold) for group in groups]
    for name, rate in _rates(groups).items():
        rates = [rate(view) for view in views]
        whole = sum(r.whole for r in rates)
        metrics[name] = math.fsum(r.part for r in rates) / whole if whole else None
    return metrics


def evaluation_metrics(
    groups: Sequence[Group], *, ks: Sequence[int] = (1, 4), tools: Collection[str] = (), success_threshold: float = 0.5
) -> dict[str, Estimate | None]:
    """Pass@k (`pass1`, `pass4`, ...) and every rate of `step_metrics`, with 95 % intervals over questions.

    A group with fewer than k rollouts does not enter Pass@k.
    """
    estimates: dict[str, Estimate | None] = {}
    outcomes = [[rollout.reward >= success_threshold for rollout in group.rollouts] for group in groups]
    for k in ks:
        enough = [outcome for outcome in outcomes if len(outcome) >= k]
        scores = [pass_at_k(len(outcome), sum(outcome), k) for outcome in enough]
        estimates[f"pass{k}"] = estimate_ratio(scores, [1] * len(scores), observations=sum(map(len, enough)))
    mention = _mention(tools)
    views = [_View(group, mention, success_threshold) for group in groups]
    for name, rate in _rates(groups).items():
        rates = [rate(view) for view in views]
        estimates[name] = estimate_ratio([r.part for r in rates], [r.whole for r in rates])
    return estimates


class _Rate(NamedTuple):
    part: float
    whole: int


class _View:
    """One group as the rates look at it."""

    def __init__(self, group: Group, mention: re.Pattern[str] | None, success_threshold: float) -> None:
        self.group = group
        self.mention = mention
        self.threshold = success_threshold
        self.rollouts = group.rollouts
        self.acting = [rollout for rollout in group.rollouts if rollout.used_tool]
        self.idle = [rollout for rollout in group.rollouts if not rollout.used_tool]
        self.calls = [call for rollout in group.rollouts for call in rollout.episode.calls]
        self.continuations = [continuation for branch in group.branches for continuation in branch.continuations]

    def wrong(self, rollout: Rollout) -> bool:
        return rollout.reward < self.threshold

    def right(self, rollouts: Sequence[Rollout]) -> _Rate:
        return _share([not self.wrong(rollout) for rollout in rollouts])

    def recovered(self) -> bool:
        """Whether a prefix of the tool-using subgroup recovered."""
        return any(
            is_recovered(branch, success_threshold=self.threshold)
            for branch in self.group.branches
            if self.rollouts[branch.point.rollout].used_tool
        )

    def all_wrong_after_resampling(self) -> _Rate:
        before = self.all_wrong(self.acting)
        return _Rate(0.0 if self.recovered() else before.part, before.whole)

    def flipped(self) -> _Rate:
        before = self.all_wrong(self.acting)
        return _Rate(float(self.recovered()), 1) if before.part else _Rate(0.0, 0)

    def all_wrong(self, rollouts: Sequence[Rollout]) -> _Rate:
        return _Rate(float(all(map(self.wrong, rollouts))), 1) if rollouts else _Rate(0.0, 0)

    def mentions(self) -> _Rate:
        if self.mention is None:
            return _Rate(0.0, 0)
        named = sum(_thinks_of(self.mention, rollout) for rollout in self.idle)
        return _Rate(float(named), len(self.rollouts))

    def premature(self) -> _Rate:
        hops = self.group.question.hops
        if hops is None:
            return _Rate(0.0, 0)
        return _share([self.wrong(rollout) and len(rollout.episode.calls) < hops for rollout in self.acting])

    def idle_where(self, label: Label) -> _Rate:
        if label not in self.group.question.labels:
            return _Rate(0.0, 0)
        return _Rate(float(len(self.idle)), len(self.rollouts))

    def paired(self, rollouts: Sequence[Rollout]) -> _Rate:
        rate = self.right(rollouts)
        return _Rate(rate.part / rate.whole, 1) if self.acting and self.idle else _Rate(0.0, 0)


RATES: Final[dict[str, Callable[[_View], _Rate]]] = {
    "reward_mean": lambda view: _mean_reward(view.rollouts),
    "tool_attempt_rate": lambda view: _share([rollout.used_tool for rollout in view.rollouts]),
    "tool_call_valid_rate": lambda view: _share([call.valid for call in view.calls]),
    "tool_success_rate": lambda view: _share([call.succeeded for call in view.calls]),
    "tool_pass1": lambda view: view.right(view.acting),
    "no_tool_pass1": lambda view: view.right(view.idle),
    "tool_reward_mean": lambda view: _mean_reward(view.acting),
    "no_tool_reward_mean": lambda view: _mean_reward(view.idle),
    "paired_tool_pass1": lambda view: view.paired(view.acting),
    "paired_no_tool_pass1": lambda view: view.paired(view.idle),
    "all_wrong_tool_subgroups": lambda view: view.all_wrong(view.acting),
    "all_wrong_after_resampling": lambda view: view.all_wrong_after_resampling(),
    "flipped_subgroups": lambda view: view.flipped(),
    "all_wrong_no_tool_subgroups": lambda view: view.all_wrong(view.idle),
    "dead_groups": lambda view: _share([len({rollout.reward for rollout in view.rollouts}) == 1]),
    "mention_without_call": lambda view: view.mentions(),
    "premature_stop": lambda view: view.premature(),
    "declined_correctly": lambda view: view.idle_where(Label.MUST_NOT_ACT),
    "failed_to_act": lambda view: view.idle_where(Label.MUST_ACT),
    "well_formed_rate": lambda view: _share([_well_formed(rollout) for rollout in view.rollouts]),
    "cut_off_rate": lambda view: _share([rollout.episode.stop is StopReason.MAX_TOKENS for rollout in view.rollouts]),
    "recovery_rate": lambda view: _share(
        [is_recovered(branch, success_threshold=view.threshold) for branch in view.group.branches]
    ),
    "continuation_pass1": lambda view: view.right(view.continuations),
    "continuation_reward_mean": lambda view: _mean_reward(view.continuations),
    "prompt_too_long": lambda view: _share([has_no_room(rollout) for rollout in view.rollouts]),
}
"""Per group, what is counted and out of how many. `..._pass1` are shares of rollouts with at least the success
threshold, `..._reward_mean` mean rewards; beyond the table of algorithm.md: `paired_...`, means over the questions that
have rollouts with and without tool use; `well_formed_rate`, rollouts that ended with an answer and made no invalid
call; `cut_off_rate`, rollouts that ran into a token limit; `prompt_too_long`, rollouts whose question left no room for
a token; `continuation_...`, what the continuations achieved."""


def _rates(groups: Sequence[Group]) -> dict[str, Callable[[_View], _Rate]]:
    """All rates, those of the reward's terms included: `reward/NAME` is the mean of the term NAME."""
    names = {term.name: None for group in groups for rollout in group.rollouts for term in rollout.episode.terms}
    terms = {f"{TERM}{name}": partial(_mean_term, name=name) for name in names}
    return {**RATES, **terms}


def _mean_term(view: _View, *, name: str) -> _Rate:
    values = (term.value for rollout in view.rollouts for term in rollout.episode.terms if term.name == name)
    return _Rate(math.fsum(values), len(view.rollouts))


def _counts(groups: Sequence[Group], success_threshold: float) -> Metrics:
    """What a step cost, and how much of it was AXPO's.

    `rollouts` includes the `continuations`; `tokens` are those sampled for both, frozen prefixes counted once.
    """
    sampled = [_tokens_from(rollout, 0, 0) for group in groups for rollout in group.rollouts]
    resampled = [
        _tokens_from(continuation, branch.point.turn, branch.point.token)
        for group in groups
        for branch in group.branches
        for continuation in branch.continuations
    ]
    paired = [len({rollout.used_tool for rollout in group.rollouts}) == 2 for group in groups]
    triggered = [is_triggered(group, success_threshold=success_threshold) for group in groups]
    return {
        "rollouts": float(len(sampled) + len(resampled)),
        "continuations": float(len(resampled)),
        "tokens": float(sum(sampled) + sum(resampled)),
        "paired_questions": float(sum(paired)),
        "triggered_groups": float(sum(triggered)),
        "selected_prefixes": float(sum(len(group.branches) for group in groups)),
    }


def _share(flags: Sequence[bool]) -> _Rate:
    return _Rate(float(sum(flags)), len(flags))


def _mean_reward(rollouts: Sequence[Rollout]) -> _Rate:
    return _Rate(math.fsum(rollout.reward for rollout in rollouts), len(rollouts))


def has_no_room(rollout: Rollout) -> bool:
    """Not a single token could be sampled behind the prompt."""
    return bool(rollout.completions) and not rollout.completions[0].ids


def _well_formed(rollout: Rollout) -> bool:
    return rollout.episode.stop is StopReason.ANSWERED and all(call.valid for call in rollout.episode.calls)


def _mention(tools: Collection[str]) -> re.Pattern[str] | None:
    """Finds any of the names, in whatever case and with its words joined by anything that joins words."""
    names = [r"[\s_-]?".join(map(re.escape, re.split(r"[\s_-]+", name))) for name in tools]
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE) if names else None


def _thinks_of(mention: re.Pattern[str], rollout: Rollout) -> bool:
    return any(mention.search(parse_turn(turn.text).thinking or "") for turn in rollout.episode.turns)


def _tokens_from(rollout: Rollout, turn: int, token: int) -> int:
    """Tokens sampled from that token of that turn on."""
    return sum(len(completion.ids) for completion in rollout.completions[turn:]) - token
