from __future__ import annotations

from dataclasses import replace

import pytest

from axpo.plan._engines import NEVER, Engine, Turn
from axpo.plan.cluster import Chances, Cluster
from axpo.plan.simulation import simulate
from axpo.plan.whatif import what_helps

EVEN = Chances(steps=4, turn_spread=0.0, tool_spread=0.0)
"""Every turn and every call as long as the mean."""
CLUSTER = Cluster(
    engines=2,
    together=True,
    lockstep=False,
    step_s=0.1,
    row_s=0.0,
    concurrency=100,
    read_s=0.0,
    learn_s=5.0,
    weights_s=1.0,
    episodes=4,
    continuations=0,
    prompt=10.0,
    group_size=2,
    observation=0.0,
    turn_tokens=20.0,
    most_tokens=100.0,
    tool_rate=1.0,
    calls=1.0,
    tool_s=3.0,
)


def test_turns_that_are_under_way_advance_together() -> None:
    engine = Engine(step_s=1.0, row_s=1.0, most=2)
    engine.ask(Turn(tokens=4, episode=1), now=0.0)
    assert engine.next_event() == 8.0
    # Two turns take 3 seconds a token: 3 tokens are left of the first.
    engine.ask(Turn(tokens=4, episode=2), now=2.0)
    engine.ask(Turn(tokens=1, episode=3), now=2.0)
    assert engine.next_event() == pytest.approx(2.0 + 3 * 3.0)
    assert [turn.episode for turn in engine.finished(now=11.0)] == [1]
    # The one that waited takes its place, and ends with the second one, which has one token left.
    assert engine.next_event() == pytest.approx(14.0)
    assert sorted(turn.episode for turn in engine.finished(now=14.0)) == [2, 3]
    assert engine.next_event() == NEVER
    assert engine.tokens == pytest.approx(4 + 4 + 1)


def test_an_engine_that_gets_new_weights_begins_no_turn() -> None:
    engine = Engine(step_s=1.0, row_s=0.0, most=4)
    engine.close()
    engine.ask(Turn(tokens=2, episode=1), now=0.0)
    assert engine.next_event() == NEVER
    engine.open(now=1.0, after=3.0)
    assert engine.next_event() == 4.0
    assert engine.finished(now=4.0) == []
    assert engine.next_event() == 6.0


def test_a_step_of_even_episodes_by_hand() -> None:
    # Two turns of 2 s with 3 s of tools between them, 5 s of learning, 1 s of weights.
    outcome = simulate(CLUSTER, EVEN)
    assert outcome.step_s == pytest.approx(2 + 3 + 2 + 5 + 1)
    assert outcome.learner_share == pytest.approx(5 / 13)
    assert outcome.tool_share == pytest.approx(3 / 7)
    assert (outcome.tail_s, outcome.staleness) == (0.0, 0.0)
    assert outcome.fullness == pytest.approx(2.0)


def test_continuations_begin_when_the_last_first_attempt_has_ended() -> None:
    # Half a turn, the tool, a turn.
    grown = simulate(replace(CLUSTER, continuations=2), EVEN)
    assert grown.step_s == pytest.approx(13 + 1 + 3 + 2)


def test_in_lockstep_tools_run_one_behind_the_other() -> None:
    lockstep = replace(CLUSTER, lockstep=True)
    assert simulate(lockstep, EVEN).step_s == pytest.approx(13 + 3)
    assert simulate(replace(lockstep, tools_at_once=2.0), EVEN).step_s == pytest.approx(13)


def test_sampling_ahead_hides_the_shorter_of_both() -> None:
    # Sampling takes 7 s, weights 1 s: an update of 5 s is over before.
    apart = replace(CLUSTER, together=False, max_staleness=1)
    ahead = simulate(apart, replace(EVEN, steps=8))
    assert ahead.step_s < simulate(replace(apart, max_staleness=0), EVEN).step_s
    assert ahead.staleness > 0.5


def test_the_same_seed_gives_the_same_and_another_gives_another() -> None:
    uneven = replace(CLUSTER, engines=3, episodes=12, tool_rate=0.5)
    chances = Chances(steps=3, seed=7)
    assert simulate(uneven, chances) == simulate(uneven, chances)
    assert simulate(uneven, chances) != simulate(uneven, replace(chances, seed=8))
    assert simulate(uneven, chances).tail_s > 0


@pytest.mark.parametrize("together", [True, False])
def test_changes_are_ranked_by_what_they_bring(together: bool) -> None:
    cluster = replace(CLUSTER, engines=4, together=together, lockstep=together, episodes=16, continuations=4)
    base, *changes = what_helps(cluster, Chances(steps=3))
    assert (base.change, base.gain) == ("as it is", 1.0)
    assert [one.gain for one in changes] == sorted((one.gain for one in changes), reverse=True)
    gains = {one.change: one.gain for one in changes}
    assert gains["an update in half the time"] > 1.0
    assert ("max_staleness 1" in gains) is not together
