"""Defines how the tool `spreadsheet` reads what a policy names cells by, and how it writes cells for it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from axpo_envs.backends.spreadsheets.content import MOST_COLUMNS, MOST_ROWS, CellValue, Place, Sheet, check_value
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.extras import requiring
from axpo_envs.tool.protocol import ToolArgumentError

with requiring("spreadsheet", "the tool spreadsheet"):
    from openpyxl.utils import get_column_letter
    from openpyxl.utils.cell import range_boundaries

    from axpo_envs.backends.spreadsheets.formulas import MOST_TEXT_CHARS

Values: TypeAlias = tuple[tuple[CellValue | None, ...], ...]
"""Rows of values; None for an empty cell."""
Area: TypeAlias = tuple[int, int, int, int]
"""First row, first column, last row and last column."""


def area_of(text: str, name: str) -> Area:
    """The area that a text such as `A1:D9` means.

    Raises:
        ToolArgumentError: it means none; the message begins with the argument's name.
    """
    try:
        left, top, right, bottom = range_boundaries(text.strip().upper())
    except (ValueError, TypeError):
        raise ToolArgumentError(f"{name} must be cells such as A1 or A1:D9; got {brief(text)}") from None
    if None in (left, top, right, bottom) or not (
        1 <= top <= bottom <= MOST_ROWS and 1 <= left <= right <= MOST_COLUMNS
    ):
        raise ToolArgumentError(f"{name} must be cells such as A1 or A1:D9; got {brief(text)}")
    return top, left, bottom, right


def rows_of(values: Any) -> Values:
    """Values as rows: a single one, a list (a row), or a list of lists.

    Raises:
        ToolArgumentError: they are none of these, or one is no value of a cell.
    """
    rows = values if isinstance(values, list | tuple) else [[values]]
    if not rows or any(isinstance(one, list | tuple) != isinstance(rows[0], list | tuple) for one in rows):
        raise ToolArgumentError(
            f"values must be a value, a list of values or a list of such lists; got {brief(values)}"
        )
    rows = rows if isinstance(rows[0], list | tuple) else [rows]
    if not any(rows):
        raise ToolArgumentError("values must hold at least one value")
    return tuple(tuple(map(_value, row)) for row in rows)


def _value(value: Any) -> CellValue | None:
    if value is None or value == "":
        return None
    try:
        checked = check_value(value)
    except ValueError as error:
        raise ToolArgumentError(str(error)) from None
    if isinstance(checked, str) and len(checked) > MOST_TEXT_CHARS:
        raise ToolArgumentError(f"a cell holds at most {MOST_TEXT_CHARS} characters; got {len(checked)}")
    return checked


def placed(cell: Place, values: Values) -> Iterator[tuple[Place, CellValue | None]]:
    """The values by their places, from a cell on to the right and down."""
    row, column = cell
    return (
        ((row + down, column + right), value) for down, line in enumerate(values) for right, value in enumerate(line)
    )


def told(changes: Mapping[Place, CellValue | None], sheet: Sheet) -> str:
    """What changes, as a phrase."""
    (row, column), value = next(iter(changes.items()))
    if len(changes) == 1:
        before = sheet.cells.get((row, column))
        return f"{get_column_letter(column)}{row}: {_written(before)} -> {_written(value)}"
    bottom, right = max(place[0] for place in changes), max(place[1] for place in changes)
    return f"{named((row, column, bottom, right))}: {len(changes)} cells"


def shown(place: Place, values: Mapping[Place, CellValue], formulas: Mapping[Place, CellValue]) -> str:
    """What a cell shows: its value, and its formula where formulas are given."""
    text = _written(values.get(place)) if place in values else ""
    formula = formulas.get(place)
    return f"{text} ({formula})" if isinstance(formula, str) and formula.startswith("=") else text


def _written(value: CellValue | None) -> str:
    """As a cell shows it: numbers with 15 digits, texts on one line."""
    match value:
        case None:
            return "(empty)"
        case bool():
            return str(value).upper()
        case float():
            return format(value, ".15g")
        case datetime.datetime():
            return value.isoformat(" ")
    return " ".join(str(value).split()) if isinstance(value, str) else str(value)


def used(sheet: Sheet) -> str:
    """The cells of a sheet that hold something."""
    rows, columns = sheet.size
    return named((1, 1, rows, columns)) if rows else "empty"


def named(area: Area) -> str:
    """How an area is written."""
    top, left, bottom, right = area
    first = f"{get_column_letter(left)}{top}"
    return first if (top, left) == (bottom, right) else f"{first}:{get_column_letter(right)}{bottom}"
