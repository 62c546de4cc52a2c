"""The verifiers adapter against a stand-in for its interface; the library itself is tried by `axpo-bench adapters`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from axpo_envs import ExactMatch, InfrastructureFault, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.adapters.messages import data_url
from axpo_envs.adapters.sessions import RewindFault
from axpo_envs.adapters.verifiers import verifiers_env
from axpo_envs.adapters.verifiers._session import parts_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.plumbing.extras import MissingExtraError
from axpo_envs.tools import tool

PICTURE = ImageRef(np.full((4, 6, 3), 9, dtype=np.uint8))


@tool
def look(times: int) -> tuple[str, ImageRef]:
    """Looks.

    Args:
        times: how often; 0 is a fault.
    """
    if times == 0:
        raise InfrastructureFault("nothing can be seen")
    return f"seen {times}", PICTURE


def looking() -> ToolEnv:
    questions = ListQuestions([Question(id="q", prompt=(PICTURE, "How often?"), answer="7")])
    spec = ToolEnvSpec(
        env_id="t/Looking-v0", questions=questions, tools=(look,), reward=ExactMatch(), instructions="Look."
    )
    return ToolEnv(spec)


class Generic:
    def __class_getitem__(cls, _: Any) -> Any:
        return cls


class Settings(BaseModel, arbitrary_types_allowed=True, extra="allow"):
    """Settings and data of the stand-in."""


class Task(Generic):
    def __init__(self, data: Any, config: Any) -> None:
        self.data = data


class Taskset(Generic):
    def __init__(self, config: Any) -> None:
        self.config = config


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Names that the adapter takes from `verifiers.v1`."""
    stand_in = ModuleType("verifiers.v1")
    names: dict[str, Any] = dict.fromkeys(("TasksetConfig", "TaskData", "EnvConfig", "AgentConfig"), Settings)
    names |= {"SubprocessConfig": Settings, "UserMessage": SimpleNamespace, "Task": Task, "Taskset": Taskset}
    names |= {"Env": Generic}
    for name, value in names.items():
        setattr(stand_in, name, value)
    package = ModuleType("verifiers")
    package.v1 = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "verifiers", package)
    monkeypatch.setitem(sys.modules, "verifiers.v1", stand_in)
    import axpo_envs.adapters.verifiers._taskset as taskset

    yield taskset
    del sys.modules["axpo_envs.adapters.verifiers._taskset"]


class Trace(SimpleNamespace):
    def record_reward(self, name: str, value: float) -> None:
        self.rewards[name] = value

    def record_metrics(self, values: dict[str, float]) -> None:
        self.metrics |= values


class Agents:
    """One seat, whose model says what a script says; the script's end is a limit of verifiers'."""

    def __init__(self, *turns: str, error: bool = False) -> None:
        self.agent = self
        self.turns = list(turns)
        self.asked: list[Any] = []
        self.trace = Trace(id="t", rewards={}, metrics={}, info={}, is_truncated=False, has_error=error)

    @asynccontextmanager
    async def interaction(self, task: Any) -> Any:
        del task
        yield self

    async def turn(self, messages: Any = None) -> Any:
        self.asked.append(messages)
        if not self.turns:
            return SimpleNamespace(terminated=True, messages=[])
        said = {"role": "assistant", "content": self.turns.pop(0)}
        return SimpleNamespace(terminated=False, messages=[SimpleNamespace(model_dump=lambda: said)])


def play(library: Any, agents: Agents) -> Any:
    tasks = library.ToolEnvTaskset(library.ToolEnvConfig(first=0, questions=3, task=None))
    tasks.__dict__["tool_env"] = looking()
    (task,) = tasks.load()
    env = library.TurnsEnv()
    env.taskset = tasks
    asyncio.run(env.run(task, agents))
    return task


CALL = call_turn("look", {"times": 2})


def test_our_questions_are_tasks_with_images_and_tools(library: Any) -> None:
    task = play(library, Agents("<answer>7</answer>"))
    (message,) = task.data.prompt
    assert [part["type"] for part in message.content] == ["image_url", "text"]
    assert task.data.system_prompt.startswith("Look.")
    assert '"name": "look"' in task.data.system_prompt
    assert (task.data.index, task.data.id) == (0, "q")
    assert "7" not in task.data.system_prompt


