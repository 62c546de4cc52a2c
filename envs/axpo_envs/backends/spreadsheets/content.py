"""Defines `Workbook`, sheets of cells as immutable content: what a workbook holds is a text, whatever its size.

A state that is one text is compared, pickled and checked at the cost of that text; the cells are decoded when they are
asked for, and kept for equal texts.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import well_formed

CellValue: TypeAlias = bool | int | float | str | datetime.date | datetime.datetime
"""What a cell holds; a text that begins with `=` is a formula. An empty cell is none of a sheet's."""
Place: TypeAlias = tuple[int, int]
"""Row and column, from 1."""
MOST_ROWS: Final = 1_048_576
"""Rows of a sheet."""
MOST_COLUMNS: Final = 16_384
"""Columns of a sheet."""

_MOST_DIGITS: Final = 15
_FORBIDDEN: Final = frozenset("[]:*?/\\'")
_DATE: Final = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One sheet."""

    name: str
    """Its name, unique in its workbook."""
    content: str = "[]"
    """Its cells as JSON: rows of [row, column, value], sorted; a date is {"date": "2026-01-31"}."""

    @classmethod
    def of_cells(cls, name: str, cells: Mapping[Place, CellValue]) -> Sheet:
        """The sheet with these cells."""
        rows = [[*place, _encoded(cells[place])] for place in sorted(cells)]
        return cls(name=name, content=json.dumps(rows, separators=(",", ":")))

    @property
    def cells(self) -> Mapping[Place, CellValue]:
        """What every cell that is not empty holds."""
        return _decoded(self.content)

    @property
    def size(self) -> Place:
        """The last row and the last column that hold something; (0, 0) of an empty sheet."""
        places = self.cells.keys()
        return max((row for row, _ in places), default=0), max((column for _, column in places), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbook:
    """The sheets of one moment; it never changes."""

    sheets: tuple[Sheet, ...] = ()
    """The sheets, in order."""

    def find(self, name: str) -> Sheet | None:
        """The sheet of that name in any case, as formulas name it, if there is one."""
        return next((sheet for sheet in self.sheets if sheet.name.casefold() == name.casefold()), None)

    def with_cells(self, name: str, changes: Mapping[Place, CellValue | None]) -> Workbook:
        """A workbook with other values in some cells of a sheet; None empties a cell."""
        return replace(self, sheets=tuple(_changed(one, changes) if one.name == name else one for one in self.sheets))


def check_sheet_name(name: Any) -> str:
    """The name, if a sheet may have it.

    Raises:
        ValueError: it may not.
    """
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 31 or _FORBIDDEN & set(name):
        raise ValueError(
            f"a sheet's name has 1 to 31 characters, none of {''.join(sorted(_FORBIDDEN))}; got {brief(name)}"
        )
    return name.strip()


def check_value(value: Any) -> CellValue:
    """The value, if a cell may hold it.

    Raises:
        ValueError: it may not.
    """
    match value:
        case bool() | datetime.datetime() | datetime.date():
            return value
        case int() if abs(value) < 10**_MOST_DIGITS:
            return value
        case float() if math.isfinite(value):
            return value
        case str():
            return well_formed(value)
    raise ValueError(
        f"a cell holds a text, a number of at most {_MOST_DIGITS} digits, a date, or true or false; got {brief(value)}"
    )


def as_workbook(value: Any, where: str) -> Workbook:
    """The workbook that a value means: one, the bytes of an .xlsx file, or rows of cells by sheets' names.

    Args:
        value: a `Workbook`; bytes; or a mapping of name to a list of rows, whose values are those of cells or None.
        where: where it was given, for messages.

    Raises:
        EnvConfigError: it is anything else; the message names sheet and cell.
        MissingExtraError: bytes, and the extra `spreadsheet` is not installed.
    """
    if isinstance(value, Workbook):
        return value
    if isinstance(value, bytes):
        from axpo_envs.backends.spreadsheets.xlsx import read_xlsx

        return read_xlsx(value, where=where)
    if not isinstance(value, Mapping):
        raise EnvConfigError(f"{where}: expected a Workbook, bytes of a file, or rows by sheet; got {brief(value)}")
    book = Workbook(sheets=tuple(_sheet(name, rows, where) for name, rows in value.items()))
    if len({sheet.name.casefold() for sheet in book.sheets}) < len(book.sheets):
        raise EnvConfigError(f"{where}: names of sheets must be unique, in any case; got {brief(tuple(value))}")
    return book


def _sheet(name: Any, rows: Any, where: str) -> Sheet:
    try:
        name = check_sheet_name(name)
    except ValueError as error:
        raise EnvConfigError(f"{where}: {error}") from None
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise EnvConfigError(f"{where}, sheet {name!r}: expected a list of rows, lists of values; got {brief(rows)}")
    cells: dict[Place, CellValue] = {}
    for row, values in enumerate(rows, start=1):
        for column, value in enumerate(values, start=1):
            if value is None or value == "":
                continue
            try:
                cells[row, column] = check_value(value)
            except ValueError as error:
                raise EnvConfigError(f"{where}, sheet {name!r}, row {row}, column {column}: {error}") from None
    return Sheet.of_cells(name, cells)


def _changed(sheet: Sheet, changes: Mapping[Place, CellValue | None]) -> Sheet:
    cells = {**sheet.cells, **changes}
    return Sheet.of_cells(sheet.name, {place: value for place, value in cells.items() if value is not None})


def _encoded(value: CellValue) -> Any:
    return {_DATE: value.isoformat()} if isinstance(value, datetime.date) else value


@lru_cache(maxsize=256)
def _decoded(content: str) -> Mapping[Place, CellValue]:
    return MappingProxyType({(row, column): _value(value) for row, column, value in json.loads(content)})


def _value(value: Any) -> CellValue:
    if isinstance(value, dict):
        text = value[_DATE]
        return datetime.datetime.fromisoformat(text) if "T" in text else datetime.date.fromisoformat(text)
    plain: CellValue = value
    return plain
