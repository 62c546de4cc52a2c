"""Defines `cluster_of`, the devices of a plan as a simulation takes them, and `what_helps`, changes tried in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from axpo.plan.cluster import Chances, Cluster, Outcome
from axpo.plan.planning import Plan
from axpo.plan.simulation import simulate

_MOST_CALLS: Final = 3
_REQUESTS: Final = 64
"""Requests at a time at a server; the default of `serving.concurrency`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A change, and what it brings."""

    change: str
    """In words."""
    outcome: Outcome
    """Where a step's time goes with it."""
    gain: float
    """How many times shorter a step becomes."""


def cluster_of(plan: Plan) -> Cluster:
    """The devices of a plan.

    Raises:
        ValueError: nothing is known of their speed.
    """
    costs, times, work, placement = plan.costs, plan.times, plan.work, plan.placement
    if costs is None or times is None:
        raise ValueError("expected a plan with times")
    config = plan.config
    return Cluster(
        engines=placement.samplers or placement.learners,
        together=not placement.samplers,
        lockstep=not placement.samplers,
        tools_at_once=work.tools_at_once,
        step_s=costs.step_s,
        row_s=costs.row_s,
        concurrency=config.serving.concurrency if placement.samplers else 10**6,
        read_s=costs.read_s,
        learn_s=times.learning,
        weights_s=costs.weights_s,
        max_staleness=config.max_staleness,
        episodes=work.episodes,
        continuations=round(work.grown),
        prompt=work.prompt,
        group_size=work.group_size,
        observation=work.observation,
        turn_tokens=work.turn_tokens,
        most_tokens=config.sampling.max_turn_tokens,
        tool_rate=work.tool_rate,
        calls=min(work.calls, _MOST_CALLS),
        tool_s=work.tool_seconds,
    )


def what_helps(cluster: Cluster, chances: Chances) -> tuple[Tried, ...]:
    """The cluster as it is, then single changes of it, the most helpful first; all meet the same episodes."""
    base = simulate(cluster, chances)
    tried = []
    for name, changed in _changes(cluster):
        outcome = simulate(changed, chances)
        # A step that learns from more is worth more.
        work = changed.episodes / cluster.episodes
        tried.append(Tried(change=name, outcome=outcome, gain=work * base.step_s / outcome.step_s))
    tried.sort(key=lambda one: -one.gain)
    return (Tried(change="as it is", outcome=base, gain=1.0), *tried)


def _changes(cluster: Cluster) -> Iterator[tuple[str, Cluster]]:
    if cluster.together:
        yield from _apart(cluster)
    else:
        for staleness in (0, 1, 2, 4):
            if staleness != cluster.max_staleness:
                yield f"max_staleness {staleness}", replace(cluster, max_staleness=staleness)
        yield "new weights without waiting for turns", replace(cluster, waits_for_turns=False)
        yield "twice the requests at a time", replace(cluster, concurrency=2 * cluster.concurrency)
        yield "twice the devices that sample", replace(cluster, engines=2 * cluster.engines)
    yield "an update in half the time", replace(cluster, learn_s=cluster.learn_s / 2)
    yield "new weights in a tenth of the time", replace(cluster, weights_s=cluster.weights_s / 10)
    yield "tools in a tenth of the time", replace(cluster, tool_s=cluster.tool_s / 10)
    yield "half of max_turn_tokens", replace(cluster, most_tokens=cluster.most_tokens / 2)
    yield "no continuations", replace(cluster, continuations=0)
    yield "half of a token's fixed time", replace(cluster, step_s=cluster.step_s / 2)
    yield (
        "twice the questions in a step, for each",
        replace(
            cluster,
            episodes=2 * cluster.episodes,
            continuations=2 * cluster.continuations,
            learn_s=2 * cluster.learn_s,
        ),
    )


def _apart(cluster: Cluster) -> Iterator[tuple[str, Cluster]]:
    """The same devices, some of which sample for the others."""
    own_way = replace(cluster, lockstep=False)
    yield "every episode its own way", own_way
    for share in (0.25, 0.5, 0.75):
        engines = max(1, round(share * cluster.engines))
        learners = cluster.engines - engines
        if learners:
            apart = replace(
                own_way,
                together=False,
                engines=engines,
                learn_s=cluster.learn_s * cluster.engines / learners,
                concurrency=_REQUESTS,
                max_staleness=1,
            )
            yield f"{engines} that sample for {learners} that learn, max_staleness 1", apart