def test_an_episode_is_played_and_scored_as_ours(library: Any) -> None:
    agents = Agents(CALL, "<answer>7</answer>")
    play(library, agents)
    (result,) = agents.asked[1]
    assert [part["type"] for part in result.content].count("image_url") == 1
    assert "seen 2" in "".join(part.get("text", "") for part in result.content)
    assert agents.trace.rewards == {"reward": 1.0}
    assert agents.trace.metrics == {"correct": 1.0}
    assert agents.trace.info["stop"] == "answered"


def test_a_limit_ends_it_and_a_fault_or_an_error_has_no_reward(library: Any) -> None:
    cut = Agents(CALL)
    play(library, cut)
    assert (cut.trace.rewards, cut.trace.info["stop"]) == ({"reward": 0.0}, "max_tokens")
    with pytest.raises(InfrastructureFault, match="nothing can be seen"):
        play(library, Agents(call_turn("look", {"times": 0})))
    failed = Agents(CALL, error=True)
    play(library, failed)
    assert failed.trace.rewards == {}


class Stage:
    """A game of theirs: replies are counted, ten and more end it; `noisy` never shows the same twice."""

    def __init__(self, config: Any, *, episodes: int, timeout_s: float) -> None:
        if config.get("taskset") is None:
            raise ValueError("expected a taskset")
        self.env_id, self.noisy, self.shown = "counting", config.get("noisy"), 0

    def play(self, number: int) -> Any:
        said: list[str] = []

        def asked() -> Any:
            self.shown += 1
            count = number + sum(map(int, said))
            told = f"{count}" + (f" {self.shown}" if self.noisy else "")
            history = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1"}] if said else []
            return (None, 0.5) if count >= 10 else ([*history, {"role": "user", "content": told}], 0.0)

        def reply(text: str) -> Any:
            if text == "fail":
                raise InfrastructureFault("their rollout failed")
            said.append(text)
            return asked()

        return SimpleNamespace(begin=asked, reply=reply, close=lambda: None)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("axpo_envs.adapters.verifiers._playing")
    stand_in.Stage = Stage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)


@pytest.mark.usefixtures("theirs")
def test_theirs_is_played_scored_and_branched_by_replay() -> None:
    env = verifiers_env({"taskset": {"id": "x"}}, episodes=3, deterministic=True)
    start = env.begin(env.questions.question(2))
    assert start.question.prompt == ("2",)
    state = env.advance(start, call_turn("reply", {"text": "1"})).state
    left, right = (env.advance(state, call_turn("reply", {"text": text})).state for text in ("3", "8"))
    assert [one.turns[-1].calls[0].result.content[0] for one in (left, right)] == ["6", "The rollout is over."]
    assert env.advance(right, "<answer>done</answer>").reward == 0.5
    assert env.advance(left, "<answer>done</answer>").reward == 0.0
    with pytest.raises(InfrastructureFault, match="their rollout failed"):
        env.advance(state, call_turn("reply", {"text": "fail"}))


@pytest.mark.usefixtures("theirs")
def test_what_is_not_deterministic_is_refused() -> None:
    for deterministic in (True, False):
        env = verifiers_env({"taskset": {}, "noisy": True}, episodes=1, deterministic=deterministic)
        state = env.advance(env.begin(env.questions.question(0)), call_turn("reply", {"text": "1"})).state
        env.advance(state, call_turn("reply", {"text": "2"}))
        with pytest.raises(RewindFault):
            env.advance(state, call_turn("reply", {"text": "3"}))
    with pytest.raises(EnvConfigError, match="expected a taskset"):
        verifiers_env({}, episodes=1)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "verifiers", None)
    with pytest.raises(MissingExtraError, match=r"axpo\[verifiers\]"):
        verifiers_env({}, episodes=1)


def test_what_the_model_is_asked_is_what_is_new() -> None:
    shown = {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {}}]}
    shown["content"][1]["image_url"] = {"url": data_url(PICTURE)}
    before = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    assert parts_of([*before, shown]) == ("See", PICTURE)
    assert parts_of(before[:1]) == ("Hello",)
