"""`axpo policy check` says what a policy would decide, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axpo.cli import main

POLICY = """\
default = "deny"
[[rules]]
name = "zoom"
tools = "image_zoom_in"
effects = "pure"
verdict = "allow"
[[rules]]
name = "small"
tools = "pay"
verdict = "modify"
clamp.amount.max = 10
[[rules]]
name = "idle"
tools = "nothing"
verdict = "deny"
"""
CALLS = [
    {"tool": "image_zoom_in", "arguments": {"bbox_2d": [0, 0, 1, 1]}},
    {"tool": "pay", "arguments": {"amount": 50, "to": "\x1b[2J"}, "effects": "external"},
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "calls.jsonl").write_text("".join(f"{json.dumps(call)}\n" for call in CALLS))
    return str(tmp_path / "policy.toml"), str(tmp_path / "calls.jsonl")


def test_says_what_would_happen_to_each_call(files, tmp_path, capsys):
    out = tmp_path / "decisions.json"
    assert main(["policy", "check", files[0], "--calls", files[1], "--json", str(out)]) == 0
    first, second, counts, idle, assumed, summary = capsys.readouterr().out.splitlines()
    assert first == 'dry_run  image_zoom_in {"bbox_2d": [0, 0, 1, 1]}  (default for external effects)'
    assert second.startswith('modify   pay {"amount": 50, "to": ')
    assert '-> {"amount": 10' in second
    assert "\x1b" not in second
    assert counts == "2 calls: 1 dry_run, 1 modify"
    assert idle == "decided nothing: zoom, idle"
    assert assumed == "taken to have external effects, for nothing tells (--env does): image_zoom_in"
    assert summary.endswith(": 3 rules, 0 budgets, default deny, external dry_run")
    decisions = json.loads(out.read_text())["calls"]
    assert [(one["action"], one["rule"]) for one in decisions] == [
        ("dry_run", "default for external effects"),
        ("modify", "small"),
    ]
    assert decisions[1]["changed"] == {"amount": 10, "to": "\x1b[2J"}


def test_an_environment_tells_the_effects_of_its_tools(files, capsys):
    assert main(["policy", "check", files[0], "--calls", files[1], "--env", "axpo/VisualZoom-v0"]) == 0
    assert capsys.readouterr().out.startswith('allow    image_zoom_in {"bbox_2d": [0, 0, 1, 1]}  (zoom)')


def test_without_calls_the_policy_alone_is_checked(files, capsys):
    assert main(["policy", "check", files[0]]) == 0
    assert capsys.readouterr().out.startswith("policy ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "default: missing"), ("default = 3", "default: expected"), ("[", "expected a TOML file")],
)
def test_what_is_no_policy_is_code_2(tmp_path, capsys, text, problem):
    (tmp_path / "policy.toml").write_text(text)
    assert main(["policy", "check", str(tmp_path / "policy.toml")]) == 2
    assert problem in capsys.readouterr().err


def test_an_unknown_action_is_code_2_and_none_lists_them(capsys):
    assert main(["policy", "chek"]) == 2
    assert "expected one of check; got 'chek'" in capsys.readouterr().err
    assert main(["policy"]) == 0
    assert "check  Check a policy" in capsys.readouterr().out
