from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from axpo.settings.config import ConfigError
from axpo_benchmarks.evidence.families import DESK_FAMILIES, FAMILIES, family_named
from axpo_benchmarks.evidence.helplessness import COLUMNS, helplessness_section
from axpo_benchmarks.evidence.rows import Row

VISIBLE = family_named("desk-visible")


@pytest.fixture
def desk_row(row: Callable[..., Row]) -> Callable[..., Row]:
    """A row of Desk with every share it tells."""

    def make(arm: str, seed: int, share: float, **metrics: float | None) -> Row:
        found = {name: metrics.get(name, share) for name in COLUMNS}
        looked: dict[str, Any] = {"at": "end", "step": 0, "sampling": "sampled", "samples": 4, "right": "42"}
        shown = {name: None if value is None else [value, None, None] for name, value in found.items()}
        return row(arm, seed, family=VISIBLE.name, asked_steps=120, evaluations=[{**looked, "metrics": shown}])

    return make


def test_arms_stand_beside_each_other_and_differences_are_paired_by_seed(desk_row: Callable[..., Row]) -> None:
    rows = [desk_row("start", 0, 0.5), desk_row("axpo", 0, 0.5, failed_to_act=0.1), desk_row("axpo", 1, 0.5)]
    rows += [desk_row("grpo", 0, 0.5, failed_to_act=0.4)]
    lines = helplessness_section(DESK_FAMILIES, rows).splitlines()
    (difference,) = (line for line in lines if line.startswith("| AXPO less GRPO"))
    assert difference == "| AXPO less GRPO | 1 | +0.000 | -0.300 | +0.000 | +0.000 | +0.000 | +0.000 |"
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:4] == ["| ---", "| start", "| GRPO"]
    assert sum(line.startswith("### ") for line in lines) == 1


def test_what_was_not_counted_is_left_empty_and_no_rows_give_no_section(desk_row: Callable[..., Row]) -> None:
    told = helplessness_section(DESK_FAMILIES, [desk_row("grpo", 0, 0.5, over_acting=None)])
    assert "| GRPO | 1 | 0.500 | 0.500 | 0.500 | 0.500 |  | 0.500 |" in told
    assert "AXPO less" not in told
    assert helplessness_section(DESK_FAMILIES, []) == ""


def test_desk_is_run_where_it_is_named_alone() -> None:
    assert not {family.name for family in DESK_FAMILIES} & {family.name for family in FAMILIES}
    with pytest.raises(ConfigError, match="desk-hidden, desk-visible, desk-costly; got 'desk'"):
        family_named("desk")
