"""Defines `evaluated`, the values of a workbook's cells, and `check_formula`, which refuses what is not evaluated.

Formulas are evaluated by `formualizer`, cells in the order in which they read each other. What a formula may be keeps
the work within bounds that depend on the workbook alone, never on a clock: equal workbooks have equal values wherever
they are evaluated. The clock of `TODAY` and `NOW` is an argument, and `RAND` has a fixed seed.
"""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from axpo_envs.backends.spreadsheets.content import CellValue, Place, Workbook
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.extras import requiring

with requiring("spreadsheet", "a formula"):
    import formualizer
    from openpyxl.utils import get_column_letter

MOST_FORMULA_CHARS: Final = 500
"""Characters of a formula."""
MOST_RANGE_CELLS: Final = 20_000
"""Cells of a range that a formula reads."""
MOST_TEXT_CHARS: Final = 1000
"""Characters of a text in a cell, or that a formula makes."""

CYCLE: Final = "#CIRC!"
"""Value of a cell that reads itself, directly or through others, and of those that read it."""

_WORK: Final = 50_000_000
# Which cells the first two read cannot be told beforehand; of the others few characters make much work.
_UNAVAILABLE: Final = frozenset(
    (
        *("INDIRECT", "OFFSET", "LET", "LAMBDA", "MAP", "REDUCE", "SCAN", "MAKEARRAY", "BYROW", "BYCOL"),
        *("SEQUENCE", "RANDARRAY", "EXPAND", "MUNIT"),
    )
)
_MULTIPLYING: Final = frozenset(("SUBSTITUTE", "REPT", "TEXTJOIN", "REGEXREPLACE"))
_PLAIN: Final = ("Reference", "Literal")
_ERRORS: Final = {
    "Div": "#DIV/0!",
    "Na": "#N/A",
    "Name": "#NAME?",
    "Null": "#NULL!",
    "Num": "#NUM!",
    "Ref": "#REF!",
    "Spill": "#SPILL!",
    "Calc": "#CALC!",
    "Circ": CYCLE,
}
_Cell: TypeAlias = tuple[str, Place]
"""Name of the sheet, and place."""


class FormulaProblemError(ValueError):
    """A text is no formula that is evaluated; the message says why."""


@lru_cache(maxsize=64)
def evaluated(book: Workbook, today: datetime.date) -> Mapping[str, Mapping[Place, CellValue]]:
    """The values of the cells of each sheet that are not empty; errors are texts such as `#DIV/0!`.

    Args:
        book: the workbook.
        today: what `TODAY` says.

    Raises:
        InfrastructureFault: the engine failed.
    """
    values = {sheet.name: dict(sheet.cells) for sheet in book.sheets}
    formulas = {
        (name, place): value
        for name, cells in values.items()
        for place, value in cells.items()
        if isinstance(value, str) and value.startswith("=")
    }
    engine = _Engine(values, formulas, today)
    ordered, circular = _ordered(formulas, tuple(values))
    for name, place in ordered:
        values[name][place] = engine.value((name, place), formulas[name, place])
    for name, place in circular:
        values[name][place] = CYCLE
    return MappingProxyType({name: MappingProxyType(cells) for name, cells in values.items()})


@lru_cache(maxsize=4096)
def check_formula(formula: str) -> None:
    """Holds a text to being a formula that is evaluated.

    Raises:
        FormulaProblemError: it is none.
    """
    if len(formula) > MOST_FORMULA_CHARS:
        raise FormulaProblemError(f"a formula has at most {MOST_FORMULA_CHARS} characters; it has {len(formula)}")
    tree = _parsed(formula)
    for node in _nodes(tree):
        name = (node.get_function_name() or "").upper()
        if name in _UNAVAILABLE:
            raise FormulaProblemError(f"the function {name} is not available")
        if name in _MULTIPLYING and any(child.node_type() not in _PLAIN for child in node.children()):
            raise FormulaProblemError(f"{name} takes cells, ranges and constants alone, no calculations")
        if node.get_operator() == ":":
            raise FormulaProblemError("a range is written with two cells, such as A1:B9")
    for reference in tree.walk_refs():
        _check_extent(reference)


def _is_evaluated(formula: str) -> bool:
    try:
        check_formula(formula)
    except FormulaProblemError:
        return False
    return True


def _parsed(formula: str) -> formualizer.ASTNode:
    try:
        return formualizer.parse(formula)
    except (formualizer.ParserError, formualizer.TokenizerError) as error:
        raise FormulaProblemError(f"it cannot be read: {error}") from None


def _nodes(tree: formualizer.ASTNode) -> Iterator[formualizer.ASTNode]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children())


def _check_extent(reference: Any) -> None:
    if not isinstance(reference, formualizer.RangeRef):
        return
    if reference.start is None or reference.end is None:
        raise FormulaProblemError(f"a range names its rows and columns, such as A1:A100; got {reference}")
    top, left, bottom, right = _extent(reference)
    if (bottom - top + 1) * (right - left + 1) > MOST_RANGE_CELLS:
        raise FormulaProblemError(f"a range has at most {MOST_RANGE_CELLS} cells; got {reference}")


