"""Environments that keep their state to themselves, as tools of ours: branched by replay, or honestly not at all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from axpo_envs import InfrastructureFault, call_turn
from axpo_envs.adapters.sessions import Reply, RewindFault, SessionTool, session_env
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.testing import check_tool_env
from axpo_envs.tools import ToolError
from axpo_envs.types import StopReason

SCHEMA = {"type": "object", "properties": {"by": {"type": "integer"}}, "required": ["by"]}
NOISE = itertools.count()


class Counter:
    """Counts from the episode's number up to ten; `noisy` shows something new each time."""

    opened = 0

    def __init__(self, noisy: bool = False, fails_at: int | None = None) -> None:
        type(self).opened += 1
        self.noisy, self.fails_at, self.value, self.closed = noisy, fails_at, 0, False

    def reset(self, number: int) -> Reply:
        self.value = number
        return Reply(parts=(f"Count on from {number}.",))

    def act(self, arguments: Mapping[str, Any]) -> Reply:
        if not isinstance(arguments["by"], int) or arguments["by"] > 100:
            raise ToolError("by is no small integer")
        if arguments["by"] == self.fails_at:
            raise InfrastructureFault("the counter broke down")
        self.value += arguments["by"]
        noise = f" {next(NOISE)}" if self.noisy else ""
        return Reply(parts=(f"{self.value}{noise}",), reward=0.5, done=self.value >= 10)

    def close(self) -> None:
        self.closed = True


class Noisy(Counter):
    def __init__(self) -> None:
        super().__init__(noisy=True)


class Fragile(Counter):
    def __init__(self) -> None:
        super().__init__(fails_at=7)


def counting(opens: Any = Counter, *, deterministic: bool = True, sessions: int = 4) -> ToolEnv:
    tool = SessionTool(
        name="count",
        description="Counts.",
        parameters=SCHEMA,
        opens=opens,
        deterministic=deterministic,
        most_sessions=sessions,
    )
    return session_env(tool, env_id="test/Counter-v0", episodes=3)


def begun(env: ToolEnv, number: int = 1) -> Any:
    return env.begin(env.questions.question(number))


def after(env: ToolEnv, state: Any, *steps: Any) -> Any:
    for by in steps:
        state = env.advance(state, call_turn("count", {"by": by})).state
    return state


def told(state: Any) -> str:
    return str(state.turns[-1].calls[0].result.content[0])


def test_rewards_of_actions_are_added_up_whatever_is_answered() -> None:
    env = counting()
    state = after(env, begun(env), 2, 3)
    assert told(state) == "6"
    ended = env.advance(state, "<answer>x</answer>")
    assert (ended.state.stop, ended.reward) == (StopReason.ANSWERED, 1.0)


def test_a_branch_does_not_see_its_siblings() -> None:
    env = counting()
    state = after(env, begun(env), 2)
    left, right = after(env, state, 1), after(env, state, 3)
    assert (told(left), told(right), told(after(env, left, 1))) == ("4", "6", "5")
    assert after(env, state, 1).digest == left.digest


def test_nothing_more_is_done_when_the_episode_is_over() -> None:
    env = counting()
    state = after(env, begun(env), 9)
    assert told(state).startswith("10")
    assert "episode is over" in told(after(env, state, 1))


def test_an_action_that_is_refused_is_the_policys_to_read_and_nothing_happened() -> None:
    env = counting()
    state = after(env, begun(env), 2, 500)
    assert "no small integer" in told(state)
    assert told(after(env, state, 1)) == "4"


def test_a_replay_that_shows_something_else_is_a_fault() -> None:
    env = counting(Noisy)
    state = after(env, begun(env), 2)
    after(env, state, 1)
    with pytest.raises(RewindFault, match="showed something else"):
        after(env, state, 3)


def test_what_is_not_deterministic_is_never_done_twice() -> None:
    env = counting(Noisy, deterministic=False)
    state = after(env, begun(env), 2)
    after(env, state, 1)
    with pytest.raises(RewindFault, match="not declared deterministic"):
        after(env, state, 3)
    assert told(after(env, begun(env), 4)).startswith("5")  # anew is not again


def test_a_fault_leaves_the_state_before_it_good() -> None:
    env = counting(Fragile)
    state = after(env, begun(env), 2)
    with pytest.raises(InfrastructureFault, match="broke down"):
        after(env, state, 7)
    assert told(after(env, state, 1)) == "4"


def test_no_more_sessions_are_opened_than_there_may_be() -> None:
    Counter.opened = 0
    env = counting(sessions=1)
    first, other = after(env, begun(env, 1), 2), after(env, begun(env, 2), 2)
    assert (told(after(env, first, 1)), told(after(env, other, 1))) == ("4", "5")
    assert Counter.opened == 1


def test_a_reset_that_begins_with_something_else_is_a_fault() -> None:
    class Drifting(Counter):
        def reset(self, number: int) -> Reply:
            return Reply(parts=(f"Begin {next(NOISE)}.",))

    env = counting(Drifting)
    start = begun(env)
    after(env, start, 1)
    with pytest.raises(RewindFault, match="began with something else"):
        after(env, start, 2)


def test_the_conformance_kit_holds() -> None:
    check_tool_env(counting, fuzz=10)


def test_schemas_and_episodes_are_checked() -> None:
    with pytest.raises(EnvConfigError, match="schema of an object"):
        SessionTool(name="x", description="x", parameters={"type": "string"}, opens=Counter, deterministic=True)
    with pytest.raises(EnvConfigError, match="at least one episode"):
        session_env(counting().tools[0], env_id="x", episodes=0)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        counting().questions.question(3)
