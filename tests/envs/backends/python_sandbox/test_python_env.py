"""The `python` tool in an environment: branches equal their serial re-runs, snapshots travel, the contract holds."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.report import BranchingKind, Isolation
from axpo_envs.backends.python_sandbox.start import available_isolations
from axpo_envs.backends.python_sandbox.state import PythonState
from axpo_envs.env import ToolEnv, ToolEnvSpec
from axpo_envs.questions.sources import ListQuestions
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.snapshot import Snapshot
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tools import Effects, Tool, ToolArgumentError
from axpo_envs.tools.python import PythonTool
from axpo_envs.types import EpisodeState, Question

LIMITS = SandboxLimits(wall_s=30.0, memory_mb=256, scratch_mb=8)
QUESTION = Question(id="q", prompt=("How much?",), answer="42")


@pytest.fixture(scope="module", params=available_isolations())
def tool(request: pytest.FixtureRequest) -> Iterator[PythonTool]:
    tool = PythonTool(LIMITS, settings=SandboxSettings(isolation=request.param))
    yield tool
    tool.close()


@pytest.fixture
def env(tool: PythonTool) -> ToolEnv:
    spec = ToolEnvSpec(
        env_id="tests/Python-v0",
        questions=ListQuestions((QUESTION,)),
        tools=(tool,),
        reward=ExactMatch(),
        max_turns=20,
    )
    return ToolEnv(spec)


def actions(random_source: random.Random, depth: int) -> list[str]:
    """Turns that call the tool, drawn at random."""
    cells = (
        "total = globals().get('total', 0) + {n}; total",
        "import random; random.randrange(1000)",
        "open('log', 'a').write('{n} '); print(open('log').read())",
        "import numpy as np; np.random.rand(2).round(6).tolist()",
        "1 / ({n} % 2)",
        "items = globals().get('items', []) + [{n}]\nitems",
    )
    call = '<tool_call>\n{{"name": "python", "arguments": {{"code": {code}}}}}\n</tool_call>'
    drawn = (random_source.choice(cells).format(n=random_source.randrange(10)) for _ in range(depth))
    return [call.format(code=json_string(cell)) for cell in drawn]


def json_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


class TestEnvironment:
    def test_interleaved_branches_equal_their_serial_rerun(self, env: ToolEnv) -> None:
        source = random.Random(5)
        points = [env.begin(env.questions.question(0), seed=seed) for seed in range(4)]
        histories: list[tuple[int, list[str]]] = [(seed, []) for seed in range(4)]
        for _ in range(60):
            origin = source.randrange(len(points))
            (action,) = actions(source, 1)
            points.append(env.advance(points[origin], action).state)
            histories.append((histories[origin][0], [*histories[origin][1], action]))
        for point, (seed, turns) in source.sample(list(zip(points, histories, strict=True)), 20):
            assert self.serial(env, seed, turns).digest == point.digest

    def test_branches_in_threads_equal_their_serial_rerun(self, env: ToolEnv) -> None:
        source = random.Random(6)
        root = env.advance(env.begin(env.questions.question(0), seed=1), actions(source, 1)[0]).state
        futures = [actions(source, 3) for _ in range(10)]

        def play(turns: list[str]) -> EpisodeState:
            state = root
            for turn in turns:
                state = env.advance(state, turn).state
            return state

        with ThreadPoolExecutor(5) as executor:
            parallel = list(executor.map(play, futures))
        assert [state.digest for state in parallel] == [play(turns).digest for turns in futures]

    def test_a_snapshot_goes_on_after_its_bytes_were_stored(self, env: ToolEnv) -> None:
        state = env.begin(env.questions.question(0), seed=1)
        for turn in actions(random.Random(7), 3):
            state = env.advance(state, turn).state
        stored = env.snapshot_of(state).to_bytes()
        last = actions(random.Random(8), 1)[0]
        expected = env.advance(state, last).state.digest
        env.tools[0].close()
        assert env.advance(Snapshot.from_bytes(stored).state, last).state.digest == expected

    @staticmethod
    def serial(env: ToolEnv, seed: int, turns: list[str]) -> EpisodeState:
        state = env.begin(env.questions.question(0), seed=seed)
        for turn in turns:
            state = env.advance(state, turn).state
        return state


class TestTool:
    def test_is_a_tool_that_stops_its_calls_itself(self, tool: PythonTool) -> None:
        assert isinstance(tool, Tool)
        assert (tool.name, tool.effects, tool.timeout_s) == ("python", Effects.STATEFUL, None)
        assert tool.initial_state(QUESTION) == PythonState()

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({}, "code is missing"),
            ({"code": 3}, "code must be a string"),
            ({"code": "1", "lang": "r"}, "unknown argument 'lang'"),
            ({"code": "#" * 200_000}, "at most 100000 characters; it has 200000"),
        ],
    )
    def test_says_what_is_wrong_with_its_arguments(
        self, tool: PythonTool, arguments: dict[str, object], problem: str
    ) -> None:
        with pytest.raises(ToolArgumentError, match=problem):
            tool.validate(arguments)

    def test_reports_the_sandbox_in_force(self, tool: PythonTool) -> None:
        report = tool.report
        rooted = report.isolation in (Isolation.BUBBLEWRAP, Isolation.NAMESPACES)
        assert report.branching is (BranchingKind.FORK if rooted else BranchingKind.REPLAY)
        assert "seccomp" in report.mechanisms
        assert str(report).startswith(report.isolation.value)

    def test_conforms(self, tool: PythonTool, env: ToolEnv) -> None:
        check_tool(tool, arguments={"code": "x = 1\nprint(x)"})
        check_tool_env(env, actions=actions(random.Random(9), 3), fuzz=8)

    def test_tools_of_equal_settings_share_a_sandbox(self, tool: PythonTool) -> None:
        assert pickle.loads(pickle.dumps(tool))._sandbox is tool._sandbox

    def test_promises_no_figures_where_they_cannot_be_drawn(
        self, tool: PythonTool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "figures drawn with matplotlib" in tool.description
        monkeypatch.setattr("axpo_envs.tools.python._DRAWING", "no_such_module")
        preload = ("no_such_module",)
        without = PythonTool(settings=SandboxSettings(isolation=tool.report.isolation, preload=preload))
        assert "figures" not in without.description
        without.close()
