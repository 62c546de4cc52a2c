"""Tests of what a run's page shows of environments, tools and numbers of needed calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axpo.records.run_log import RunLog
from axpo.report._parts import part_charts, part_tables
from axpo.report._report import write_report
from axpo.run.validation import resolved
from axpo.settings.config import TrainConfig
from axpo.settings.config_file import to_toml


def metric(value: float | None) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value / 2, value)
    return {"value": value, "n": 4, "low": low, "high": high}


EVALUATION = {
    "step": 9,
    "by_environment": {"<i>maps": {"pass1": metric(0.5), "tool_pass1": metric(None)}, "hops": {"pass1": metric(1.0)}},
    "by_tool": {"zoom": {"tool_attempt_rate": metric(0.5)}},
}


def step(number: int, **rates: float | None) -> dict[str, Any]:
    named = {f"by_environment/{name}/tool_attempt_rate": rate for name, rate in rates.items()}
    return {"step": number, **named, "by_tool/zoom/tool_pass1": 0.5}


def test_the_last_evaluation_is_told_apart_where_there_are_several_parts() -> None:
    (table,) = part_tables(EVALUATION)
    assert (table.title, table.columns[0]) == ("By environment", "Pass@1")
    rows = [(row.label, row.cells) for row in table.rows]
    assert rows == [
        ("<i>maps", ("50.0 % (25.0 to 50.0 %)", "-", "-", "-")),
        ("hops", ("100.0 % (50.0 to 100.0 %)", "-", "-", "-")),
    ]
    assert part_tables(None) == ()


def test_steps_of_several_parts_are_curves_and_gaps_stay_gaps() -> None:
    (chart,) = part_charts([step(1, a=0.5, b=None), step(2, a=1.0), step(3, a=1.0, b=0.25)])
    assert chart.title == "Tool attempts, by environment"
    assert [(curve.label, curve.cells) for curve in chart.curves] == [
        ("a", ("50.0 %", "75.0 %", "83.3 %")),
        ("b", ("undefined", "undefined", "25.0 %")),
    ]
    assert part_charts([step(1, a=0.5)]) == ()
    assert part_charts([]) == ()


def test_a_page_shows_both_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunLog.create(folder, to_toml(resolved(TrainConfig(steps=1, out=str(folder)))), tensorboard=False) as log:
        metrics = {"metrics": {"pass1": metric(0.5)}, "questions": 4, "rollouts": 8, "tokens": 64, "seconds": 0.5}
        log.append_evaluation({**EVALUATION, "step": 0, **metrics})
        log.append_step(
            {**step(1, **{"<i>maps": 0.5, "hops": 1.0}), "rollouts": 1.0, "tokens": 1.0, "seconds_step": 1.0}
        )
    text = write_report(folder).read_text(encoding="utf-8")
    assert "By environment" in text
    assert "Tool attempts, by environment" in text
    assert "&lt;i&gt;maps" in text
    assert "<i>maps" not in text
