from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from axpo.terminal.fitting_table import FittingTable

TABLE = FittingTable(
    title="After 60 steps, on held-out questions",
    columns=("Pass@1", "Tool-attempt rate", "Rollouts", "Seconds"),
    rows=(
        ("Start", "38.6%", "27.0%", "0", "0"),
        ("GRPO, 10 rollouts per question", "71.1% ± 4.8", "29.0% ± 29.3", "9,600", "316"),
        ("AXPO \x1b[2Jwins", "81.8% ± 1.3", "89.0% ± 3.1", "1.23 M", "1,234,567"),
    ),
)


def shown(width: int) -> str:
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(TABLE)
    return output.getvalue()


@pytest.mark.parametrize("width", [20, 33, 40, 59, 60, 79, 80, 81, 100, 120, 200])
def test_no_number_is_cut_at_any_width(width):
    lines = [line.strip() for line in shown(width).splitlines()]
    for label, *cells in TABLE.rows:
        for cell in cells:
            pattern = re.compile(rf"(?<![\w.,]){re.escape(cell)}(?![\w.,])")
            assert any(pattern.search(line) for line in lines), (label, cell)
    assert "…" not in shown(width)
    assert "\x1b" not in shown(width)


def test_wide_terminals_have_one_line_a_row_and_narrow_ones_lists():
    wide = shown(120).splitlines()
    assert any("GRPO, 10 rollouts per question" in line and "316" in line for line in wide)
    narrow = [line.rstrip() for line in shown(30).splitlines()]
    assert "  Seconds: 316" in narrow
    assert "GRPO, 10 rollouts per question" in narrow


def test_a_table_without_rows_is_its_title():
    output = io.StringIO()
    Console(file=output, width=20).print(FittingTable(title="Nothing", columns=("a",), rows=()))
    assert "Nothing" in output.getvalue()
