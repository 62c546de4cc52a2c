"""Defines AXPO with contrast (after BranPO, arXiv:2602.03719): a source's own failed end counts among its
continuations, which end with the first success."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from axpo.algorithm.advantages import advantage_of, among_siblings, compute_advantages, cut_of, is_trained
from axpo.algorithm.methods.axpo import AXPO
from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.selection import continuations_left, select_prefixes
from axpo.algorithm.types import Advantage, Branch, BranchPoint, Group
from axpo.settings.config import Cut, TrainConfig


@dataclass(slots=True)
class _Spending:
    """What is left of the budget, and of the tries of each source that is being resampled."""

    waiting: list[BranchPoint]
    left: int
    tries: dict[tuple[int, int], int] = field(default_factory=dict)
    open: list[BranchPoint] = field(default_factory=list)

    def wave(self, width: int) -> list[BranchPoint]:
        """The sources that get one more continuation now: at most so many, and no more than the budget allows."""
        while self.waiting and len(self.open) < width:
            self.open.append(self.waiting.pop(0))
        now = self.open[: self.left]
        self.left -= len(now)
        for point in now:
            self.tries[_source(point)] = self.tries.get(_source(point), 0) + 1
        return now

    def close(self, recovered: set[tuple[int, int]], most: int) -> None:
        """Leaves the sources that recovered, or were tried often enough."""
        self.open = [p for p in self.open if _source(p) not in recovered and self.tries.get(_source(p), 0) < most]


def contrast_credit(groups: Sequence[Group], config: TrainConfig) -> tuple[Advantage, ...]:
    """Prefixes and other rollouts as in AXPO (Eq. 3, 4); from the cut on, the source and its new continuations compare
    with each other: A_j = r_j - mean of the others' rewards.

    A reward has no part in its own baseline. How many others there are still depends on it, as sampling ends with a
    success, so that the estimate is not without bias. Continuations behind a call that was forced open, which the
    source has not, compare among themselves (Eq. 2).

    Worked value: source 0, continuations (0, 1): A = -0.5 for the source's end, -0.5, and 1.
    """
    rest = replace(config.advantages, continuation_loss=False)
    advantages = compute_advantages(groups, rest, success_threshold=config.success_threshold)
    ends = (end for index, group in enumerate(groups) for end in _ends(index, group, config))
    return (*advantages, *(end for end in ends if end.start < end.stop))


def _ends(index: int, group: Group, config: TrainConfig) -> Iterator[Advantage]:
    for branch in group.branches:
        if branch.point.added:
            yield from among_siblings(index, branch, config.advantages)
            continue
        ends = (group.rollouts[branch.point.rollout], *branch.continuations)
        total = sum(end.reward for end in ends)
        for end in ends:
            value = end.reward - (total - end.reward) / (len(ends) - 1)
            if is_trained(end, config.advantages):
                yield advantage_of(index, end, value, start=cut_of(branch, end))


def _resample(rounds: Rounds) -> tuple[Group, ...]:
    """Waves of one continuation a source, at most K - 1 for each and none behind a success, while the budget lasts."""
    config, groups = rounds.config, rounds.groups
    selection, threshold = config.selection, config.success_threshold
    budget = continuations_left(groups, selection)
    most = selection.continuations - 1
    # A budget of K prefixes per rollout is one for every candidate.
    every = replace(selection, budget=float(selection.continuations))
    points = select_prefixes(groups, every, seed=rounds.seed("selection"), success_threshold=threshold)
    spending = _Spending(waiting=[replace(point, continuations=1) for point in points], left=budget)
    while wave := spending.wave(max(1, budget // most)):
        groups = rounds.attempt(groups, wave)
        right = {
            _source(branch.point)
            for group in groups
            for branch in group.branches
            if any(continuation.reward >= threshold for continuation in branch.continuations)
        }
        spending.close(right, most)
    return tuple(group.with_branches(_merged(group.branches)) for group in groups)


def _merged(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """The branches of one source as one."""
    families: dict[tuple[int, int], list[Branch]] = {}
    for branch in branches:
        families.setdefault(_source(branch.point), []).append(branch)
    merged = []
    for family in families.values():
        grown = tuple(continuation for branch in family for continuation in branch.continuations)
        merged.append(Branch(point=replace(family[0].point, continuations=len(grown)), continuations=grown))
    return tuple(merged)


def _source(point: BranchPoint) -> tuple[int, int]:
    return point.group, point.rollout


def _configure(config: TrainConfig) -> TrainConfig:
    return replace(
        config,
        selection=replace(config.selection, cut=Cut.TOOL_CALL),
        advantages=replace(config.advantages, prefix_credit=True, separate_groups=True),
    )


AXPO_CONTRAST: Final = Method(
    name="axpo_contrast",
    label="AXPO, contrast",
    configure=_configure,
    refine=_resample,
    credit=contrast_credit,
    recovers=True,
    changes=AXPO,
)
"""AXPO's extra rollouts, spread over more prefixes: a source's own failure is a sample from its prefix, so K - 1 new
ones make K, and what a success leaves over goes to the next source.

Compared with AXPO at the same budget, floor(r B N / K) K continuations. BranPO cuts any boundary; here it is AXPO's,
and prefixes are credited as there. The more often continuations succeed, the more prefixes it reaches. Untested at
scale."""
