"""Defines `threshold_problem`, which tells where a threshold of success takes rewards of 0 and of 1 for the same."""

from __future__ import annotations

from collections.abc import Iterable


def threshold_problem(rewards: Iterable[float], success_threshold: float) -> str | None:
    """What a person should know of a threshold that rewards show to be none; None where nothing is wrong.

    Rewards that are all 0 or 1 are taken for verdicts; of others it cannot be told what they mean.

    Args:
        rewards: rewards of rollouts.
        success_threshold: a rollout with a reward below it is wrong.
    """
    seen = set(rewards)
    if not seen <= {0.0, 1.0}:
        return None
    if success_threshold <= 0 and 0.0 in seen:
        verdict = "a reward of 0 counts as a success"
    elif success_threshold > 1 and 1.0 in seen:
        verdict = "a reward of 1 counts as wrong"
    else:
        return None
    return f"{verdict}, since success_threshold is {success_threshold:g}; with rewards of 0 and 1 it takes 0.5, say"
