"""Defines `Library`: the rollouts of runs, read as far as they are asked for, looked through from the newest on."""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axpo.records._rollout_log import ROLLOUTS_FILE, saved_steps, step_folder
from axpo.viewer._runs import Run
from axpo.viewer._shown import Shown, ShownIndex
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A step of which is not known what its groups show; it can be sent to another process to find out."""

    rollouts: Path
    """The run's `rollouts` folder."""
    step: int
    """The step."""
    tools: frozenset[str]
    """Names of tools whose mentions count, besides those that are called in the step."""
    threshold: float
    """A rollout with a reward below it is wrong."""
    made_of: str
    """What the answer will be computed from."""

    def shown(self) -> Shown | None:
        """What the step's groups show; None where not all of it can be read, which is to be told at each look."""
        index = index_step(self.rollouts, self.step, tools=self.tools, success_threshold=self.threshold)
        return None if index.problems else Shown.of(index, self.made_of)


class Library:
    """The saved rollouts of runs.

    Args:
        tools: names of tools whose mentions count, besides those that are called.
        kept: what earlier looks found out; nothing by default.
    """

    def __init__(self, tools: Collection[str] = (), kept: ShownIndex | None = None) -> None:
        self._tools = frozenset(tools)
        self._kept = kept
        self._known: dict[Path, dict[int, Shown]] = {}
        self._lock = threading.Lock()
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
        learned: dict[int, Shown] = {}
        known, tools = self._known_of(run), self._tools_of(run)
        while left and (not looked or (len(groups) < FOUND and time.monotonic() < until)):
            step = left.pop()
            looked.append(step)
            shown, made_of = known.get(step), self._made_of(run, step, tools)
            current = shown is not None and shown.made_of == made_of
            if shown is not None and current and not shown.has(wanted):
                continue
            index = self.step(run, step)
            groups += ((step, group) for group in index.groups if group.flags.issuperset(wanted))
            problems += index.problems
            if not current and not index.problems:
                learned[step] = Shown.of(index, made_of)
        self.learn(run, learned)
        before = looked[-1] if left and looked else None
        return Found(groups=tuple(groups), looked=tuple(looked), before=before, problems=tuple(problems))

    def unseen(self, run: Run) -> Iterator[Unseen]:
        """The saved steps of which is not known what their groups show now, the newest first."""
        known, tools = self._known_of(run), self._tools_of(run)
        for step in reversed(self.saved(run)):
            made_of = self._made_of(run, step, tools)
            if step not in known or known[step].made_of != made_of:
                yield Unseen(rollouts=run.rollouts, step=step, tools=tools, threshold=run.threshold, made_of=made_of)

    def learn(self, run: Run, found: Mapping[int, Shown]) -> None:
        """Remembers what steps show."""
        known = self._known_of(run)
        with self._lock:
            known.update(found)
        if self._kept is not None:
            self._kept.keep(run.folder, found)

    def _known_of(self, run: Run) -> dict[int, Shown]:
        with self._lock:
            if run.folder not in self._known:
                self._known[run.folder] = {} if self._kept is None else dict(self._kept.of(run.folder))
            return self._known[run.folder]

    def _made_of(self, run: Run, step: int, tools: Collection[str]) -> str:
        return json.dumps([self._stamp(run, step), sorted(tools), run.threshold])

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
