from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from axpo_benchmarks.evidence import recovering_figure
from axpo_benchmarks.evidence.comparing import by_arm
from axpo_benchmarks.evidence.families import Family
from axpo_benchmarks.evidence.recovering import recovering_section
from axpo_benchmarks.evidence.rows import Row


@pytest.fixture
def after(row: Callable[..., Row]) -> Callable[..., Row]:
    """A row of an arm, with what it began and ended with."""

    def make(arm: str, seed: int, first: float, last: float) -> Row:
        metrics: dict[str, Any] = {name: [last, None, None] for name in ("tool_attempt_rate", "pass1", "pass4")}
        looked = [{"at": "end", "step": 2, "sampling": "sampled", "metrics": metrics}]
        marks = [dict.fromkeys(metrics, value) for value in (first, last)]
        return row(arm, seed, evaluations=looked, marks=marks)

    return make


def test_seeds_are_back_that_call_half_as_often_as_the_start(family: Family, after: Callable[..., Row]) -> None:
    rows = [after("start", 0, 0.3, 0.3), after("grpo", 0, 0.3, 0.01)]
    rows += [after("grpo_then_axpo", 0, 0.01, 0.14), after("grpo_then_axpo", 1, 0.03, 0.16)]
    told = recovering_section((family,), rows).splitlines()
    assert "| GRPO, then AXPO | 2 | 0.020 | 0.150 (0.023 to 0.277) | 0.020 |" in told[-1]
    assert told[-1].endswith("| 1 of 2 |")
    assert not any(line.startswith("| GRPO |") for line in told)


def test_the_figure_puts_what_came_after_behind_what_came_first(
    family: Family, after: Callable[..., Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str | None, list[Any]]] = []

    def note(axes: Axes, curves: Any, colour: str, label: str | None) -> None:
        axes.plot([], [], color=colour, label=label)
        drawn.append((label, list(curves)))

    monkeypatch.setattr(recovering_figure, "draw_lines", note)
    told = {"curve": {"step": [1, 2], "tool_attempt_rate": [0.2, None]}, "asked_steps": 2}
    rows = [after("grpo", 0, 0.3, 0.0) | told, after("grpo_then_axpo", 0, 0.0, 0.3) | told]
    assert recovering_figure.draw_recovering({"Toy": by_arm(rows, family.name)}, tmp_path / "figure.svg")
    assert drawn == [(None, [([1, 2], [0.2, None])]), ("GRPO, then AXPO", [([3, 4], [0.2, None])])]
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    assert not recovering_figure.draw_recovering({"Toy": by_arm(rows[:1], family.name)}, tmp_path / "none.svg")


def test_nothing_is_told_where_no_arm_came_after_another(family: Family, after: Callable[..., Row]) -> None:
    assert recovering_section((family,), [after("grpo", 0, 0.3, 0.01)]) == ""
