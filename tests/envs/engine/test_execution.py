import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axpo_envs import (
    CallRequest,
    EnvConfigError,
    EpisodeState,
    ImageRef,
    InfrastructureFault,
    Question,
    Ruling,
    ToolFault,
    Verdict,
)
from axpo_envs.engine._execution import Executor, call_seed
from axpo_envs.engine._toolbox import Toolbox
from axpo_envs.errors import RewardFault
from axpo_envs.examples import call_turn
from axpo_envs.parsing import parse_turn
from axpo_envs.tools import Effects, ToolContext, ToolError, ToolTimeout, tool
from axpo_envs.types import CallOutcome, CallRecord, ToolResult, ToolStatus, Turn

QUESTION = Question(id="q", prompt=("?",), answer="")


@tool
def divide(a: float, b: float) -> float:
    """Divides."""
    if b == 0:
        raise ToolError("b must not be 0")
    return a / b


class Tally:
    """Keeps the numbers it was given, in a tuple."""

    name = "tally"
    description = "Keeps numbers."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    effects = Effects.STATEFUL
    timeout_s: float | None = None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return arguments

    def initial_state(self, question: Question) -> tuple[int, ...]:
        return ()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        kept = (*state, arguments["n"])
        return ToolResult(content=(str(kept),)), kept


TOOLBOX = Toolbox([divide, Tally()])


def start(toolbox: Toolbox = TOOLBOX) -> EpisodeState:
    return EpisodeState(question=QUESTION, seed=0, tool_states=toolbox.initial_states(QUESTION))


def execute(text: str, toolbox: Toolbox = TOOLBOX, **settings: Any) -> tuple[CallRecord, ...]:
    executor = Executor(**{"toolbox": toolbox, "max_calls": 4, **settings})
    records, _ = executor.execute(parse_turn(text).calls, start(toolbox))
    return records


@pytest.mark.parametrize(
    ("text", "outcome", "status", "content"),
    [
        (call_turn("divide", {"a": 1, "b": 4}), CallOutcome.EXECUTED, ToolStatus.OK, "0.25"),
        (call_turn("divide", {"a": 1, "b": 0}), CallOutcome.EXECUTED, ToolStatus.ERROR, "Error: b must not be 0"),
        (
            call_turn("divide", {"a": 1}),
            CallOutcome.INVALID_ARGUMENTS,
            ToolStatus.ERROR,
            "Error: the arguments of divide are invalid: b is missing.",
        ),
        (
            call_turn("multiply", {"a": 1}),
            CallOutcome.UNKNOWN_TOOL,
            ToolStatus.ERROR,
            "Error: there is no tool named 'multiply'; the tools are: divide, tally.",
        ),
        (
            "<tool_call>divide(1, 4)</tool_call>",
            CallOutcome.MALFORMED,
            ToolStatus.ERROR,
            "Error: the call is not valid JSON (Expecting value at character 0); "
            'expected {"name": "...", "arguments": {...}} between the tool_call tags.',
        ),
        (
            '<tool_call>{"name": "div\nide"}</tool_call>',
            CallOutcome.MALFORMED,
            ToolStatus.ERROR,
            "Error: the call is not valid JSON (Invalid control character at character 13); "
            'expected {"name": "...", "arguments": {...}} between the tool_call tags.',
        ),
        (
            "<tool_call>",
            CallOutcome.UNCLOSED,
            ToolStatus.ERROR,
            "Error: the opening tool_call tag was never closed; expected a closing tag after the call.",
        ),
    ],
)
def test_every_call_has_its_outcome(text: str, outcome: CallOutcome, status: ToolStatus, content: str) -> None:
    (record,) = execute(text)
    assert (record.outcome, record.result.status, record.result.content) == (outcome, status, (content,))


def test_an_executed_call_is_timed_and_others_are_not() -> None:
    good, bad = execute(call_turn("divide", {"a": 1, "b": 4}) + "<tool_call>")
    assert good.result.seconds > 0
    assert bad.result.seconds == 0


def test_calls_beyond_the_limit_are_denied_but_still_judged() -> None:
    calls = call_turn("tally", {"n": 1}) * 3 + call_turn("nothing", {})
    records = execute(calls, max_calls=2)
    assert [record.outcome for record in records] == [
        CallOutcome.EXECUTED,
        CallOutcome.EXECUTED,
        CallOutcome.OVER_LIMIT,
        CallOutcome.UNKNOWN_TOOL,
    ]
    assert records[2].result.status is ToolStatus.DENIED
    assert records[2].result.content == ("Error: at most 2 calls are executed per turn.",)


def test_refused_calls_are_recorded_without_running() -> None:
    calls = parse_turn(call_turn("tally", {"n": 1}) + "<tool_call>").calls
    executor = Executor(toolbox=TOOLBOX, max_calls=4)
    first, second = executor.refuse(calls, start(), reason="no time is left")
    assert (first.outcome, first.result.content) == (CallOutcome.OVER_LIMIT, ("Error: no time is left.",))
    assert second.outcome is CallOutcome.UNCLOSED


