"""People at a terminal and services over HTTP are asked, within their time."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from axpo_envs import EnvConfigError, ToolEnv, Verdict
from axpo_envs.governance import Approval, ApprovalRequest, HttpApprover, TerminalApprover
from axpo_envs.governance.approvers import answer_of

REQUEST = ApprovalRequest(
    id="1",
    tool="pay",
    effects="external",
    arguments={"amount": 5, "to": "\x1b[2J"},
    preview="5 would be paid",
    rule="big",
    reason="it is much",
    run="r",
    environment="e",
    agent="payer",
    phase="production",
    question="q",
)


class Terminal:
    """A terminal, and what is written to it."""

    def __init__(self) -> None:
        self.person, self.program = os.openpty()
        self.reads = os.fdopen(self.program, "r")
        self.shown = ""
        self.answers: list[str] = []

    def write(self, text: str) -> None:
        self.shown += text
        if self.answers and text.endswith(": "):
            os.write(self.person, self.answers.pop(0).encode())

    def flush(self) -> None:
        pass


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.reads.close()
    os.close(made.person)


def ask(terminal: Terminal, timeout_s: float = 60.0) -> Approval | None:
    return TerminalApprover(timeout_s, reads=terminal.reads, writes=terminal)(REQUEST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "verdict"), [("y\n", Verdict.ALLOW), ("No\n", Verdict.DENY), (" d \n", Verdict.DRY_RUN)]
)
def test_a_person_answers_with_a_letter(terminal: Terminal, typed: str, verdict: Verdict) -> None:
    terminal.answers = [typed]
    assert ask(terminal) == Approval(verdict=verdict, by="terminal")
    assert "pay (external) by payer, question q" in terminal.shown
    assert "5 would be paid" in terminal.shown
    assert "\x1b" not in terminal.shown


def test_calls_wait_for_their_turn_at_the_terminal(terminal: Terminal) -> None:
    approver = TerminalApprover(60.0, reads=terminal.reads, writes=terminal)  # type: ignore[arg-type]
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(answer_of(approver, REQUEST, 0.0))) for _ in range(3)]
    terminal.answers = ["y\n", "n\n", "y\n"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdicts = [approval.verdict for approval, _ in answers]
    assert sorted(verdicts) == [Verdict.ALLOW, Verdict.ALLOW, Verdict.DENY]


def test_what_is_no_answer_is_asked_again(terminal: Terminal) -> None:
    terminal.answers = ["maybe\n", "y\n"]
    assert ask(terminal) == Approval(verdict=Verdict.ALLOW, by="terminal")


def test_what_was_typed_before_the_question_is_no_answer(terminal: Terminal) -> None:
    os.write(terminal.person, b"y\n")
    terminal.answers = ["n\n"]
    assert ask(terminal) == Approval(verdict=Verdict.DENY, by="terminal")


def test_without_an_answer_in_time_or_a_terminal_there_is_none(terminal: Terminal) -> None:
    assert ask(terminal, timeout_s=0.01) is None
    reads, writes = os.pipe()
    with os.fdopen(reads) as no_terminal:
        assert TerminalApprover(60.0, reads=no_terminal, writes=terminal)(REQUEST) is None  # type: ignore[arg-type]
    os.close(writes)


@pytest.fixture
def service() -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Address of a service, what it is asked, and what it answers next."""
    asked: list[Any] = []
    answers: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((json.loads(body), self.headers.get("Authorization")))
            status, answer = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/approve", asked, answers
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_is_posted_the_call_and_answers(
    make: Callable[..., ToolEnv], say: Callable[..., str], service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked, answers = service
    monkeypatch.setenv("BOSS_KEY", "0123456789abcdef")
    env = make({"default": "ask", "ask": {"approver": url, "key_variable": "BOSS_KEY"}})
    answers += [
        (200, {"verdict": "allow", "by": "boss"}),
        (200, {"verdict": "deny", "reason": "no, thanks"}),
        (200, {"verdict": "perhaps"}),
        (503, {}),
        (404, {}),
    ]
    assert say(env, "look", where="up", times=2) == "looked 2 times at up"
    assert say(env, "look", where="up") == "Error: no, thanks."
    for _ in range(2):
        assert say(env, "look", where="up") == "Error: somebody was asked, and nobody answered."
    body, key = asked[0]
    assert (body["tool"], body["arguments"], key) == ("look", {"where": "up", "times": 2}, "Bearer 0123456789abcdef")
    # Who refuses to be asked was set up wrongly.
    with pytest.raises(EnvConfigError, match="answered 404"):
        say(env, "look", where="up")


def test_addresses_and_keys_are_checked_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvConfigError, match="expected an address"):
        HttpApprover("http://me:pw@host/", 1.0)
    monkeypatch.delenv("BOSS_KEY", raising=False)
    with pytest.raises(EnvConfigError, match="set the environment variable BOSS_KEY"):
        HttpApprover("http://host/", 1.0, key_variable="BOSS_KEY")


def test_an_approver_cannot_change_a_call() -> None:
    with pytest.raises(ValueError, match="expected an approver to say one of allow, deny, dry_run"):
        Approval(verdict=Verdict.MODIFY)
