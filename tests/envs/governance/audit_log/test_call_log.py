"""What stands in the log of an environment's calls, and what happens where it cannot be written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axpo_envs import InfrastructureFault, ToolEnv, call_turn
from axpo_envs.governance import AuditLog, CallQuery, LogSettings, read_calls, verify_log
from axpo_envs.governance.audit_log._call_log import MAX_ARGUMENTS

Make = Callable[..., ToolEnv]
Say = Callable[..., str]
RULES = [
    {"name": "small", "tools": "pay", "verdict": "modify", "clamp": {"amount": {"max": 10}}},
    {"name": "never", "tools": "note", "verdict": "deny", "reason": "not with the key sk-abcdefghijklmnop1234"},
]


def of_disk(monkeypatch: pytest.MonkeyPatch, *, full: bool) -> None:
    """Whether the disk is full from now on."""

    def append(self: AuditLog, record: Any, *, urgent: bool = False) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AuditLog, "append", append if full else APPEND)


APPEND = AuditLog.append


def test_every_decision_is_recorded_with_its_end(make: Make, say: Say, tmp_path: Path) -> None:
    env = make({"default": "allow", "rules": RULES}, audit_log=tmp_path, phase="evaluation", run="nightly")
    say(env, "pay", amount=50, password="hunter2")
    say(env, "note", text="x")
    say(env, "look", where=3)
    env.step("<tool_call>{password: hunter2}</tool_call>")
    paid, noted, looked, unread = read_calls(tmp_path).calls
    shared = {"run": "nightly", "environment": "test/Shop-v0", "phase": "evaluation", "agent": "", "question": "q"}
    assert all(shared.items() <= call.items() for call in (paid, noted, looked, unread))
    assert [call["turn"] for call in (paid, noted, looked, unread)] == [0, 1, 2, 3]
    assert len({call["episode"] for call in (paid, noted, looked, unread)}) == 1
    assert paid["moment"] == paid["episode"] != noted["moment"]
    assert paid["arguments"] == {"amount": 50, "password": "[redacted]"}
    assert paid["changed"] == {"amount": 10.0, "password": "[redacted]"}
    assert (paid["verdict"], paid["rule"], paid["status"], paid["effects"]) == ("modify", "small", "ok", "external")
    assert paid["versions"]["policy"] == dict(env.rules.settings)["policy"]
    assert (noted["verdict"], noted["status"], noted["outcome"]) == ("deny", "denied", "withheld")
    assert noted["reason"] == "not with the key [redacted]"
    assert (looked["verdict"], looked["outcome"], looked["arguments"]) == ("", "invalid_arguments", {"where": 3})
    assert (unread["outcome"], unread["text"]) == ("malformed", "{password: [redacted]}")
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert verify_log(tmp_path).problems == ()


def test_an_abandoned_branch_is_told_of_all_the_same(make: Make, say: Say, tmp_path: Path) -> None:
    env = make(None, audit_log=tmp_path)
    env.reset(seed=0, options={"index": 0})
    moment = env.snapshot()
    for amount in (1, 2):
        env.restore(moment)
        say(env, "pay", amount=amount)
    one, other = read_calls(tmp_path).calls
    assert (one["episode"], one["moment"]) == (other["episode"], other["moment"])
    assert [call["arguments"]["amount"] for call in (one, other)] == [1, 2]
    assert one["result"] != other["result"]


def test_a_decision_stands_in_the_log_before_its_call_runs(make: Make, tmp_path: Path) -> None:
    seen: list[str] = []

    def audit(state: Any, record: Any) -> None:
        seen.extend(call["status"] for call in read_calls(tmp_path).calls)

    env = make(None, audit_log=tmp_path, spec={"audit": audit})
    env.reset(seed=0)
    env.step(call_turn("look", {"where": "up"}))
    assert seen == ["ok"]
    # The end is a record of its own, behind the decision.
    lines = [json.loads(line) for line in (tmp_path / "calls-000001.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["file", "decision", "result"]
    assert "status" not in lines[1]


def test_by_default_a_call_that_cannot_be_recorded_drops_the_episode(
    make: Make, say: Say, tmp_path: Path, paid: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make({"default": "allow", "external": "allow"}, audit_log=tmp_path)
    of_disk(monkeypatch, full=True)
    with pytest.raises(InfrastructureFault, match=r"the audit log .* cannot be written: .*No space left on device"):
        say(env, "pay", amount=1)
    assert paid == []
    of_disk(monkeypatch, full=False)
    assert say(env, "pay", amount=1) == "paid 1 to ACME"


def test_a_policy_may_have_such_calls_denied_or_made(
    make: Make,
    say: Say,
    tmp_path: Path,
    paid: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def policy(unrecorded: str) -> dict[str, Any]:
        return {"default": "allow", "external": "allow", "audit_log": {"unrecorded": unrecorded}}

    strict, lax = make(policy("deny"), audit_log=tmp_path), make(policy("run"), audit_log=tmp_path)
    of_disk(monkeypatch, full=True)
    with caplog.at_level(logging.WARNING):
        assert say(strict, "pay", amount=1) == "Error: this call could not be recorded, and was not made."
        assert paid == []
        assert say(lax, "pay", amount=2) == "paid 2 to ACME"
    assert "calls are denied" in caplog.text
    of_disk(monkeypatch, full=False)
    say(lax, "look", where="up")
    assert [note.what for note in verify_log(tmp_path).notes] == [
        "1 calls were made before this that could not be recorded"
    ]


def test_decisions_about_external_effects_are_on_the_disk_before_the_call(
    make: Make, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urgent: list[bool] = []

    def append(self: AuditLog, record: Any, **how: bool) -> int:
        urgent.append(how.get("urgent", False))
        return APPEND(self, record, **how)

    monkeypatch.setattr(AuditLog, "append", append)
    env = make(None, audit_log=tmp_path, log_settings=LogSettings(sync_seconds=1e6))
    say(env, "look", where="up")
    say(env, "pay", amount=1)
    assert urgent == [False, False, True, False]


def test_long_arguments_are_recorded_by_their_beginning_and_hash(make: Make, say: Say, tmp_path: Path) -> None:
    say(make(None, audit_log=tmp_path), "look", where="x" * 20_000)
    recorded = read_calls(tmp_path).calls[0]["arguments"]
    assert (len(recorded["beginning"]), recorded["characters"]) == (MAX_ARGUMENTS, 20_013)
    assert len(recorded["sha256"]) == 64


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [0, 1, 2]),
        ({"tool": "p*"}, [0]),
        ({"verdict": "deny"}, [1]),
        ({"rule": "never"}, [1]),
        ({"status": "ok", "question": "q"}, [0, 2]),
        ({"episode": "zz"}, []),
        ({"since": "2020-01-01", "until": "2999-01-01T00:00+02:00"}, [0, 1, 2]),
        ({"until": "2020-01-01"}, []),
        ({"agent": "somebody"}, []),
    ],
)
def test_a_query_finds_what_fits_all_of_it(
    make: Make, say: Say, tmp_path: Path, query: dict[str, str], found: list[int]
) -> None:
    env = make({"default": "allow", "rules": RULES}, audit_log=tmp_path)
    say(env, "pay", amount=1)
    say(env, "note", text="x")
    say(env, "look", where="up")
    assert [call["call"] for call in read_calls(tmp_path, CallQuery(**query)).calls] == found


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="since: expected a date or a time"):
        CallQuery(since="yesterday")
