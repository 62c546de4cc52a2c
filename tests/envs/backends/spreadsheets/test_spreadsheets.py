from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs import EnvConfigError
from axpo_envs.backends.spreadsheets import Sheet, Workbook, as_workbook, evaluated, read_xlsx, write_xlsx
from axpo_envs.backends.spreadsheets.formulas import FormulaProblemError, check_formula

TODAY = datetime.date(2026, 1, 31)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**14), 10**14),
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda number: float(f"{number:.12g}")),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=9).filter(
        lambda text: not text.startswith(("=", "{"))
    ),
    st.dates(datetime.date(1901, 1, 1)),
)


def values_of(*rows: list[Any]) -> list[list[Any]]:
    cells = evaluated(as_workbook({"S": list(rows)}, "test"), TODAY)["S"]
    return [
        [cells.get((row, column)) for column in range(1, len(rows[row - 1]) + 1)] for row in range(1, len(rows) + 1)
    ]


def test_formulas_are_evaluated_whatever_order_they_stand_in() -> None:
    assert values_of(["=B1+A2", "=A2*2"], ["=SUM(A3:C3)"], [1, 2.5, 3]) == [[19.5, 13], [6.5], [1, 2.5, 3]]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("=ROUND(2.345,2)", 2.35),
        ('=IF(A1>3,"more","less")', "more"),
        ('=VLOOKUP("ink",A2:B3,2,FALSE)', 7),
        ('=SUMIF(A2:A3,"pen",B2:B3)', 2),
        ('="n"&A1', "n4"),
        ("=A1>3", True),
        ("=C9", 0),
        ("=TODAY()", TODAY),
        ("=DATE(2024,2,28)+1", datetime.date(2024, 2, 29)),
        ("=1/0", "#DIV/0!"),
        ("=A2+1", "#VALUE!"),
        ("=Nowhere!A1", "#REF!"),
        ("=NOTHING(1)", "#NAME?"),
        ("=NA()", "#N/A"),
        ("=10^400", "#NUM!"),
        ("=STDEV(36,1E-308,1E308,-9223372036854775808,1)", "#NUM!"),
        ("=A1:A3", "#SPILL!"),
    ],
)
def test_values_and_errors_are_what_spreadsheets_show(formula: str, expected: Any) -> None:
    assert values_of([4, formula], ["pen", 2], ["ink", 7])[0][1] == expected


def test_cells_in_cycles_and_those_that_read_them_show_it() -> None:
    assert values_of(["=B1", "=A1"], ["=C2", "=B2", "=A2"], ['=IFERROR(A1,"x")', "=1+1"]) == [
        ["#CIRC!", "#CIRC!"],
        ["#CIRC!", "#CIRC!", "#CIRC!"],
        ["#CIRC!", 2],
    ]


def test_sheets_read_each_other_by_names_in_any_case() -> None:
    book = as_workbook({"Net": [[10]], "My Sheet": [["=net!A1*2", "='my sheet'!A1+1"]]}, "test")
    assert dict(evaluated(book, TODAY)["My Sheet"]) == {(1, 1): 20, (1, 2): 21}


def test_equal_workbooks_have_equal_random_numbers() -> None:
    books = [as_workbook({"S": [["=RAND()", number]]}, "test") for number in (1, 2)]
    one, other = (evaluated(book, TODAY)["S"][1, 1] for book in books)
    assert one == other


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("=SUM(", "it cannot be read"),
        ("=SUM(A:A)", "names its rows and columns"),
        ("=SUM(A1:Z9999)", "at most 20000 cells"),
        ('=INDIRECT("A1")', "INDIRECT is not available"),
        ("=LET(a,1,a)", "LET is not available"),
        ("=SUM(SEQUENCE(9))", "SEQUENCE is not available"),
        ("=A1:INDEX(B1:B9,2)", "written with two cells"),
        ('=SUBSTITUTE(A1&A1,"a","b")', "cells, ranges and constants alone"),
        ("=" + "1+" * 300 + "1", "at most 500 characters"),
    ],
)
def test_formulas_that_could_make_any_work_are_refused(formula: str, message: str) -> None:
    with pytest.raises(FormulaProblemError, match=message):
        check_formula(formula)
    assert values_of([formula]) == [["#NAME?"]]


def test_texts_that_double_from_cell_to_cell_end() -> None:
    rows = [['="ab"&"cd"'], *([f"=A{row}&A{row}"] for row in range(1, 60))]
    found = [row[0] for row in values_of(*rows)]
    assert [len(text) for text in found[:8]] == [4, 8, 16, 32, 64, 128, 256, 512]
    assert set(found[8:]) == {"#VALUE!"}


@given(st.lists(st.lists(st.none() | VALUES, max_size=4), max_size=4))
@settings(max_examples=25, deadline=None)
def test_a_file_holds_all_of_a_workbook(rows: list[list[Any]]) -> None:
    book = as_workbook({"S": rows, "T": [["=S!A1"]]}, "test")
    again = read_xlsx(write_xlsx(book))
    assert [(sheet.name, dict(sheet.cells)) for sheet in again.sheets] == [
        (sheet.name, dict(sheet.cells)) for sheet in book.sheets
    ]


def test_a_file_is_read_by_its_path_and_one_that_is_none_is_named(tmp_path: Path) -> None:
    book = as_workbook({"S": [[1, "=A1"]]}, "test")
    (tmp_path / "book.xlsx").write_bytes(write_xlsx(book))
    assert read_xlsx(tmp_path / "book.xlsx") == book
    (tmp_path / "odd.xlsx").write_bytes(b"PK\x03\x04 no file")
    for name in ("odd.xlsx", "none.xlsx"):
        with pytest.raises(EnvConfigError, match=r"\.xlsx"):
            read_xlsx(tmp_path / name)


def test_cells_are_content_sorted_and_changed_without_touching_the_workbook() -> None:
    book = as_workbook({"S": [[None, 2], [1]]}, "test")
    assert json.loads(book.sheets[0].content) == [[1, 2, 2], [2, 1, 1]]
    after = book.with_cells("S", {(1, 2): None, (9, 1): "x"})
    assert dict(after.sheets[0].cells) == {(2, 1): 1, (9, 1): "x"}
    assert after.sheets[0].size == (9, 1)
    assert dict(book.sheets[0].cells) == {(1, 2): 2, (2, 1): 1}
    assert Workbook(sheets=(Sheet(name="S", content=after.sheets[0].content),)) == after


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "start: expected a Workbook, bytes of a file, or rows by sheet; got 5"),
        ({"a": 5}, "sheet 'a': expected a list of rows"),
        ({"a": [[1], [2, {}]]}, "sheet 'a', row 2, column 2: a cell holds"),
        ({"a": [[float("nan")]]}, "row 1, column 1"),
        ({"a/b": []}, "a sheet's name has 1 to 31 characters"),
        ({"A": [], "a": []}, "must be unique, in any case"),
        (b"no file", "start: expected an .xlsx file"),
    ],
)
def test_what_is_no_workbook_is_placed(value: Any, message: str) -> None:
    with pytest.raises(EnvConfigError, match=message):
        as_workbook(value, "start")