def test_a_state_goes_from_call_to_call_and_the_old_one_stays() -> None:
    before = start()
    text = call_turn("tally", {"n": 1}) + call_turn("divide", {"a": 1, "b": 0}) + call_turn("tally", {"n": 2})
    records, states = Executor(toolbox=TOOLBOX, max_calls=4).execute(parse_turn(text).calls, before)
    assert records[2].result.content == ("(1, 2)",)
    assert states == (("tally", (1, 2)),)
    assert before.tool_states == (("tally", ()),)


def test_bare_texts_are_read_after_the_tools_schema() -> None:
    @tool
    def show(text: str, n: int, maybe: str | None, items: list[int]) -> str:
        """Shows."""
        return repr((text, n, maybe, items))

    parameters = "".join(
        f"<parameter={name}>\n{value}\n</parameter>\n"
        for name, value in (("text", "12"), ("n", "3"), ("maybe", "null"), ("items", "[1, 2]"))
    )
    turn = f"<tool_call>\n<function=show>\n{parameters}</function>\n</tool_call>"
    (record,) = execute(turn, Toolbox([show]))
    assert record.result.content == ("('12', 3, None, [1, 2])",)
    assert record.call.arguments == '{"text": "12", "n": 3, "maybe": null, "items": [1, 2]}'
    (record,) = execute(turn.replace("\n3\n", "\nthree\n"), Toolbox([show]))
    assert record.outcome is CallOutcome.INVALID_ARGUMENTS


def test_a_tool_sees_every_image_so_far_and_a_seed_of_its_own() -> None:
    seen: list[tuple[int, int]] = []
    image = _image(1)

    @tool
    def look(context: ToolContext) -> ImageRef:
        """Looks."""
        seen.append((len(context.images), context.seed))
        return image

    executor = Executor(toolbox=Toolbox([look]), max_calls=4)
    question = Question(id="q", prompt=(_image(2), "?", _image(3)), answer="")
    state = EpisodeState(question=question, seed=5)
    calls = parse_turn(call_turn("look", {}) * 2).calls
    records, _ = executor.execute(calls, state)
    later = EpisodeState(question=question, seed=5, turns=(Turn(text="", calls=records),))
    executor.execute(calls[:1], later)
    assert seen == [(2, call_seed(5, 0)), (3, call_seed(5, 1)), (4, call_seed(5, 2))]


def test_call_seeds_differ_between_calls_and_episodes() -> None:
    seeds = {call_seed(seed, number) for seed in range(-5, 30) for number in range(30)}
    assert len(seeds) == 35 * 30
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_tool_past_its_time_limit_is_dead_and_its_state_stays(tmp_path: Path) -> None:
    class Slow(Tally):
        timeout_s = 0.2

        def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
            (tmp_path / "worker").write_text(str(os.getpid()))
            while True:
                pass

    toolbox = Toolbox([Slow()])
    calls = parse_turn(call_turn("tally", {"n": 1})).calls
    (record,), states = Executor(toolbox=toolbox, max_calls=4).execute(calls, start(toolbox))
    assert (record.outcome, record.result.status) == (CallOutcome.EXECUTED, ToolStatus.TIMEOUT)
    assert record.result.content == ("Error: the call was stopped after 0.2 s, its time limit",)
    assert record.result.seconds >= 0.2
    assert states == (("tally", ()),)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "worker").read_text()), 0)


def test_a_tool_within_its_time_limit_is_like_one_without() -> None:
    class Timed(Tally):
        timeout_s = 60.0

    (record,) = execute(call_turn("tally", {"n": 1}), Toolbox([Timed()]))
    assert record.result.content == ("(1,)",)
    (record,) = execute(call_turn("fail", {}), Toolbox([_failing(ToolError("no"), timeout_s=60.0)]))
    assert record.result.content == ("Error: no",)


def test_a_tool_that_keeps_its_limit_itself_may_say_so() -> None:
    (record,) = execute(call_turn("fail", {}), Toolbox([_failing(ToolTimeout("the server took too long"))]))
    assert record.result == ToolResult(
        status=ToolStatus.TIMEOUT, content=("Error: the server took too long",), seconds=record.result.seconds
    )


def test_wrong_settings_are_told_without_advice_for_authors_of_tools() -> None:
    refusal = EnvConfigError("check the key in SOME_KEY")
    with pytest.raises(ToolFault, match=r"raised EnvConfigError: check the key in SOME_KEY \(arguments {}\)$"):
        execute(call_turn("fail", {}), Toolbox([_failing(refusal)]))


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_an_undeclared_exception_is_the_tools_fault_and_names_the_call(timeout_s: float | None) -> None:
    toolbox = Toolbox([_failing(ZeroDivisionError("oops"), timeout_s=timeout_s)])
    with pytest.raises(ToolFault, match=r"tool 'fail' raised ZeroDivisionError: oops \(arguments {}\)") as caught:
        execute(call_turn("fail", {}), toolbox)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_an_infrastructure_fault_passes_unchanged(timeout_s: float | None) -> None:
    with pytest.raises(InfrastructureFault, match="down"):
        execute(call_turn("fail", {}), Toolbox([_failing(InfrastructureFault("down"), timeout_s=timeout_s)]))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("text", "must return"),
        ((ToolResult(content=["text"]), ()), "content must be a tuple"),  # type: ignore[arg-type]
        ((ToolResult(content=(1,)), ()), "content must be a tuple"),  # type: ignore[arg-type]
        ((ToolResult(), None), "keeps a state from the start or never"),
        ((ToolResult(), (1, [2])), r"its new state: \[1\] is a list, which is mutable; expected immutable data"),
    ],
)
def test_breaking_the_protocol_is_the_tools_fault(returned: Any, message: str) -> None:
    class Broken(Tally):
        def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
            result: tuple[ToolResult, Any] = returned
            return result

    with pytest.raises(ToolFault, match=message):
        execute(call_turn("tally", {"n": 1}), Toolbox([Broken()]))


