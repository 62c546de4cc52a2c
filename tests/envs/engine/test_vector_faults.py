"""An infrastructure fault in one environment of a vector ends its episode, and neither the vector nor the others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from axpo_envs.errors import InfrastructureFault
from axpo_envs.examples import call_turn
from axpo_envs.suite.tool_task.env import ToolTask
from axpo_envs.tools import tool
from axpo_envs.types import Question

QUESTIONS = [{"id": "q", "prompt": "?", "answer": "1"}]
ANSWER = "<answer>1</answer>"


def broken_once(question: Question) -> tuple[int, ...]:
    if MARK.get("path") and not Path(MARK["path"]).exists():
        Path(MARK["path"]).touch()
        raise InfrastructureFault("the server is being restarted")
    return ()


MARK: dict[str, str] = {}


@tool
def fetch(works: bool) -> str:
    """Fetches."""
    if not works:
        raise InfrastructureFault("the server is gone")
    return "here it is"


@tool(initial_state=broken_once)
def remember(state: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Remembers."""
    return "yes", state


def make_vector(mode: str, **settings: Any) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    arguments = {"questions": QUESTIONS, "tools": [fetch, remember], **settings}
    return gymnasium.make_vec("axpo/ToolTask-v0", num_envs=2, vectorization_mode=mode, **arguments)


def play_a_fault(vector: gymnasium.vector.VectorEnv[Any, Any, Any]) -> None:
    works, fails = call_turn("fetch", {"works": True}), call_turn("fetch", {"works": False})
    vector.reset(seed=0)
    observation, rewards, terminated, truncated, info = vector.step([works, fails])
    assert "here it is" in observation["text"][0]
    assert (rewards[0], math.isnan(rewards[1])) == (0.0, True)
    assert (list(terminated), list(truncated)) == ([False, False], [False, True])
    assert info["fault"][1] == "the server is gone"
    # The first goes on; the second begins anew.
    observation, rewards, terminated, truncated, info = vector.step([ANSWER, ANSWER])
    assert (rewards[0], list(terminated)) == (1.0, [True, False])
    assert observation["text"][1].endswith("?")
    *_, terminated, truncated, info = vector.step([ANSWER, ANSWER])
    assert (terminated[1], truncated[1]) == (True, False)


def test_a_vector_of_processes_survives_a_fault() -> None:
    vector = make_vector("async")
    try:
        play_a_fault(vector)
    finally:
        vector.close()


def test_a_vector_in_one_process_does_where_it_is_told_to() -> None:
    vector = make_vector("sync")
    vector.reset(seed=0)
    with pytest.raises(InfrastructureFault):
        vector.step([call_turn("fetch", {"works": False})] * 2)
    vector.set_attr("truncates_faults", True)
    play_a_fault(vector)
    vector.close()


def test_a_fault_at_a_reset_is_reported_and_the_next_episode_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(MARK, "path", str(tmp_path / "restarted"))
    env = ToolTask(questions=QUESTIONS, tools=[remember])
    with pytest.raises(InfrastructureFault):
        env.reset(seed=0)
    (tmp_path / "restarted").unlink()
    env.truncates_faults = True
    observation, info = env.reset(seed=0)
    assert (observation["text"], info) == ("", {"fault": "the server is being restarted"})
    assert env.step(ANSWER)[2:] == (False, True, {"fault": "the server is being restarted"})
    env.reset(seed=0)
    assert env.step(ANSWER)[1:3] == (1.0, True)


def test_the_turn_of_a_fault_may_be_taken_once_more() -> None:
    env = ToolTask(questions=QUESTIONS, tools=[fetch])
    env.truncates_faults = True
    env.reset(seed=0)
    before = env.snapshot()
    assert env.step(call_turn("fetch", {"works": False}))[3]
    assert env.snapshot() == before
    assert "here it is" in env.step(call_turn("fetch", {"works": True}))[0]["text"]
