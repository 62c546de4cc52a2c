"""`axpo audit-log` verifies, shows and queries a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axpo.cli import main
from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.governance import Governance
from axpo_envs.tools import tool

RULES = [{"name": "no twos", "verdict": "deny", "arguments": {"number": 2}}]


@tool
def double(number: int, note: str = "") -> str:
    """Doubles."""
    return str(2 * number)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    questions = ListQuestions([Question(id="q", prompt=("?",), answer="1")])
    spec = ToolEnvSpec(env_id="test/Double-v0", questions=questions, tools=(double,), reward=ExactMatch())
    governance = Governance(policy={"default": "allow", "rules": RULES}, audit_log=tmp_path / "log")
    env = ToolEnv(spec).governed(governance)
    env.reset(seed=0)
    env.step(call_turn("double", {"number": 1, "note": "a\n\x1b[2Jb"}) + call_turn("double", {"number": 2}))
    return tmp_path / "log"


def test_a_whole_log_is_verified_with_code_0(log, tmp_path, capsys):
    found = tmp_path / "found.json"
    assert main(["audit-log", "verify", str(log), "--json", str(found)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 records in 1 files, 0 problems; the last is 4:")
    record = json.loads(found.read_text())
    assert (record["records"], record["problems"], record["notes"]) == (4, [], [])
    assert main(["audit-log", "verify", str(log), "--anchor", record["last"]]) == 0


def test_a_changed_log_is_code_3_and_the_place_is_told(log, capsys):
    (file,) = log.glob("calls-*.jsonl")
    file.write_bytes(file.read_bytes().replace(b'"number":1', b'"number":7'))
    assert main(["audit-log", "verify", str(log)]) == 3
    out = capsys.readouterr().out
    assert "problem  calls-000001.jsonl, line 2: record 2 was changed: its hash is another\n" in out
    assert main(["audit-log", "show", str(log)]) == 0
    shown = capsys.readouterr()
    assert "1 lines are not what was written" in shown.err


def test_decisions_are_shown_one_a_line(log, capsys):
    assert main(["audit-log", "show", str(log)]) == 0
    allowed, denied = capsys.readouterr().out.splitlines()
    assert ' turn 0: allow double {"note": "a' in allowed
    assert allowed.endswith("-> ok (default)")
    assert "\x1b" not in allowed
    assert denied.endswith("-> denied (no twos)")
    assert main(["audit-log", "show", str(log), "--last", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [denied]


def test_a_query_finds_decisions_and_prints_json(log, capsys):
    assert main(["audit-log", "query", str(log), "--rule", "no *", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    call = json.loads(line)
    assert (call["tool"], call["arguments"], call["status"]) == ("double", {"number": 2}, "denied")
    assert main(["audit-log", "query", str(log), "--tool", "none"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["verify", "nowhere"], "audit log: nowhere cannot be read"),
        (["show", "."], "audit log: . holds none"),
        (["show", ".", "--last", "-1"], "last: expected greater than or equal to 0"),
        (["verify", ".", "--anchor", "x"], "expected NUMBER:HASH"),
        (["query", ".", "--since", "yesterday"], "since: expected a date or a time"),
    ],
)
def test_what_cannot_be_read_is_code_2(tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    assert main(["audit-log", *arguments]) == 2
    assert problem in capsys.readouterr().err
