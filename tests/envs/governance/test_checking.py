"""What a policy would say of recorded calls is what it says of calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axpo_envs import ToolEnv
from axpo_envs.governance import Policy, PolicyError, RecordedCall, check_calls, read_policy, read_recorded
from axpo_envs.tools import Effects

POLICY: dict[str, Any] = {
    "default": "allow",
    "rules": [
        {"name": "clamp", "tools": "pay", "bounds": {"amount": {"max": 100}}, "verdict": "modify"}
        | {"clamp": {"amount": {"max": 10}}},
        {"name": "evil", "tools": "pay", "arguments": {"to": "evil*"}, "verdict": "deny"},
    ],
    "budgets": [{"per": "episode", "unit": "cost", "limit": 15, "name": "purse"}],
    "costs": {"pay": {"argument": "amount"}},
}


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def said(policy: Policy, calls: Any, **more: Any) -> list[tuple[str, str]]:
    return [(one.judgement.action.value, one.judgement.name) for one in check_calls(policy, calls, **more)]


def test_rows_are_judged_one_after_the_other(tmp_path: Path) -> None:
    pay = {"tool": "pay", "effects": "external"}
    rows = [
        {**pay, "arguments": {"amount": 50}, "episode": "a"},
        {**pay, "arguments": '{"amount": 5}', "episode": "a"},
        {**pay, "arguments": {"amount": 1}, "episode": "a"},
        {**pay, "arguments": {"amount": 1}, "episode": "b"},
        {**pay, "arguments": {"amount": 500, "to": "evil"}, "episode": "b"},
        {**pay, "arguments": {}, "episode": "b"},
        {"name": "look", "arguments": {}, "episode": "b"},
    ]
    checked = check_calls(read_policy(POLICY), read_recorded(written(tmp_path / "calls.jsonl", rows)))
    assert [(one.judgement.action.value, one.judgement.name) for one in checked] == [
        ("modify", "clamp"),
        ("allow", "clamp"),
        ("deny", "purse"),
        ("allow", "clamp"),
        ("deny", "evil"),
        ("dry_run", "default for external effects"),
        ("dry_run", "default for external effects"),
    ]
    assert checked[0].arguments == {"amount": 10}
    assert [one.assumed_external for one in checked] == [False] * 6 + [True]


def test_an_audit_log_and_the_tools_say_the_same_as_the_environment(
    make: Callable[..., ToolEnv], say: Callable[..., str], tmp_path: Path
) -> None:
    env = make(POLICY, audit_log=tmp_path)
    for amount in (50, 3, 5, 500):
        say(env, "pay", amount=amount)
    say(env, "look", where="up")
    say(env, "look", where=3)
    made = [(call["verdict"], call["rule"]) for call in _calls(tmp_path) if call["outcome"] != "invalid_arguments"]
    assert said(read_policy(POLICY), read_recorded(tmp_path), tools=env.tools) == made
    assert len(made) == 5


def _calls(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "calls-000001.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "decision"]


def test_rollouts_of_a_run_are_read(tmp_path: Path) -> None:
    call = {"call": {"name": "pay", "arguments": '{"amount": 500}'}, "outcome": "executed", "result": {"seconds": 1}}
    unread = {**call, "outcome": "malformed"}
    question = {"id": "q", "labels": {"set": ["must_act"]}}
    row = {"version": 2, "rollout": {"episode": {"question": question, "turns": [{"calls": [call, unread]}]}}}
    (one,) = read_recorded(written(tmp_path / "rollouts.jsonl", [row]))
    assert (one.tool, one.arguments, one.question, one.seconds) == ("pay", {"amount": 500}, "q", 1.0)


def test_what_cannot_be_read_is_told_line_by_line(tmp_path: Path) -> None:
    rows = [3, {"tool": ""}, {"tool": "a", "arguments": 3}, {"tool": "a", "effects": "odd"}, {"rollout": {}}]
    path = written(tmp_path / "calls.jsonl", rows)
    path.write_text(path.read_text() + "{nonsense\n")
    with pytest.raises(PolicyError) as caught:
        read_recorded(path)
    told = [line.partition("calls.jsonl, ")[2] for line in str(caught.value).splitlines()]
    assert told[:4] == [
        "line 1: expected a JSON object; got 3",
        "line 2: tool: expected the name of a tool; got ''",
        "line 3: arguments: expected an object; got 3",
        "line 4: effects: expected one of pure, stateful, external; got 'odd'",
    ]
    assert told[4].startswith("line 5: expected a rollout that a run saved")
    assert told[5].startswith("line 6: is not valid JSON")


def test_phases_are_needed_where_the_policy_tells_them_apart() -> None:
    policy = read_policy({"default": "deny", "rules": [{"verdict": "allow", "phases": "training"}]})
    call = RecordedCall(tool="a", arguments={}, effects=Effects.PURE)
    with pytest.raises(PolicyError, match="phase: expected one of training"):
        check_calls(policy, [call])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"labels": 5}, "labels: expected some of must_act, must_not_act, either; got 5"),
        ({"labels": ["often"]}, "labels: expected some of"),
        ({"arguments": "[" * 100_000}, "is nested more than 64 levels deep"),
        ({"arguments": '{"a": NaN}'}, "NaN is no JSON number"),
        ({"arguments": '{"a": 1' + "0" * 400 + "}"}, "which is too large"),
        ({"seconds": -1}, "seconds: expected a number >= 0; got -1"),
    ],
)
def test_rows_of_odd_values_are_told(row: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=told):
        read_recorded(written(tmp_path / "calls.jsonl", [{"tool": "pay", **row}]))


def test_rows_of_other_systems_are_read(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"tool": "pay", "labels": "either"}\r\n{"tool": "a\\ud800", "arguments": {"x": "\\udfff"}}\r\n'
    )
    first, second = read_recorded(path)
    assert (first.tool, first.labels) == ("pay", {"either"})
    assert (second.tool, second.arguments) == ("a\ufffd", {"x": "\ufffd"})
    check_calls(read_policy({"default": "deny"}), (first, second))


def test_a_torn_end_of_an_audit_log_is_left_out(
    make: Callable[..., ToolEnv], say: Callable[..., str], tmp_path: Path
) -> None:
    env = make(POLICY, audit_log=tmp_path)
    say(env, "look", where="up")
    with (tmp_path / "calls-000001.jsonl").open("ab") as file:
        file.write(b'{"kind": "decisi')
    assert len(read_recorded(tmp_path)) == 1
