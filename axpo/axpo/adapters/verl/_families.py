"""Defines `Family`, the rollouts of one question in a worker, where second attempts wait for the first ones."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Final

from axpo.adapters.verl.marking import SHORTEST_CUT
from axpo.algorithm.selection import select_prefixes
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import SelectionConfig
from axpo_agents.types import Rollout

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Family:
    """The rollouts of one question: `size` of them, the last `continuations` of which are second attempts."""

    size: int
    continuations: int
    success_threshold: float
    members: int = 0
    firsts: dict[int, Rollout | None] = field(default_factory=dict)
    _chosen: asyncio.Future[BranchPoint | None] | None = None

    async def join(self) -> int:
        """The number of a new member.

        verl starts all rollouts of a worker before any of them waits, so that behind one step of the loop a worker's
        members have all come.
        """
        number, self.members = self.members, self.members + 1
        if self._chosen is None:
            self._chosen = asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        return number

    @property
    def branches(self) -> bool:
        """Whether second attempts are made: not where a worker holds a part of the group alone."""
        return self.continuations > 0 and self.members == self.size

    def is_second(self, number: int) -> bool:
        """Whether a member is a second attempt."""
        return self.branches and number >= self.size - self.continuations

    def deliver(self, number: int, rollout: Rollout | None) -> None:
        """Brings a first attempt's end, None where an infrastructure fault took it; the last one decides."""
        self.firsts[number] = rollout
        assert self._chosen is not None
        if len(self.firsts) == self.size - self.continuations and not self._chosen.done():
            self._chosen.set_result(self._choose())

    def give_up(self, error: BaseException) -> None:
        """Lets nobody wait for a first attempt that will not come."""
        if self._chosen is not None and not self._chosen.done():
            self._chosen.set_exception(error)

    async def chosen(self) -> BranchPoint | None:
        """Where second attempts begin, its `rollout` the number of the source; None for at the question."""
        assert self._chosen is not None
        return await asyncio.shield(self._chosen)

    def _choose(self) -> BranchPoint | None:
        numbers = [number for number, rollout in sorted(self.firsts.items()) if rollout is not None]
        rollouts = tuple(rollout for number in numbers if (rollout := self.firsts[number]) is not None)
        if not rollouts:
            return None
        group = Group(question=rollouts[0].episode.question, rollouts=rollouts)
        # The budget of one question: as many prefixes as there are, of which the least confident is taken.
        config = SelectionConfig(budget=float(self.continuations), continuations=self.continuations)
        for point in select_prefixes([group], config, seed=0, success_threshold=self.success_threshold):
            source = rollouts[point.rollout]
            if source.turn_offset(point.turn) + point.token - source.turn_offset(0) >= SHORTEST_CUT:
                return BranchPoint(
                    group=0,
                    rollout=numbers[point.rollout],
                    turn=point.turn,
                    token=point.token,
                    confidence=point.confidence,
                    snapshot=point.snapshot,
                    continuations=point.continuations,
                )
        return None


class Families:
    """The families of a worker by the questions' ids; each is forgotten when all its members have come."""

    def __init__(self) -> None:
        self._by_id: Final[dict[Any, Family]] = {}

    def of(self, uid: Any, size: int, continuations: int, success_threshold: float) -> Family:
        """The family of a question, made by its first member."""
        family = self._by_id.setdefault(uid, Family(size, continuations, success_threshold))
        if family.members + 1 >= size:
            self._by_id.pop(uid, None)
        return family

    def leave(self, uid: Any, family: Family) -> None:
        """Forgets a family that did not become whole."""
        if self._by_id.get(uid) is family:
            del self._by_id[uid]
