"""Defines AXPO whose idle failures act: calls forced open behind failed thoughts with what the budget has left."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from axpo.algorithm.methods.axpo_forced import AXPO_FORCED, prefixes_left
from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.selection import answer_point
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import TrainConfig


def idle_points(groups: tuple[Group, ...], config: TrainConfig) -> tuple[BranchPoint, ...]:
    """Failed rollouts that called nothing, cut behind their thinking, as many as AXPO leaves of its budget.

    Breadth first: every question's least confident one, then every question's second. Within such a round questions
    that few rollouts called a tool on come first, then the less confident answer.
    """
    queues = [_idle(index, group, config) for index, group in enumerate(groups)]
    acting = [sum(rollout.used_tool for rollout in group.rollouts) / len(group.rollouts) for group in groups]
    points = []
    for one_each in zip_longest(*queues):
        found = [point for point in one_each if point is not None]
        points += sorted(found, key=lambda point: (acting[point.group], point.confidence, point.group))
    return tuple(points[: prefixes_left(groups, config)])


def _idle(index: int, group: Group, config: TrainConfig) -> list[BranchPoint]:
    """A question's candidates, the least confident first."""
    failed = (
        number
        for number, rollout in enumerate(group.rollouts)
        if not rollout.used_tool and rollout.reward < config.success_threshold
    )
    places = (answer_point(index, group, number, config.selection) for number in failed)
    return sorted((place for place in places if place is not None), key=lambda point: (point.confidence, point.rollout))


def _act(rounds: Rounds) -> tuple[Group, ...]:
    return rounds.act(rounds.groups, idle_points(rounds.groups, rounds.config))


AXPO_IDLE: Final = Method(
    name="axpo_idle",
    label="AXPO, idle failures act",
    configure=AXPO_FORCED.configure,
    refine=_act,
    select=AXPO_FORCED.select,
    changes=AXPO_FORCED.changes,
)
"""AXPO, and what it leaves of its budget forces calls open behind the thoughts of failed rollouts that called nothing.

`axpo_forced` does so where no rollout of a question called, which is rare once a third of them call, though AXPO
then uses a fraction of its budget. Proposition 1 of the paper says where a continuation pays: where it succeeds
more often than q p_tool, the share of fresh rollouts that call and are right. A forced call behind a failed guess
does until calling is the rule; then hardly a failure is idle, and nothing is spent. Credit is that of
`axpo_forced`. An opening is credited where it could be right and never blamed, so this leans towards acting; what
holds against it are the calls that fail where guesses are right, among the rollouts. Untested at scale."""
