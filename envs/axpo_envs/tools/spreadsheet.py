"""Defines the tool `spreadsheet`: sheets whose cells are read, with formulas evaluated, and written."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from axpo_envs.backends.spreadsheets.content import (
    CellValue,
    Sheet,
    Workbook,
    as_workbook,
    check_sheet_name,
)
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.knobs import check_range
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.tool.start import Start
from axpo_envs.tools._actions import Action, ActionSchema
from axpo_envs.types import Question, ToolResult

with requiring("spreadsheet", "the tool spreadsheet"):
    from openpyxl.utils import get_column_letter

    from axpo_envs.backends.spreadsheets.formulas import FormulaProblemError, check_formula, evaluated
    from axpo_envs.tools._cells import Area, area_of, named, placed, rows_of, shown, told, used

_ACTIONS: Final = {
    "sheets": Action(),
    "read": Action(takes=("sheet", "range", "formulas")),
    "write": Action(needs=("cell", "values"), takes=("sheet",)),
    "add_sheet": Action(needs=("sheet",)),
}
_READING: Final = ("sheets", "read")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadsheetLimits:
    """How much a workbook holds and a call shows.

    Raises:
        EnvConfigError: a limit is out of range.
    """

    cells: int = 5000
    """Cells of the workbook that are not empty; those that it starts with may be more."""
    sheets: int = 20
    """Sheets of the workbook."""
    rows: int = 10_000
    """The last row that may be written."""
    columns: int = 200
    """The last column that may be written."""
    shown: int = 1000
    """Cells that a call may read."""

    def __post_init__(self) -> None:
        for field in fields(self):
            check_range(field.name, getattr(self, field.name), int, 1, 1_000_000)


class SpreadsheetTool:
    """A workbook in the episode's state: an agent reads values and writes cells, a branch has its own.

    What a formula says is evaluated when cells are read; errors and cycles are values, such as `#DIV/0!` and `#CIRC!`.

    Args:
        start: the workbook of an episode's start: a `Workbook`, the bytes of an .xlsx file, or a mapping of sheets'
            names to lists of rows; or a picklable function that makes one of the question; by default the question's
            column `spreadsheet`, and one empty sheet where there is none.
        today: what the function `TODAY` says.
        limits: how much the workbook holds.

    Raises:
        EnvConfigError: `start` is no workbook.
        MissingExtraError: the extra `spreadsheet` is not installed.
    """

    def __init__(
        self,
        start: Any | Callable[[Question], Any] = None,
        *,
        today: datetime.date = datetime.date(2026, 1, 1),
        limits: SpreadsheetLimits = SpreadsheetLimits(),
    ) -> None:
        if not isinstance(today, datetime.date):
            raise EnvConfigError(f"today must be a date; got {brief(today)}")
        fixed = Start(given=start, column=self.name).is_fixed
        self._start = Start(given=_begun(start, "start") if fixed else start, column=self.name)
        self._today = today
        self._limits = limits
        self._schema = ActionSchema(actions=_ACTIONS, properties=_PROPERTIES)

    @property
    def name(self) -> str:
        """`spreadsheet`."""
        return "spreadsheet"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return (
            "Reads and writes a workbook: `sheets` lists its sheets, `read` shows a range such as A1:D9, or all of a "
            "sheet, `write` puts values or formulas (=SUM(A1:A9)) into a cell and those right of it and below."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return self._schema.parameters

    @property
    def effects(self) -> Effects:
        """Stateful: the workbook is the state."""
        return Effects.STATEFUL

    @property
    def timeout_s(self) -> float | None:
        """None: what a formula may be bounds the time that a call takes."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of date, limits, and where the workbook comes from."""
        fixed = repr(self._start.given) if self._start.is_fixed else ""
        given = (self._start.described, fixed, self._today.isoformat(), repr(self._limits))
        return f"spreadsheet-1/{digest_of(*given)[:16]}"

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of the action, ranges and cells as areas, values as rows.

        Raises:
            ToolArgumentError: there is no such action, or they do not fit it.
        """
        given = self._schema.validate(arguments)
        if "range" in given:
            given["area"] = area_of(given.pop("range"), "range")
        if given["action"] == "write":
            row, column, last_row, last_column = area_of(given["cell"], "cell")
            if (row, column) != (last_row, last_column):
                raise ToolArgumentError(f"cell must be one cell, such as B2; got {brief(given['cell'])}")
            given |= {"cell": (row, column), "values": rows_of(given["values"])}
        return given

    def initial_state(self, question: Question) -> Workbook:
        """The workbook at the start of an episode.

        Raises:
            EnvConfigError: the question's column or the function gives no workbook.
        """
        return _begun(self._start.of(question), f"question {question.id!r}")

    def step(self, arguments: Mapping[str, Any], state: Workbook, context: ToolContext) -> tuple[ToolResult, Any]:
        """What was read, or what was changed.

        Raises:
            ToolError: there is no such sheet, a formula is none, or a limit is reached.
        """
        del context
        if arguments["action"] in _READING:
            return ToolResult(content=(self._read(arguments, state),)), state
        change, after = self._change(arguments, state)
        return ToolResult(content=(f"Changed {change}.",)), after

    def preview(self, arguments: Mapping[str, Any], state: Workbook) -> str:
        """What a call would change.

        Raises:
            ToolError: as `step` would.
        """
        if arguments["action"] in _READING:
            self._read(arguments, state)
            return "would change nothing: it reads cells"
        return f"would change {self._change(arguments, state)[0]}"

    def _read(self, arguments: Mapping[str, Any], state: Workbook) -> str:
        if arguments["action"] == "sheets":
            return "\n".join(f"{sheet.name} ({used(sheet)})" for sheet in state.sheets)
        sheet = _sheet(state, arguments)
        area: Area = arguments.get("area", (1, 1, *sheet.size))
        top, left, bottom, right = area
        if (bottom - top + 1) * (right - left + 1) > self._limits.shown:
            raise ToolError(
                f"a call shows at most {self._limits.shown} cells; {named(area)} has more: read a part of it"
            )
        values = evaluated(state, self._today)[sheet.name]
        formulas = sheet.cells if arguments.get("formulas", False) else {}
        if not bottom:
            return f"{sheet.name} is empty"
        lines = [f"{sheet.name} {named(area)}", "\t".join(["", *map(get_column_letter, range(left, right + 1))])]
        for row in range(top, bottom + 1):
            cells = (shown((row, column), values, formulas) for column in range(left, right + 1))
            lines.append("\t".join([str(row), *cells]))
        return "\n".join(lines)

    def _change(self, arguments: Mapping[str, Any], state: Workbook) -> tuple[str, Workbook]:
        """What changes, as a phrase, and the workbook afterwards."""
        if arguments["action"] == "add_sheet":
            return self._add(arguments["sheet"], state)
        sheet = _sheet(state, arguments)
        changes = dict(placed(arguments["cell"], arguments["values"]))
        bottom, right = max(row for row, _ in changes), max(column for _, column in changes)
        if bottom > self._limits.rows or right > self._limits.columns:
            last = f"{get_column_letter(self._limits.columns)}{self._limits.rows}"
            raise ToolError(f"cells may be written up to {last}")
        for (row, column), value in changes.items():
            _check_formula(value, f"{get_column_letter(column)}{row}")
        after = state.with_cells(sheet.name, changes)
        count = sum(len(one.cells) for one in after.sheets)
        if count > self._limits.cells and count > sum(len(one.cells) for one in state.sheets):
            raise ToolError(f"a workbook has at most {self._limits.cells} cells that are not empty")
        return f"{sheet.name}!{told(changes, sheet)}", after

    def _add(self, name: str, state: Workbook) -> tuple[str, Workbook]:
        try:
            name = check_sheet_name(name)
        except ValueError as error:
            raise ToolError(str(error)) from None
        if state.find(name) is not None:
            raise ToolError(f"there is a sheet {name!r} already")
        if len(state.sheets) >= self._limits.sheets:
            raise ToolError(f"there are {len(state.sheets)} sheets, as many as there can be")
        return f"the workbook: a new sheet {name!r}", replace(state, sheets=(*state.sheets, Sheet(name=name)))


def _begun(value: Any, where: str) -> Workbook:
    book = as_workbook({} if value is None else value, where)
    return book if book.sheets else Workbook(sheets=(Sheet(name="Sheet1"),))


def _sheet(state: Workbook, arguments: Mapping[str, Any]) -> Sheet:
    name = arguments.get("sheet")
    sheet = state.sheets[0] if name is None else state.find(name.strip())
    if sheet is None:
        raise ToolError(f"there is no sheet {name!r}; there are {', '.join(one.name for one in state.sheets)}")
    return sheet


def _check_formula(value: CellValue | None, where: str) -> None:
    if isinstance(value, str) and value.startswith("="):
        try:
            check_formula(value)
        except FormulaProblemError as error:
            raise ToolError(f"the formula for {where}: {error}") from None


_PROPERTIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "sheet": {"type": "string", "maxLength": 31, "description": "Name of a sheet; the first one by default."},
    "range": {"type": "string", "maxLength": 30, "description": "Cells to read, such as A1:D9."},
    "formulas": {"type": "boolean", "description": "Show formulas, too."},
    "cell": {"type": "string", "maxLength": 20, "description": "The first cell to write, such as B2."},
    "values": {"description": "A value, a list (one row) or a list of lists (rows); null empties a cell of a list."},
}
