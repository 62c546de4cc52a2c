"""Defines `Library`: the rollouts of runs, read as far as they are asked for, looked through from the newest on."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from axpo.records._rollout_log import ROLLOUTS_FILE, saved_steps, step_folder
from axpo.viewer._runs import Run
from axpo.viewer._step_index import GroupIndex, StepIndex, index_step
from axpo.viewer._watched import Watched, stamp_of

KEPT_STEPS: Final = 2000
"""Steps whose indexes are kept: about 0.1 MB each for 100 rollouts."""
LOOK_S: Final = 0.4
"""Seconds after which a search answers with what it has found."""
FOUND: Final = 24
"""Groups after which a search answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search has found so far."""

    groups: tuple[tuple[int, GroupIndex], ...]
    """Step and group, the newest steps first."""
    looked: tuple[int, ...]
    """The steps that were looked at, descending."""
    before: int | None
    """The search goes on with the steps before this one; None at its end."""
    problems: tuple[str, ...]
    """What could not be read."""


class Library:
    """The saved rollouts of runs.

    Args:
        tools: names of tools whose mentions count, besides those that are called.
    """

    def __init__(self, tools: Collection[str] = ()) -> None:
        self._tools = frozenset(tools)
        self._indexes: Watched[StepIndex] = Watched(KEPT_STEPS)
        self._called: Watched[frozenset[str]] = Watched(1000)
        self._saved: Watched[tuple[int, ...]] = Watched(1000)

    def saved(self, run: Run) -> tuple[int, ...]:
        """The steps whose rollouts are saved, ascending."""
        return self._saved.get(run.folder, stamp_of(run.rollouts), lambda: saved_steps(run.rollouts))

    def step(self, run: Run, step: int) -> StepIndex:
        """The groups of a step: read anew where its file has changed."""
        tools = self._tools_of(run)
        made_of = (self._stamp(run, step), tools, run.threshold)
        return self._indexes.get((run.folder, step), made_of, lambda: self._index(run, step, tools))

    def find(self, run: Run, wanted: Collection[str], *, before: int | None = None, look_s: float = LOOK_S) -> Found:
        """Groups that show all that is wanted, for as long as `look_s` allows, at least in one step.

        Args:
            run: the run.
            wanted: names of flags.
            before: look at the steps before this one alone; None for all.
            look_s: seconds.
        """
        saved = self.saved(run)
        left = list(saved if before is None else saved[: bisect_left(saved, before)])
        until = time.monotonic() + look_s
        groups: list[tuple[int, GroupIndex]] = []
        looked: list[int] = []
        problems: list[str] = []
        while left and (not looked or (len(groups) < FOUND and time.monotonic() < until)):
            looked.append(left.pop())
            index = self.step(run, looked[-1])
            groups += ((looked[-1], group) for group in index.groups if group.flags.issuperset(wanted))
            problems += index.problems
        before = looked[-1] if left and looked else None
        return Found(groups=tuple(groups), looked=tuple(looked), before=before, problems=tuple(problems))

    def _index(self, run: Run, step: int, tools: Collection[str]) -> StepIndex:
        return index_step(run.rollouts, step, tools=tools, success_threshold=run.threshold)

    def _tools_of(self, run: Run) -> frozenset[str]:
        """The tools that were given, and those that were called in the first step that is saved."""
        saved = self.saved(run)
        if not saved:
            return self._tools
        made_of = (saved[0], self._stamp(run, saved[0]))
        return self._called.get(
            run.folder, made_of, lambda: self._tools | self._index(run, saved[0], self._tools).tools
        )

    @staticmethod
    def _stamp(run: Run, step: int) -> object:
        return stamp_of(step_folder(run.rollouts, step) / ROLLOUTS_FILE)
