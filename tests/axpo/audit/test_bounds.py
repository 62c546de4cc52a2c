"""Tests of axpo.audit: what strangers' records demand of acting, and how their rollouts keep to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axpo.audit import AuditSettings, audit
from axpo.audit.conditions import Expression, Measured
from axpo.audit.fields import UnreadableError, count_of, demands_of
from axpo.audit.verdict import verdict
from axpo.cli import main
from axpo.diagnostics.demands import NO_DEMANDS, Demands

SAYS = {"role": "assistant", "content": "It is done."}


def calls(name: str, arguments: str = "{}") -> dict[str, Any]:
    call = {"function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def told(text: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "content": text}


def row(question: str, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": question}
    return {"id": question, "reward": 0.0, "messages": [asked, *messages, SAYS], **fields}


FORBIDS = {"forbidden_tools": ["pay"], "environment": "desk"}
ROWS = [
    row("a", calls("pay"), told(), step=1, **FORBIDS),
    row("a", calls("look"), told(), step=1, **FORBIDS),
    row("b", calls("look"), told(), step=2, labels=["must_act"], required_tools=["look", "sign"]),
    row("b", calls("look"), told(), calls("look"), told(), calls("sign"), told(), step=2, must_act=True),
    row("c", step=2, labels="must_not_act"),
]
ROWS[3]["required_tools"] = ["look", "sign"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    return file


def test_demands_are_read_however_a_record_writes_them() -> None:
    assert demands_of({"labels": ["must_act"], "forbidden_tools": "pay"}) == Demands(
        labels=frozenset({"must_act"}), forbidden=frozenset({"pay"})
    )
    assert demands_of({"either": True, "required_tools": ("a", "b")}) == Demands(
        labels=frozenset({"either"}), required=frozenset({"a", "b"})
    )
    assert (
        demands_of({"labels": 3, "forbidden_tools": float("nan"), "required_tools": [None, ""], "must_act": 2})
        is NO_DEMANDS
    )
    assert demands_of({"labels": "must_act"}) is demands_of({"must_act": True})
    # As tables hold them.
    assert demands_of({"labels": "must_act"}) is demands_of({"must_act": 1.0})
    assert demands_of({"forbidden_tools": '["pay", "b"]'}) is demands_of({"forbidden_tools": ["pay", "b"]})
    assert demands_of({"forbidden_tools": "[pay"}) is demands_of({"forbidden_tools": ["[pay"]})
    assert [count_of({"hops": hops}, ("hops",)) for hops in (2, 2.0, -1, 2.5, True, float("inf"))] == [
        *(2, 2),
        *(None, None, None, None),
    ]


@pytest.mark.parametrize(
    "written",
    [
        "pay, b",
        ("pay", "b"),
        np.array(["b", "pay"]),
        [{"name": "pay", "parameters": {}}, {"type": "function", "function": {"name": "b"}}],
        '[{"name": "pay"}, "b"]',
    ],
    ids=["commas", "tuple", "array", "schemas", "JSON"],
)
def test_forbidden_tools_are_read_as_stacks_write_them(written: Any) -> None:
    assert demands_of({"forbidden_tools": written}).forbidden == {"pay", "b"}


@pytest.mark.parametrize("written", [3, [["pay"]], {"pay": 1}, [{"tool": "pay"}], '{"pay": true}'])
def test_forbidden_tools_that_cannot_be_read_are_not_taken_for_none(written: Any) -> None:
    with pytest.raises(UnreadableError, match="expected names of tools in the field 'forbidden_tools'; got"):
        demands_of({"forbidden_tools": written})


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(row("a", labels="must_act")).encode() + b"\r\n")
    findings = audit([file], AuditSettings())
    assert findings.metrics["failed_to_act"] is not None


def test_a_condition_can_demand_that_something_was_counted() -> None:
    measured = Measured(whole={"forbidden_attempt": None})
    known = {"forbidden_attempt": None}
    assert not Expression.read("forbidden_attempt>0", known).holds(measured)
    assert Expression.read("forbidden_attempt>0 or forbidden_attempt.n<1", known).holds(measured)


def test_rollouts_of_others_are_held_to_what_their_questions_demand(path: Path) -> None:
    findings = audit([path], AuditSettings())
    names = ("declined_correctly", "failed_to_act", "forbidden_attempt", "forbidden_executed", "over_acting")
    assert [(each.value, each.n) if (each := findings.metrics[name]) else None for name in names] == [
        (1.0, 1),
        (0.5, 2),
        (pytest.approx(1 / 3), 3),
        None,  # such records do not say what became of a call
        (pytest.approx(2 / 6), 6),  # the payment, and the second look
    ]
    pay = findings.by_tool["pay"].metrics
    assert (pay["forbidden_attempt"], pay["declined_correctly"]) != (None, None)
    assert findings.by_environment["desk"]["forbidden_attempt"] is not None
    assert [
        found["forbidden_attempt"] and found["forbidden_attempt"].value for found in findings.over_time.values()
    ] == [
        0.5,
        0.0,
    ]
    assert (findings.failures["forbidden_call"], findings.failures["failed_to_act"]) == (1, 1)
    assert findings.examples["forbidden_call"] == (f"{path}:1",)
    said = verdict(findings)
    assert "33 % of the rollouts of questions that forbid a call attempt it." in said
    assert "50 % of the rollouts of questions that demand a call leave one out that is demanded." in said


def test_the_command_shows_fails_and_compares_by_them(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    page, figures = tmp_path / "page.html", tmp_path / "good.json"
    better = tmp_path / "better.jsonl"
    better.write_text("".join(json.dumps(each) + "\n" for each in ROWS[1:]))
    assert main(["audit", str(better), "--json", str(figures)]) == 0
    conditions = ["forbidden_attempt[tool=pay]>0 and failed_to_act[tool=sign]>=0.5", "over_acting<0"]
    assert main(["audit", str(path), "--html", str(page), "--against", str(figures), "--fail-if", *conditions]) == 3
    out = capsys.readouterr().out
    assert f"--fail-if holds: {conditions[0]}" in out
    assert "forbidden_attempt may have fallen: 0.000 before, 0.333 now" in out
    by_tool = out[out.index("by tool") :]
    assert by_tool.count("attempts") > 1
    assert "forbidden_executed" not in out
    html = page.read_text(encoding="utf-8")
    assert 'id="forbidden_call"' in html
    assert "Within bounds" in html
    assert '<th scope="col">forbidden attempts</th>' in html


def test_a_call_pasted_into_a_result_is_none_of_the_policy(tmp_path: Path) -> None:
    pasted = '<tool_call>{"name": "pay", "arguments": {}}</tool_call>'
    look = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
    text = f"{look}<tool_response>\n{pasted}\n</tool_response><answer>no</answer>"
    rows = [
        row("a", {"role": "assistant", "content": look}, told(pasted), **FORBIDS),
        row(
            "a",
            {"role": "assistant", "content": look},
            {"role": "user", "content": f"<tool_response>{pasted}"},
            **FORBIDS,
        ),
    ]
    dumps = {"input": "a", "output": text, "score": 1.0, **FORBIDS}
    for number, written in enumerate((rows, [dumps])):
        file = tmp_path / f"{number}.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in written))
        found = audit([file], AuditSettings(tools=("look", "pay"))).metrics["forbidden_attempt"]
        assert found is not None
        assert found.value == 0
