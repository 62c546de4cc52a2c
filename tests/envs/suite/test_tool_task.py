"""`axpo/ToolTask-v0`: the user's own questions, tools and reward, in this process and in others."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from axpo.run.environments import make_env, parse_env_args
from axpo_envs import EnvConfigError, EpisodeState, ExactMatch, ImageRef, Question, RewardTerm, Snapshot, StopReason
from axpo_envs.questions.sources import QuestionSubset
from axpo_envs.suite.tool_task.env import ENV_ID, ToolTask
from axpo_envs.testing import check_tool_env
from axpo_envs.tools import Effects, ToolArgumentError, ToolContext, ToolResult, tool

SUM = {"id": "sum", "prompt": "What is 17 * 23?", "answer": "391"}
CALL = '<tool_call>{"name": "multiply", "arguments": {"a": 17, "b": 23}}</tool_call>'
COUNT = '<tool_call>{"name": "tally", "arguments": {}}</tool_call>'
PLUGIN = '''
from axpo_envs.tools import tool


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies."""
    return a * b


class Maths:
    @staticmethod
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b


def length(question, answer, state) -> float:
    return 1.0 / len(answer)


number = 5
'''


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies."""
    return a * b


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


class Tally:
    """Counts its calls."""

    name = "tally"
    description = "Counts."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {}}
    effects = Effects.STATEFUL
    timeout_s = None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if arguments:
            raise ToolArgumentError("it takes no arguments")
        return arguments

    def initial_state(self, question: Question) -> int:
        return 0

    def step(self, arguments: Mapping[str, Any], state: int, context: ToolContext) -> tuple[ToolResult, int]:
        return ToolResult(content=(f"{state + 1}",)), state + 1


def picture(side: int = 8, shade: int = 50) -> np.ndarray[Any, Any]:
    return np.full((side, side // 2, 3), shade, np.uint8)


def make(**settings: Any) -> ToolTask:
    env = gymnasium.make(ENV_ID, **{"questions": [SUM], **settings})
    assert isinstance(env, ToolTask)
    return env


def test_questions_tools_and_a_reward_make_an_environment() -> None:
    env = make(tools=[multiply], reward="numeric")
    observation, _ = env.reset(seed=0)
    assert observation["text"].endswith("What is 17 * 23?")
    assert "<answer>...</answer>" in observation["text"]
    observation, reward, terminated, truncated, _ = env.step(CALL)
    assert (observation["text"], reward, terminated, truncated) == (
        "<tool_response>\n391\n</tool_response>",
        0.0,
        False,
        False,
    )
    _, reward, terminated, _, info = env.step("<answer>391.0</answer>")
    assert (reward, terminated, info["terms"]) == (1.0, True, {"numeric": 1.0})


def test_exact_match_is_the_default_reward_and_no_tool_is_needed() -> None:
    env = make()
    assert env.tools == ()
    assert isinstance(env.rules.reward, ExactMatch)
    assert [env.advance(env.begin(env.questions.question(0)), f"<answer>{a}</answer>").reward for a in (391, 3)] == [
        1.0,
        0.0,
    ]


def test_tools_come_in_many_forms() -> None:
    class Collection(tuple[Any, ...]):
        pass

    env = make(tools=[multiply, add, Collection([Tally()])])
    assert [tool.name for tool in env.tools] == ["multiply", "add", "tally"]
    assert env.tools[1].parameters["required"] == ["a", "b"]
    assert [tool.name for tool in make(tools=multiply).tools] == ["multiply"]
    assert [tool.name for tool in make(tools=[Tally]).tools] == ["tally"]
    assert [tool.name for tool in make(tools="image_zoom_in", view_size=32).tools] == ["image_zoom_in"]
    assert [tool.name for tool in make(tools=["measure"]).tools] == ["measure"]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory."""
    name = f"plugin_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_tools_and_rewards_are_imported_by_name(plugin: str) -> None:
    env = make(tools=[f"{plugin}:multiply", f"{plugin}:Maths.add"], reward=f"{plugin}:length")
    assert [tool.name for tool in env.tools] == ["multiply", "add"]
    assert env.advance(env.begin(env.questions.question(0)), "<answer>1234</answer>").reward == 0.25


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        ("{plugin}:nothing", "has no 'nothing'"),
        ("no_such_module_at_all:x", "cannot import no_such_module_at_all: ModuleNotFoundError"),
        ("{plugin}:number", "expected a Tool, .*; got 5"),
        ("multiply", "expected a Tool, .* 'image_zoom_in', .*; got 'multiply'"),
        (5, "expected a Tool, .*; got 5"),
        ([multiply, [None]], "expected a Tool, .*; got None"),
        ({"multiply": multiply}, "expected a Tool"),
        ([multiply, multiply], "unique; got 'multiply' twice"),
        ([lambda a: a], "a tool's name"),
        ("image_zoom_in", "needs view_size"),
        (ExactMatch, "expected a Tool"),
        (ImageRef, "cannot be made without arguments"),
    ],
)
def test_what_is_no_tool_is_told(tools: Any, problem: str, plugin: str) -> None:
    given = tools.format(plugin=plugin) if isinstance(tools, str) else tools
    with pytest.raises(EnvConfigError, match=problem):
        make(tools=given)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"question": [SUM]}, "no setting 'question'; it has questions, tools, search, reward"),
        ({"max_turns": -1}, "max_turns must be an integer from 0; got -1"),
        ({"max_turns": True}, "max_turns must be an integer from 0; got True"),
        ({"max_calls_per_turn": 0}, "max_calls_per_turn must be an integer from 1"),
        ({"view_size": 0}, "view_size must be an integer from 1"),
        ({"instructions": 3}, "instructions must be text; got 3"),
        ({"split": 1}, "split must be text; got 1"),
        ({"columns": "prompt"}, "columns must be a mapping"),
        ({"answers": "loud"}, "answers must be one of tag, boxed, either, boxed_tag; got 'loud'"),
        ({"reward": "exactmatch"}, "did you mean 'exact_match'"),
        ({"questions": [{"id": 1, "prompt": "?", "answer": "x"}], "reward": "numeric"}, "row 1 .*'answer'.*a number"),
        ({"questions": [{"prompt": "?", "answer": "x"}]}, "row 1 .*, field 'id': missing"),
    ],
)
def test_bad_settings_are_told_before_anything_runs(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        make(**settings)


def test_questions_must_be_given() -> None:
    with pytest.raises(EnvConfigError, match="ToolTask needs questions"):
        gymnasium.make(ENV_ID)


def test_a_function_is_a_reward() -> None:
    def close(question: Question, answer: str, state: EpisodeState) -> float:
        return 1 - abs(float(answer) - float(question.answer)) / 100 - 0.1 * len(state.turns)

    env = make(reward=close)
    start = env.begin(env.questions.question(0))
    assert env.advance(start, "<answer>381</answer>").state.terms == (RewardTerm(name="close", value=0.8),)
    assert env.advance(start, "no answer").reward == 0.0


def test_the_view_is_smaller_than_what_tools_see() -> None:
    seen = []

    @tool
    def look(context: ToolContext) -> str:
        """Looks."""
        seen.append(context.images[0])
        return "looked"

    row = {**SUM, "prompt": "Here: <image>. What?", "images": [picture(200)]}
    env = make(questions=[row], tools=[look], view_size=50)
    observation, _ = env.reset(seed=0)
    assert [image.shape for image in observation["images"]] == [(50, 25, 3)]
    env.step('<tool_call>{"name": "look"}</tool_call>')
    assert seen == [ImageRef(picture(200))]


def test_instructions_are_the_users_or_say_where_the_answer_goes() -> None:
    assert make(instructions="").instructions == ""
    assert make(instructions="Be brief.").instructions == "Be brief."
    boxed = make(answers="boxed")
    assert "\\boxed{" in boxed.instructions
    start = boxed.begin(boxed.questions.question(0))
    assert boxed.advance(start, "<answer>391</answer>").state.stop is StopReason.NO_ANSWER
    assert boxed.advance(start, "\\boxed{391}").reward == 1.0


def test_gate_and_audit_are_handed_on() -> None:
    told = []
    env = make(tools=[multiply], audit=lambda state, record: told.append(record.call.name))
    env.reset(seed=0)
    env.step(CALL)
    assert told == ["multiply"]


def rich_settings(folder: Path) -> dict[str, Any]:
    """Settings with everything that has to travel."""
    path = folder / "tasks.jsonl"
    rows = [{**SUM, "split": "train"}, {**SUM, "id": "2", "images": ["p.png"], "split": "train"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    (folder / "p.png").write_bytes(ImageRef(picture()).to_png())
    return {"questions": str(path), "tools": [multiply, Tally()], "reward": {"numeric": 0.5, "exact_match": 0.5}}


def test_it_conforms(tmp_path: Path) -> None:
    settings = {**rich_settings(tmp_path), "view_size": 4}
    check_tool_env(lambda: gymnasium.make(ENV_ID, **settings))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_are_made_of_it(mode: str, tmp_path: Path) -> None:
    vector = gymnasium.make_vec(
        ENV_ID,
        num_envs=2,
        vectorization_mode=mode,
        vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        **rich_settings(tmp_path),
    )
    try:
        observations, _ = vector.reset(seed=3)
        assert all(text.endswith(SUM["prompt"]) for text in observations["text"])
        observations, *_ = vector.step((COUNT, CALL))
        assert [text.splitlines()[1] for text in observations["text"]] == ["1", "391"]
        _, rewards, terminated, *_ = vector.step(("<answer>391</answer>", "<answer>391.0</answer>"))
        assert rewards.tolist() == [1.0, 0.5]
        assert terminated.all()
    finally:
        vector.close()


def test_it_pickles_as_its_arguments_and_the_current_episode(tmp_path: Path) -> None:
    env = make(**rich_settings(tmp_path))
    fresh: ToolTask = pickle.loads(pickle.dumps(env))
    assert fresh.rules.fingerprint == env.rules.fingerprint
    assert fresh.questions is env.questions
    env.reset(seed=1)
    env.step(COUNT)
    copy: ToolTask = pickle.loads(pickle.dumps(env))
    assert copy.state == env.state
    assert copy.step(COUNT)[0] == env.step(COUNT)[0]


def test_a_snapshot_goes_on_in_another_process(tmp_path: Path) -> None:
    settings = {**rich_settings(tmp_path), "tools": [f"{Path(__file__).stem}:Tally"]}
    env = make(**{**settings, "tools": [Tally()]})
    env.reset(seed=0, options={"index": 1})
    env.step(COUNT)
    (tmp_path / "snapshot").write_bytes(env.snapshot().to_bytes())
    script = f"""
import gymnasium, axpo_envs
from pathlib import Path
env = gymnasium.make({ENV_ID!r}, **{settings!r})
env.restore(axpo_envs.Snapshot.from_bytes(Path("snapshot").read_bytes()))
assert env.step({COUNT!r})[0]["text"].splitlines()[1] == "2"
Path("after").write_bytes(env.snapshot().to_bytes())
"""
    path = str(Path(__file__).parent)
    run = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {path!r})\n{script}"]
    subprocess.run(run, check=True, cwd=tmp_path)
    env.step(COUNT)
    assert Snapshot.from_bytes((tmp_path / "after").read_bytes()).digest == env.snapshot().digest


@pytest.mark.parametrize(
    "other", [{"reward": "exact_match"}, {"view_size": 2}, {"max_turns": 9}, {"questions": [SUM]}, {"tools": []}]
)
def test_a_snapshot_of_other_settings_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    env = make(**rich_settings(tmp_path))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"question source|rules"):
        make(**{**rich_settings(tmp_path), **other}).restore(env.snapshot())


def test_the_command_lines_arguments_make_it(plugin: str, tmp_path: Path) -> None:
    rows = [{**SUM, "split": "train"}, {**SUM, "id": "held out", "split": "test"}]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = parse_env_args(("questions=tasks.jsonl", f'tools=["{plugin}:multiply"]', "reward=exact_match"))
    env = make_env(ENV_ID, arguments)
    assert [tool.name for tool in env.tools] == ["multiply"]
    assert env.questions.question(0).id == "sum"
    assert make_env(ENV_ID, {**arguments, "split": "test"}).questions.question(0).id == "held out"


def test_a_copy_that_asks_some_of_the_questions_pickles() -> None:
    env = make(questions=[{**SUM, "id": str(number)} for number in range(4)])
    some = env.asking(QuestionSubset(env.questions, (1, 3)))
    some.reset(seed=0)
    copy = pickle.loads(pickle.dumps(some))
    assert [copy.questions.question(index).id for index in range(copy.questions.size)] == ["1", "3"]
    assert copy.state == some.state
    assert env.questions.size == 4


def test_nothing_is_imported_that_is_not_needed(tmp_path: Path) -> None:
    script = f"""
import sys, gymnasium, axpo_envs
gymnasium.make({ENV_ID!r}, questions=[{SUM!r}], reward="numeric")
print(sorted({{"mcp", "httpx", "datasets", "math_verify", "sympy", "torch", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_objects_of_the_users_are_rewards_and_see_episodes_without_answer() -> None:
    class Bonus:
        def __call__(self, question: Question, answer: str | None, state: EpisodeState) -> tuple[RewardTerm, ...]:
            return (RewardTerm(name="bonus", value=0.25 if answer is None else 1.0),)

    rewards: list[Callable[..., Any]] = [Bonus(), lambda question, answer, state: 1.0]
    envs = [make(reward=reward) for reward in rewards]
    assert [env.advance(env.begin(env.questions.question(0)), "nothing").reward for env in envs] == [0.25, 0.0]


def test_a_copy_that_asks_other_questions_shares_the_tools_and_reads_nothing_again() -> None:
    rows = iter([{"id": str(number), "prompt": "?", "answer": "1"} for number in range(3)])
    env = ToolTask(questions=rows, tools=["image_zoom_in"], view_size=9)
    other = env.asking(QuestionSubset(env.questions, [2]))
    assert other.tools is env.tools
    assert other.reset(seed=0)[1]["question"] == "2"
    assert env.questions.size == 3