def test_an_exception_in_validation_is_the_tools_fault() -> None:
    class Broken(Tally):
        def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"n": arguments["m"]}

    with pytest.raises(ToolFault, match="KeyError"):
        execute(call_turn("tally", {"n": 1}), Toolbox([Broken()]))


def test_a_toolbox_refuses_what_is_no_tool_and_names_given_twice() -> None:
    with pytest.raises(EnvConfigError, match="members of"):
        Toolbox([divide.function])  # type: ignore[list-item]
    with pytest.raises(EnvConfigError, match="'divide' twice"):
        Toolbox([divide, divide])


def test_a_gate_is_asked_about_calls_that_are_ready_to_run_and_withholds_them() -> None:
    asked: list[CallRequest] = []
    rulings = iter(
        [
            Ruling(verdict=Verdict.ALLOW),
            Ruling(verdict=Verdict.DENY),
            Ruling(verdict=Verdict.DENY, reason="no twos."),
            Ruling(verdict=Verdict.DRY_RUN),
            Ruling(verdict=Verdict.ALLOW),
        ]
    )

    def gate(request: CallRequest) -> Ruling:
        asked.append(request)
        return next(rulings)

    numbers = [call_turn("tally", {"n": n}) for n in range(5)]
    text = "".join([numbers[0], "<tool_call>x</tool_call>", call_turn("nothing", {}), *numbers[1:], numbers[0]])
    records = execute(text, max_calls=7, gate=gate)
    assert [(record.outcome, record.result.status) for record in records] == [
        (CallOutcome.EXECUTED, ToolStatus.OK),
        (CallOutcome.MALFORMED, ToolStatus.ERROR),
        (CallOutcome.UNKNOWN_TOOL, ToolStatus.ERROR),
        (CallOutcome.WITHHELD, ToolStatus.DENIED),
        (CallOutcome.WITHHELD, ToolStatus.DENIED),
        (CallOutcome.WITHHELD, ToolStatus.DRY_RUN),
        (CallOutcome.EXECUTED, ToolStatus.OK),
        (CallOutcome.OVER_LIMIT, ToolStatus.DENIED),
    ]
    assert [record.result.content for record in records[3:7]] == [
        ("Error: this call is not permitted.",),
        ("Error: no twos.",),
        ("Dry run: the call is valid; it was not executed.",),
        ("(0, 4)",),
    ]
    assert all(record.valid and not record.succeeded for record in records[3:6])
    assert [(request.number, dict(request.arguments)) for request in asked] == [
        (0, {"n": 0}),
        (3, {"n": 1}),
        (4, {"n": 2}),
        (5, {"n": 3}),
        (6, {"n": 4}),
    ]
    assert asked[0].tool is TOOLBOX.tools[1]
    assert asked[0].state == start()


def test_a_gate_must_return_a_ruling() -> None:
    def gate(request: CallRequest) -> Any:
        return True

    with pytest.raises(TypeError, match="expected the gate of an environment to return a Ruling; got True"):
        execute(call_turn("tally", {"n": 1}), gate=gate)


def test_an_audit_is_told_of_every_attempted_call_in_order() -> None:
    told: list[tuple[EpisodeState, CallRecord]] = []

    def audit(state: EpisodeState, record: CallRecord) -> None:
        told.append((state, record))

    text = call_turn("tally", {"n": 1}) + "<tool_call>x</tool_call>" + call_turn("tally", {"n": 2})
    records = execute(text, max_calls=2, audit=audit)
    assert told == [(start(), record) for record in records]
    executor = Executor(toolbox=TOOLBOX, max_calls=4, audit=audit)
    refused = executor.refuse(parse_turn(text).calls, start(), reason="no time is left")
    assert told[3:] == [(start(), record) for record in refused]


def test_faults_are_neither_infrastructure_nor_for_the_policy() -> None:
    for fault in (ToolFault, RewardFault):
        assert not issubclass(fault, InfrastructureFault | ToolError)


def _failing(error: Exception, *, timeout_s: float | None = None) -> Any:
    @tool(timeout_s=timeout_s)
    def fail() -> str:
        """Fails."""
        raise error

    return fail


def _image(side: int) -> ImageRef:
    return ImageRef(np.zeros((side, side, 3), np.uint8))
