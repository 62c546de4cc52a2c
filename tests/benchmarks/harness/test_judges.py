"""A judge behind a server decides where rules do not, is asked of no answer twice, and is held against the rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from axpo.cli import main
from axpo.records.evaluation_folder import EvaluationFolder
from axpo.settings.benchmark_evaluation import BenchmarkEvalConfig, ProtocolConfig
from axpo.settings.config import ConfigError
from axpo_benchmarks.harness import evaluate_benchmarks, rescore
from axpo_benchmarks.testing import visual_probe_row, write_visual_probe
from axpo_envs.errors import InfrastructureFault, RewardFault
from axpo_envs.plumbing.web import Retries
from axpo_envs.types import Question

SAID = ("17", "seventeen", "71", "a bus")
AGENT = f"""
class Four:
    def act(self, observation, state):
        return "<answer>" + {SAID!r}[int(state.question.id[-1])] + "</answer>"


def decides(question, answer):
    return answer == "a bus"
"""


class JudgeServer:
    """Says CORRECT of numbers in words, mumbles of buses, and is gone when told to be."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = request["messages"][1]["content"]
                answer = text.split("<answer-")[1].split("\n")[1]
                outer.asked.append(answer)
                said = {"seventeen": "CORRECT", "17": "INCORRECT", "71": "INCORRECT"}.get(answer, "Well.")
                data = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    server = JudgeServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "four_agents.py").write_text(AGENT, encoding="utf-8")
    write_visual_probe(tmp_path / "data", "Hard", [visual_probe_row(n) for n in range(4)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def config(judge: str | None, model: str | None = "grader") -> BenchmarkEvalConfig:
    return BenchmarkEvalConfig(
        model="four_agents:Four",
        benchmark=("visual-probe",),
        benchmark_path="data",
        judge=judge,
        judge_model=model,
        out="out",
        protocol=ProtocolConfig(tools=("none",), samples=2),
    )


def test_it_decides_is_counted_and_is_held_against_the_rule(server: JudgeServer, here: Path) -> None:
    record = evaluate_benchmarks(config(server.url))
    folder = EvaluationFolder(here / "out")
    judged = {one.question: one.judged for one in folder.rollouts("visual-probe", "tools")}
    assert [(judged[f"hard/{n}"].outcome, judged[f"hard/{n}"].rule, judged[f"hard/{n}"].judge) for n in range(4)] == [
        ("right", "right", "wrong"),
        ("right", "wrong", "right"),
        ("wrong", "wrong", "wrong"),
        ("unparsable", "wrong", "unreadable"),
    ]
    found = record["metrics"]
    assert found["judge_agreement"]["value"] == pytest.approx(1 / 3)
    assert found["judge_agreement"]["n"] == 6
    assert {"low", "high"} <= found["judge_agreement"].keys()
    assert found["judge_accepts"]["value"] == pytest.approx(1 / 2)
    assert found["judge_rejects"]["value"] == 1.0
    assert found["judge_unreadable_rate"]["value"] == found["unparsable_rate"]["value"] == 0.25
    # Three that it decided, once each; the one that it mumbles of, three times, in this process alone.
    assert sorted(server.asked) == ["17", "71", "a bus", "a bus", "a bus", "seventeen"]
    assert len(folder.judgements()) == 3
    name = record["provenance"]["benchmarks"]["visual-probe"]["judge"]
    assert name.startswith("grader, prompt ")


def test_what_it_said_is_kept_for_later_processes(server: JudgeServer) -> None:
    first = evaluate_benchmarks(config(server.url))
    server.asked.clear()
    told: list[str] = []
    again, changed = rescore("out", judge=server.url, judge_model="grader", warn=told.append)
    assert (changed, told, again["metrics"]) == (0, [], first["metrics"])
    assert server.asked == ["a bus"] * 3
    server.asked.clear()
    rescore("out", judge=server.url, judge_model="another")
    assert {"17", "71", "seventeen"} <= set(server.asked)
    record, changed = rescore("out")
    assert record["provenance"]["benchmarks"]["visual-probe"]["judge"] is None
    assert "judge_agreement" not in record["metrics"]
    assert record["metrics"]["pass1"]["value"] == 0.25


def test_a_judge_that_is_gone_scores_nothing(
    server: JudgeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Retries, "wait_s", lambda *_: 0.0)
    server.status = 503
    with pytest.raises(InfrastructureFault, match="answered 503"):
        evaluate_benchmarks(config(server.url))
    assert EvaluationFolder("out").rollouts("visual-probe", "tools") == ()
    server.status = 401
    with pytest.raises(RewardFault, match="check the key"):
        evaluate_benchmarks(config(server.url))
    evaluate_benchmarks(replace(config(None, None), out="plain"))
    before = EvaluationFolder("plain").rollouts("visual-probe", "tools")
    server.status = 503
    with pytest.raises(InfrastructureFault):
        rescore("plain", judge=server.url, judge_model="grader")
    assert EvaluationFolder("plain").rollouts("visual-probe", "tools") == before
    server.status = 200
    command = ["eval", "--rescore", "plain", "--judge", server.url, "--judge-model", "grader"]
    assert main(command) == 0
    assert "visual-probe, tools: " in capsys.readouterr().err


def test_a_function_judges_too() -> None:
    record = evaluate_benchmarks(config("four_agents:decides", None))
    assert record["provenance"]["benchmarks"]["visual-probe"]["judge"] == "four_agents:decides"
    assert record["metrics"]["pass1"]["value"] == 0.5
    assert record["metrics"]["judge_agreement"]["value"] == 0.5


@pytest.mark.parametrize(
    ("judge", "model", "problem"),
    [
        ("http://127.0.0.1:1/v1", None, "judge_model: expected the model's name"),
        ("four_agents:decides", "grader", "judge_model: expected the address of a server"),
        (None, "grader", "judge_model: expected the address of a server"),
        ("http://user:word@host/v1", "grader", "judge: expected an address"),
        ("four_agents:nobody", None, "has no 'nobody'"),
        ("four_agents:SAID", None, "has no 'SAID'"),
    ],
)
def test_unusable_judges_are_named_before_anything_is_asked(judge: str | None, model: str | None, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        evaluate_benchmarks(config(judge, model))
    assert not Path("out").exists()


def test_questions_of_equal_text_and_golds_share_what_it_said(server: JudgeServer) -> None:
    from axpo_benchmarks.harness._judging import open_judge

    folder = EvaluationFolder("cache")
    folder.path.mkdir()
    with open_judge(server.url, "grader", None, folder=folder) as judge:
        assert judge is not None
        asked = [
            Question(id=name, prompt=("Which?",), answer=gold) for name, gold in (("a", "x"), ("b", "x"), ("c", "y"))
        ]
        assert [judge.judge(one, "seventeen") for one in asked] == [True, True, True]
    assert len(server.asked) == 2
