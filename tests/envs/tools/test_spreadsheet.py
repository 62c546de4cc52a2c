"""The tool `spreadsheet`: a workbook in the episode's state."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest

from axpo_envs import EnvConfigError, ExactMatch, ListQuestions, Question, Snapshot, ToolEnv, ToolEnvSpec, call_turn
from axpo_envs.backends.spreadsheets import Workbook, write_xlsx
from axpo_envs.plumbing.columns import Columns
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tools import (
    Effects,
    SpreadsheetLimits,
    SpreadsheetTool,
    ToolArgumentError,
    ToolContext,
    ToolError,
)

QUESTION = Question(id="q", prompt=("?",), answer="")
CONTEXT = ToolContext(question=QUESTION, images=(), seed=0)
ROWS = {
    "Orders": [["item", "qty", "price"], ["pen", 3, 1.5], ["sum", None, "=B2*C2"]],
    "Notes": [[datetime.date(2026, 1, 5), True]],
}


def run(tool: SpreadsheetTool, state: Workbook, **arguments: Any) -> tuple[str, Workbook]:
    result, after = tool.step(tool.validate(arguments), state, CONTEXT)
    return "".join(map(str, result.content)), after


def start(tool: SpreadsheetTool) -> Workbook:
    return tool.initial_state(QUESTION)


def test_it_keeps_the_contract_of_tools() -> None:
    tool = SpreadsheetTool(ROWS)
    assert tool.effects is Effects.STATEFUL
    check_tool(tool, arguments={"action": "write", "cell": "B2", "values": [[1, "=B2"], [None, True]]})
    check_tool(tool, arguments={"action": "read"})
    assert pickle.loads(pickle.dumps(tool)).fingerprint == tool.fingerprint


def test_cells_are_shown_with_their_columns_rows_and_values() -> None:
    tool = SpreadsheetTool(ROWS)
    state = start(tool)
    assert run(tool, state, action="sheets")[0] == "Orders (A1:C3)\nNotes (A1:B1)"
    shown, after = run(tool, state, action="read")
    assert shown.splitlines() == [
        "Orders A1:C3",
        "\tA\tB\tC",
        "1\titem\tqty\tprice",
        "2\tpen\t3\t1.5",
        "3\tsum\t\t4.5",
    ]
    assert after is state
    assert run(tool, state, action="read", range="c3", formulas=True)[0] == "Orders C3\n\tC\n3\t4.5 (=B2*C2)"
    assert run(tool, state, action="read", sheet="notes")[0].splitlines()[2] == "1\t2026-01-05\tTRUE"


def test_what_is_written_is_told_and_read_back() -> None:
    tool = SpreadsheetTool(ROWS)
    told, state = run(tool, start(tool), action="write", cell="B2", values=10)
    assert told == "Changed Orders!B2: 3 -> 10."
    assert run(tool, state, action="read", range="C3")[0].endswith("\t15")
    told, state = run(tool, state, action="write", cell="A5", values=[["x", "=B2"], [None, 2]])
    assert told == "Changed Orders!A5:B6: 4 cells."
    assert run(tool, state, action="read", range="A5:B6")[0].splitlines()[2:] == ["5\tx\t10", "6\t\t2"]
    told, state = run(tool, state, action="write", cell="A5", values=[None, None])
    assert run(tool, state, action="read", range="A5:B5")[0].splitlines()[2:] == ["5\t\t"]
    told, state = run(tool, state, action="add_sheet", sheet="New")
    assert told == "Changed the workbook: a new sheet 'New'."
    assert run(tool, state, action="read", sheet="New")[0] == "New is empty"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "read", "sheet": "No"}, "there is no sheet 'No'; there are Orders, Notes"),
        ({"action": "read", "range": "A1:Z99"}, "at most 100 cells; A1:Z99 has more"),
        ({"action": "write", "cell": "A1", "values": "=SUM("}, "the formula for A1: it cannot be read"),
        ({"action": "write", "cell": "A100", "values": [[1], [1]]}, "up to GR100"),
        ({"action": "write", "cell": "A9", "values": [1, 2]}, "at most 10 cells that are not empty"),
        ({"action": "add_sheet", "sheet": "orders"}, "there is a sheet 'orders' already"),
        ({"action": "add_sheet", "sheet": "a/b"}, "a sheet's name"),
        ({"action": "add_sheet", "sheet": "New"}, "2 sheets, as many as there can be"),
    ],
)
def test_what_cannot_be_done_is_the_policys_to_read(arguments: dict[str, Any], message: str) -> None:
    tool = SpreadsheetTool(ROWS, limits=SpreadsheetLimits(cells=10, sheets=2, rows=100, shown=100))
    for call in (tool.preview, lambda given, state: tool.step(given, state, CONTEXT)):
        with pytest.raises(ToolError, match=message):
            call(tool.validate(arguments), start(tool))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "read", "range": "1:2"}, "range must be cells such as A1 or A1:D9"),
        ({"action": "read", "range": "B2:A1"}, "range must be cells"),
        ({"action": "write", "cell": "A1:B2", "values": 1}, "cell must be one cell"),
        ({"action": "write", "cell": "A1", "values": []}, "values must be"),
        ({"action": "write", "cell": "A1", "values": [[]]}, "at least one value"),
        ({"action": "write", "cell": "A1", "values": [1, [2]]}, "values must be"),
        ({"action": "write", "cell": "A1", "values": {"a": 1}}, "a cell holds"),
        ({"action": "write", "cell": "A1", "values": 10**20}, "at most 15 digits"),
        ({"action": "write", "cell": "A1", "values": "x" * 1001}, "at most 1000 characters"),
        ({"action": "read", "formulas": "yes"}, "formulas must be true or false"),
    ],
)
def test_unfit_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message):
        SpreadsheetTool(ROWS).validate(arguments)


def test_a_preview_tells_what_a_call_would_change_and_changes_nothing() -> None:
    tool = SpreadsheetTool(ROWS)
    state = start(tool)
    told = tool.preview(tool.validate({"action": "write", "cell": "D1", "values": "x"}), state)
    assert told == "would change Orders!D1: (empty) -> x"
    assert tool.preview(tool.validate({"action": "read"}), state) == "would change nothing: it reads cells"
    assert state == start(tool)


def test_it_starts_with_a_file_the_questions_column_or_one_empty_sheet() -> None:
    expected = start(SpreadsheetTool(ROWS))
    assert start(SpreadsheetTool(write_xlsx(expected))) == expected
    question = Question(id="q", prompt=("?",), answer="", extra=Columns({"spreadsheet": ROWS}.items()))
    assert SpreadsheetTool().initial_state(question) == expected
    assert run(SpreadsheetTool(), start(SpreadsheetTool()), action="sheets")[0] == "Sheet1 (empty)"
    with pytest.raises(EnvConfigError, match="start: expected a Workbook"):
        SpreadsheetTool(5)


def test_branches_have_cells_of_their_own_and_snapshots_travel_as_data() -> None:
    def make() -> ToolEnv:
        tools = (SpreadsheetTool(ROWS),)
        return ToolEnv(
            ToolEnvSpec(env_id="t/Cells-v0", questions=ListQuestions([QUESTION]), tools=tools, reward=ExactMatch())
        )

    env = make()
    begun = env.begin(env.questions.question(0))
    one = env.advance(begun, call_turn("spreadsheet", {"action": "write", "cell": "B2", "values": 10})).state
    other = env.advance(begun, call_turn("spreadsheet", {"action": "read", "range": "C3"}))
    assert other.observation == ("Orders C3\n\tC\n3\t4.5",)
    assert Snapshot.from_bytes(env.snapshot_of(one).to_bytes()).state.tool_states == one.tool_states
    check_tool_env(make, seeds=(0,), fuzz=50)
