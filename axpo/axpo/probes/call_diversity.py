"""Defines the probe of call diversity: how many different calls a policy makes from one and the same thought."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from axpo.algorithm.sampling import resample
from axpo.algorithm.selection import point_at_call
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.diagnostics.estimates import estimate_mean, estimate_ratio
from axpo.probes.call_clusters import call_clusters
from axpo.probes.subject import Finding, Subject
from axpo.settings._probe import Sources
from axpo_agents.types import Rollout
from axpo_envs.types import CallRecord


def call_diversity(subject: Subject) -> Finding:
    """Resamples the first call of one rollout per question from its frozen thinking (Fig. 3c of arXiv:2605.28774).

    The prefix is the source's own token ids up to and including the opening tag, on the environment's snapshot before
    that turn; continuations run to their ends. `call_diversity` is the number of clusters per prefix (`call_clusters`),
    `call_entropy` their entropy in nats, `one_cluster_prefixes` the share of prefixes whose calls are all one,
    `resampled_pass1` the share of continuations that succeed, `recovered_prefixes` that of prefixes from which one
    does.
    Questions on which no rollout calls have no prefix.
    """
    branches = _branches(subject)
    counted = [_counted(subject, branch) for branch in branches]
    sizes = [len(branch.continuations) for branch in branches]
    one_each = [1] * len(branches)
    metrics = {
        "call_diversity": estimate_mean([found["clusters"] for found in counted]),
        "call_entropy": estimate_mean([found["entropy"] for found in counted]),
        "one_cluster_prefixes": estimate_ratio([found["clusters"] == 1 for found in counted], one_each),
        "resampled_pass1": estimate_ratio([found["right"] for found in counted], sizes),
        "recovered_prefixes": estimate_ratio([found["right"] > 0 for found in counted], one_each),
    }
    asked = sum(_point(subject, place, group) is not None for place, group in enumerate(subject.groups))
    return Finding(
        metrics=metrics,
        questions={branch.point.group: found for branch, found in zip(branches, counted, strict=True)},
        episodes=sum(sizes),
        dropped=asked * subject.config.resamples - sum(sizes),
    )


def entropy(counts: Sequence[int]) -> float:
    """Entropy in nats of shares that are proportional to these counts, all above 0.

    Worked value: 2 and 2 give ln 2 = 0.693; 4 alone gives 0.
    """
    total = sum(counts)
    return math.fsum(count / total * math.log(total / count) for count in counts)


def _branches(subject: Subject) -> list[Branch]:
    points = [
        point for place, group in enumerate(subject.groups) if (point := _point(subject, place, group)) is not None
    ]
    at_once = max(1, subject.at_once // subject.config.resamples)
    branches: list[Branch] = []
    for first in range(0, len(points), at_once):
        part = points[first : first + at_once]
        grown = resample(
            subject.groups, part, subject.policy, subject.env, subject.plan.sampling, seed=subject.seed("diversity")
        )
        branches += [branch for group in grown for branch in group.branches]
    return branches


def _point(subject: Subject, place: int, group: Group) -> BranchPoint | None:
    """Where the question's calls are resampled: at the first rollout that will do."""
    failed = subject.config.sources is Sources.FAILED
    for number, rollout in enumerate(group.rollouts):
        if failed and subject.right(rollout):
            continue
        point = point_at_call(place, number, rollout, continuations=subject.config.resamples)
        if point is not None:
            return point
    return None


def _counted(subject: Subject, branch: Branch) -> dict[str, Any]:
    config, turn = subject.config, branch.point.turn
    calls = [_first_call(continuation, turn) for continuation in branch.continuations]
    clusters = Counter(call_clusters(calls, overlap=config.overlap, ignored=config.ignored_arguments))
    return {
        "source": branch.point.rollout,
        "resamples": len(branch.continuations),
        "clusters": len(clusters),
        "entropy": entropy(tuple(clusters.values())),
        "right": sum(map(subject.right, branch.continuations)),
    }


def _first_call(rollout: Rollout, turn: int) -> CallRecord | None:
    calls = rollout.episode.turns[turn].calls
    return calls[0] if calls else None
