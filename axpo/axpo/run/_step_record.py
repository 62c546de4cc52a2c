"""Defines what the record of a step holds beside the diagnostics (losses, work, time), and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from axpo.algorithm.outcome import StepOutcome
from axpo.algorithm.types import Group
from axpo.algorithm.update import UpdateStats
from axpo.run._stopwatch import Stopwatch


def step_measures(outcome: StepOutcome, watch: Stopwatch) -> dict[str, float | None]:
    """What was measured of a step beside the diagnostics of its groups, by name."""
    lost = _lost_metrics(outcome)
    replayed = {"replayed_continuations": float(outcome.replayed)}
    apart = {} if outcome.drift is None else {**outcome.drift.metrics(), **_staleness(outcome)}
    return {"lr": outcome.lr, **lost, **replayed, **apart, **work_metrics(outcome.groups, outcome.stats, watch)}


def _staleness(outcome: StepOutcome) -> dict[str, float | None]:
    """How far behind the weights of turns were, in updates, and the groups that were dropped for it."""
    behind = outcome.staleness
    return {
        "staleness_mean": sum(behind) / len(behind) if behind else None,
        "staleness_max": float(max(behind)) if behind else None,
        "dropped_stale": float(outcome.dropped_groups),
    }


def _lost_metrics(outcome: StepOutcome) -> dict[str, float]:
    """What infrastructure faults took, and what was not learned from; what had called a tool before a fault is counted
    apart, because it biases the step."""
    rollouts = outcome.lost_rollouts
    return {
        "dropped_rollouts": float(len(rollouts)),
        "dropped_tool_rollouts": float(sum(lost.used_tool for lost in rollouts)),
        "dropped_continuations": float(len(outcome.lost_continuations)),
        "given_up_prefixes": float(outcome.given_up_prefixes),
        "discarded_rollouts": float(outcome.discarded_rollouts),
        "discarded_tokens": float(outcome.discarded_tokens),
    }


def work_metrics(groups: Sequence[Group], stats: UpdateStats, watch: Stopwatch) -> dict[str, float | None]:
    """What the update did, and how the time was spent.

    `seconds_sampling` and `seconds_resampling` hold the execution of tools, which `seconds_environment` counts again
    beside the drawing of questions; `seconds_update` is without `seconds_reference`. `prefix_sharing` is how many times
    fewer tokens went through the model than the trained sequences have.
    """
    watch.add("environment", sum(map(_tool_seconds, groups)))
    watch.add("update", -stats.seconds_reference)
    watch.add("reference", stats.seconds_reference)
    counts = {
        "trained_tokens": float(stats.totals.tokens),
        "scored_tokens": float(stats.scored_tokens),
        "prefix_sharing": stats.sequence_tokens / stats.scored_tokens if stats.scored_tokens else None,
    }
    return {**stats.metrics(), **counts, **watch.metrics()}


def warnings_of(record: Mapping[str, Any], history: Sequence[Mapping[str, Any]], *, questions: int) -> Iterator[str]:
    """What a person should know of a step, where none before it was like that.

    Args:
        record: the step's record.
        history: the records before it.
        questions: questions of a step.
    """
    step, collapse, share = record["step"], record["tool_collapse_kind"], record["prompt_too_long"]
    if collapse and not any(earlier.get("tool_collapse_kind") == collapse for earlier in history):
        yield f"step {step}: the policy calls tools less than half as often as at its peak; {collapse}"
    if share and not any(earlier.get("prompt_too_long") for earlier in history):
        yield (
            f"step {step}: the prompts of {share * questions:.0f} of {questions} questions leave no room for a token "
            "and teach nothing; the metric prompt_too_long counts them"
        )


def _tool_seconds(group: Group) -> float:
    """Time spent executing tools, also where calls were executed side by side."""
    turns = [turn for rollout in group.rollouts for turn in rollout.episode.turns]
    for branch in group.branches:
        turns += [turn for c in branch.continuations for turn in c.episode.turns[branch.point.turn :]]
    return sum(call.result.seconds for turn in turns for call in turn.calls)
