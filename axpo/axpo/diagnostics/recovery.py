"""Defines the measures of resampling: what recovered, and what the continuations achieved."""

from __future__ import annotations

from typing import Final

from axpo.diagnostics.metric import NOTHING, Asked, Better, Metric, Rate, Shown, Unit, share
from axpo.diagnostics.success import mean_reward


def _recovered(asked: Asked) -> bool:
    """Whether a prefix of the tool-using subgroup recovered."""
    return any(asked.is_recovered(grown) for grown in asked.grown if grown.source.used_tool)


def _still_all_wrong(asked: Asked) -> Rate:
    before = asked.all_wrong(asked.acting)
    return Rate(0.0 if _recovered(asked) else before.part, before.whole)


def _flipped(asked: Asked) -> Rate:
    return Rate(float(_recovered(asked)), 1) if asked.all_wrong(asked.acting).part else NOTHING


RECOVERY: Final = (
    Metric(
        name="all_wrong_after_resampling",
        label="tool subgroups all wrong after resampling",
        meaning="The share of all-wrong tool subgroups, those that recovered no longer counted.",
        counted=_still_all_wrong,
        better=Better.LOWER,
    ),
    Metric(
        name="flipped_subgroups",
        label="subgroups flipped",
        meaning="Of the all-wrong tool subgroups, those with a prefix that recovered.",
        counted=_flipped,
        better=Better.HIGHER,
    ),
    Metric(
        name="recovery_rate",
        label="prefixes recovered",
        meaning="Share of the selected prefixes from which at least one continuation succeeded. GRPO selects none.",
        counted=lambda asked: share([asked.is_recovered(grown) for grown in asked.grown]),
        better=Better.HIGHER,
        shown=(Shown.STEP, Shown.CHART),
    ),
    Metric(
        name="continuation_pass1",
        label="success of continuations",
        meaning="Share of the continuations that succeed.",
        counted=lambda asked: asked.right(asked.continuations),
        better=Better.HIGHER,
    ),
    Metric(
        name="continuation_reward_mean",
        label="reward of continuations",
        meaning="Mean reward of the continuations.",
        unit=Unit.REWARD,
        counted=lambda asked: mean_reward(asked.continuations),
        better=Better.HIGHER,
    ),
)
"""In the order of records."""
