"""Our side of rLLM's workflows, against a stand-in of what 0.2 and 0.3 define; no index has rLLM itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from axpo.adapters.rllm import rllm_workflow
from axpo_envs import (
    EnvConfigError,
    ExactMatch,
    ImageRef,
    InfrastructureFault,
    ListQuestions,
    Question,
    ToolEnv,
    ToolEnvSpec,
    call_turn,
)
from axpo_envs.tools import Effects, tool

_OUTPUT = (
    "text",
    "content",
    "reasoning",
    "tool_calls",
    "prompt_ids",
    "completion_ids",
    "multi_modal_inputs",
    "logprobs",
)
Output = make_dataclass("Output", [*((name, Any, None) for name in _OUTPUT), ("finish_reason", str, "stop")])
_LIMITS = ["MAX_PROMPT_LENGTH_EXCEEDED", "MAX_RESPONSE_LENGTH_EXCEEDED", "MAX_TURNS_EXCEEDED"]


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


class Episode:
    """As 0.3 has it: models of pydantic ignore arguments they do not know, and `info` is none of theirs."""

    def __init__(self, *, id: str = "", task: Any = None, **_: Any) -> None:
        self.id, self.task, self.trajectories, self.termination_reason = id, task, [], None
        self.info: dict[str, Any] = {}


class TerminationEvent(Exception):
    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason = reason


class Workflow:
    """Made by keywords, run by `run_with_termination_handling`, which hands out what was committed."""

    def __init__(self, rollout_engine: Any, executor: ThreadPoolExecutor, timeout: float = 1e6, **_: Any) -> None:
        self.rollout_engine, self.executor, self.timeout = rollout_engine, executor, timeout

    def reset(self, task: Any = None, uid: str | None = None) -> None:
        self.task, self.uid, self.done = task, uid, []

    async def run_with_termination_handling(self, task: Any, uid: str, **options: Any) -> Episode:
        reasons = sys.modules["rllm.workflows.workflow"].TerminationReason  # type: ignore[attr-defined]
        try:
            return await asyncio.wait_for(self.run(task, uid, **options), self.timeout)  # type: ignore[attr-defined,no-any-return]
        except TerminationEvent as event:
            return self.postprocess_episode(self.collect_trajectories(), event.reason)
        except Exception as error:
            return self.postprocess_episode(self.collect_trajectories(), reasons.ERROR, {"error_message": str(error)})

    async def run_in_executor(self, fn: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, lambda: fn(*given, **named))

    def commit(self, name: Any = None, agent: Any = None, trajectory: Any = None, reset: bool = False) -> None:
        if trajectory.steps:
            self.done.append(trajectory)

    def collect_trajectories(self) -> Episode:
        episode = Episode()
        episode.trajectories.extend(self.done)
        return episode

    def postprocess_episode(self, episode: Episode, termination_reason: Any = None, error: Any = None) -> Episode:
        episode.id, episode.task, episode.termination_reason = str(self.uid), self.task, termination_reason
        for trajectory in episode.trajectories:
            trajectory.reward = np.sum([step.reward for step in trajectory.steps])
        if error is not None:
            episode.info["error"] = error
        return episode


def _library(*more_reasons: str) -> dict[str, ModuleType]:
    reasons = Enum("TerminationReason", [*_LIMITS, "ENV_DONE", "UNKNOWN", "ERROR", *more_reasons])  # type: ignore[misc]
    members: dict[str, dict[str, Any]] = {
        "rllm": {"__path__": []},
        "rllm.agents": {"__path__": []},
        "rllm.workflows": {"__path__": []},
        "rllm.agents.agent": {"Episode": Episode, "Step": Step, "Trajectory": Trajectory},
        "rllm.workflows.workflow": {
            "TerminationReason": reasons,
            "TerminationEvent": TerminationEvent,
            "Workflow": Workflow,
        },
    }
    modules = {}
    for name, inside in members.items():
        modules[name] = ModuleType(name)
        modules[name].__dict__.update(inside)
    return modules


@pytest.fixture(params=["0.2", "0.3"])
def reasons(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    modules = _library(*(("SANDBOX_ERROR",) if request.param == "0.3" else ()))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules["rllm.workflows.workflow"].TerminationReason


@tool(effects=Effects.EXTERNAL)
def add(a: int, b: int) -> int:
    """Adds."""
    if a == 99:
        raise InfrastructureFault("down")
    return a + b


@tool(effects=Effects.PURE)
def photo() -> ImageRef:
    """Takes a photo."""
    return ImageRef.from_array(np.full((4, 4, 3), 7, dtype=np.uint8))


def env_of(*tools: Any) -> ToolEnv:
    picture = ImageRef.from_array(np.zeros((8, 8, 3), dtype=np.uint8))
    questions = ListQuestions([Question(id="q", prompt=("What is ", picture, "1 + 2?"), answer="3")])
    return ToolEnv(ToolEnvSpec(env_id="T", questions=questions, tools=tools, reward=ExactMatch()))


class Engine:
    """Answers with what was written for it; messages hold text, as rLLM's parsers want it."""

    def __init__(self, outputs: tuple[Any, ...], **settings: Any) -> None:
        self.outputs, self.asked = iter(outputs), []
        self.options: dict[str, Any] = {}
        self.__dict__.update(settings)

    async def get_model_response(self, messages: list[Any], **options: Any) -> Any:
        assert all(isinstance(message["content"], str) for message in messages)
        self.asked.append(messages)
        self.options = options
        output = next(self.outputs)
        if isinstance(output, Exception):
            raise output
        return output


