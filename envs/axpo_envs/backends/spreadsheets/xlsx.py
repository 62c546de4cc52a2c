"""Defines how workbooks are read from and written to .xlsx files."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

from axpo_envs.backends.spreadsheets.content import CellValue, Place, Sheet, Workbook, check_value
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import requiring

with requiring("spreadsheet", "an .xlsx file"):
    import openpyxl


def read_xlsx(file: str | Path | bytes, *, where: str = "file") -> Workbook:
    """The workbook of a file: values, formulas and dates; no formats, no charts, no macros.

    Args:
        file: its path, or its bytes.
        where: what the file is called in messages.

    Raises:
        EnvConfigError: it cannot be read, or a cell holds what a `Workbook` does not.
    """
    content = file if isinstance(file, bytes) else _bytes_of(Path(file))
    try:
        book = openpyxl.load_workbook(io.BytesIO(content))
        return Workbook(sheets=tuple(_sheet(sheet) for sheet in book.worksheets))
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise EnvConfigError(f"{where}: expected an .xlsx file; got {error}") from None


def write_xlsx(book: Workbook) -> bytes:
    """The bytes of an .xlsx file with a workbook's values, formulas and dates; spreadsheet programs evaluate it."""
    file = openpyxl.Workbook()
    file.remove(file.worksheets[0])
    for sheet in book.sheets or (Sheet(name="Sheet1"),):
        target = file.create_sheet(sheet.name)
        for (row, column), value in sheet.cells.items():
            target.cell(row, column).value = value
    content = io.BytesIO()
    file.save(content)
    return content.getvalue()


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvConfigError(f"{path}: expected a readable .xlsx file; got {error}") from None


def _sheet(sheet: Any) -> Sheet:
    cells: dict[Place, CellValue] = {}
    for row in sheet.iter_rows():
        for cell in row:
            value = getattr(cell.value, "text", cell.value)
            if value is not None and value != "":
                cells[cell.row, cell.column] = check_value(_plain(value))
    return Sheet.of_cells(sheet.title, cells)


def _plain(value: Any) -> Any:
    """Days without a time as dates; times of day as texts: a cell holds none."""
    if isinstance(value, datetime.datetime):
        return value.date() if value.time() == datetime.time() else value
    return str(value) if isinstance(value, datetime.time | datetime.timedelta) else value
