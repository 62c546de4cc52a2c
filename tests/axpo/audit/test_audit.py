"""Tests of axpo.audit: counts by hand in every format, and files as broken as they come."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.audit.audit import AuditSettings, Findings, audit
from axpo.audit.conditions import Expression, Measured, fell
from axpo.audit.fields import Fields, UnreadableError
from axpo.audit.record import Transcript
from axpo.audit.sources import FORMATS
from axpo.audit.texts import turns_of_text
from axpo.audit.turns import ToolNames, read_rollout
from axpo.audit.verdict import verdict
from axpo.cli import main
from axpo.settings.config import ConfigError, TrainConfig

CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call>'
ACTS = {
    "content": "",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "search", "arguments": '{"query": "a"}'}}],
}
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {}}}]


def conversation(*turns: Mapping[str, Any], prompt: str = "Who?") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": prompt},
        *({"role": "assistant", **turn} if "role" not in turn else dict(turn) for turn in turns),
    ]


def chat(question: str, reward: float | None, *turns: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": question, "messages": conversation(*turns), "reward": reward, "tools": TOOLS, **more}


RESULT = {"role": "tool", "tool_call_id": "1", "content": "Paris"}
FAILED = {"role": "tool", "tool_call_id": "1", "content": "Error: no such document"}
SAYS = {"content": "It is Rome."}
MENTIONS = {"content": "It is Rome.", "reasoning_content": "I could use Search for that."}
ROWS = [
    # a: both callers wrong, one guesser right; b: a caller right, one call fails; c: nobody calls, all wrong.
    chat("a", 0.0, ACTS, RESULT, SAYS),
    chat("a", 0.0, ACTS, FAILED, SAYS),
    chat("a", 1.0, SAYS),
    chat("b", 1.0, ACTS, RESULT, SAYS, hops=2),
    chat("b", 0.0, ACTS, RESULT, SAYS, hops=2),
    chat("c", 0.0, MENTIONS),
    chat("c", 0.0, SAYS),
]


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def value(findings: Findings, name: str) -> tuple[float, int] | None:
    found = findings.metrics[name]
    return None if found is None else (found.value, found.n)


def test_counts_of_chat_messages_are_those_made_by_hand(tmp_path: Path) -> None:
    findings = audit([write(tmp_path / "rows.jsonl", ROWS)], AuditSettings())
    assert (findings.rollouts, findings.questions, findings.unreadable) == (7, 3, 0)
    expected = {
        "tool_attempt_rate": (4 / 7, 7),
        "pass1": (2 / 7, 7),
        "tool_call_valid_rate": (1.0, 4),
        "tool_success_rate": (3 / 4, 4),
        "tool_pass1": (1 / 4, 4),
        "no_tool_pass1": (1 / 3, 3),
        "paired_tool_pass1": (0.0, 1),
        "paired_no_tool_pass1": (1.0, 1),
        "all_wrong_tool_subgroups": (1 / 2, 2),
        "all_wrong_no_tool_subgroups": (1 / 2, 2),
        "dead_groups": (1 / 3, 3),
        "no_signal_at_calls": (1 / 2, 2),
        "mention_without_call": (1 / 2, 2),
        "premature_stop": (1 / 2, 2),
        "declined_correctly": None,
        "failed_to_act": None,
        "cut_off_rate": None,
    }
    assert {name: value(findings, name) for name in expected} == {
        name: None if pair is None else pytest.approx(pair) for name, pair in expected.items()
    }
    search = findings.by_tool["search"]
    assert (search.calls, search.rollouts) == (4, 4)
    assert {name: found and (found.value, found.n) for name, found in search.metrics.items()} == {
        "tool_attempt_rate": (pytest.approx(4 / 7), 7),
        "tool_call_valid_rate": (1.0, 4),
        "tool_success_rate": (3 / 4, 4),
        "tool_pass1": (1 / 4, 4),
        "all_wrong_tool_subgroups": (1 / 2, 2),
        "over_acting": (0.0, 4),
        "declined_correctly": None,
        "failed_to_act": None,
        "forbidden_attempt": None,
    }
    assert findings.tool_users == {0: 1, 2: 2}
    assert findings.examples["mention_without_call"] == (f"{tmp_path / 'rows.jsonl'}:6",)


def test_rates_of_calls_are_undefined_where_there_are_none(tmp_path: Path) -> None:
    findings = audit([write(tmp_path / "rows.jsonl", [chat("a", 1.0, SAYS), chat("a", 0.0, SAYS)])], AuditSettings())
    assert [value(findings, name) for name in ("tool_call_valid_rate", "tool_success_rate", "tool_pass1")] == [None] * 3
    assert "No rollout of 2 calls a tool" in verdict(findings)[0]


def verl_row(output: str, score: float, *, step: int = 1, question: str = "q") -> dict[str, Any]:
    return {"input": f"user\n{question}\nassistant\n", "output": output, "gts": "x", "score": score, "step": step}


SEARCHED = "<think>I need to look.</think>" + CALL + "<tool_response>\nfound\n</tool_response><answer>x</answer>"
R1 = "<think>hm</think><search>who</search><information>Doc 1(Title: x) y</information><answer>x</answer>"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("verl", [verl_row(SEARCHED, 1.0), verl_row("<answer>y</answer>", 0.0)]),
        (
            "search-r1",
            [{"question": "q", "response": R1, "reward": 1.0}, {"question": "q", "response": "no", "reward": 0}],
        ),
        (
            "verifiers",
            [
                {
                    "example_id": 3,
                    "prompt": conversation(),
                    "completion": conversation(ACTS, RESULT, SAYS)[1:],
                    "reward": 1.0,
                },
                {"example_id": 3, "prompt": conversation(), "completion": conversation(SAYS)[1:], "reward": 0.0},
            ],
        ),
        (
            "verifiers",
            [
                {
                    "version": 1,
                    "task": {"type": "T", "data": {"id": 1}, "key": "k"},
                    "tools": [{"name": "search"}],
                    "nodes": [
                        {"parent": place - 1 if place else None, "message": message}
                        for place, message in enumerate(messages)
                    ],
                    "rewards": {"right": {"score": score, "weight": 2.0}, "unscored": None},
                }
                for messages, score in ((conversation(ACTS, RESULT, SAYS), 0.5), (conversation(SAYS), 0.0))
            ],
        ),
        (
            "inspect",
            [
                {"id": "s", "epoch": epoch, "target": "x", "messages": messages, "scores": {"match": {"value": letter}}}
                for epoch, (messages, letter) in enumerate(
                    [(conversation(ACTS, RESULT, SAYS), "C"), (conversation(SAYS), "I")]
                )
            ],
        ),
    ],
)
def test_every_format_is_told_and_read(tmp_path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    findings = audit([write(tmp_path / "rows.jsonl", rows)], AuditSettings())
    assert set(findings.files.values()) == {name}
    assert (findings.questions, value(findings, "tool_attempt_rate"), value(findings, "pass1")) == (
        1,
        (0.5, 2),
        (0.5, 2),
    )
    assert value(findings, "tool_pass1") == (1.0, 1)
    assert value(findings, "tool_success_rate") == (1.0, 1)
    assert list(findings.by_tool) == ["search"]


def test_completions_of_trl_are_read_from_parquet(tmp_path: Path) -> None:
    rows = {
        "step": [1, 1],
        "prompt": ["q", "q"],
        "completion": [SEARCHED, "<answer>y</answer>"],
        "format_reward": [0.5, 0.0],
        "accuracy_reward": [0.5, float("nan")],
        "advantage": [1.0, -1.0],
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "completions_00001.parquet")
    findings = audit([tmp_path], AuditSettings())
    assert list(findings.files.values()) == ["trl"]
    assert (value(findings, "reward_mean"), value(findings, "tool_attempt_rate")) == ((0.5, 2), (0.5, 2))
    assert list(findings.over_time) == ["1"]


def test_logs_of_inspect_are_read_from_their_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
        archive.writestr("header.json", "{}")
        sample = {
            "id": 1,
            "epoch": 1,
            "target": "x",
            "messages": conversation(ACTS, RESULT),
            "scores": {"m": {"value": 1}},
        }
        archive.writestr("samples/1_epoch_1.json", json.dumps(sample))
        archive.writestr("samples/2_epoch_1.json", "{")
    findings = audit([tmp_path / "log.eval"], AuditSettings())
    assert (findings.rollouts, findings.unreadable, value(findings, "tool_attempt_rate")) == (1, 1, (1.0, 1))
    assert findings.problems[0][0].endswith("log.eval!samples/2_epoch_1.json")


def test_unreadable_records_are_counted_by_their_place_and_never_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        json.dumps(ROWS[0]),
        "{not json",
        '"text"',
        json.dumps(chat("a", float("nan"), SAYS)),
        json.dumps({**ROWS[1], "messages": 3}),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    findings = audit([path], AuditSettings(format="chat"))
    assert (findings.rollouts, findings.unreadable) == (1, 4)
    assert [place.rpartition(":")[2] for place, _ in findings.problems] == ["2", "3", "4", "5"]


@pytest.mark.parametrize(
    "reward", ["1e308", "-1e101", "1" + 400 * "0", "1e400", "NaN", '{"form": 1e308, "sum": 1e308}']
)
def test_rewards_that_no_mean_can_hold_are_counted_by_their_place(tmp_path: Path, reward: str) -> None:
    row = json.dumps(chat("a", None, SAYS)).replace('"reward": null', f'"reward": {reward}')
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(ROWS[0])}\n{row}\n", encoding="utf-8")
    findings = audit([path], AuditSettings())
    assert (findings.rollouts, findings.unreadable) == (1, 1)
    ((place, problem),) = findings.problems
    assert place.endswith(":2")
    assert problem.startswith("expected a finite number up to 1e+100 in the field 'reward")


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_texts_that_were_cut_within_a_character_are_read(tmp_path: Path, suffix: str) -> None:
    rows = [chat(f"{number}", 1.0, {"content": "yes \ud83d"}) for number in range(2)]
    path = tmp_path / f"rows.{suffix}"
    path.write_text("\n".join(map(json.dumps, rows)) if suffix == "jsonl" else json.dumps(rows), encoding="utf-8")
    findings = audit([path], AuditSettings())
    assert (findings.rollouts, findings.questions, findings.unreadable) == (2, 2, 0)


def test_groups_and_rewards_can_be_named(tmp_path: Path) -> None:
    rows = [{"extra": {"n": n, "r": n}, "messages": conversation(SAYS), "id": "same"} for n in (0, 1)]
    path = write(tmp_path / "rows.jsonl", rows)
    findings = audit([path], AuditSettings(group_by="extra.n", reward="extra.r"))
    assert (findings.questions, value(findings, "pass1")) == (2, (0.5, 2))
    with pytest.raises(ConfigError, match=r"rows.jsonl:1: .*'nope' \(--group-by\)"):
        audit([path], AuditSettings(group_by="nope"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (SEARCHED, ["search"]),
        (f"<think>I could write {CALL} here</think><answer>1</answer>", []),
        (f"a thought{CALL}</think><answer>1</answer>", []),
        ('[TOOL_CALLS][{"name": "search", "arguments": {}}]', ["search"]),
        (
            "<search>a</search><information><search>quoted</search></information><python>1</python>",
            ["search", "python"],
        ),
        ("<tool_call>{broken</tool_call>", [""]),
    ],
)
def test_calls_in_texts_are_those_outside_thinking_and_results(text: str, names: list[str]) -> None:
    found = read_rollout(Transcript(question="q", turns=turns_of_text(text), reward=None), ToolNames())
    assert [call.name for call in found.calls] == names


def test_a_tool_is_mentioned_in_whatever_spelling() -> None:
    turns = turns_of_text("<think>Let me use the Image Zoom-in tool</think><answer>1</answer>")
    names = ToolNames(names=("image_zoom_in",))
    assert read_rollout(Transcript(question="q", turns=turns, reward=None), names).mentions
    assert read_rollout(Transcript(question="q", turns=turns, reward=None), ToolNames()).mentions is None


PIECES = [
    *'<>/{}[]"\\ab ',
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<search>",
    "</search>",
    "[TOOL_CALLS]",
]


@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_is_too_odd_to_be_counted(text: str) -> None:
    read_rollout(Transcript(question="q", turns=turns_of_text(text), reward=1.0), ToolNames(names=("search",)))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(["assistant", "tool", "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "messages", "tool_calls", "function", "name", "nodes", "task", "reward", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    record=st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "completion",
                "nodes",
                "task",
                "reward",
                "rewards",
                "scores",
                "id",
                "output",
                "input",
                "tools",
                "info",
                "metadata",
                "labels",
            ]
        ),
        JSON,
        max_size=5,
    )
)
def test_no_record_is_too_odd_to_be_counted(record: dict[str, Any]) -> None:
    for kind in FORMATS.values():
        kind.matches(record)
        with contextlib.suppress(UnreadableError):
            transcript = kind.read(record, Fields())
            assert transcript is None or read_rollout(transcript, ToolNames())


class TestConditions:
    METRICS: ClassVar = {"tool_attempt_rate": {"value": 0.1, "low": 0.05, "high": 0.2, "n": 40}, "tool_pass1": None}

    @pytest.mark.parametrize(
        ("text", "holds"),
        [
            ("tool_attempt_rate<0.2", True),
            ("tool_attempt_rate.high<0.2", False),
            ("tool_attempt_rate.n>=40 and tool_attempt_rate<=0.1", True),
            ("tool_pass1<1", False),
            ("tool_pass1<1 or tool_attempt_rate>0", True),
        ],
    )
    def test_conditions_hold_or_do_not(self, text: str, holds: bool) -> None:
        assert Expression.read(text, self.METRICS).holds(Measured(whole=self.METRICS)) is holds

    @pytest.mark.parametrize(
        ("text", "message"), [("nope<1", "nope"), ("tool_pass1", "METRIC<NUMBER"), ("tool_pass1<x", "METRIC")]
    )
    def test_wrong_names_are_errors(self, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            Expression.read(text, self.METRICS)

    def test_what_fell_says_whether_that_is_certain(self) -> None:
        before = {
            "tool_attempt_rate": {"value": 0.5, "low": 0.4, "high": 0.6},
            "dead_groups": {"value": 0.1, "low": 0.0, "high": 0.3},
        }
        after = {
            "tool_attempt_rate": {"value": 0.1, "low": 0.0, "high": 0.2},
            "dead_groups": {"value": 0.2, "low": 0.1, "high": 0.4},
        }
        found = {change.metric: change.is_certain for change in fell(Measured(whole=before), Measured(whole=after))}
        assert found == {"tool_attempt_rate": True, "dead_groups": False}
        assert fell(Measured(whole=after), Measured(whole=before)) == ()


def test_the_command_writes_what_it_found_and_fails_a_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, figures = write(tmp_path / "rows.jsonl", ROWS), tmp_path / "figures.json"
    assert main(["audit", str(path), "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found["metrics"]["tool_attempt_rate"]["value"] == pytest.approx(4 / 7)
    assert found["metrics"]["cut_off_rate"] is None
    assert "7 rollouts of 3 questions (chat messages)" in capsys.readouterr().out
    assert main(["audit", str(path), "--fail-if", "tool_attempt_rate<0.9"]) == 3
    assert main(["audit", str(path), "--against", str(figures)]) == 0
    fallen = write(tmp_path / "fallen.jsonl", [chat(f"q{n}", 0.0, SAYS) for n in range(200)])
    assert main(["audit", str(fallen), "--against", str(figures)]) == 3
    assert "tool_attempt_rate fell: 0.571 before, 0.000 now" in capsys.readouterr().out
    assert main(["audit", str(path), "--fail-if", "no_such<1"]) == 2


def test_the_rollouts_of_a_run_are_read_where_it_keeps_them(tmp_path: Path, group: Any, finished_run: Any) -> None:
    run = finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))
    findings = audit([run], AuditSettings())
    assert list(findings.files.values()) == ["axpo"]
    assert (findings.rollouts, findings.questions) == (len(group.rollouts), 1)
    assert (value(findings, "tool_attempt_rate"), value(findings, "tool_success_rate")) == ((0.25, 4), (1.0, 1))
    checkpoint = run / "checkpoints" / "step-000002" / "config.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    assert audit([tmp_path], AuditSettings()).rollouts == len(group.rollouts)
    shutil.rmtree(run / "rollouts")
    for folder in (run, tmp_path):
        with pytest.raises(ConfigError, match="the runs of axpo in it kept none"):
            audit([folder], AuditSettings())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "files: expected files or folders"),
        ((".", "--success-threshold", "nan"), "success_threshold: expected a fin"),
    ],
)
def test_what_cannot_be_audited_is_one_message(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err
