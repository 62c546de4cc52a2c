"""Defines the measures of success, with tools and without, and of groups that give no signal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from axpo.diagnostics.metric import NOTHING, Asked, Better, Metric, Rate, Shown, Unit, share
from axpo_envs.types import Episode


def mean_reward(episodes: Sequence[Episode]) -> Rate:
    """The sum of the rewards, and how many there are."""
    return Rate(math.fsum(episode.reward for episode in episodes), len(episodes))


def _paired(asked: Asked, episodes: Sequence[Episode]) -> Rate:
    rate = asked.right(episodes)
    return Rate(rate.part / rate.whole, 1) if asked.acting and asked.idle else NOTHING


def _is_dead(asked: Asked) -> bool:
    return len({episode.reward for episode in asked.episodes}) == 1


def _no_signal(asked: Asked) -> Rate:
    wrong = asked.all_wrong(asked.acting)
    return Rate(max(wrong.part, float(_is_dead(asked))), 1) if wrong.whole else NOTHING


HEADLINES: Final = (
    Metric(
        name="pass1",
        label="Pass@1",
        meaning="Probability that a rollout answers a question.",
        better=Better.HIGHER,
        shown=(Shown.EVALUATION, Shown.TILE),
    ),
    Metric(
        name="pass4",
        label="Pass@4",
        meaning="Probability that at least one of four rollouts does.",
        better=Better.HIGHER,
        shown=(Shown.EVALUATION, Shown.TILE),
    ),
    Metric(
        name="reward_mean",
        label="reward",
        meaning="Mean reward of the rollouts sampled in each step.",
        unit=Unit.REWARD,
        better=Better.HIGHER,
        counted=lambda asked: mean_reward(asked.episodes),
        shown=(Shown.STEP, Shown.CHART),
    ),
)
"""What is told first."""

SUCCESS: Final = (
    Metric(
        name="tool_pass1",
        label="success with the tool",
        meaning="Share of the rollouts that call a tool that succeed.",
        counted=lambda asked: asked.right(asked.acting),
        better=Better.HIGHER,
    ),
    Metric(
        name="no_tool_pass1",
        label="success without the tool",
        meaning="Share of the rollouts that call no tool that succeed.",
        counted=lambda asked: asked.right(asked.idle),
        better=Better.HIGHER,
    ),
    Metric(
        name="tool_reward_mean",
        label="reward with the tool",
        meaning="Mean reward of the rollouts that call a tool.",
        unit=Unit.REWARD,
        counted=lambda asked: mean_reward(asked.acting),
        better=Better.HIGHER,
    ),
    Metric(
        name="no_tool_reward_mean",
        label="reward without the tool",
        meaning="Mean reward of the rollouts that call none.",
        unit=Unit.REWARD,
        counted=lambda asked: mean_reward(asked.idle),
        better=Better.HIGHER,
    ),
    Metric(
        name="paired_tool_pass1",
        label="success with the tool, paired",
        meaning="Success with a tool, averaged over the questions that have rollouts with and without.",
        counted=lambda asked: _paired(asked, asked.acting),
        better=Better.HIGHER,
    ),
    Metric(
        name="paired_no_tool_pass1",
        label="success without the tool, paired",
        meaning="Success without a tool, averaged over the same questions.",
        counted=lambda asked: _paired(asked, asked.idle),
        better=Better.HIGHER,
    ),
    Metric(
        name="all_wrong_tool_subgroups",
        label="tool subgroups all wrong",
        meaning="Share of questions on which every rollout that called the tool failed: no signal that calling pays.",
        counted=lambda asked: asked.all_wrong(asked.acting),
        better=Better.LOWER,
        shown=(Shown.STEP, Shown.CHART, Shown.TILE),
    ),
    Metric(
        name="all_wrong_no_tool_subgroups",
        label="no-tool subgroups all wrong",
        meaning="Share of questions on which every rollout that called no tool failed.",
        counted=lambda asked: asked.all_wrong(asked.idle),
        better=Better.LOWER,
    ),
    Metric(
        name="dead_groups",
        label="dead groups",
        meaning="Share of questions whose rollouts are all worth the same: GRPO learns nothing from them.",
        counted=lambda asked: share([_is_dead(asked)]),
        better=Better.LOWER,
    ),
    Metric(
        name="no_signal_at_calls",
        label="no signal at calls",
        meaning="Of the questions with tool calls, those at which nothing speaks for one: all that called are wrong, "
        "or all rollouts are worth the same.",
        counted=_no_signal,
        better=Better.LOWER,
    ),
)
"""In the order of records."""
