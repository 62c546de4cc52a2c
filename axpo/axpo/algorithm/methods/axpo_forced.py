"""Defines AXPO with forced acting: where no rollout of a question called a tool, calls are forced open."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from axpo.algorithm.methods.axpo import AXPO
from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.selection import answer_point, continuations_left, select_prefixes
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import Cut, TrainConfig


def forced_points(groups: tuple[Group, ...], config: TrainConfig) -> tuple[BranchPoint, ...]:
    """One failed rollout of every question on which no rollout called a tool, cut behind its thinking; the least
    confident answers first, as many as AXPO leaves of its budget."""
    threshold = config.success_threshold
    points = []
    for index, group in enumerate(groups):
        if any(rollout.used_tool for rollout in group.rollouts):
            continue
        failed = (number for number, rollout in enumerate(group.rollouts) if rollout.reward < threshold)
        places = [answer_point(index, group, number, config.selection) for number in failed]
        found = [place for place in places if place is not None]
        points += sorted(found, key=lambda point: point.confidence)[:1]
    return tuple(sorted(points, key=lambda point: (point.confidence, point.group))[: prefixes_left(groups, config)])


def prefixes_left(groups: tuple[Group, ...], config: TrainConfig) -> int:
    """How many prefixes the budget has beside those that AXPO is going to select."""
    spent = select_prefixes(groups, config.selection, seed=0, success_threshold=config.success_threshold)
    return max(0, continuations_left(groups, config.selection) // config.selection.continuations - len(spent))


def _force(rounds: Rounds) -> tuple[Group, ...]:
    return rounds.act(rounds.groups, forced_points(rounds.groups, rounds.config))


def _configure(config: TrainConfig) -> TrainConfig:
    cut = config.selection.cut if config.selection.cut is Cut.EITHER else Cut.TOOL_CALL
    return replace(
        config,
        selection=replace(config.selection, cut=cut),
        advantages=replace(config.advantages, separate_groups=True),
    )


AXPO_FORCED: Final = Method(
    name="axpo_forced",
    label="AXPO, forced acting",
    configure=_configure,
    refine=_force,
    select=AXPO.select,
    changes=AXPO,
)
"""AXPO, and where it cannot trigger because nobody acted, K continuations behind a thought and a call's forced opening.

What follows the opening compares among the K (Eq. 2). The opening itself is trained once, and only where a continuation
is right: with the advantage of the source's reward replaced by the recovery reward (Eq. 3, 4). The source keeps its own
advantage. Compared with AXPO at the same budget, above all from a policy that has stopped calling: of groups of 8 at a
tool rate of 0.05, 66 % have no call. Untested at scale."""
