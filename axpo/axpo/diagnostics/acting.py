"""Defines the measures of acting: whether tools are called, and how well."""

from __future__ import annotations

from typing import Final

from axpo.diagnostics.metric import NOTHING, Asked, Better, Metric, Rate, Shown, share
from axpo_envs.types import StopReason


def _mentions(asked: Asked) -> Rate:
    if asked.thinking_of_tools is None:
        return NOTHING
    return Rate(float(sum(map(asked.thinking_of_tools, asked.idle))), len(asked.episodes))


def _premature(asked: Asked) -> Rate:
    hops = asked.question.hops
    if hops is None:
        return NOTHING
    return share([asked.wrong(episode) and len(episode.calls) < hops for episode in asked.acting])


def _well_formed(asked: Asked) -> Rate:
    return share(
        [
            episode.stop is StopReason.ANSWERED and all(call.valid for call in episode.calls)
            for episode in asked.episodes
        ]
    )


ACTING: Final = (
    Metric(
        name="tool_attempt_rate",
        label="tool attempts",
        meaning="Share of rollouts that open at least one tool call.",
        counted=lambda asked: share([episode.used_tool for episode in asked.episodes]),
        shown=(Shown.STEP, Shown.EVALUATION, Shown.CHART, Shown.TILE),
        better=Better.HIGHER,
    ),
    Metric(
        name="tool_call_valid_rate",
        label="valid calls",
        meaning="Share of attempted calls that name a known tool with arguments that fit it.",
        counted=lambda asked: share([call.valid for call in asked.calls]),
        better=Better.HIGHER,
    ),
    Metric(
        name="tool_success_rate",
        label="calls that succeed",
        meaning="Share of attempted calls whose execution succeeded.",
        counted=lambda asked: share([call.succeeded for call in asked.calls]),
        better=Better.HIGHER,
    ),
    Metric(
        name="mention_without_call",
        label="mentions without a call",
        meaning="Share of rollouts that name a tool in their thinking and call none.",
        counted=_mentions,
        better=Better.LOWER,
    ),
    Metric(
        name="premature_stop",
        label="premature stops",
        meaning="Of the tool-using rollouts of questions with known hops, those that are wrong after too few calls.",
        counted=_premature,
        better=Better.LOWER,
    ),
    Metric(
        name="well_formed_rate",
        label="well-formed rollouts",
        meaning="Share of rollouts that end with an answer and make no invalid call.",
        counted=_well_formed,
        better=Better.HIGHER,
    ),
    Metric(
        name="cut_off_rate",
        label="cut off",
        meaning="Share of rollouts that ran into a token limit.",
        counted=lambda asked: share([episode.stop is StopReason.MAX_TOKENS for episode in asked.episodes]),
        better=Better.LOWER,
    ),
    Metric(
        name="prompt_too_long",
        label="prompts too long",
        meaning="Share of rollouts whose question left no room for a token.",
        counted=lambda asked: Rate(float(asked.without_room), len(asked.episodes)),
        better=Better.LOWER,
    ),
)
"""In the order of records."""
