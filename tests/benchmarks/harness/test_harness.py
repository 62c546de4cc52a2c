"""Models are put through benchmarks: nine layouts, killed and gone on with, with tools and without, scored again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axpo.cli import main
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import EvaluatedRollout
from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig, ProtocolConfig
from axpo.settings.config import ConfigError
from axpo_benchmarks.harness import evaluate_benchmarks, folder_of, markdown, rescore
from axpo_benchmarks.harness._threads import side_by_side
from axpo_benchmarks.loaders import BENCHMARKS
from axpo_benchmarks.testing import write_layouts
from axpo_envs.errors import InfrastructureFault

AGENT = '''
"""Agents for tests."""

import json
import os
import signal

from axpo_envs.errors import InfrastructureFault


class Scripted:
    """Zooms once in its even rollouts if it can, which makes it right; is right by itself on every third question."""

    calls = 0

    def act(self, observation, state):
        Scripted.calls += 1
        if Scripted.calls == int(os.environ.get("KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        question = state.question
        if state.turns:
            return f"<answer>\\\\boxed{{{question.answer}}}</answer>"
        if "call tools" in observation["text"] and state.seed % 2 == 0:
            call = {"name": "image_zoom_in", "arguments": {"bbox_2d": [0, 0, 500, 500], "label": "it"}}
            return f"<think>Look.</think><tool_call>{json.dumps(call)}</tool_call>"
        answer = question.answer if state.seed % 3 == 0 else "nowhere"
        return f"<think>Guess.</think><answer>{answer}</answer>"


class Failing(Scripted):
    """Loses the rollouts of some questions unless it is told not to."""

    def act(self, observation, state):
        if "SOUND" not in os.environ and state.seed % 4 == 0:
            raise InfrastructureFault("the server is gone")
        return super().act(observation, state)


class Lost:
    def act(self, observation, state):
        raise InfrastructureFault("the server is gone")
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    write_layouts(folder)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scripted_agents.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "scripted_agents", raising=False)
    return tmp_path


def config(home: Path, *names: str, model: str = "scripted_agents:Scripted", **changes: Any) -> BenchmarkEvalConfig:
    protocol = ProtocolConfig(tools=("image_zoom_in",), **changes)
    return BenchmarkEvalConfig(
        model=model, benchmark=names or ("all",), benchmark_path=str(home), protocol=protocol, out="out"
    )


def without_time(rollouts: tuple[EvaluatedRollout, ...]) -> list[EvaluatedRollout]:
    def timeless(one: EvaluatedRollout) -> EvaluatedRollout:
        turns = tuple(
            replace(turn, calls=tuple(replace(call, seconds=0.0) for call in turn.calls)) for turn in one.turns
        )
        return replace(one, seconds=0.0, turns=turns)

    return [timeless(one) for one in rollouts]


def test_a_scripted_agent_goes_through_all_nine_layouts_by_the_command(
    home: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "--benchmark", "all", "--benchmark-path", str(home), "scripted_agents:Scripted"]
    command += ["--tools", "image_zoom_in", "--without-tools", "--out", "out", "--json", "found.json"]
    assert main(command) == 0
    record = json.loads((here / "found.json").read_text(encoding="utf-8"))
    assert list(record["benchmarks"]) == list(BENCHMARKS)
    assert record["missing"] == 0
    folder = EvaluationFolder(here / "out")
    for name, found in record["benchmarks"].items():
        tools, idle = found["arms"]["tools"]["metrics"], found["arms"]["no_tools"]["metrics"]
        rollouts = folder.rollouts(name, "tools")
        assert len(rollouts) == 4 * found["questions"]
        right = sum(one.judged.right for one in rollouts)
        assert tools["pass1"]["value"] == pytest.approx(right / len(rollouts))
        assert tools["pass4"]["value"] == tools["any_of_4"]["value"]
        assert 0 < tools["tool_attempt_rate"]["value"] < 1
        assert idle["tool_attempt_rate"]["value"] == 0
        assert tools["tool_pass1"]["value"] == tools["tool_success_rate"]["value"] == 1.0
        between = found["metrics"]
        difference = tools["pass1"]["value"] - idle["pass1"]["value"]
        assert between["tool_effect"]["value"] == pytest.approx(difference)
        assert between["tool_harm"]["value"] == 0.0
        assert all(set(metric) == {"value", "n", "low", "high"} for metric in tools.values())
    assert set(record["benchmarks"]["v-star"]["arms"]["tools"]["categories"]["category"]) == {
        "direct_attributes",
        "relative_position",
    }
    hr = record["benchmarks"]["hr-bench-4k"]["arms"]["tools"]["metrics"]
    assert hr["accuracy"]["value"] == pytest.approx(hr["pass1"]["value"])
    assert "v-star: expected 191 questions; got 2" in capsys.readouterr().err
    table = (here / "out" / "results.md").read_text(encoding="utf-8")
    assert "| | MathVision | DynaMath | Math-VR | V* | VisualProbe | HR-Bench-4K | HR-Bench-8K |" in table
    assert "| scripted_agents:Scripted, without tools |" in table
    assert "\\toprule" in (here / "out" / "results.tex").read_text(encoding="utf-8")
    assert "<h2>DynaMath, variant1</h2>" in (here / "out" / "results.html").read_text(encoding="utf-8")


def test_an_evaluation_that_is_killed_again_and_again_loses_and_doubles_nothing(home: Path, here: Path) -> None:
    evaluate_benchmarks(replace(config(home, "vstar", "mmsearch", without_tools=True), out="whole"))
    script = (
        "from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig, ModelConfig, ProtocolConfig\n"
        "from axpo_benchmarks.harness import evaluate_benchmarks\n"
        f"evaluate_benchmarks({replace(config(home, 'vstar', 'mmsearch', without_tools=True), out='killed')!r})"
    )
    ends, counts = [], []
    for kill_at in (3, 14, 0):
        environment = {**os.environ, "KILL_AT": str(kill_at)}
        ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
        ends.append(ended.returncode)
        counts.append(sum(file.read_bytes().count(b"\n") for file in (here / "killed").rglob("rollouts.jsonl")))
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert counts == sorted(counts)
    assert counts[-1] == 2 * 2 * 2 * 4
    whole, killed = EvaluationFolder("whole"), EvaluationFolder("killed")
    for name, arm in whole:
        assert without_time(killed.rollouts(name, arm)) == without_time(whole.rollouts(name, arm))
    assert killed.provenance() == whole.provenance()


def test_all_stages_of_mmsearch_are_asked_and_the_single_ones_without_tools(home: Path, here: Path) -> None:
    asked = replace(config(home, "mmsearch", without_tools=True), slice="full", questions=None)
    record = evaluate_benchmarks(asked)
    rollouts = EvaluationFolder(here / "out").rollouts("mmsearch", "tools")
    stages = {stage: [one for one in rollouts if one.question.startswith(stage)] for stage in ("end2end", "re", "sum")}
    assert [len(found) for found in stages.values()] == [8, 16, 8]
    assert [any(one.used_tool for one in found) for found in stages.values()] == [True, False, False]
    found = record["metrics"]
    weighed = 0.75 * found["end_to_end"]["value"] + 0.05 * found["requery"]["value"]
    weighed += 0.1 * (found["rerank"]["value"] + found["summary"]["value"])
    assert found["final"]["value"] == pytest.approx(weighed)
    assert found["tool_effect"]["n"] == 8
    assert f"{100 * weighed:.1f} / " in markdown(record)


def test_lost_rollouts_are_not_scored_and_made_when_it_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    failing = config(home, "vstar", model="scripted_agents:Failing", seed=1)
    first = evaluate_benchmarks(failing, warn=told.append)
    assert first["missing"] > 0
    assert first["rollouts"] + first["missing"] == 8
    assert any("rollouts were lost to infrastructure faults, the last one: the server is gone" in one for one in told)
    monkeypatch.setenv("SOUND", "1")
    shares: list[float] = []
    second = evaluate_benchmarks(failing, progress=shares.append)
    assert (second["missing"], second["rollouts"]) == (0, 8)
    assert shares[0] == first["rollouts"] / 8
    assert shares[-1] == 1.0
    with pytest.raises(InfrastructureFault, match="the server is gone"):
        evaluate_benchmarks(replace(config(home, "vstar", model="scripted_agents:Lost"), out="lost"))


def test_another_protocol_does_not_go_on_with_it(home: Path) -> None:
    evaluate_benchmarks(replace(config(home, "vstar"), questions=1))
    with pytest.raises(ConfigError, match=r"protocol.temperature: it has 0.7; got 0.5"):
        evaluate_benchmarks(replace(config(home, "vstar", temperature=0.5), questions=1))


def test_the_papers_protocol_is_the_default() -> None:
    protocol = ProtocolConfig().as_record()
    assert protocol["preset"] == "paper"
    paper = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5, "samples": 4, "max_turns": 5}
    assert paper.items() <= protocol.items()
    assert protocol["max_turn_tokens"] == 32768
    assert ProtocolConfig(seed=3, without_tools=True).preset == "paper"
    assert ProtocolConfig(temperature=0.6).preset == "custom"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"benchmark": ("mmsearch",)}, "search: mmsearch asks for what stands on the web"),
        ({"benchmark": ("mmsearc",)}, "expected a benchmark out of"),
        ({"benchmark_path": "nowhere"}, "there is no 'nowhere'"),
        ({"slice": "whole"}, "expected a slice out of full; got 'whole'"),
        ({"model": "scripted_agents:AGENT"}, "has no 'AGENT'"),
        ({"questions": 0}, "questions: expected"),
    ],
)
def test_unusable_settings_are_named_before_anything_is_asked(
    home: Path, changes: dict[str, Any], problem: str
) -> None:
    asked = replace(config(home, "vstar"), **changes)
    if asked.benchmark == ("mmsearch",):
        asked = replace(asked, protocol=ProtocolConfig())
    with pytest.raises(ValueError, match=problem):
        evaluate_benchmarks(asked)
    assert not Path("out", "v-star").exists()


def test_saved_responses_are_scored_again_without_the_model(home: Path, here: Path) -> None:
    before = evaluate_benchmarks(config(home, "vstar"))
    folder = EvaluationFolder(here / "out")
    rollouts = folder.rollouts("v-star", "tools")
    misjudged = tuple(
        replace(one, judged=replace(one.judged, outcome="wrong", score=0.0, reason="an older rule")) for one in rollouts
    )
    folder.replace_rollouts("v-star", "tools", misjudged)
    told: list[str] = []
    record, changed = rescore("out", warn=told.append)
    assert EvaluationFolder(here / "out").rollouts("v-star", "tools") == rollouts
    assert changed == len(rollouts)
    assert told == [f"v-star, tools: {changed} of 8 verdicts changed"]
    assert record["metrics"] == before["metrics"]
    assert main(["eval", "--rescore", "out"]) == 0
    assert rescore("out")[1] == 0


def test_the_folder_is_named_after_the_model() -> None:
    asked = BenchmarkEvalConfig(model="http://host:8000/v1", benchmark=("all",), benchmark_path=".")
    assert folder_of(asked) == Path("evaluations/host-8000-v1")
    assert folder_of(replace(asked, model="Qwen/Qwen3-VL-2B")) == Path("evaluations/Qwen-Qwen3-VL-2B")


def test_unseen_tools_are_an_arm_of_their_own(home: Path) -> None:
    record = evaluate_benchmarks(config(home, "vstar", unseen_tools=("measure",)))
    found = record["benchmarks"]["v-star"]
    assert record["provenance"]["benchmarks"]["v-star"]["tools"] == {
        "tools": ("image_zoom_in",),
        "unseen_tools": ("image_zoom_in", "measure"),
    }
    assert found["metrics"]["unseen_tool_effect"]["value"] == 0.0


def test_threads_begin_no_more_than_there_are_and_pass_failures_on() -> None:
    begun: list[int] = []

    def call(number: int) -> list[int]:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return [number, -number]

    calls = [lambda number=number: call(number) for number in range(50)]
    assert sorted(side_by_side(calls[:2], 4)) == [-1, 0, 0, 1]
    begun.clear()
    with pytest.raises(ValueError, match="two"):
        list(side_by_side(calls, 2))
    assert len(begun) <= 8
