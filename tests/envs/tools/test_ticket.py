"""The tool `ticket`: a store of tickets in the episode's state."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from axpo_envs import EnvConfigError, ExactMatch, ListQuestions, Question, Snapshot, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.backends.tickets import Comment, Ticket, TicketStore
from axpo_envs.plumbing.columns import Columns
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tools import Effects, TicketLimits, TicketTool, ToolArgumentError, ToolContext, ToolError

QUESTION = Question(id="q", prompt=("?",), answer="")
CONTEXT = ToolContext(question=QUESTION, images=(), seed=0)
ROWS = [
    {"number": 3, "title": "Printer", "text": "It is on fire.", "author": "Ann"},
    {"number": 7, "title": "Invoice", "assignee": "Bo", "comments": [{"author": "Ann", "text": "Late."}]},
    {"number": 9, "title": "Chair", "status": "closed"},
]


def run(tool: TicketTool, state: TicketStore, **arguments: Any) -> tuple[str, TicketStore]:
    result, after = tool.step(tool.validate(arguments), state, CONTEXT)
    return "".join(map(str, result.content)), after


def start(tool: TicketTool) -> TicketStore:
    return tool.initial_state(QUESTION)


def test_it_keeps_the_contract_of_tools() -> None:
    tool = TicketTool(ROWS)
    assert tool.effects is Effects.STATEFUL
    check_tool(tool, arguments={"action": "assign", "number": 3, "assignee": "Bo"})
    assert pickle.loads(pickle.dumps(tool)).fingerprint == tool.fingerprint


def test_tickets_are_listed_by_status_and_assignee_and_shown_whole() -> None:
    tool = TicketTool(ROWS)
    state = start(tool)
    assert run(tool, state, action="list", status="open")[0].splitlines() == [
        "3 [open] Printer (assignee: nobody)",
        "7 [open] Invoice (assignee: Bo)",
    ]
    assert run(tool, state, action="list", assignee="Bo")[0] == "7 [open] Invoice (assignee: Bo)"
    assert run(tool, state, action="list", assignee="Eve")[0] == "There are no such tickets."
    shown, after = run(tool, state, action="show", number=7)
    assert shown == "7 [open] Invoice (assignee: Bo)\nFrom customer:\n(no text)\nComment of Ann: Late."
    assert after is state


def test_changes_are_told_and_made() -> None:
    tool = TicketTool(ROWS, actor="desk")
    told, state = run(tool, start(tool), action="create", title=" New ", text="Hello", assignee="Bo")
    assert told == "Changed ticket 10: new, 'New', assignee Bo."
    assert state.find(10) == Ticket(number=10, title="New", text="Hello", author="desk", assignee="Bo")
    told, state = run(tool, state, action="assign", number=10, assignee="")
    assert told == "Changed ticket 10: assignee Bo -> nobody."
    told, state = run(tool, state, action="close", number=10, text="Done.")
    assert told == "Changed ticket 10: open -> closed, a comment more."
    told, state = run(tool, state, action="reopen", number=10)
    told, state = run(tool, state, action="comment", number=10, text="Again.")
    assert told == "Changed ticket 10: a comment more."
    ticket = state.find(10)
    assert ticket is not None
    assert (ticket.status, ticket.assignee) == ("open", None)
    assert ticket.comments == (Comment(author="desk", text="Done."), Comment(author="desk", text="Again."))
    assert state.tickets[:3] == start(tool).tickets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "show", "number": 4}, "there is no ticket 4"),
        ({"action": "close", "number": 9}, "ticket 9 is closed already"),
        ({"action": "reopen", "number": 3}, "ticket 3 is open already"),
        ({"action": "comment", "number": 3, "text": " "}, "not blank"),
        ({"action": "create", "title": "x"}, "there are 3 tickets, as many as there can be"),
        ({"action": "comment", "number": 7, "text": "x"}, "ticket 7 has 1 comments"),
    ],
)
def test_what_cannot_be_done_is_the_policys_to_read(arguments: dict[str, Any], message: str) -> None:
    tool = TicketTool(ROWS, limits=TicketLimits(tickets=3, comments=1))
    for call in (tool.preview, lambda given, state: tool.step(given, state, CONTEXT)):
        with pytest.raises(ToolError, match=message):
            call(tool.validate(arguments), start(tool))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "action must be one of list, show, create, .*; it is missing"),
        ({"action": "burn"}, "got 'burn'"),
        ({"action": "show"}, "the action show needs number"),
        ({"action": "list", "text": "x"}, "the action list does not take text"),
        ({"action": "list", "status": "odd"}, "status must be one of open, closed"),
        ({"action": "show", "number": True}, "number must be an integer"),
        ({"action": "create", "title": " "}, "title must be a text of 1 to 200 characters"),
        ({"action": "list", "who": 1}, "unknown argument 'who'"),
    ],
)
def test_unfit_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        TicketTool(ROWS).validate(arguments)


def test_a_preview_tells_what_a_call_would_change_and_changes_nothing() -> None:
    tool = TicketTool(ROWS)
    state = start(tool)
    assert (
        tool.preview(tool.validate({"action": "close", "number": 3}), state) == "would change ticket 3: open -> closed"
    )
    assert tool.preview(tool.validate({"action": "list"}), state) == "would change nothing: it reads tickets"
    assert state == start(tool)


def first_ticket(question: Question) -> list[dict[str, Any]]:
    return [{"number": 1, "title": question.id}]


def test_it_starts_with_the_questions_column_or_what_a_function_makes_of_the_question() -> None:
    question = Question(id="q", prompt=("?",), answer="", extra=Columns({"ticket": ROWS}.items()))
    assert TicketTool().initial_state(question) == TicketTool(ROWS).initial_state(QUESTION)
    assert TicketTool().initial_state(QUESTION) == TicketStore()
    assert TicketTool(first_ticket).initial_state(question).tickets == (Ticket(number=1, title="q"),)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("x", "start: expected a list of mappings; got 'x'"),
        ([{"number": 3}], "start, row 0.title: Field required"),
        ([{"number": "3", "title": "x"}], "row 0.number: Input should be a valid integer; got '3'"),
        ([{"number": 1, "title": "x", "tilte": 1}], "row 0.tilte"),
        ([{"number": 1, "title": "x", "status": "odd"}], "row 0.status: Input should be 'open' or 'closed'"),
        ([{"number": 1, "title": "x", "comments": [{"author": "a"}]}], "row 0.comments.0.text"),
        ([{"number": 1, "title": "a"}, {"number": 1, "title": "b"}], "must be unique; got 1 twice"),
    ],
)
def test_rows_that_are_no_tickets_are_placed(rows: Any, message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        TicketTool(rows)


def test_branches_have_tickets_of_their_own_and_snapshots_travel_as_data() -> None:
    def make() -> ToolEnv:
        spec = ToolEnvSpec(
            env_id="t/Tickets-v0", questions=ListQuestions([QUESTION]), tools=(TicketTool(ROWS),), reward=ExactMatch()
        )
        return ToolEnv(spec)

    env = make()
    env.reset(seed=0)
    moment = env.snapshot()
    env.step(call_turn("ticket", {"action": "close", "number": 3}))
    elsewhere = make()
    elsewhere.restore(Snapshot.from_bytes(env.snapshot().to_bytes()))
    assert elsewhere.state.tool_states == env.state.tool_states
    env.restore(moment)
    observation, *_ = env.step(call_turn("ticket", {"action": "show", "number": 3}))
    assert "3 [open]" in observation["text"]
    check_tool_env(make, seeds=(0,), fuzz=50)
