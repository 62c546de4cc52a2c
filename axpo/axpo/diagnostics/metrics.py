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
from typing import Final, TypeAlias

from axpo.algorithm.selection import is_triggered
from axpo.algorithm.types import Group
from axpo.diagnostics._collapse import COLLAPSE_WINDOW, ToolCollapse, tool_collapse
from axpo.diagnostics.estimates import Estimate, estimate_ratio, pass_at_k
from axpo.diagnostics.metric import Asked, Grown, Rate
from axpo.diagnostics.registry import metrics
from axpo_agents.types import Rollout
from axpo_envs.parsing import parse_turn
from axpo_envs.types import Episode

__all__ = [
    "COLLAPSE_WINDOW",
    "PASS_KS",
    "TERM",
    "Metrics",
    "ToolCollapse",
    "evaluation_metrics",
    "has_no_room",
    "rate_names",
    "step_metrics",
    "thinking_of_tools",
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
    found = _counts(groups, success_threshold)
    views = _views(groups, tools, success_threshold)
    for name, counted in _rates(groups).items():
        rates = [counted(view) for view in views]
        whole = sum(rate.whole for rate in rates)
        found[name] = math.fsum(rate.part for rate in rates) / whole if whole else None
    return found


def evaluation_metrics(
    groups: Sequence[Group], *, ks: Sequence[int] = PASS_KS, tools: Collection[str] = (), success_threshold: float = 0.5
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
    views = _views(groups, tools, success_threshold)
    for name, counted in _rates(groups).items():
        rates = [counted(view) for view in views]
        estimates[name] = estimate_ratio([rate.part for rate in rates], [rate.whole for rate in rates])
    return estimates


def rate_names() -> tuple[str, ...]:
    """The names of the measures that are counted at every step and evaluation."""
    return tuple(metric.name for metric in metrics() if metric.counted is not None)


def has_no_room(rollout: Rollout) -> bool:
    """Not a single token could be sampled behind the prompt."""
    return bool(rollout.completions) and not rollout.completions[0].ids


def thinking_of_tools(tools: Collection[str]) -> Callable[[Episode], bool] | None:
    """Whether an episode's thinking names one of the tools; None where no tool is known."""
    mention = _mention(tools)
    return None if mention is None else partial(_thinks_of, mention)


def _views(groups: Sequence[Group], tools: Collection[str], success_threshold: float) -> list[Asked]:
    """The groups' episodes, as measures look at them."""
    thinking = thinking_of_tools(tools)
    return [
        Asked(
            question=group.question,
            episodes=tuple(rollout.episode for rollout in group.rollouts),
            grown=tuple(
                Grown(
                    source=group.rollouts[branch.point.rollout].episode,
                    continuations=tuple(continuation.episode for continuation in branch.continuations),
                )
                for branch in group.branches
            ),
            thinking_of_tools=thinking,
            without_room=sum(map(has_no_room, group.rollouts)),
            success_threshold=success_threshold,
        )
        for group in groups
    ]


def _rates(groups: Sequence[Group]) -> dict[str, Callable[[Asked], Rate]]:
    """All rates, those of the reward's terms included: `reward/NAME` is the mean of the term NAME."""
    names = {term.name: None for group in groups for rollout in group.rollouts for term in rollout.episode.terms}
    terms = {f"{TERM}{name}": partial(_mean_term, name=name) for name in names}
    return {**{metric.name: metric.counted for metric in metrics() if metric.counted is not None}, **terms}


def _mean_term(asked: Asked, *, name: str) -> Rate:
    values = (term.value for episode in asked.episodes for term in episode.terms if term.name == name)
    return Rate(math.fsum(values), len(asked.episodes))


def _counts(groups: Sequence[Group], success_threshold: float) -> Metrics:
    """What a step cost, and how much of it was AXPO's.

    `rollouts` includes the `continuations`; `tokens` are those sampled for both, frozen prefixes counted once.
    """
    sampled = [_tokens_from(rollout, 0, 0) for group in groups for rollout in group.rollouts]
    resampled = [
        _tokens_from(continuation, branch.point.turn, branch.point.token + len(branch.point.added))
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


def _mention(tools: Collection[str]) -> re.Pattern[str] | None:
    """Finds any of the names, in whatever case and with its words joined by anything that joins words."""
    names = [r"[\s_-]?".join(map(re.escape, re.split(r"[\s_-]+", name))) for name in tools]
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE) if names else None


def _thinks_of(mention: re.Pattern[str], episode: Episode) -> bool:
    return any(mention.search(parse_turn(turn.text).thinking or "") for turn in episode.turns)


def _tokens_from(rollout: Rollout, turn: int, token: int) -> int:
    """Tokens sampled from that token of that turn on."""
    return sum(len(completion.ids) for completion in rollout.completions[turn:]) - token