def _extent(reference: Any) -> tuple[int, int, int, int]:
    """First row, first column, last row and last column of a cell or a range."""
    if isinstance(reference, formualizer.CellRef):
        return reference.row, reference.col, reference.row, reference.col
    rows, columns = (reference.start.row, reference.end.row), (reference.start.col, reference.end.col)
    return min(rows), min(columns), max(rows), max(columns)


def _ordered(formulas: Mapping[_Cell, str], sheets: tuple[str, ...]) -> tuple[list[_Cell], list[_Cell]]:
    """The cells in an order in which each comes after those that it reads, and those that no order has."""
    by_sheet: dict[str, set[Place]] = {}
    for name, place in formulas:
        by_sheet.setdefault(name, set()).add(place)
    named = {name.casefold(): name for name in sheets}
    readers: dict[_Cell, list[_Cell]] = {}
    waiting: dict[_Cell, int] = {}
    for cell, formula in formulas.items():
        read = {
            (name, place)
            for name, extent in _references(formula, cell[0], named)
            for place in _formulas_within(by_sheet.get(name, frozenset()), extent)
        }
        waiting[cell] = len(read)
        for one in read:
            readers.setdefault(one, []).append(cell)
    ready = [cell for cell, count in waiting.items() if not count]
    # It grows while it is walked.
    for cell in ready:
        for reader in readers.get(cell, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return ready, [cell for cell, count in waiting.items() if count]


def _references(formula: str, home: str, named: Mapping[str, str]) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Sheet and extent of the cells that a formula reads; nothing of one that is not evaluated."""
    if not _is_evaluated(formula):
        return
    for reference in _parsed(formula).walk_refs():
        if isinstance(reference, formualizer.CellRef | formualizer.RangeRef):
            name = home if reference.sheet is None else named.get(reference.sheet.casefold(), "")
            yield name, _extent(reference)


def _formulas_within(places: Set[Place], extent: tuple[int, int, int, int]) -> Iterator[Place]:
    top, left, bottom, right = extent
    if (bottom - top + 1) * (right - left + 1) < len(places):
        within = itertools.product(range(top, bottom + 1), range(left, right + 1))
        return (place for place in within if place in places)
    return (place for place in places if top <= place[0] <= bottom and left <= place[1] <= right)


class _Engine:
    """The engine's workbook, with what was evaluated so far.

    Args:
        values: what the cells hold, by sheet.
        formulas: the cells of them that hold formulas.
        today: what `TODAY` says.
    """

    def __init__(
        self, values: Mapping[str, Mapping[Place, CellValue]], formulas: Mapping[_Cell, str], today: datetime.date
    ) -> None:
        settings = formualizer.EvaluationConfig()
        settings.enable_parallel = False
        settings.warmup_enabled = False
        settings.workbook_seed = 0
        settings.max_work_units = _WORK
        config = formualizer.WorkbookConfig(eval_config=settings, enable_changelog=False)
        self._book = formualizer.Workbook(config=config)
        noon = datetime.datetime.combine(today, datetime.time(12), tzinfo=datetime.UTC)
        self._book.set_deterministic_clock(noon)
        for name, cells in values.items():
            self._book.add_sheet(name)
            for (row, column), value in cells.items():
                if (name, (row, column)) not in formulas:
                    self._book.set_value(name, row, column, value)

    def value(self, cell: _Cell, formula: str) -> CellValue:
        """The value of a formula whose cells have theirs; errors as texts.

        Raises:
            InfrastructureFault: the engine failed.
        """
        name, (row, column) = cell
        if not _is_evaluated(formula):
            return self._failed(cell, "Name")
        try:
            self._book.set_formula(name, row, column, formula)
            value = self._book.evaluate_cell(name, row, column)
            spills = self._book.inspect_cell(f"'{name}'!{get_column_letter(column)}{row}").cell.spill is not None
        except formualizer.ExcelEvaluationError:
            return self._failed(cell, "Num")
        except Exception as error:
            raise InfrastructureFault(f"the formula {formula!r} could not be evaluated: {error!r}") from error
        match value:
            case _ if spills:
                problem = "Spill"
            case {"type": "Error", "kind": kind}:
                problem = kind
            case str() if len(value) > MOST_TEXT_CHARS:
                problem = "Value"
            case float() if not math.isfinite(value):
                problem = "Num"
            case _:
                problem = ""
        if problem:
            return self._failed(cell, problem)
        # As a value it costs those that read it nothing; as a formula it would be looked through again for each.
        self._book.set_value(name, row, column, value)
        return _plain(value)

    def _failed(self, cell: _Cell, kind: str) -> str:
        """Leaves an error in a cell, for those that read it."""
        name, (row, column) = cell
        self._book.set_value(name, row, column, formualizer.LiteralValue.error(kind, None))
        return _ERRORS.get(kind, "#VALUE!")


def _plain(value: Any) -> CellValue:
    match value:
        case None:
            return 0
        case datetime.time() | datetime.timedelta():
            return str(value)
        case float() if value.is_integer() and abs(value) < 10**15:
            return int(value)
    plain: CellValue = value
    return plain