@pytest.fixture
def play() -> Iterator[Callable[..., Episode]]:
    with ThreadPoolExecutor(1) as executor:

        def played(engine: Engine, env: ToolEnv | None = None, **options: Any) -> Episode:
            workflow = rllm_workflow(env or env_of(add, photo))(rollout_engine=engine, executor=executor)
            episode = workflow.run_with_termination_handling(task={"index": 0}, uid="task:0", **options)
            return asyncio.run(episode)  # type: ignore[no-any-return]

        yield played


def says(text: str, **fields: Any) -> Any:
    return Output(text=text, prompt_ids=[1], completion_ids=[2, 3], multi_modal_inputs={"pixel_values": []}, **fields)


CALL = call_turn("add", {"a": 1, "b": 2})


def test_turns_become_steps_and_the_last_has_the_reward(reasons: Any, play: Any) -> None:
    engine = Engine((says(CALL), says("<answer>3</answer>")))
    episode = play(engine)
    (trajectory,) = episode.trajectories
    assert [step.reward for step in trajectory.steps] == [0.0, 1.0]
    assert [step.done for step in trajectory.steps] == [False, True]
    assert trajectory.steps[1].chat_completions[-2]["content"] == "<tool_response>\n3\n</tool_response>"
    assert trajectory.steps[1].chat_completions[:2] == trajectory.steps[0].chat_completions
    assert [declared["function"]["name"] for declared in engine.options["tools"]] == ["add", "photo"]
    assert (episode.id, episode.termination_reason) == ("task:0", reasons.ENV_DONE)


def test_images_stand_beside_the_text_of_their_message(reasons: Any, play: Any) -> None:
    engine = Engine((says(call_turn("photo", {})), says("<answer>3</answer>")))
    play(engine)
    question, _, result = engine.asked[1]
    assert question["content"] == "What is 1 + 2?"
    assert [image.size for image in question["images"]] == [(8, 8)]
    (crop,) = result["images"]
    assert isinstance(crop, Image.Image)
    assert crop.getpixel((0, 0)) == (7, 7, 7)
    assert result["content"].startswith("<tool_response>")


def test_an_engine_that_reads_no_images_is_told_of(reasons: Any, play: Any) -> None:
    blind = Output(text="<answer>3</answer>", prompt_ids=[1], completion_ids=[2])
    with pytest.warns(UserWarning, match="images"):
        play(Engine((blind,)))


@pytest.mark.parametrize("settings", [{"finish_reason": "length"}, {}])
def test_a_turn_that_was_cut_off_is_not_executed(reasons: Any, play: Any, settings: Any) -> None:
    # Some engines report the end of their room as an ordinary one.
    episode = play(Engine((says(CALL, **settings),), max_response_length=2))
    assert episode.termination_reason is reasons.MAX_RESPONSE_LENGTH_EXCEEDED
    assert episode.trajectories[0].reward == 0.0


def test_turns_before_a_limit_of_the_engine_are_kept_and_scored(reasons: Any, play: Any) -> None:
    episode = play(Engine((says(CALL), TerminationEvent(reasons.MAX_PROMPT_LENGTH_EXCEEDED))))
    (trajectory,) = episode.trajectories
    assert [(step.reward, step.done) for step in trajectory.steps] == [(0.0, True)]
    assert trajectory.reward == 0.0
    assert episode.termination_reason is reasons.MAX_PROMPT_LENGTH_EXCEEDED


@pytest.mark.parametrize("failure", ["event", "exception"])
def test_an_engine_that_fails_leaves_no_trajectory(reasons: Any, play: Any, failure: str) -> None:
    error = TerminationEvent(reasons.ERROR) if failure == "event" else RuntimeError("no server")
    episode = play(Engine((says(CALL), error)))
    assert (episode.trajectories, episode.termination_reason) == ([], reasons.ERROR)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (says(call_turn("add", {"a": 99, "b": 2})), "down"),
        (says(CALL, finish_reason="abort"), "broke off"),
    ],
)
def test_an_episode_that_a_fault_took_has_no_trajectory(reasons: Any, play: Any, output: Any, told: str) -> None:
    episode = play(Engine((output,)))
    assert (episode.id, episode.trajectories) == ("task:0", [])
    assert told in episode.info["fault"]
    assert episode.termination_reason is getattr(reasons, "SANDBOX_ERROR", reasons.UNKNOWN)


@pytest.mark.parametrize("nested", [True, False])
def test_calls_that_a_server_told_apart_are_executed(reasons: Any, play: Any, nested: bool) -> None:
    call: Any = SimpleNamespace(name="add", arguments='{"a": 1, "b": 2}')
    if not nested:
        call = SimpleNamespace(name="add", arguments={}, arguments_raw='{"a": 1, "b": 2}')
    told = Output(text="Adding.", content="Adding.", completion_ids=[], tool_calls=[call])
    if nested:
        told = Output(text="", content="", completion_ids=[], tool_calls=[SimpleNamespace(function=call)])
    engine = Engine((told, Output(text="<answer>3</answer>", content="<answer>3</answer>", completion_ids=[])))
    assert play(engine).trajectories[0].reward == 1.0
    assert engine.asked[1][-1]["content"] == "<tool_response>\n3\n</tool_response>"


def test_options_reach_the_engine_and_no_tools_are_no_option(reasons: Any, play: Any) -> None:
    engine = Engine((says("<answer>3</answer>"),))
    play(engine, env_of(), temperature=0.5)
    assert engine.options == {"application_id": "task:0", "temperature": 0.5}


@pytest.mark.parametrize("other", ["none", "rllm without workflows"])
def test_another_library_of_this_name_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    for name, module in _library().items():
        keep = other != "none" and name != "rllm.workflows.workflow"
        monkeypatch.setitem(sys.modules, name, module if keep else None)
    with pytest.raises(EnvConfigError, match=r"expected rLLM 0\.2 or 0\.3.*got no installed rllm"):
        rllm_workflow(env_of(add))
