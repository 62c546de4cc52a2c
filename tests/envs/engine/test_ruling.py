"""What is made of rulings beyond allowing and denying: previews, other arguments, calls that are not recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from axpo_envs import (
    CallOutcome,
    CallRecord,
    CallRequest,
    EpisodeState,
    InfrastructureFault,
    Question,
    Ruling,
    ToolFault,
    ToolStatus,
    Verdict,
    call_turn,
    parse_turn,
)
from axpo_envs.engine._execution import Executor
from axpo_envs.engine._toolbox import Toolbox
from axpo_envs.gate import AllOf, Decided, UnrecordedError
from axpo_envs.tools import Effects, PreviewingTool, ToolContext, ToolError, ToolResult, tool
from axpo_envs.types import Turn


class Deposit:
    """Adds to a balance; a preview says what it would be."""

    name = "deposit"
    description = "Adds."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    effects = Effects.STATEFUL
    timeout_s = None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(arguments.get("n"), int):
            raise ToolError(f"expected n; got {dict(arguments)}")
        return {"n": arguments["n"]}

    def initial_state(self, question: Question) -> int:
        return 0

    def preview(self, arguments: Mapping[str, Any], state: int) -> str:
        if arguments["n"] < 0:
            raise ToolError("nothing is taken out")
        if arguments["n"] == 13:
            raise KeyError("thirteen")
        return f"the balance would be {state + arguments['n']}"

    def step(self, arguments: Mapping[str, Any], state: int, context: ToolContext) -> tuple[ToolResult, int]:
        if arguments["n"] == 13:
            raise InfrastructureFault("the bank is closed")
        balance = state + arguments["n"]
        return ToolResult(content=(f"balance {balance}",)), balance


@tool
def plain(n: int) -> str:
    """Does nothing."""
    return f"did {n}"


TOOLBOX = Toolbox([Deposit(), plain])


def start() -> EpisodeState:
    question = Question(id="q", prompt=("?",), answer="1")
    return EpisodeState(question=question, seed=1, tool_states=TOOLBOX.initial_states(question))


def execute(text: str, **settings: Any) -> tuple[tuple[CallRecord, ...], Any]:
    executor = Executor(toolbox=TOOLBOX, max_calls=4, **settings)
    return executor.execute(parse_turn(text).calls, start())


def dry(request: CallRequest) -> Ruling:
    return Ruling(verdict=Verdict.DRY_RUN, rule="dry")


def to(n: Any, **more: Any) -> Callable[[CallRequest], Ruling]:
    return lambda request: Ruling(verdict=Verdict.MODIFY, arguments={"n": n}, **more)


def test_a_dry_run_shows_what_would_change_where_the_tool_can_tell() -> None:
    assert isinstance(Deposit(), PreviewingTool)
    calls = [call_turn("deposit", {"n": 5}), call_turn("deposit", {"n": -1}), call_turn("plain", {"n": 1})]
    records, states = execute("".join(calls), gate=dry)
    assert [record.result.content[0] for record in records] == [
        "Dry run: the balance would be 5. It was not executed.",
        "Error: nothing is taken out.",
        "Dry run: the call is valid; it was not executed.",
    ]
    statuses = [ToolStatus.DRY_RUN, ToolStatus.ERROR, ToolStatus.DRY_RUN]
    assert [record.result.status for record in records] == statuses
    assert {(record.outcome, record.rule) for record in records} == {(CallOutcome.WITHHELD, "dry")}
    assert states == (("deposit", 0),)


def test_a_preview_that_fails_is_the_tools_fault() -> None:
    with pytest.raises(ToolFault, match="thirteen"):
        execute(call_turn("deposit", {"n": 13}), gate=dry)


def test_a_call_runs_with_the_arguments_of_the_ruling_and_tells_so() -> None:
    (record,), states = execute(call_turn("deposit", {"n": 5}), gate=to(2, reason="two is enough.", rule="two"))
    assert record.result.content == ('Note: this call was executed with {"n": 2} (two is enough).\n', "balance 2")
    assert (record.call.arguments, record.changed, record.rule) == ('{"n": 5}', '{"n": 2}', "two")
    assert states == (("deposit", 2),)


def test_arguments_of_a_ruling_are_validated_again() -> None:
    (record,), _ = execute(call_turn("deposit", {"n": 5}), gate=to("many"))
    assert (record.outcome, record.result.status) == (CallOutcome.WITHHELD, ToolStatus.DENIED)
    assert "what it would be changed to is invalid: expected n; got {'n': 'many'}" in str(record.result.content[0])
    with pytest.raises(TypeError, match="expected a ruling MODIFY to have arguments; got None"):
        execute(call_turn("deposit", {"n": 5}), gate=lambda request: Ruling(verdict=Verdict.MODIFY))


def test_a_gate_behind_another_sees_what_that_one_changed() -> None:
    asked: list[Any] = []

    def last(request: CallRequest) -> Ruling:
        asked.append((dict(request.arguments), dict(request.written)))
        return Ruling(verdict=Verdict.ALLOW, rule="last")

    (record,), _ = execute(call_turn("deposit", {"n": 5}), gate=AllOf((to(2, rule="two"), last)))
    assert asked == [({"n": 2}, {"n": 2})]
    assert (record.changed, record.rule) == ('{"n": 2}', "two")
    (record,), _ = execute(call_turn("deposit", {"n": 5}), gate=AllOf((to(2), to(3, rule="three"))))
    assert (record.changed, record.rule) == ('{"n": 3}', "three")


def test_a_ruling_is_told_how_its_call_ended() -> None:
    told: list[tuple[str, CallOutcome]] = []

    def gate(name: str, verdict: Verdict) -> Callable[[CallRequest], Ruling]:
        return lambda request: Ruling(verdict=verdict, ended=(lambda record: told.append((name, record.outcome)),))

    allow, deny = gate("first", Verdict.ALLOW), gate("second", Verdict.DENY)
    execute(call_turn("plain", {"n": 1}), gate=AllOf((allow, gate("second", Verdict.ALLOW))))
    execute(call_turn("plain", {"n": 1}), gate=AllOf((allow, deny)))
    ran, withheld = CallOutcome.EXECUTED, CallOutcome.WITHHELD
    assert told == [("first", ran), ("second", ran), ("first", withheld), ("second", withheld)]


class Log:
    """Remembers what it is told; or cannot."""

    def __init__(self, full: Exception | None = None) -> None:
        self.told: list[Any] = []
        self._full = full

    def decided(self, decided: Decided, record: CallRecord | None) -> Callable[[CallRecord | BaseException], None]:
        if self._full is not None:
            raise self._full
        self.told.append((decided, record))
        return self.told.append


def test_a_log_is_told_before_a_call_runs_and_when_it_has_ended() -> None:
    log = Log()
    text = call_turn("plain", {"n": 1}) + "<tool_call>x</tool_call>" + call_turn("plain", {"n": "x"})
    (ran, malformed, invalid), _ = execute(text, log=log, gate=to(2), agent="me")
    (decided, nothing), end, (second, second_record), (third, third_record) = log.told
    assert (nothing, end, second_record, third_record) == (None, ran, malformed, invalid)
    assert (decided.outcome, decided.arguments, decided.agent, decided.number) == (
        CallOutcome.EXECUTED,
        {"n": 1},
        "me",
        0,
    )
    assert decided.ruling == Ruling(verdict=Verdict.MODIFY, arguments={"n": 2})
    assert (second.tool, second.arguments, second.ruling, second.number) == (None, None, None, 1)
    assert (third.tool, third.arguments, third.outcome) == (plain, {"n": "x"}, CallOutcome.INVALID_ARGUMENTS)


def test_a_log_is_told_of_faults() -> None:
    log = Log()
    with pytest.raises(InfrastructureFault, match="closed"):
        execute(call_turn("deposit", {"n": 13}), log=log)
    assert isinstance(log.told[1], InfrastructureFault)


@pytest.mark.parametrize("gate", [None, dry])
def test_a_call_that_cannot_be_recorded_is_not_made(gate: Any) -> None:
    log = Log(UnrecordedError("the log is full"))
    (record,), states = execute(call_turn("deposit", {"n": 5}), log=log, gate=gate)
    assert (record.outcome, record.result.status) == (CallOutcome.WITHHELD, ToolStatus.DENIED)
    assert record.result.content == ("Error: the log is full.",)
    assert states == (("deposit", 0),)
    with pytest.raises(InfrastructureFault, match="no disk"):
        execute(call_turn("deposit", {"n": 5}), log=Log(InfrastructureFault("no disk")), gate=gate)


def test_a_log_is_told_of_calls_that_a_limit_refuses() -> None:
    log = Log()
    executor = Executor(toolbox=TOOLBOX, max_calls=1, log=log)
    (record,) = executor.refuse(parse_turn(call_turn("plain", {"n": 1})).calls, start(), reason="no time is left")
    ((decided, told),) = log.told
    assert told == record
    assert (decided.outcome, decided.tool) == (CallOutcome.OVER_LIMIT, plain)


def test_a_record_pickled_before_calls_could_be_changed_is_read() -> None:
    (record,), _ = execute(call_turn("plain", {"n": 1}))
    old = CallRecord.__new__(CallRecord)
    old.__setstate__(record.__getstate__()[:3])  # type: ignore[attr-defined]
    assert old == record
    assert Turn(text="", calls=(old,)).calls[0].changed is None
