"""Defines how a row is measured: agents play held-out questions, and snapshots are taken, restored and weighed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import gymnasium

from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo_agents.policy import TextAgent
from axpo_agents.rolling import roll_agent
from axpo_benchmarks.envs._row import COLUMNS, AgentMaker, EnvRow
from axpo_envs.env import ToolEnv

_AT_ONCE: Final = 32
_REPEATS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotCost:
    """What the moments of an expert's episode cost."""

    first_us: float
    """Microseconds to take and restore the first moment, median."""
    last_us: float
    """The same for the last moment before the answer."""
    last_bytes: int
    """Size of that moment as bytes for another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A row of the table."""

    row: EnvRow
    """What was measured."""
    shares: dict[str, Estimate]
    """By column: the share of right answers with its 95 % interval; columns left out do not apply."""
    by_kind: dict[str, dict[str, Estimate]]
    """The same by kind of question and column, where questions have kinds or known hops."""
    notes: dict[str, str]
    """By column: what must be known to read it."""
    snapshot: SnapshotCost
    """What snapshots cost."""

    @property
    def broken(self) -> tuple[str, ...]:
        """The columns whose bound does not hold."""
        return tuple(
            name for name, bound in self.row.bounds.items()
            if name not in self.shares or not bound.holds(self.shares[name].value)
        )  # fmt: skip


def measure(row: EnvRow, episodes: int) -> Measured:
    """Plays and measures.

    Args:
        row: what is measured.
        episodes: held-out questions for each column, those of the lowest numbers.
    """
    env = _made(row)
    shares: dict[str, Estimate] = {}
    by_kind: dict[str, dict[str, Estimate]] = {}
    notes: dict[str, str] = {}
    for column in COLUMNS:
        if column in row.agents:
            outcomes = _played(row.agents[column], env, episodes)
            shares[column] = _share([right for _, right in outcomes])
            for kind in sorted({kind for kind, _ in outcomes}):
                told = _share([right for of, right in outcomes if of == kind])
                by_kind.setdefault(kind, {})[column] = told
        elif column == "probe" and row.probe is not None:
            probed = row.probe(env, episodes)
            shares[column] = _share([1.0] * probed.right + [0.0] * (probed.n - probed.right))
            notes[column] = probed.note
    cost = _snapshot_cost(row.agents[row.expert](env), env)
    return Measured(row=row, shares=shares, by_kind=by_kind, notes=notes, snapshot=cost)


def _made(row: EnvRow) -> ToolEnv:
    env = gymnasium.make(row.env_id, **row.settings).unwrapped
    assert isinstance(env, ToolEnv)
    return env


def _played(make: AgentMaker, env: ToolEnv, episodes: int) -> list[tuple[str, float]]:
    """Kind of question and success (reward 1) of every episode."""
    agent = make(env)
    outcomes: list[tuple[str, float]] = []
    for first in range(0, episodes, _AT_ONCE):
        indices = range(first, min(first + _AT_ONCE, episodes))
        starts = [env.begin(env.questions.question(index), seed=index) for index in indices]
        for rollout in roll_agent(agent, env, starts):
            question = rollout.episode.question
            kind = question.extra.get("family", question.extra.get("kind"))
            outcomes.append((_kind(question.hops, kind), float(rollout.episode.reward >= 1)))
    return outcomes


def _kind(hops: int | None, kind: Any) -> str:
    return " ".join([str(kind)] * isinstance(kind, str) + ([] if hops is None else [f"{hops} hops"]))


def _share(outcomes: list[float]) -> Estimate:
    estimate = estimate_ratio(outcomes, [1] * len(outcomes))
    assert estimate is not None
    return estimate


def _snapshot_cost(agent: TextAgent, env: ToolEnv) -> SnapshotCost:
    start = env.begin(env.questions.question(0), seed=0)
    (rollout,) = roll_agent(agent, env, [start])
    first, last = rollout.snapshots[0], rollout.snapshots[-1]
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(_REPEATS):
        for is_last, moment in ((False, first), (True, last)):
            env.restore(moment)
            began = time.perf_counter()
            env.restore(env.snapshot())
            times[is_last].append(1e6 * (time.perf_counter() - began))
    return SnapshotCost(first_us=median(times[False]), last_us=median(times[True]), last_bytes=len(last.to_bytes()))
