"""Our side of rLLM's workflows, against a stand-in with the names of its source; rLLM itself is on no index."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from axpo_envs import ExactMatch, InfrastructureFault, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.tools import Effects, tool


@dataclass
class Step:
    chat_completions: list[Any]
    model_response: str
    model_output: Any
    action: Any
    reward: float
    done: bool


@dataclass
class Trajectory:
    name: str
    task: Any
    steps: list[Step] = field(default_factory=list)
    reward: float | None = None


@dataclass
class Episode:
    id: str = ""
    task: Any = None
    info: dict[str, Any] = field(default_factory=dict)
    trajectories: list[Trajectory] = field(default_factory=list)
    termination_reason: Any = None


class Reason(Enum):
    ENV_DONE = 1
    MAX_TURNS_EXCEEDED = 2
    MAX_RESPONSE_LENGTH_EXCEEDED = 3
    UNKNOWN = 4


class Workflow:
    def __init__(self, rollout_engine: Any) -> None:
        self.rollout_engine, self.done = rollout_engine, []

    def reset(self, task: Any, uid: str) -> None:
        self.done = []

    async def run_in_executor(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return function(*given, **named)

    def commit(self, trajectory: Trajectory) -> None:
        self.done.append(trajectory)

    def collect_trajectories(self) -> Episode:
        return Episode(trajectories=self.done)

    def postprocess_episode(self, episode: Episode, reason: Any) -> Episode:
        episode.termination_reason = reason
        for trajectory in episode.trajectories:
            trajectory.reward = sum(step.reward for step in trajectory.steps)
        return episode


@tool(effects=Effects.EXTERNAL)
def add(a: int, b: int) -> int:
    """Adds."""
    if a == 99:
        raise InfrastructureFault("down")
    return a + b


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Episode]:
    modules = {
        "rllm": {},
        "rllm.agents": {},
        "rllm.workflows": {},
        "rllm.agents.agent": {"Episode": Episode, "Step": Step, "Trajectory": Trajectory},
        "rllm.workflows.workflow": {"TerminationReason": Reason, "Workflow": Workflow},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    from axpo.adapters.rllm import rllm_workflow

    questions = ListQuestions([Question(id="q", prompt=("1 + 2?",), answer="3")])
    env = ToolEnv(ToolEnvSpec(env_id="T", questions=questions, tools=(add,), reward=ExactMatch()))

    def play(*outputs: Any) -> Episode:
        waiting = iter(outputs)

        class Engine:
            async def get_model_response(self, messages: list[Any], **options: Any) -> Any:
                assert options["tools"][0]["function"]["name"] == "add"
                return next(waiting)

        episode: Episode = asyncio.run(rllm_workflow(env)(Engine()).run({"index": 0}, "task:0"))
        return episode

    return play


def says(text: str | None, **fields: Any) -> Any:
    given = {"content": None, "reasoning": None, "tool_calls": None, "finish_reason": "stop"}
    return SimpleNamespace(text=text, **(given | fields))


def test_turns_become_steps_and_the_last_has_the_reward(played: Any) -> None:
    call = SimpleNamespace(name="add", arguments={"a": 1, "b": 2})
    episode = played(says(None, content="", tool_calls=[call]), says("<answer>3</answer>"))
    (trajectory,) = episode.trajectories
    assert [step.reward for step in trajectory.steps] == [0.0, 1.0]
    assert trajectory.steps[1].chat_completions[-2]["content"] == "<tool_response>\n3\n</tool_response>"
    assert trajectory.steps[1].chat_completions[:2] == trajectory.steps[0].chat_completions
    assert episode.termination_reason is Reason.ENV_DONE


def test_a_turn_that_was_cut_off_is_not_executed(played: Any) -> None:
    episode = played(says(call_turn("add", {"a": 1, "b": 2}), finish_reason="length"))
    assert episode.termination_reason is Reason.MAX_RESPONSE_LENGTH_EXCEEDED
    assert episode.trajectories[0].reward == 0.0


def test_an_episode_that_a_fault_took_has_no_trajectory(played: Any) -> None:
    episode = played(says(call_turn("add", {"a": 99, "b": 2})))
    assert episode.trajectories == []
    assert "down" in episode.info["fault"]
