"""Tests of axpo.audit on files that other libraries wrote; the scripts beside them made them, and name the versions."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from axpo.audit.audit import AuditSettings, Findings, audit
from axpo.audit.exhibits import exhibits
from axpo.cli import main
from axpo_envs.plumbing.extras import MissingExtraError

HERE = Path(__file__).parent
FAILED = {"message": "connection lost", "traceback": ""}


def read(name: str) -> Findings:
    return audit([HERE / name], AuditSettings())


def values(findings: Findings, *names: str) -> list[tuple[float, int] | None]:
    found = (findings.metrics[name] for name in names)
    return [None if each is None else (pytest.approx(each.value), each.n) for each in found]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def test_what_trl_itself_logged_is_read() -> None:
    # Rewards of 0 and 1, and of 0.5 where a completion begins before "m".
    findings = read("trl_completions.parquet")
    assert list(findings.files.values()) == ["trl"]
    assert (findings.rollouts, findings.questions, findings.unscored, findings.unreadable) == (8, 2, 0, 0)
    assert values(findings, "tool_attempt_rate") == [(0.0, 8)]
    assert list(findings.over_time) == ["1"]


@pytest.mark.parametrize("name", ["verl_rollouts", "verl_rollouts_v1", "verl_validation"])
def test_what_verl_itself_dumped_is_read_whatever_its_uid_tells_apart(name: str) -> None:
    findings = read(f"{name}.jsonl")
    assert list(findings.files.values()) == ["verl"]
    assert (findings.rollouts, findings.questions, findings.unscored, findings.unreadable) == (4, 2, 0, 0)
    # What went in declares the tool.
    names = ("pass1", "tool_attempt_rate", "tool_pass1", "tool_success_rate", "mention_without_call")
    assert values(findings, *names) == [(1 / 2, 4), (1 / 2, 4), (1 / 2, 2), (1 / 2, 2), (1 / 4, 4)]
    assert findings.call_outcomes == {"lookup": {"ran": 1, "failed": 1, "malformed": 0, "untold": 0}}
    assert list(findings.by_environment) == (["capitals"] if name == "verl_rollouts" else [])
    shown = exhibits([HERE / f"{name}.jsonl"], AuditSettings(), [0])[0]
    assert shown.prompt == "What is the capital of Peru?"
    assert [turn.results for turn in shown.transcript.turns] == [("Lima",), ()]


def test_an_own_id_that_looks_like_that_of_verl_tells_questions_apart(tmp_path: Path) -> None:
    rows = [{"input": f"q{n}", "output": "x", "score": 1.0, "uid": f"math_{n}_0"} for n in range(3)]
    assert audit([write(tmp_path / "rows.jsonl", rows)], AuditSettings()).questions == 3


def test_episodes_of_verifiers_are_read_trace_by_trace() -> None:
    findings = read("verifiers_traces.jsonl")
    assert list(findings.files.values()) == ["verifiers"]
    assert (findings.rollouts, findings.questions, findings.unscored, findings.unreadable) == (8, 2, 0, 0)
    names = ("pass1", "tool_attempt_rate", "tool_pass1", "no_tool_pass1", "tool_call_valid_rate", "cut_off_rate")
    assert values(findings, *names) == [(3 / 8, 8), (5 / 8, 8), (1 / 5, 5), (2 / 3, 3), (3 / 5, 5), (0.0, 8)]
    assert findings.call_outcomes == {
        "lookup": {"ran": 2, "failed": 1, "malformed": 1, "untold": 0},
        "find": {"ran": 0, "failed": 0, "malformed": 1, "untold": 0},
    }
    assert findings.failures["mention_without_call"] == 1
    shown = exhibits([HERE / "verifiers_traces.jsonl"], AuditSettings(), [0])[0]
    assert shown.prompt == "What is the capital of Peru?"
    assert [turn.results for turn in shown.transcript.turns] == [("Lima",), ()]


def test_results_of_older_verifiers_are_read_with_calls_that_are_texts() -> None:
    findings = read("verifiers_results.jsonl")
    assert list(findings.files.values()) == ["verifiers"]
    assert (findings.rollouts, findings.questions) == (4, 2)
    # That "no entry for Chad" is a failure, the record does not tell.
    assert findings.call_outcomes == {"lookup": {"ran": 2, "failed": 0, "malformed": 1, "untold": 0}}
    assert values(findings, "pass1", "mention_without_call") == [(1 / 4, 4), (1 / 2, 2)]


@pytest.mark.parametrize("name", ["inspect_log.eval", "inspect_log.json"])
def test_logs_of_inspect_are_read_in_both_forms(name: str) -> None:
    findings = read(name)
    assert list(findings.files.values()) == ["inspect"]
    assert (findings.rollouts, findings.questions, findings.unscored, findings.unreadable) == (4, 2, 0, 0)
    names = ("pass1", "tool_attempt_rate", "mention_without_call", "premature_stop", "cut_off_rate")
    assert values(findings, *names) == [(1 / 2, 4), (3 / 4, 4), (1 / 2, 2), (0.0, 3), (0.0, 4)]
    assert findings.call_outcomes == {
        "lookup": {"ran": 1, "failed": 1, "malformed": 0, "untold": 0},
        "find": {"ran": 0, "failed": 0, "malformed": 1, "untold": 0},
    }


def test_a_page_is_made_of_each(tmp_path: Path) -> None:
    names = ("verifiers_traces.jsonl", "verifiers_results.jsonl", "inspect_log.eval", "inspect_log.json")
    page = tmp_path / "page.html"
    assert main(["audit", *(str(HERE / name) for name in names), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "20 rollouts" in text
    assert "What is the capital of Chad?" in text
    assert "no entry for Chad" in text


def test_what_broke_before_the_policy_spoke_is_no_rollout(tmp_path: Path) -> None:
    (episode, *_), (result, *_) = lines("verifiers_traces.jsonl"), lines("verifiers_results.jsonl")
    (trace,) = episode["traces"]
    broken = {**trace, "nodes": [], "rewards": {}, "ok": False, "stop_condition": "provider_error"}
    path = write(tmp_path / "traces.jsonl", [episode, {**episode, "traces": [broken]}, {**episode, "traces": []}])
    findings = audit([path], AuditSettings())
    assert (findings.rollouts, findings.unreadable) == (1, 2)
    assert [reason.partition(";")[0] for _, reason in findings.problems] == [
        "expected a turn of the assistant",
        "expected an episode with traces",
    ]
    # What broke later counts as acting, and its reward of 0 does not count.
    failed = {**result, "reward": 0.0, "error": {"error": "ModelError"}}
    findings = audit([write(tmp_path / "results.jsonl", [result, failed])], AuditSettings())
    assert values(findings, "tool_attempt_rate", "pass1") == [(1.0, 2), (1.0, 1)]
    sample = json.loads((HERE / "inspect_log.json").read_text(encoding="utf-8"))["samples"][0]
    silent = {**sample, "messages": sample["messages"][:1], "scores": {}, "error": FAILED}
    findings = audit([write(tmp_path / "samples.jsonl", [sample, silent])], AuditSettings())
    assert (findings.rollouts, findings.unreadable) == (1, 1)


def test_agents_of_one_episode_are_questions_of_their_own_and_untrained_ones_do_not_count(tmp_path: Path) -> None:
    episode = lines("verifiers_traces.jsonl")[0]
    (trace,) = episode["traces"]
    names = ("solver", "critic", "judge")
    agents = [{**trace, "agent": {"name": name, "trainable": name != "judge"}} for name in names]
    work = {"type": "train", "work": {"type": "train", "step": 7}}
    findings = audit([write(tmp_path / "traces.jsonl", [{**episode, "run": work, "traces": agents}])], AuditSettings())
    assert (findings.rollouts, findings.questions, list(findings.over_time)) == (2, 2, ["7"])
    assert findings.examples == {}


def test_a_rollout_that_ran_into_its_limit_is_cut_off(tmp_path: Path) -> None:
    episode = lines("verifiers_traces.jsonl")[0]
    (trace,) = episode["traces"]
    calls = [{**trace["calls"][0], "finish_reason": "length"}]
    rows = [episode, {**episode, "traces": [{**trace, "calls": calls}]}]
    findings = audit([write(tmp_path / "traces.jsonl", rows)], AuditSettings())
    assert values(findings, "cut_off_rate") == [(1 / 2, 2)]


def test_before_python_3_14_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "backports.zstd.zipfile", None)
    monkeypatch.setitem(sys.modules, "backports", None)
    if sys.version_info >= (3, 14):
        assert read("inspect_log.eval").rollouts == 4
    else:
        with pytest.raises(MissingExtraError, match=r"axpo\[inspect\]"):
            read("inspect_log.eval")


def test_a_sample_that_is_too_large_is_counted_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo.audit.files._LARGEST_SAMPLE", 1000)
    sample = json.loads((HERE / "inspect_log.json").read_text(encoding="utf-8"))["samples"][0]
    small = {name: sample[name] for name in ("id", "epoch", "target", "messages", "scores")}
    small["messages"] = [{"role": "assistant", "content": "no"}]
    with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
        archive.writestr("samples/1_epoch_1.json", json.dumps(small))
        archive.writestr("samples/2_epoch_1.json", json.dumps(sample))
    findings = audit([tmp_path / "log.eval"], AuditSettings())
    assert (findings.rollouts, findings.unreadable) == (1, 1)
    assert "at most 1000 bytes" in findings.problems[0][1]


def test_a_damaged_sample_is_counted_by_its_place(tmp_path: Path) -> None:
    data = bytearray((HERE / "inspect_log.eval").read_bytes())
    with zipfile.ZipFile(HERE / "inspect_log.eval") as archive:
        (first, *_) = [info for info in archive.infolist() if info.filename.startswith("samples/")]
    start = first.header_offset + 30 + len(first.filename) + first.compress_size // 2
    data[start : start + 40] = bytes(40)
    (tmp_path / "log.eval").write_bytes(data)
    findings = audit([tmp_path / "log.eval"], AuditSettings())
    assert (findings.rollouts, findings.unreadable) == (3, 1)
    assert findings.problems[0][0].endswith(f"log.eval!{first.filename}")
