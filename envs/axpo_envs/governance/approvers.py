"""Defines who is asked about calls: `Approver`, what it is told and answers, and the terminal and HTTP as approvers."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TextIO, TypeAlias

from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.gate import Verdict
from axpo_envs.governance.policy import Ask
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.named_object import load_named
from axpo_envs.plumbing.printable import printable
from axpo_envs.plumbing.web import EnvironmentKey, Retries, redact

ANSWERS: Final = (Verdict.ALLOW, Verdict.DENY, Verdict.DRY_RUN)
"""What an approver may say."""

_LETTERS: Final = {"y": Verdict.ALLOW, "yes": Verdict.ALLOW, "n": Verdict.DENY, "no": Verdict.DENY}
_LETTERS_TOO: Final = {**_LETTERS, "d": Verdict.DRY_RUN, "dry": Verdict.DRY_RUN}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A call that somebody is asked about; secrets are taken out as they are in the audit log."""

    id: str
    """Identifies the call: it is the same where a branch makes the same call at the same moment."""
    tool: str
    """The tool's name."""
    effects: str
    """What it does: `pure`, `stateful`, `external`."""
    arguments: Mapping[str, Any]
    """The arguments as JSON, defaults filled in."""
    preview: str
    """What the call would change, as its tool tells; empty where it cannot."""
    rule: str
    """What leads to asking: a rule, a default or a budget."""
    reason: str
    """The policy's reason; may be empty."""
    run: str
    """The run."""
    environment: str
    """Id of the environment."""
    agent: str
    """Who calls, in a team."""
    phase: str
    """What the agent acts for; empty where nobody said."""
    question: str
    """Id of the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approver's answer."""

    verdict: Verdict
    """`ALLOW`, `DENY` or `DRY_RUN`."""
    by: str = ""
    """Who says so."""
    reason: str = ""
    """Why, for the policy."""

    def __post_init__(self) -> None:
        if self.verdict not in ANSWERS:
            raise ValueError(f"expected an approver to say one of {', '.join(ANSWERS)}; got {self.verdict!r}")


Approver: TypeAlias = Callable[[ApprovalRequest], Approval | Verdict | bool | None]
"""Decides about a call; a truth value allows or denies, None is no answer. Several threads may ask at a time.

What it raises stops the run; an `InfrastructureFault` is no answer.
"""


class TerminalApprover:
    """Asks at the terminal, one call after another.

    Args:
        timeout_s: seconds within which an answer must come, from when a call is shown.
        reads: where answers are typed; by default the process's standard input, which must be a terminal.
        writes: where questions are shown; by default standard error.
    """

    def __init__(self, timeout_s: float, *, reads: TextIO | None = None, writes: TextIO | None = None) -> None:
        self._timeout_s = timeout_s
        self._reads = reads
        self._writes = writes
        self._one_at_a_time = threading.Lock()

    def __call__(self, request: ApprovalRequest) -> Approval | None:
        """The answer; None without one, or without a terminal."""
        with self._one_at_a_time:
            reads = sys.stdin if self._reads is None else self._reads
            writes = sys.stderr if self._writes is None else self._writes
            if reads is None or not reads.isatty():
                return None
            _forget_typed(reads.fileno())
            deadline = time.monotonic() + self._timeout_s
            self._say(writes, _question(request))
            while (line := _typed(reads.fileno(), deadline)) is not None:
                verdict = _LETTERS_TOO.get(line.strip().lower())
                if verdict is not None:
                    return Approval(verdict=verdict, by="terminal")
                self._say(writes, "y allows it, n denies it, d lets it run dry: ")
            self._say(writes, "no answer\n")
            return None

    @staticmethod
    def _say(writes: TextIO, text: str) -> None:
        writes.write(text)
        writes.flush()


