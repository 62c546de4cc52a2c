"""Workbooks as immutable content, their formulas evaluated, and .xlsx files of them (extra `spreadsheet`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.backends.spreadsheets.content import CellValue, Sheet, Workbook, as_workbook
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.backends.spreadsheets.formulas import evaluated
    from axpo_envs.backends.spreadsheets.xlsx import read_xlsx, write_xlsx

__all__ = ["CellValue", "Sheet", "Workbook", "as_workbook", "evaluated", "read_xlsx", "write_xlsx"]

_HOMES: Final = {
    "evaluated": "axpo_envs.backends.spreadsheets.formulas",
    "read_xlsx": "axpo_envs.backends.spreadsheets.xlsx",
    "write_xlsx": "axpo_envs.backends.spreadsheets.xlsx",
}

__getattr__ = lazily(__name__, _HOMES)