class HttpApprover:
    """Asks a service: posts the fields of an `ApprovalRequest` as JSON, and reads `{"verdict", "by"?, "reason"?}`.

    Args:
        url: its address.
        timeout_s: seconds for connecting, for sending, and for the answer.
        key_variable: environment variable that holds the key, which is sent as `Authorization: Bearer`.

    Raises:
        EnvConfigError: the address is none, or holds a password or a query.
        MissingExtraError: httpx is not installed.
    """

    def __init__(self, url: str, timeout_s: float, *, key_variable: str = "") -> None:
        with requiring("governance", "an HTTP approver"):
            from axpo_envs.plumbing.web.service import Service, checked_url
        self._url = checked_url(url)
        key = EnvironmentKey(key_variable) if key_variable else None
        self._service = Service(timeout_s=timeout_s, retries=Retries(attempts=1), key=key)
        self._service.check()

    def __call__(self, request: ApprovalRequest) -> Approval:
        """The service's answer.

        Raises:
            InfrastructureFault: it did not answer, or with something else.
            EnvConfigError: it refuses to be asked.
        """
        answer = self._service.post(self._url, asdict(request))
        said = answer if isinstance(answer, dict) else {}
        if said.get("verdict") not in tuple(ANSWERS):
            expected = f'{{"verdict": {" or ".join(ANSWERS)}}}'
            raise InfrastructureFault(f"{self._url} answered {answer!r:.200}; expected {expected}")
        by, reason = (redact(str(said.get(name) or ""))[:500] for name in ("by", "reason"))
        return Approval(verdict=Verdict(said["verdict"]), by=by or self._url, reason=reason)


def approver_of(ask: Ask) -> Approver:
    """The approver that a policy names.

    Raises:
        EnvConfigError: there is none of that name, or it is none.
    """
    given = ask.approver
    if given == "terminal":
        return TerminalApprover(ask.timeout_s)
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return HttpApprover(given, ask.timeout_s, key_variable=ask.key_variable)
    found = load_named(given, "ask.approver") if isinstance(given, str) else given
    if not callable(found):
        raise EnvConfigError(f"ask.approver: expected a callable; {given} is a {type(found).__name__}")
    approver: Approver = found
    return approver


def answer_of(approver: Approver, request: ApprovalRequest, timeout_s: float) -> tuple[Approval | None, str]:
    """An approver's answer, or None and why there is none.

    Raises:
        TypeError: it answers with something else.
        Exception: whatever it raises but an `InfrastructureFault`.
    """
    if isinstance(approver, TerminalApprover):
        # It keeps its time by itself, from when a call is shown: others wait for their turn.
        shown = approver(request)
        return shown, "" if shown is not None else "nobody answered"
    told: list[Any] = []

    def ask() -> None:
        try:
            told.append(approver(request))
        except BaseException as error:
            told.append(_Raised(error))

    # A call that waits cannot be stopped: its thread is left behind, and its answer is heard by nobody.
    asking = threading.Thread(target=ask, name="approver", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if not told:
        return None, f"no answer came within {timeout_s:g} s"
    answer = told[0]
    if isinstance(answer, _Raised):
        if isinstance(answer.error, InfrastructureFault):
            return None, str(answer.error)
        raise answer.error
    if answer is None:
        return None, "nobody answered"
    return _approval(answer), ""


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


def _approval(answer: Any) -> Approval:
    if isinstance(answer, Approval):
        return answer
    if isinstance(answer, bool):
        return Approval(verdict=Verdict.ALLOW if answer else Verdict.DENY)
    if isinstance(answer, Verdict):
        return Approval(verdict=answer)
    raise TypeError(
        f"expected an approver to return an Approval, a Verdict, a truth value or None; got {answer!r:.100}"
    )


def _question(request: ApprovalRequest) -> str:
    lines = [f"\nMay this call be made? ({request.rule})"]
    who = f" by {request.agent}" if request.agent else ""
    lines.append(f"  {request.tool} ({request.effects}){who}, question {request.question}")
    lines += [f"  {name} = {value!r:.1000}" for name, value in request.arguments.items()]
    lines += [f"  it would: {request.preview}"] if request.preview else []
    lines += [f"  why: {request.reason}"] if request.reason else []
    return printable("\n".join(lines)) + "\n[y]es, [n]o, [d]ry run: "


def _forget_typed(stream: int) -> None:
    """What was typed before a question is no answer to it."""
    try:
        import termios
    except ImportError:
        # Windows has none.
        return
    termios.tcflush(stream, termios.TCIFLUSH)


def _typed(stream: int, deadline: float) -> str | None:
    """A line that is typed before the deadline; None without one."""
    read = b""
    while b"\n" not in read:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            return None
        block = os.read(stream, 4096)
        if not block:
            return None
        read += block
    return read.partition(b"\n")[0].decode("utf-8", "replace")
